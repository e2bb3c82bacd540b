"""A small world for tests of the review desk and the API: two projects, people with keys, samples under review."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx

from api.app import create_app
from api.services import ApiServices
from infra.db.engine import PostgresDatabase
from infra.webhooks.http import WebhookHttp
from services.access.keys import new_secret, sha256_of_secret
from services.contracts.access import ApiKeyInfo, Principal, Role
from services.contracts.canonical import content_sha256
from services.contracts.findings import Finding, RuleReference
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.records import Project
from services.contracts.review import FindingState, NewTask, ReviewTask, StoredFinding, TaskKind
from services.intake.inbox import Inbox
from services.lifecycle.journal import move, record_stage
from services.review.authorship import concerned_sha256
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.intake_events import NoAssets

OWN, OTHER = "own", "other"
AUTHOR = Author(kind="human", id="author")
SKILLS = ("spatial",)


def box(label_id: str = "a1", x_min: float = 1.5, **changes: Any) -> Box:
    """A label of the sample's camera."""
    return Box(
        **{"id": label_id, "stream": "cam", "label": "car", "frame": 0, "box": (x_min, 2.0, 30.0, 40.25), **changes}
    )


def principal(actor_id: str, role: Role, *, projects: tuple[str, ...] | None = None) -> Principal:
    """A person without a key, for tests below the API."""
    return Principal(actor_id=actor_id, key_id=f"key-{actor_id}", role=role, projects=projects, skills=SKILLS)


async def add_projects(database: PostgresDatabase) -> None:
    """Keep both projects with the default rule set."""
    async with database.transaction() as tx:
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        for name in (OWN, OTHER):
            await tx.projects.add(Project(id=name, name=name))


async def add_sample(
    database: PostgresDatabase, sample_id: str, *, project: str = OWN, revision: int = 1
) -> RevisionRef:
    """Keep a sample under review with two labels of ``author`` and one finding about the first."""
    ref = RevisionRef(project=project, sample_id=sample_id, revision=revision)
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": sample_id,
            "project": project,
            "streams": [{"id": "cam", "modality": "image", "uri": "a.png"}],
        }
    )
    labels = (box("a1", author=AUTHOR), box("a2", 3.5, author=AUTHOR))
    async with database.transaction() as tx:
        await tx.samples.lock_sample(project, sample_id)
        await tx.samples.add_revision(
            ref, manifest, manifest_sha256=content_sha256(manifest), risk=manifest.context.risk, event=None
        )
        await record_stage(tx, ref, None, Stage.RECEIVED, actor="concord")
        await tx.samples.add_label_set(ref, labels, origin="manifest", author=AUTHOR)
        stored = await tx.samples.get(ref, lock=True)
        assert stored is not None
        await move(tx, stored, Stage.PRE_LABELING, Stage.CHECKING, Stage.IN_REVIEW, actor="concord")
        await tx.review.put_finding(a_finding(ref, "f-1", labels, await tx.now()))
    return ref


def a_finding(ref: RevisionRef, finding_id: str, labels: tuple[Box, ...], at: datetime) -> StoredFinding:
    """An open finding about the label ``a1``, which blocks."""
    finding = Finding(
        finding_id=finding_id,
        check="lidar_camera",
        kind="low_overlap",
        severity="major",
        message="The cuboid covers 12 % of its box.",
        annotations=("a1",),
        rule=RuleReference(id="default", version=1),
    )
    return StoredFinding(
        ref=ref,
        finding=finding,
        state=FindingState.OPEN,
        blocking=True,
        labels_sha256=concerned_sha256(finding, labels),
        label_version=1,
        found_at=at,
        updated_at=at,
    )


async def open_task(database: PostgresDatabase, ref: RevisionRef, **changes: Any) -> ReviewTask:
    """Open a review task about the sample's finding."""
    values: dict[str, Any] = {
        "ref": ref,
        "kind": TaskKind.REVIEW,
        "queue": "spatial",
        "finding_ids": ("f-1",),
        "excluded_actors": ("author",),
    }
    async with database.transaction() as tx:
        return await tx.review.open_task(NewTask(**values | changes))


async def lapse(database: PostgresDatabase, task_id: UUID) -> None:
    """Let the lease on a task be over now, as if its time had passed."""
    from sqlalchemy import text

    async with database._engine.begin() as connection:
        await connection.execute(
            text("UPDATE review_tasks SET lease_expires_at = clock_timestamp() - interval '1 s' WHERE task_id = :id"),
            {"id": task_id},
        )


async def task_now(database: PostgresDatabase, task_id: UUID) -> ReviewTask:
    """The task as it is."""
    async with database.transaction() as tx:
        task = await tx.review.task(task_id)
    assert task is not None
    return task


@dataclass
class ApiWorld:
    """The application over a real database, and a key for every role."""

    database: PostgresDatabase
    http: httpx.AsyncClient
    secrets: dict[str, str] = field(default_factory=dict)

    async def key(self, actor_id: str, role: Role, *projects: str) -> str:
        """Keep a key and return its secret; without projects it sees all."""
        secret = new_secret()
        async with self.database.transaction() as tx:
            info = ApiKeyInfo(
                key_id=f"key-{len(self.secrets)}",
                actor_id=actor_id,
                role=role,
                projects=projects or None,
                skills=SKILLS,
                created_at=await tx.now(),
            )
            await tx.access.add_key(info, sha256_of_secret(secret))
        self.secrets[actor_id] = secret
        return secret

    async def call(
        self,
        actor_id: str | None,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | None = None,
    ) -> httpx.Response:
        """Send a request with a person's key; a body is sent as JSON unless ``content`` gives its bytes."""
        sent = dict(headers or {})
        if actor_id is not None:
            sent.setdefault("Authorization", f"Bearer {self.secrets[actor_id]}")
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
            return await self.http.request(method, path, content=content, headers=sent)
        return await self.http.request(method, path, json=body, headers=sent)


def open_transport(
    database: PostgresDatabase,
    *,
    body_max_bytes: int = 1_000_000,
    webhook_hosts: tuple[str, ...] = (),
    pace_s: float = 0.0,
) -> httpx.ASGITransport:
    """A way straight into an application over ``database``."""
    services = ApiServices(
        database=database,
        inbox=Inbox(database, NoAssets()),
        body_max_bytes=body_max_bytes,
        webhook_targets=WebhookHttp(webhook_hosts, 20),
        pace_s=pace_s,
    )
    return httpx.ASGITransport(app=create_app(services), raise_app_exceptions=True)


def open_client(
    database: PostgresDatabase,
    *,
    body_max_bytes: int = 1_000_000,
    webhook_hosts: tuple[str, ...] = (),
    pace_s: float = 0.0,
) -> httpx.AsyncClient:
    """A client that talks straight into an application over ``database``."""
    transport = open_transport(database, body_max_bytes=body_max_bytes, webhook_hosts=webhook_hosts, pace_s=pace_s)
    return httpx.AsyncClient(transport=transport, base_url="http://concord.test")


def problem_code(response: httpx.Response) -> str:
    """The stable code of a problem answer, after a look at its form."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    document = response.json()
    assert document["status"] == response.status_code
    assert document["title"]
    assert document["detail"]
    assert document["instance"].startswith("urn:concord:request:")
    assert set(document.get("places", [{}])[0]) <= {"pointer", "detail"}
    prefix, _, code = str(document["type"]).rpartition(":")
    assert prefix == "urn:concord:problem"
    return code

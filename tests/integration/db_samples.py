"""Small stored things that several database tests start from."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from services.contracts.access import Principal, Role
from services.contracts.canonical import content_sha256
from services.contracts.events import EventType, IncomingEvent
from services.contracts.findings import Finding, RuleReference
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.records import Project
from services.contracts.review import Decision, FindingState, NewTask, ReviewTask, StoredFinding, TaskKind, Verdict
from services.lifecycle.journal import record_stage
from services.ports.database import Database, Transaction
from services.review.fitting import skills_asked, why_not

PROJECT = "av-urban"
ANNOTATOR = Author(kind="human", id="ann", team="blue")
SHA256 = "ab" * 32


def a_ref(sample_id: str = "s1", revision: int = 1, project: str = PROJECT) -> RevisionRef:
    return RevisionRef(project=project, sample_id=sample_id, revision=revision)


def a_manifest(ref: RevisionRef, *, risk: str = "low") -> SampleManifest:
    return SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": ref.sample_id,
            "project": ref.project,
            "context": {"risk": risk},
            "streams": [{"id": "cam", "modality": "image", "uri": "a.png"}],
        }
    )


def a_box(label_id: str = "a1", x_min: float = 1.5) -> Box:
    return Box(id=label_id, type="box", stream="cam", label="car", frame=0, box=(x_min, 2.0, 30.0, 40.25))


def an_event(event_id: str = "e1", source: str = "/upstream", data: Any = None) -> IncomingEvent:
    return IncomingEvent(
        source=source,
        id=event_id,
        type=EventType.SAMPLE_CREATED,
        data=data,
        content_sha256=content_sha256([EventType.SAMPLE_CREATED, data]),
    )


def a_person(actor_id: str, *, skills: tuple[str, ...] = (), projects: tuple[str, ...] | None = None) -> Principal:
    return Principal(actor_id=actor_id, key_id=f"key-{actor_id}", role=Role.REVIEWER, projects=projects, skills=skills)


def a_task(ref: RevisionRef, **changes: Any) -> NewTask:
    return NewTask(**{"ref": ref, "kind": TaskKind.REVIEW, "queue": "spatial", "finding_ids": ("f-1",)} | changes)


def a_decision(task: ReviewTask, actor_id: str, **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "decision_id": uuid4(),
        "task_id": task.task_id,
        "ref": task.ref,
        "task_kind": task.kind,
        "actor_id": actor_id,
        "verdict": Verdict.APPROVE,
        "finding_ids": task.finding_ids,
        "fence": task.fence,
        "label_version_before": 0,
        "label_version_after": 0,
        "content_sha256": SHA256,
        "decided_at": datetime.now(UTC),
    }
    return Decision(**values | changes)


def a_finding(ref: RevisionRef, finding_id: str = "f-1", **changes: Any) -> StoredFinding:
    at = datetime.now(UTC)
    values: dict[str, Any] = {
        "ref": ref,
        "finding": Finding(
            finding_id=finding_id,
            check="lidar_camera",
            kind="low_overlap",
            severity="major",
            message="The cuboid covers 12 % of its box.",
            rule=RuleReference(id="default", version=1),
        ),
        "state": FindingState.OPEN,
        "blocking": True,
        "labels_sha256": SHA256,
        "label_version": 1,
        "found_at": at,
        "updated_at": at,
    }
    return StoredFinding(**values | changes)


async def put_project(database: Database, project: str = PROJECT) -> None:
    async with database.transaction() as tx:
        await tx.projects.add(Project(id=project, name="Urban pilot"))


async def put_revision(tx: Transaction, ref: RevisionRef, *, risk: str = "low") -> None:
    await tx.samples.lock_sample(ref.project, ref.sample_id)
    manifest = a_manifest(ref, risk=risk)
    await tx.samples.add_revision(
        ref, manifest, manifest_sha256=content_sha256(manifest), risk=manifest.context.risk, event=None
    )
    await record_stage(tx, ref, None, Stage.RECEIVED, actor="concord")


async def a_sample(database: Database, sample_id: str = "s1", project: str = PROJECT) -> RevisionRef:
    """A project, unless it is there, with one sample at stage ``received``."""
    ref = a_ref(sample_id, project=project)
    async with database.transaction() as tx:
        known = await tx.projects.get(project)
    if known is None:
        await put_project(database, project)
    async with database.transaction() as tx:
        await put_revision(tx, ref)
    return ref


async def open_task(database: Database, ref: RevisionRef, **changes: Any) -> ReviewTask:
    async with database.transaction() as tx:
        return await tx.review.open_task(a_task(ref, **changes))


async def claim_next(
    tx: Transaction,
    person: Principal,
    *,
    kinds: tuple[TaskKind, ...] = tuple(TaskKind),
    queue: str | None = None,
    project: str | None = None,
) -> ReviewTask | None:
    """Claim for a person of no role, so for every kind of task."""
    await tx.people.at_work(person.actor_id)
    projects = person.projects if project is None else (project,) if person.sees(project) else ()
    lanes = await tx.queues.lanes(person.actor_id, kinds=kinds, projects=projects, queue=queue)
    fitting = [lane for lane in lanes if why_not(lane, person, None) is None]
    return await tx.review.claim_next(person.actor_id, fitting, [skills_asked(lane) for lane in fitting])


async def task_now(database: Database, task_id: UUID) -> ReviewTask:
    async with database.transaction() as tx:
        task = await tx.review.task(task_id)
    assert task is not None
    return task

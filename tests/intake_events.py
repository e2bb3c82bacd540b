"""Events and manifests for tests of the intake."""

from __future__ import annotations

import json
from typing import Any

from infra.db.engine import PostgresDatabase
from services.contracts.events import EventType, Receipt
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import NewTask, ReviewTask, TaskKind
from services.intake.cloud_events import STRUCTURED_TYPE, EventMessage
from services.intake.inbox import Inbox
from services.lifecycle.journal import move
from services.ports.assets import AssetBytes
from services.rules.rule_set import DEFAULT_RULE_SET

PROJECT = "calls"
SOURCE = "/cameras/fleet-7"


class NoAssets:
    """An asset reader for manifests whose streams have no address."""

    async def check(self, uri: str, *, sha256: str | None) -> int:
        raise AssertionError(f"nobody may ask for {uri}")

    async def read(self, uri: str, *, sha256: str | None) -> AssetBytes:
        raise AssertionError(f"nobody may ask for {uri}")


def manifest(sample_id: str = "s-1", **changes: Any) -> dict[str, Any]:
    """A manifest with one labelled stream of text."""
    return {
        "format": "concord.sample/1",
        "sample_id": sample_id,
        "project": PROJECT,
        "streams": [{"id": "note", "modality": "text", "inline": "good morning"}],
        "annotations": [{"id": "a1", "type": "intent", "stream": "note", "label": "greeting"}],
        **changes,
    }


def event(data: Any, event_type: str = EventType.SAMPLE_CREATED, **attributes: Any) -> dict[str, Any]:
    """A structured event."""
    return {"specversion": "1.0", "id": "e-1", "source": SOURCE, "type": str(event_type), "data": data, **attributes}


def structured(document: Any) -> EventMessage:
    """An event as a structured message."""
    return EventMessage(content_type=STRUCTURED_TYPE, body=json.dumps(document).encode())


def created(sample_id: str = "s-1", event_id: str | None = None, **changes: Any) -> EventMessage:
    """The message that a sample was created."""
    return structured(event(manifest(sample_id, **changes), id=event_id or f"created-{sample_id}"))


async def take_in(inbox: Inbox, message: EventMessage) -> Receipt:
    """Have an event about a sample taken in, as from a sender who may touch every project."""
    receipt = await inbox.receive(message, via="http", projects=None)
    assert isinstance(receipt, Receipt)
    return receipt


async def add_project(database: PostgresDatabase, project: str = PROJECT, config: ProjectConfig | None = None) -> None:
    """Keep a project with the default rule set."""
    async with database.transaction() as tx:
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        await tx.projects.add(Project(id=project, name=project, config=config or ProjectConfig()))


async def ask_for_labels(database: PostgresDatabase, ref: RevisionRef, assignee: str | None = None) -> ReviewTask:
    """Bring a fresh revision to where a person is asked to label it."""
    async with database.transaction() as tx:
        await tx.samples.lock_sample(ref.project, ref.sample_id)
        revision = await tx.samples.get(ref, lock=True)
        assert revision is not None
        await move(tx, revision, Stage.PRE_LABELING, Stage.ANNOTATING, actor="concord")
        return await tx.review.open_task(NewTask(ref=ref, kind=TaskKind.ANNOTATE, queue="annotate", assignee=assignee))

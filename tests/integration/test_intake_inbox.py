from __future__ import annotations

import asyncio
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from infra.storage.assets import FileAssetReader
from services.contracts.access import Principal, Role
from services.contracts.events import EventType, Receipt
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.records import DeadLetter
from services.contracts.review import TaskState, Verdict
from services.errors import (
    AlreadyExistsError,
    AssetHashMismatchError,
    AssetMissingError,
    ConcordError,
    EventConflictError,
    InvalidInputError,
    MalformedJsonError,
    NotFoundError,
    StageConflictError,
    TaskHeldError,
    UnavailableError,
    UnknownEventTypeError,
)
from services.intake.cloud_events import EventMessage
from services.intake.inbox import Inbox
from services.lifecycle.journal import move
from tests.intake_events import PROJECT, NoAssets, add_project, ask_for_labels, created, event, manifest, structured

pytestmark = pytest.mark.servers

OPERATOR = Principal(actor_id="op", key_id="k", role=Role.OPERATIONS, projects=None)
REF = RevisionRef(project=PROJECT, sample_id="s-1", revision=1)


@pytest.fixture
async def inbox(database: PostgresDatabase) -> Inbox:
    await add_project(database)
    return Inbox(database, NoAssets())


async def post(inbox: Inbox, message: EventMessage, projects: tuple[str, ...] | None = None) -> Receipt:
    receipt = await inbox.receive(message, via="http", projects=projects)
    assert isinstance(receipt, Receipt)
    return receipt


async def letters(inbox: Inbox) -> tuple[DeadLetter, ...]:
    return await inbox.dead_letters(OPERATOR, after=None, limit=100)


async def outbox(database: PostgresDatabase, *topics: str) -> list[dict[str, Any]]:
    async with database.transaction() as tx:
        return [message.body for message in await tx.outbox.pending(topics, limit=1_000)]


async def stage_of(database: PostgresDatabase, ref: RevisionRef) -> Stage:
    async with database.transaction() as tx:
        revision = await tx.samples.get(ref)
    assert revision is not None
    return revision.stage


async def test_a_created_sample_has_revision_labels_stage_event_and_workflow(
    database: PostgresDatabase, inbox: Inbox
) -> None:
    receipt = await post(inbox, created())
    assert receipt.outcome == "accepted"
    assert (receipt.project, receipt.sample_id, receipt.revision) == (PROJECT, "s-1", 1)
    async with database.transaction() as tx:
        revision = await tx.samples.get(REF)
        labels = await tx.samples.label_set(REF)
        audit = await tx.audit.list(PROJECT, after=0, limit=10)
    assert revision is not None
    assert revision.stage is Stage.RECEIVED
    assert revision.label_version == 1
    assert labels is not None
    assert labels.origin == "manifest"
    assert labels.author.kind == "importer"
    assert [entry.action for entry in audit] == ["sample.received"]
    [start] = await outbox(database, "workflow_start")
    assert start["workflow_id"] == "sample/calls/1/s-1"
    assert start["input"]["ref"] == REF.model_dump()
    [change] = await outbox(database, "event")
    assert (change["stage"], change["sequence"]) == ("received", 1)


async def test_a_sample_without_labels_has_no_label_set(database: PostgresDatabase, inbox: Inbox) -> None:
    await post(inbox, created(annotations=[]))
    async with database.transaction() as tx:
        assert await tx.samples.label_set(REF) is None


async def test_the_same_event_twenty_times_at_once_is_one_sample(database: PostgresDatabase, inbox: Inbox) -> None:
    receipts = await asyncio.gather(*(post(inbox, created()) for _ in range(20)))
    assert sorted(receipt.outcome for receipt in receipts) == ["accepted"] + ["duplicate"] * 19
    assert len({receipt.model_dump_json(exclude={"outcome"}) for receipt in receipts}) == 1
    assert len(await outbox(database, "workflow_start")) == 1
    assert len(await outbox(database, "event")) == 1
    assert await letters(inbox) == ()


async def test_two_events_that_create_one_sample_at_once_give_one_sample(
    database: PostgresDatabase, inbox: Inbox
) -> None:
    results = await asyncio.gather(
        *(post(inbox, created(event_id=f"e-{number}")) for number in range(8)), return_exceptions=True
    )
    assert sum(isinstance(result, Receipt) for result in results) == 1
    assert sum(isinstance(result, AlreadyExistsError) for result in results) == 7
    assert len(await outbox(database, "workflow_start")) == 1


async def test_the_same_pair_with_other_content_is_refused(inbox: Inbox) -> None:
    await post(inbox, created())
    with pytest.raises(EventConflictError):
        await post(inbox, created(captured_at="2024-01-01T00:00:00Z"))
    [letter] = await letters(inbox)
    assert (letter.reason_code, letter.event_id, letter.project) == ("event-conflict", "created-s-1", PROJECT)


async def test_a_new_time_or_key_order_is_the_same_content(inbox: Inbox) -> None:
    document = event(manifest(), time="2024-01-01T00:00:00Z")
    await post(inbox, structured(document))
    again = dict(reversed(document.items())) | {"time": "2024-02-02T00:00:00Z"}
    again["data"] = dict(reversed(again["data"].items()))
    assert (await post(inbox, structured(again))).outcome == "duplicate"


@pytest.mark.parametrize(
    ("document", "error", "place"),
    [
        (event(manifest(), "concord.sample.exploded.v1"), UnknownEventTypeError, "/type"),
        (event(manifest(colour="red")), InvalidInputError, "/data/colour"),
        (event({**manifest(), "streams": [{"id": "a"}]}), InvalidInputError, "/data/streams/0/modality"),
        (event(manifest(project="nowhere")), NotFoundError, "/data/project"),
        (event(None), InvalidInputError, "/data"),
        (event(manifest("s-9"), EventType.SAMPLE_UPDATED), NotFoundError, "/data/sample_id"),
    ],
)
async def test_a_bad_event_is_refused_and_kept_once_with_its_reason_and_place(
    inbox: Inbox, document: dict[str, Any], error: type[ConcordError], place: str
) -> None:
    for _ in range(3):
        with pytest.raises(error):
            await post(inbox, structured(document))
    [letter] = await letters(inbox)
    assert letter.reason_code == error.code
    assert place in [pointer for pointer, _ in letter.places]


async def test_an_unreadable_body_is_kept_over_nats_and_only_answered_over_http(inbox: Inbox) -> None:
    message = EventMessage(content_type="application/cloudevents+json", body=b'{"specversion": NaN}')
    with pytest.raises(MalformedJsonError):
        await post(inbox, message)
    assert await letters(inbox) == ()
    for _ in range(2):
        with pytest.raises(MalformedJsonError):
            await inbox.receive(message, via="nats", projects=None)
    [letter] = await letters(inbox)
    assert (letter.via, letter.source, letter.reason_code) == ("nats", None, "malformed-json")


async def test_a_project_that_the_key_does_not_see_reads_like_none_and_leaves_it_no_letter(
    database: PostgresDatabase, inbox: Inbox
) -> None:
    await add_project(database, "others")
    with pytest.raises(NotFoundError) as hidden:
        await post(inbox, created(project="others"), projects=(PROJECT,))
    with pytest.raises(NotFoundError) as missing:
        await post(inbox, created(project="nobody"), projects=(PROJECT,))
    assert hidden.value.detail.replace("others", "") == missing.value.detail.replace("nobody", "")
    theirs = Principal(actor_id="o", key_id="o", role=Role.OPERATIONS, projects=("others",))
    assert await inbox.dead_letters(theirs, after=None, limit=10) == ()
    assert len(await letters(inbox)) == 2


async def test_assets_are_checked_before_anything_is_stored(database: PostgresDatabase, tmp_path: Path) -> None:
    await add_project(database)
    (tmp_path / "there.txt").write_bytes(b"good morning")
    inbox = Inbox(database, FileAssetReader([tmp_path], 1_000, 10))
    streams = [
        {"id": "a", "modality": "text", "uri": "there.txt", "sha256": hashlib.sha256(b"good morning").hexdigest()},
        {"id": "b", "modality": "text", "uri": "missing.txt"},
        {"id": "c", "modality": "text", "uri": "../outside.txt"},
    ]
    with pytest.raises(AssetMissingError) as refused:
        await post(inbox, created(streams=streams, annotations=[]))
    assert [place for place, _ in refused.value.places] == ["/data/streams/1/uri", "/data/streams/2/uri"]
    with pytest.raises(AssetHashMismatchError):
        await post(inbox, created(streams=[{**streams[0], "sha256": "0" * 64}], annotations=[]))
    async with database.transaction() as tx:
        assert await tx.samples.newest(PROJECT, "s-1") is None
    receipt = await post(inbox, created(streams=streams[:1], annotations=[]))
    assert receipt.outcome == "accepted"
    (tmp_path / "there.txt").unlink()
    assert (await post(inbox, created(streams=streams[:1], annotations=[]))).outcome == "duplicate"


async def test_a_dead_letter_is_replayed_once_its_cause_is_gone(database: PostgresDatabase, inbox: Inbox) -> None:
    with pytest.raises(NotFoundError):
        await post(inbox, created(project="late"))
    [letter] = await letters(inbox)
    with pytest.raises(NotFoundError):
        await inbox.replay(letter.dead_letter_id, OPERATOR)
    [tried] = await letters(inbox)
    assert tried.replay_outcome == "refused: not-found"
    await add_project(database, "late")
    receipts = await asyncio.gather(*(inbox.replay(letter.dead_letter_id, OPERATOR) for _ in range(4)))
    assert sorted(receipt.outcome for receipt in receipts) == ["accepted", "duplicate", "duplicate", "duplicate"]
    [done] = await letters(inbox)
    assert done.replay_outcome in ("accepted", "duplicate")
    assert done.replayed_at is not None


async def test_a_letter_of_another_project_can_not_be_replayed(inbox: Inbox) -> None:
    await post(inbox, created())
    with pytest.raises(EventConflictError):
        await post(inbox, created(captured_at="2024-01-01T00:00:00Z"))
    [letter] = await letters(inbox)
    stranger = Principal(actor_id="x", key_id="x", role=Role.OPERATIONS, projects=("others",))
    with pytest.raises(NotFoundError):
        await inbox.replay(letter.dead_letter_id, stranger)


async def test_a_database_that_is_away_is_no_reason_for_a_dead_letter(inbox: Inbox) -> None:
    refused = await inbox.refuse(created(), UnavailableError("away"), via="nats", projects=None)
    assert refused is None
    assert await letters(inbox) == ()


async def test_an_update_replaces_the_live_revision(database: PostgresDatabase, inbox: Inbox) -> None:
    await post(inbox, created())
    task = await ask_for_labels(database, REF)
    receipt = await post(inbox, structured(event(manifest(), EventType.SAMPLE_UPDATED, id="e-2")))
    assert receipt.revision == 2
    assert await stage_of(database, REF) is Stage.WITHDRAWN
    async with database.transaction() as tx:
        cancelled = await tx.review.task(task.task_id)
        timeline = await tx.samples.timeline(PROJECT, "s-1")
    assert cancelled is not None
    assert cancelled.state is TaskState.CANCELLED
    assert [(change.ref.revision, change.stage.value) for change in timeline] == [
        (1, "received"), (1, "pre_labeling"), (1, "annotating"), (1, "withdrawn"), (2, "received"),
    ]  # fmt: skip
    assert [change.sequence for change in timeline] == [1, 2, 3, 4, 5]
    [signal] = await outbox(database, "workflow_signal")
    assert (signal["workflow_id"], signal["signal"]) == ("sample/calls/1/s-1", "withdrawal_recorded")


async def test_an_update_of_a_finished_revision_opens_it_again(database: PostgresDatabase, inbox: Inbox) -> None:
    await post(inbox, created())
    async with database.transaction() as tx:
        revision = await tx.samples.get(REF, lock=True)
        assert revision is not None
        await move(tx, revision, Stage.PRE_LABELING, Stage.CHECKING, Stage.ACCEPTED, Stage.COMMITTED, actor="concord")
    receipt = await post(inbox, structured(event(manifest(), EventType.SAMPLE_UPDATED, id="e-2")))
    assert receipt.revision == 2
    assert await stage_of(database, REF) is Stage.REOPENED
    assert await outbox(database, "workflow_signal") == []


async def test_a_withdrawal_ends_the_revision_once(database: PostgresDatabase, inbox: Inbox) -> None:
    await post(inbox, created())
    data = {"project": PROJECT, "sample_id": "s-1", "reason": "the speaker objects"}
    first = structured(event(data, EventType.SAMPLE_WITHDRAWN, id="w-1"))
    assert (await post(inbox, first)).revision == 1
    assert (await post(inbox, first)).outcome == "duplicate"
    assert await stage_of(database, REF) is Stage.WITHDRAWN
    with pytest.raises(StageConflictError):
        await post(inbox, structured(event(data, EventType.SAMPLE_WITHDRAWN, id="w-2")))


def submission(author: str = "tool-7", kind: str = "tool", event_id: str = "l-1", **changes: Any) -> EventMessage:
    label = {"id": "b1", "type": "intent", "stream": "note", "label": "farewell"}
    data = {
        "project": PROJECT,
        "sample_id": "s-1",
        "annotations": [label],
        "author": {"kind": kind, "id": author},
        **changes,
    }
    return structured(event(data, EventType.LABELS_SUBMITTED, id=event_id))


async def test_submitted_labels_complete_the_task_that_asks_for_them(database: PostgresDatabase, inbox: Inbox) -> None:
    await post(inbox, created())
    with pytest.raises(StageConflictError, match="received"):
        await post(inbox, submission())
    task = await ask_for_labels(database, REF)
    assert (await post(inbox, submission())).outcome == "accepted"
    assert (await post(inbox, submission())).outcome == "duplicate"
    async with database.transaction() as tx:
        decision = await tx.review.decision_of_task(task.task_id)
        labels = await tx.samples.label_set(REF)
        done = await tx.review.task(task.task_id)
    assert decision is not None
    assert decision.verdict is Verdict.SUBMIT
    assert decision.actor_id == "tool-7"
    assert (decision.label_version_before, decision.label_version_after) == (1, 2)
    assert labels is not None
    assert labels.origin == "external"
    assert labels.decision_id == decision.decision_id
    assert [annotation.id for annotation in labels.annotations] == ["b1"]
    assert done is not None
    assert done.state is TaskState.COMPLETED
    [signal] = await outbox(database, "workflow_signal")
    assert (signal["signal"], signal["message_id"]) == ("decision_recorded", str(decision.decision_id))


async def test_submissions_at_once_have_one_winner(database: PostgresDatabase, inbox: Inbox) -> None:
    await post(inbox, created())
    await ask_for_labels(database, REF)
    results = await asyncio.gather(
        *(post(inbox, submission(f"tool-{number}", event_id=f"l-{number}")) for number in range(6)),
        return_exceptions=True,
    )
    assert sum(isinstance(result, Receipt) for result in results) == 1
    assert all(isinstance(result, Receipt | StageConflictError) for result in results)


async def test_labels_for_a_task_that_another_holds_or_is_asked_are_refused(
    database: PostgresDatabase, inbox: Inbox
) -> None:
    await post(inbox, created())
    task = await ask_for_labels(database, REF)
    async with database.transaction() as tx:
        assert await tx.review.claim(task.task_id, "ann", timedelta(minutes=5)) is not None
    with pytest.raises(TaskHeldError, match="ann"):
        await post(inbox, submission())
    assert (await post(inbox, submission("ann", "human", event_id="l-2"))).outcome == "accepted"


async def test_labels_without_their_stream_are_refused_with_the_place(inbox: Inbox) -> None:
    await post(inbox, created())
    label = {"id": "b1", "type": "intent", "stream": "nowhere", "label": "farewell"}
    with pytest.raises(InvalidInputError) as refused:
        await post(inbox, submission(annotations=[label]))
    assert refused.value.places[0][0] == "/data/annotations/0/stream"

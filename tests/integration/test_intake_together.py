"""Many events in one transaction: what is kept is the same as one by one, and a bad event refuses only itself."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from infra.storage.assets import FileAssetReader
from services.audit.verify import verify_project
from services.contracts.events import EventType, Receipt
from services.contracts.lifecycle import NextStep, RevisionRef, Stage
from services.contracts.records import ProjectConfig
from services.contracts.review import DecisionInput, TaskKind, TaskState, Verdict
from services.errors import ConcordError
from services.intake import together
from services.intake.cloud_events import EventMessage
from services.intake.inbox import Inbox
from services.lifecycle.prepare import prepare_sample
from services.review.desk import ReviewDesk
from tests.intake_events import PROJECT, NoAssets, add_project, created, event, manifest, structured
from tests.integration.lifecycle_world import no_models, person

pytestmark = pytest.mark.servers

# What the two have not in common: moments, ids drawn at random, and hashes over them or over the project's name.
_DRAWN = frozenset({"at", "created_at", "updated_at", "received_at", "message_id", "next_attempt_at", "task_id"})
_DRAWN_TOO = frozenset(
    {"start_by_at", "due_at", "lane_id", "rank", "sha256", "event_key", "manifest_sha256", "content_sha256"}
)
_DRAWN_TEXT = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+Z|[0-9a-f]{64}")


@pytest.fixture
async def inbox(database: PostgresDatabase) -> Inbox:
    await add_project(database)
    return Inbox(database, NoAssets())


async def take_together(inbox: Inbox, *messages: EventMessage) -> dict[int, Receipt]:
    arrivals = [await inbox.read(message, via="http", projects=None) for message in messages]
    return await inbox.accept_together(arrivals, via="http", projects=None)


async def take_all(inbox: Inbox, *messages: EventMessage) -> list[str]:
    """Take a batch as the transports do, and return the outcome of each event: its receipt's, or its error's code."""
    arrivals = [await inbox.read(message, via="http", projects=None) for message in messages]
    taken = await inbox.accept_together(arrivals, via="http", projects=None)
    outcomes = []
    for place, arrival in enumerate(arrivals):
        try:
            receipt = taken.get(place) or await inbox.take(arrival, via="http", projects=None)
        except ConcordError as error:
            outcomes.append(error.code)
        else:
            outcomes.append(receipt.outcome)
    return outcomes


async def kept(url: str, project: str, table: str) -> list[dict[str, Any]]:
    """Return a table's rows of a project, with everything in them that two runs have in common."""
    connection = await asyncpg.connect(url)
    try:
        rows = await connection.fetch(f"SELECT * FROM {table} WHERE project = $1", project)  # noqa: S608
    finally:
        await connection.close()
    facts = [{name: value for name, value in row.items() if name not in _DRAWN | _DRAWN_TOO} for row in rows]
    return sorted(({name: _renamed(value, project) for name, value in fact.items()} for fact in facts), key=str)


def _renamed(value: Any, project: str) -> Any:
    if not isinstance(value, str):
        return value
    return _DRAWN_TEXT.sub("drawn", value.replace(project, "the project"))


@pytest.mark.parametrize("annotate", ["when_missing", "always"])
async def test_what_is_kept_of_a_batch_is_what_is_kept_one_by_one(
    database: PostgresDatabase, database_url: str, annotate: str
) -> None:
    config = ProjectConfig.model_validate({"annotate": annotate})
    inbox = Inbox(database, NoAssets())
    for project in ("by-batch", "by-event"):
        await add_project(database, project, config)

    def messages(project: str) -> list[EventMessage]:
        labels: dict[str, dict[str, Any]] = {
            "s-2": {"annotations": []},
            "s-3": {"context": {"risk": "high", "region": "DE"}},
        }
        return [
            created(sample, f"{project}/{sample}", project=project, **labels.get(sample, {}))
            for sample in ("s-1", "s-2", "s-3")
        ]

    assert len(await take_together(inbox, *messages("by-batch"))) == 3
    for message in messages("by-event"):
        await inbox.receive(message, via="http", projects=None)
    for table in ("samples", "sample_revisions", "label_sets", "stage_changes", "review_tasks", "outbox", "inbox"):
        batch, single = [await kept(database_url, project, table) for project in ("by-batch", "by-event")]
        assert batch == single, table
        assert batch or table == "review_tasks"
    async with database.transaction() as tx:
        trails = [
            [(entry.actor, entry.action, entry.subject) for entry in await tx.audit.list(project, after=0, limit=100)]
            for project in ("by-batch", "by-event")
        ]
    assert trails[0] == trails[1]
    for project in ("by-batch", "by-event"):
        assert (await verify_project(database, project)).faults == ()


async def test_a_bad_event_refuses_only_itself(database: PostgresDatabase, inbox: Inbox) -> None:
    await inbox.receive(created("known", "known-1"), via="http", projects=None)
    broken = manifest("broken")
    broken["streams"] = []
    outcomes = await take_all(
        inbox,
        created("a"),
        structured(event(broken, id="broken")),
        created("known", "known-again"),
        created("known", "known-1"),
        created("known", "known-1", streams=[{"id": "note", "modality": "text", "inline": "other"}], annotations=[]),
        created("nowhere", project="nowhere"),
        structured(event(manifest("never"), EventType.SAMPLE_UPDATED, id="too-early")),
        created("b"),
        structured(event(manifest("b"), EventType.SAMPLE_UPDATED, id="b-again")),
    )
    assert outcomes == [
        "accepted",
        "invalid-input",
        "already-exists",
        "duplicate",
        "event-conflict",
        "not-found",
        "not-found",
        "accepted",
        "accepted",
    ]
    async with database.transaction() as tx:
        newest = [await tx.samples.newest(PROJECT, sample) for sample in ("a", "known", "b", "broken", "never")]
    assert [ref and ref.revision for ref in newest] == [1, 1, 2, None, None]
    assert (await verify_project(database, PROJECT)).faults == ()


async def test_an_asset_that_is_missing_refuses_only_its_sample(database: PostgresDatabase, tmp_path: Path) -> None:
    await add_project(database)
    (tmp_path / "there.txt").write_bytes(b"good morning")
    inbox = Inbox(database, FileAssetReader((tmp_path,), max_bytes=1_000, timeout_s=5.0))

    def with_file(sample: str, uri: str) -> EventMessage:
        return created(sample, streams=[{"id": "note", "modality": "text", "uri": uri}])

    outcomes = await take_all(inbox, *(with_file(uri[:-4], uri) for uri in ("there.txt", "gone.txt")), created("c"))
    assert outcomes == ["accepted", "asset-missing", "accepted"]


async def test_a_batch_that_fails_as_a_whole_is_taken_one_by_one(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(*_: object) -> dict[str, RevisionRef]:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(together, "open_samples", fail)
    messages = [created(f"s-{number}") for number in range(3)]
    assert await take_together(inbox, *messages) == {}
    assert await take_all(inbox, *messages) == ["accepted"] * 3


async def test_large_events_are_taken_in_by_fewer_at_once(
    database: PostgresDatabase, inbox: Inbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(together, "BYTES_AT_ONCE", 1_000)
    large = [{"id": "note", "modality": "text", "inline": "good morning" * 200}]
    messages = [
        created(f"s-{number}", streams=large) if number in (2, 3) else created(f"s-{number}") for number in range(7)
    ]
    assert len(await take_together(inbox, *messages)) == 7
    async with database.transaction() as tx:
        started = [message.sample_id for message in await tx.outbox.pending(("workflow_start",), limit=100)]
    assert started == [f"s-{number}" for number in range(7)]


async def test_the_same_batch_from_many_at_once_is_accepted_once(database: PostgresDatabase, inbox: Inbox) -> None:
    messages = [created(f"s-{number}") for number in range(30)]

    async def send(turned: bool) -> list[str]:
        return await take_all(inbox, *(reversed(messages) if turned else messages))

    outcomes = await asyncio.gather(*(send(bool(number % 2)) for number in range(6)))
    assert sorted(outcome for batch in outcomes for outcome in batch) == ["accepted"] * 30 + ["duplicate"] * 150
    async with database.transaction() as tx:
        starts = await tx.outbox.pending(("workflow_start",), limit=100)
    assert len({message.sample_id for message in starts}) == len(starts) == 30
    assert (await verify_project(database, PROJECT)).faults == ()


async def test_webhooks_get_every_event_of_a_batch_in_the_order_of_each_sample(
    database: PostgresDatabase, database_url: str
) -> None:
    await add_project(database, config=ProjectConfig(annotate="always"))
    connection = await asyncpg.connect(database_url)
    for name, types in (("all", []), ("some", ["concord.sample.annotating.v1"])):
        await connection.execute(
            "INSERT INTO webhook_endpoints"
            " (endpoint_id, project, url, event_types, description, state, version, secret, failures)"
            " VALUES (gen_random_uuid(), $1, $2, $3, '', 'active', 1, 'secret', 0)",
            *(PROJECT, f"https://{name}.example", types),
        )
    await take_together(Inbox(database, NoAssets()), created("a"), created("b"))
    rows = await connection.fetch(
        "SELECT url, delivery.sample_id, event_id, outbox.body->>'stage' AS stage, event_type"
        " FROM webhook_deliveries AS delivery JOIN webhook_endpoints USING (endpoint_id)"
        " JOIN outbox USING (message_id) ORDER BY position"
    )
    await connection.close()
    assert all(row["event_type"] == f"concord.sample.{row['stage']}.v1" for row in rows)
    for sample in ("a", "b"):
        told = [row["event_id"] for row in rows if (row["url"], row["sample_id"]) == ("https://all.example", sample)]
        assert told == [f"{PROJECT}/{sample}/{number}" for number in (1, 2, 3)]
        some = [row["event_id"] for row in rows if (row["url"], row["sample_id"]) == ("https://some.example", sample)]
        assert some == [f"{PROJECT}/{sample}/3"]


async def test_a_new_sample_can_be_labelled_before_its_workflow_has_begun(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    await add_project(database, config=ProjectConfig(annotate="always"))
    text = b"good morning"
    (tmp_path / "note.txt").write_bytes(text)
    assets = FileAssetReader((tmp_path,), max_bytes=1_000, timeout_s=5.0)
    inbox = Inbox(database, assets)
    streams = [{"id": "note", "modality": "text", "uri": "note.txt"}]
    await take_together(inbox, *(created(sample, streams=streams) for sample in ("early", "late")))
    early, late = (RevisionRef(project=PROJECT, sample_id=sample, revision=1) for sample in ("early", "late"))

    made = await _label(database, early)
    after = await prepare_sample(database, assets, no_models, early)
    assert after.next_step is NextStep.CHECK, "the answer that came first is not overlooked"
    step = await prepare_sample(database, assets, no_models, late)
    assert (step.stage, step.next_step, step.open_tasks) == (Stage.ANNOTATING, NextStep.ANNOTATE, 1)
    again = await prepare_sample(database, assets, no_models, late)
    assert again.model_copy(update={"due_in": None}) == step.model_copy(update={"due_in": None})
    async with database.transaction() as tx:
        for ref in (early, late):
            (asset,) = await tx.samples.assets(ref)
            assert asset.sha256 == hashlib.sha256(text).hexdigest()
            assert [task.kind for task in await tx.review.tasks_of(ref)] == [TaskKind.ANNOTATE]
        labels = await tx.samples.label_set(early)
    assert labels is not None
    assert labels.decision_id == made


async def test_an_asset_that_vanishes_after_the_event_is_noted_and_the_sample_goes_on(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    await add_project(database, config=ProjectConfig(annotate="always"))
    (tmp_path / "note.txt").write_bytes(b"good morning")
    assets = FileAssetReader((tmp_path,), max_bytes=1_000, timeout_s=5.0)
    streams = [{"id": "note", "modality": "text", "uri": "note.txt"}]
    await Inbox(database, assets).receive(created("s-1", streams=streams), via="http", projects=None)
    (tmp_path / "note.txt").unlink()
    ref = RevisionRef(project=PROJECT, sample_id="s-1", revision=1)
    assert (await prepare_sample(database, assets, no_models, ref)).next_step is NextStep.ANNOTATE
    async with database.transaction() as tx:
        noted = [
            entry.body["code"] for entry in await tx.audit.list(PROJECT, after=0, limit=100) if "code" in entry.body
        ]
    assert noted == ["asset-missing"]


async def _label(database: PostgresDatabase, ref: RevisionRef) -> UUID:
    """Claim the sample's task as a person and answer it; return the decision."""
    ann = person("ann")
    async with database.transaction() as tx:
        (task,) = await tx.review.tasks_of(ref)
    assert task.state is TaskState.OPEN
    desk = ReviewDesk(database)
    held = await desk.claim(ann, task.task_id)
    answer = DecisionInput.model_validate(
        {
            "verdict": Verdict.SUBMIT,
            "fence": held.fence,
            "annotations": [{"id": "a1", "type": "intent", "stream": "note", "label": "greeting"}],
        }
    )
    return (await desk.decide(ann, task.task_id, answer)).decision_id

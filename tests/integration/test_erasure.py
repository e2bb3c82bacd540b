"""Content goes whole and leaves a tombstone; what must be kept is refused; the chain verifies before and after."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.access import Principal, Role
from services.contracts.canonical import content_sha256
from services.contracts.erasure import (
    Erasure,
    ErasureCounts,
    ErasureRequest,
    ErasureSubject,
    NewHold,
    OfContext,
    OfEntries,
    OfExpired,
    OfPerson,
    OfSamples,
    Retention,
)
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.notes import NewNote
from services.contracts.records import ProjectConfig
from services.contracts.review import TaskKind
from services.contracts.verification import VerificationReport
from services.erasure.desk import ErasureDesk
from services.errors import InvalidInputError, LegalHoldError, NotFoundError
from services.intake.inbox import Inbox
from services.notes.book import NoteBook
from services.samples.reader import SampleReader
from tests.committed import DRAFT_POLICY, REVIEWER, committed_sample
from tests.intake_events import PROJECT, NoAssets, add_project, ask_for_labels, created, take_in

pytestmark = pytest.mark.servers

ADMIN = Principal(actor_id="ada", key_id="key-ada", role=Role.ADMIN, projects=None, skills=())
SECRET = "Mrs. Miller"
REASON = "asked for on 3 March"


def named(sample_id: str, patient: str) -> dict[str, Any]:
    policy = DRAFT_POLICY["context"]["policy"]
    return {"context": {"policy": policy, "attributes": {"patient": patient, "said": SECRET}}}


async def received(database: PostgresDatabase, sample_id: str, patient: str) -> RevisionRef:
    message = created(sample_id, **named(sample_id, patient))
    return (await take_in(Inbox(database, NoAssets()), message)).ref


async def erase(database: PostgresDatabase, subject: ErasureSubject, *, withdraw: bool = False) -> Erasure:
    desk = ErasureDesk(database)
    ordered = await desk.order(ADMIN, PROJECT, ErasureRequest(subject=subject, reason=REASON, withdraw=withdraw))
    return await desk.apply(ADMIN, PROJECT, ordered.erasure_id)


async def verified(database: PostgresDatabase) -> VerificationReport:
    report = await verify_project(database, PROJECT)
    assert report.faults == ()
    return report


async def everything(url: str) -> str:
    """Every row of every table as text, to look for what must be gone."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        parts = []
        for row in tables:
            table = row["tablename"]
            found = await connection.fetch(f"SELECT t::text AS line FROM {table} AS t")  # noqa: S608 - own tables
            parts += [f"{table}: {line['line']}" for line in found]
        raw = await connection.fetch("SELECT convert_from(raw, 'UTF8') AS line FROM dead_letters")
        replies = await connection.fetch("SELECT convert_from(body, 'UTF8') AS line FROM idempotency_replies")
        return "\n".join([*parts, *(line["line"] for line in [*raw, *replies])])
    finally:
        await connection.close()


async def test_an_erased_sample_is_gone_everywhere_and_the_chain_verifies(
    database: PostgresDatabase, database_url: str
) -> None:
    await add_project(database)
    kept = await committed_sample(database, "s-kept")
    record = await committed_sample(database, "s-1")
    note = await NoteBook(database).write(ADMIN, PROJECT, "s-1", NewNote(body=f"Called {SECRET}."))
    other = note.model_copy(update={"ref": kept.ref, "body": "kept"})
    async with database.transaction() as tx:
        for key, reply in (("k-1", note), ("k-2", other)):
            await tx.idempotency.add("ada", key, "0" * 64, 200, reply.model_dump_json().encode())
    assert SECRET in await everything(database_url)
    before = await verified(database)
    preview = await ErasureDesk(database).preview(ADMIN, PROJECT, OfSamples(sample_ids=("s-1", "s-9")))
    assert preview == ErasureCounts(erasable=1)
    erasure = await erase(database, OfSamples(sample_ids=("s-1", "s-9")))
    assert (erasure.counts.erased, erasure.counts.waiting) == (1, 0)
    assert erasure.finished_at is not None

    left = await everything(database_url)
    assert SECRET not in left
    async with database.transaction() as tx:
        assert await tx.idempotency.lock("ada", "k-1") is None
        assert await tx.idempotency.lock("ada", "k-2") is not None
    lines = [line for line in left.splitlines() if "s-1" in line]
    assert lines
    assert not [line for line in lines if "good morning" in line or "greeting" in line]
    tombstone = await ErasureDesk(database).tombstone(ADMIN, PROJECT, "s-1", None)
    assert (tombstone.hashes.content, tombstone.hashes.lineage) == (record.content_sha256, record.lineage_sha256)
    assert (tombstone.erased_by, tombstone.erasure_id) == ("ada", erasure.erasure_id)
    after = await verify_project(database, PROJECT, anchors=[] if before.head is None else [before.head])
    assert after.faults == ()
    assert (after.erased, after.records) == (1, 2)
    assert after.redacted >= 1, "the note in the audit trail"

    # Everything that reads samples reads this one too.
    reader = SampleReader(database)
    assert (await reader.ground_truth(ADMIN, PROJECT, "s-1", None)).body == {}
    assert (await reader.ground_truth(ADMIN, PROJECT, "s-kept", None)) == kept
    assert (await reader.get(ADMIN, PROJECT, "s-1", None)).manifest.streams[0].id == "erased"
    labels = await reader.labels(ADMIN, PROJECT, "s-1", revision=None, version=None)
    assert labels.annotations == ()
    assert len(await reader.findings(ADMIN, PROJECT, "s-1", None)) == 1
    assert await reader.timeline(ADMIN, PROJECT, "s-1")
    with pytest.raises(NotFoundError):
        await ErasureDesk(database).tombstone(ADMIN, PROJECT, "s-kept", None)


async def test_erasing_again_changes_nothing(database: PostgresDatabase) -> None:
    await add_project(database)
    await committed_sample(database, "s-1")
    subject = OfSamples(sample_ids=("s-1",))
    first = await erase(database, subject)
    desk = ErasureDesk(database)
    assert await desk.apply(ADMIN, PROJECT, first.erasure_id, retry=True) == first
    second = await erase(database, subject)
    assert second.counts.erased == 1
    assert (await desk.tombstone(ADMIN, PROJECT, "s-1", 1)).erasure_id == first.erasure_id
    assert (await desk.preview(ADMIN, PROJECT, subject)) == ErasureCounts(erased=1)
    assert [one.erasure_id for one in await desk.list(ADMIN, PROJECT, before=None, limit=10)] == [
        second.erasure_id,
        first.erasure_id,
    ]
    assert (await verified(database)).erased == 1


async def test_many_callers_of_one_erasure_erase_everything_once(database: PostgresDatabase) -> None:
    await add_project(database)
    names = tuple(f"s-{number}" for number in range(6))
    for name in names:
        await committed_sample(database, name)
    desk = ErasureDesk(database)
    ordered = await desk.order(ADMIN, PROJECT, ErasureRequest(subject=OfSamples(sample_ids=names), reason=REASON))
    reports = [asyncio.create_task(verify_project(database, PROJECT)) for _ in range(2)]
    await asyncio.gather(*(desk.apply(ADMIN, PROJECT, ordered.erasure_id) for _ in range(3)))
    # Whoever verifies meanwhile sees content or tombstones, and no fault in between.
    assert [report.faults for report in await asyncio.gather(*reports)] == [(), ()]
    assert (await desk.get(ADMIN, PROJECT, ordered.erasure_id)).counts.erased == len(names)
    assert (await verified(database)).erased == len(names)


async def test_a_subject_is_found_by_its_context_and_not_kept(database: PostgresDatabase, database_url: str) -> None:
    await add_project(database)
    for sample_id, patient in (("s-1", "mrn4711"), ("s-2", "mrn4712"), ("s-3", "mrn4711")):
        await received(database, sample_id, patient)
    refused = created("s-bad", **{**named("s-bad", "mrn4711"), "streams": []})
    with pytest.raises(InvalidInputError) as why:
        await Inbox(database, NoAssets()).receive(refused, via="http", projects=None)
    await Inbox(database, NoAssets()).refuse(refused, why.value, via="http", projects=None)
    subject = OfContext(field="patient", value="mrn4711")
    assert (await ErasureDesk(database).preview(ADMIN, PROJECT, subject)) == ErasureCounts(live=2)
    erasure = await erase(database, subject)
    assert (erasure.counts.live, erasure.counts.erased, erasure.counts.dead_letters) == (2, 0, 1)
    assert "mrn4711" in await everything(database_url)

    desk = ErasureDesk(database)
    request = ErasureRequest(subject=subject, reason=REASON, withdraw=True)
    ordered = await desk.order(ADMIN, PROJECT, request)
    done = await desk.apply(ADMIN, PROJECT, ordered.erasure_id)
    assert (done.counts.live, done.counts.erased) == (0, 2)
    left = await everything(database_url)
    assert "mrn4711" not in left
    assert "mrn4712" in left
    async with database.transaction() as tx:
        stages = [
            await tx.samples.get(RevisionRef(project=PROJECT, sample_id=name, revision=1)) for name in ("s-1", "s-2")
        ]
    assert [one.stage for one in stages if one is not None] == [Stage.WITHDRAWN, Stage.RECEIVED]
    assert (await verified(database)).erased == 2


async def refused(database: PostgresDatabase, sample_id: str, patient: str = "mrn1") -> None:
    """Keep an event that is refused because it has no stream."""
    message = created(sample_id, f"refused-{sample_id}", **{**named(sample_id, patient), "streams": []})
    with pytest.raises(InvalidInputError):
        await Inbox(database, NoAssets()).receive(message, via="http", projects=None)


async def refused_samples(url: str) -> set[str]:
    """The samples that refused events are about."""
    connection = await asyncpg.connect(url)
    try:
        raw = await connection.fetch("SELECT convert_from(raw, 'UTF8') AS line FROM dead_letters")
        return {json.loads(row["line"].partition("\r\n\r\n")[2])["data"]["sample_id"] for row in raw}
    finally:
        await connection.close()


async def test_refused_events_go_when_the_erasure_is_applied_and_only_those_of_the_subject(
    database: PostgresDatabase, database_url: str
) -> None:
    await add_project(database)
    for sample_id, patient in (("visit-1", "mrn1"), ("visit-17", "mrn17"), ("other", "visit-1 was late")):
        await refused(database, sample_id, patient)
    desk = ErasureDesk(database)
    request = ErasureRequest(subject=OfSamples(sample_ids=("visit-1",)), reason=REASON)
    ordered = await desk.order(ADMIN, PROJECT, request)
    assert await refused_samples(database_url) == {"visit-1", "visit-17", "other"}
    done = await desk.apply(ADMIN, PROJECT, ordered.erasure_id)
    assert done.counts == ErasureCounts(dead_letters=1)
    assert await refused_samples(database_url) == {"visit-17", "other"}
    await desk.apply(ADMIN, PROJECT, (await desk.order(ADMIN, PROJECT, ErasureRequest(
        subject=OfContext(field="patient", value="mrn17"), reason=REASON))).erasure_id)  # fmt: skip
    assert await refused_samples(database_url) == {"other"}


@pytest.mark.parametrize("of_sample", [True, False])
async def test_refused_events_under_a_legal_hold_stay_until_it_is_released(
    database: PostgresDatabase, database_url: str, of_sample: bool
) -> None:
    await add_project(database)
    for sample_id in ("held", "free"):
        await refused(database, sample_id)
    desk = ErasureDesk(database)
    request = ErasureRequest(subject=OfContext(field="patient", value="mrn1"), reason=REASON)
    ordered = await desk.order(ADMIN, PROJECT, request)
    hold = await desk.place_hold(ADMIN, PROJECT, NewHold(sample_id="held" if of_sample else None, reason="case 12"))
    done = await desk.apply(ADMIN, PROJECT, ordered.erasure_id)
    kept = {"held"} if of_sample else {"held", "free"}
    assert await refused_samples(database_url) == kept
    assert (done.counts.dead_letters, done.counts.dead_letters_held) == (2 - len(kept), len(kept))
    assert (await desk.apply(ADMIN, PROJECT, ordered.erasure_id)).counts == done.counts

    await desk.release_hold(ADMIN, PROJECT, hold.hold_id)
    done = await desk.apply(ADMIN, PROJECT, ordered.erasure_id, retry=True)
    assert await refused_samples(database_url) == set()
    assert (done.counts.dead_letters, done.counts.dead_letters_held) == (2, 0)
    assert done.finished_at is not None


async def test_what_is_under_a_legal_hold_is_refused_until_it_is_released(database: PostgresDatabase) -> None:
    await add_project(database)
    for name in ("s-1", "s-2"):
        await committed_sample(database, name)
    live = await received(database, "s-3", "mrn4711")
    desk = ErasureDesk(database)
    holds = [
        await desk.place_hold(ADMIN, PROJECT, NewHold(sample_id=name, reason="case 12/2026")) for name in ("s-1", "s-3")
    ]
    subject = OfSamples(sample_ids=("s-1", "s-2", "s-3"))
    assert (await desk.preview(ADMIN, PROJECT, subject)) == ErasureCounts(held=2, erasable=1)
    first = await erase(database, subject, withdraw=True)
    assert (first.counts.held, first.counts.erased) == (2, 1)
    async with database.transaction() as tx:
        untouched = await tx.samples.get(live)
    assert untouched is not None
    assert untouched.stage is Stage.RECEIVED, "what is held is not withdrawn either"
    released = await desk.release_hold(ADMIN, PROJECT, holds[0].hold_id)
    assert released.released_by == "ada"
    assert await desk.release_hold(ADMIN, PROJECT, holds[0].hold_id) == released
    assert (await desk.apply(ADMIN, PROJECT, first.erasure_id)).counts == first.counts
    again = await desk.apply(ADMIN, PROJECT, first.erasure_id, retry=True)
    assert (again.counts.held, again.counts.erased) == (1, 2)

    await desk.place_hold(ADMIN, PROJECT, NewHold(reason="the whole project"))
    assert (await desk.preview(ADMIN, PROJECT, OfSamples(sample_ids=("s-3",)))) == ErasureCounts(held=1)
    for held in (OfPerson(actor_id="rex"), OfEntries(sequences=(1,))):
        with pytest.raises(LegalHoldError):
            await erase(database, held)
    assert len(await desk.holds(ADMIN, PROJECT, before=None, limit=10)) == 3
    with pytest.raises(NotFoundError):
        await desk.release_hold(ADMIN, PROJECT, uuid4())
    await verified(database)


async def test_what_has_expired_goes_and_what_has_not_stays(database: PostgresDatabase, database_url: str) -> None:
    await add_project(database)
    desk = ErasureDesk(database)
    with pytest.raises(InvalidInputError, match="for ever"):
        await desk.preview(ADMIN, PROJECT, OfExpired())
    await add_project(database, "short")
    async with database.transaction() as tx:
        project = await tx.projects.get(PROJECT)
        assert project is not None
        config = ProjectConfig(retention=Retention(keep_days=30))
        await tx.projects.update_config(project.model_copy(update={"config": config}))
    for name in ("s-old", "s-new"):
        await committed_sample(database, name)
    await received(database, "s-live", "mrn4711")
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "UPDATE sample_revisions SET updated_at = now() - interval '31 days' WHERE sample_id <> 's-new'"
        )
    finally:
        await connection.close()
    assert (await desk.preview(ADMIN, PROJECT, OfExpired())) == ErasureCounts(erasable=1)
    assert (await erase(database, OfExpired())).counts.erased == 1
    assert (await desk.preview(ADMIN, PROJECT, OfExpired())) == ErasureCounts()
    assert (await desk.tombstone(ADMIN, PROJECT, "s-old", None)).hashes.content is not None
    assert (await verified(database)).erased == 1


async def test_a_person_is_forgotten_and_what_they_decided_stays(database: PostgresDatabase, database_url: str) -> None:
    await add_project(database)
    await committed_sample(database, "s-1")
    expert = REVIEWER.model_copy(update={"role": Role.OPERATIONS})
    await NoteBook(database).write(expert, PROJECT, "s-1", NewNote(body=f"I am {SECRET}, tel. 0123."))
    await NoteBook(database).write(ADMIN, PROJECT, "s-1", NewNote(body="Somebody else's."))
    ref = await received(database, "s-2", "1")
    task = await ask_for_labels(database, ref)
    assert task.kind is TaskKind.ANNOTATE
    async with database.transaction() as tx:
        await tx.review.save_draft(task.task_id, "rex", {"note": SECRET})
    counts = await ErasureDesk(database).preview(ADMIN, PROJECT, OfPerson(actor_id="rex"))
    assert (counts.notes, counts.profiles, counts.texts) == (1, 1, 1)
    done = await erase(database, OfPerson(actor_id="rex"))
    assert (done.counts.notes, done.counts.profiles, done.counts.texts) == (1, 1, 1)
    left = [line for line in (await everything(database_url)).splitlines() if SECRET in line]
    assert all("s-2" in line for line in left), "only what upstream said about a sample"
    notes = await NoteBook(database).list(ADMIN, PROJECT, "s-1", revision=None, after=None, limit=10)
    assert sorted(note.body for note in notes) == ["", "Somebody else's."]
    assert (await verified(database)).redacted == 1
    async with database.transaction() as tx:
        decisions = await tx.review.decisions(RevisionRef(project=PROJECT, sample_id="s-1", revision=1))
    assert [decision.actor_id for decision in decisions] == ["rex"]


async def test_the_text_of_an_audit_entry_is_redacted_and_its_commitment_stays(database: PostgresDatabase) -> None:
    await add_project(database)
    await committed_sample(database, "s-1")
    await NoteBook(database).write(ADMIN, PROJECT, "s-1", NewNote(body=SECRET))
    async with database.transaction() as tx:
        entries = await tx.audit.list(PROJECT, after=0, limit=1_000)
    entry = next(entry for entry in entries if entry.personal)
    assert [(text.name, text.value) for text in entry.personal] == [("text_sha256", content_sha256(SECRET))]
    assert content_sha256(SECRET) not in str(entry.body)
    assert (await erase(database, OfEntries(sequences=(entry.sequence, 1)))).counts.texts == 1
    async with database.transaction() as tx:
        [redacted] = [
            one for one in await tx.audit.list(PROJECT, after=0, limit=1_000) if one.sequence == entry.sequence
        ]
    assert redacted.sha256 == entry.sha256
    assert redacted.body == entry.body
    assert [(text.name, text.salt, text.value) for text in redacted.personal] == [("text_sha256", None, None)]
    assert (await verified(database)).redacted == 1


FORGED: dict[str, tuple[str, set[str]]] = {
    "content goes without a tombstone": (
        "UPDATE ground_truth SET body = '{}', lineage = '{}' WHERE sample_id = 's-2'",
        {"content-hash", "lineage-hash", "body-mismatch"},
    ),
    "a tombstone is taken away": ("DELETE FROM tombstones", {"tombstone-missing", "content-hash"}),
    "a tombstone is invented": (
        (
            "INSERT INTO tombstones SELECT project, 's-2', revision, erasure_id, erased_by, erased_at, hashes"
            " FROM tombstones"
        ),
        {"erasure-not-told-once", "erased-content"},
    ),
    "a tombstone tells another hash": (
        "UPDATE tombstones SET hashes = jsonb_set(hashes::jsonb, '{content}', to_jsonb(repeat('0', 64)))::json",
        {"tombstone-contradicts-entry", "tombstone-contradiction"},
    ),
    "a tombstone tells another person": ("UPDATE tombstones SET erased_by = 'eve'", {"tombstone-contradicts-entry"}),
    "labels are put where they were erased": (
        (
            "UPDATE label_sets SET annotations = (SELECT annotations FROM label_sets WHERE sample_id = 's-2' LIMIT 1)"
            " WHERE sample_id = 's-1'"
        ),
        {"erased-content"},
    ),
    "a label set of what was erased goes": (
        "DELETE FROM label_sets WHERE sample_id = 's-1'",
        {"tombstone-contradiction"},
    ),
    "the record of what was erased goes": ("DELETE FROM ground_truth WHERE sample_id = 's-1'", {"record-missing"}),
    "a personal text is edited": ("UPDATE audit_personal SET value = 'x' WHERE value IS NOT NULL", {"personal-edited"}),
    "a personal text goes": ("DELETE FROM audit_personal WHERE value IS NOT NULL", {"personal-missing"}),
    "a personal text is invented": (
        "INSERT INTO audit_personal VALUES ('calls', 1, 'reason', 'salt', 'never said', NULL)",
        {"personal-stray"},
    ),
}


@pytest.mark.parametrize("name", FORGED)
async def test_forged_erasures_are_found(database: PostgresDatabase, database_url: str, name: str) -> None:
    await add_project(database)
    for sample_id in ("s-1", "s-2"):
        await committed_sample(database, sample_id)
    await NoteBook(database).write(ADMIN, PROJECT, "s-2", NewNote(body=SECRET))
    await erase(database, OfSamples(sample_ids=("s-1",)))
    await verified(database)
    statement, expected = FORGED[name]
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute(statement)
    finally:
        await connection.close()
    assert expected <= {item.kind for item in (await verify_project(database, PROJECT)).faults}


async def test_the_guards_let_nothing_but_the_functions_through(database: PostgresDatabase, database_url: str) -> None:
    await add_project(database)
    await committed_sample(database, "s-1")
    await erase(database, OfSamples(sample_ids=("s-1",)))
    connection = await asyncpg.connect(database_url)
    try:
        for statement in (
            "UPDATE ground_truth SET body = '{}'",
            "UPDATE tombstones SET erased_by = 'eve'",
            "DELETE FROM tombstones",
            "UPDATE audit_personal SET value = 'x'",
            "UPDATE note_versions SET body = ''",
            "UPDATE sample_revisions SET manifest = '{}'",
            "SELECT set_config('concord.erasing', '1', false); UPDATE ground_truth SET body = '{}'",
        ):
            with pytest.raises(asyncpg.RestrictViolationError):
                await connection.execute(statement)
    finally:
        await connection.close()

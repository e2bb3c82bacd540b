"""Erasures, tombstones and legal holds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text

from infra.db.documents import body_of, body_text, model_text
from infra.db.repositories.base import GONE, OF_REVISION, Repository
from infra.db.repositories.samples import ref_of
from services.contracts.erasure import (
    Erasure,
    ErasureCounts,
    ErasureSubject,
    LegalHold,
    OfContext,
    OfEntries,
    OfExpired,
    OfPerson,
    OfSamples,
    Outcome,
    Tombstone,
    TombstoneHashes,
)
from services.contracts.lifecycle import FINAL_STAGES, RevisionRef
from services.ports.erasure import ErasedNow, NamedLetter, StoredLetter

_SUBJECT: TypeAdapter[OfPerson | OfEntries] = TypeAdapter(OfPerson | OfEntries)
_FINAL = ", ".join(repr(stage.value) for stage in sorted(FINAL_STAGES))
_HELD = """EXISTS (SELECT FROM legal_holds AS hold WHERE hold.project = it.project AND hold.released_at IS NULL
                   AND (hold.sample_id IS NULL OR hold.sample_id = it.sample_id))"""
_REVISIONS = "SELECT it.* FROM sample_revisions AS it WHERE it.project = :project AND "
_CHOSEN = {
    "samples": f"{_REVISIONS} it.sample_id = ANY (CAST(:samples AS text[]))",
    "context": f"""{_REVISIONS} it.sample_id IN (
        SELECT sample_id FROM sample_revisions
        WHERE project = :project AND manifest #>> ARRAY['context', 'attributes', :field] = :value)""",  # noqa: S608
    "expired": f"""{_REVISIONS} it.stage IN ({_FINAL})
        AND it.updated_at < clock_timestamp() - make_interval(days => :days) AND NOT {GONE}""",
}
_PREVIEW = """
    SELECT state, count(*) AS n FROM (
        SELECT CASE WHEN {gone} THEN 'erased' WHEN {held} THEN 'held' WHEN it.stage NOT IN ({final}) THEN 'live'
                    ELSE 'erasable' END AS state
        FROM ({chosen}) AS it) AS found
    GROUP BY state
"""
_PREVIEW_PERSON = text("""
    SELECT (SELECT count(*) FROM notes WHERE project = :project AND author = :actor AND body <> '') AS notes,
           (SELECT count(*) FROM reviewers WHERE project = :project AND actor_id = :actor)
           + (SELECT count(*) FROM drafts JOIN review_tasks USING (task_id)
              WHERE project = :project AND actor_id = :actor) AS profiles,
           (SELECT count(*) FROM audit_personal AS kept JOIN audit_entries AS entry USING (project, sequence)
            WHERE project = :project AND entry.actor = :actor AND kept.value IS NOT NULL) AS texts
""")
_PREVIEW_ENTRIES = text("""
    SELECT count(*) AS texts FROM audit_personal
    WHERE project = :project AND sequence = ANY (CAST(:sequences AS bigint[])) AND value IS NOT NULL
""")
_ADD = text("""
    INSERT INTO erasures (erasure_id, project, subject, reason, withdraw, requested_by, requested_at, counts)
    VALUES (:erasure_id, :project, :subject, :reason, :withdraw, :requested_by, :requested_at, :counts)
""")
_ADD_EXPIRED = text(f"""
    WITH chosen AS MATERIALIZED (
        {_CHOSEN["expired"]} AND NOT {_HELD} AND NOT EXISTS (
            SELECT FROM erasure_items AS item JOIN erasures AS other USING (erasure_id)
            WHERE other.project = it.project AND other.policy_days IS NOT NULL AND other.finished_at IS NULL
              AND (item.sample_id, item.revision, item.outcome) = (it.sample_id, it.revision, 'waiting'))
        ORDER BY it.updated_at LIMIT :limit
    ), erasure AS (
        INSERT INTO erasures (erasure_id, project, subject, reason, withdraw, requested_by, requested_at, counts,
                              policy_days)
        SELECT :erasure_id, :project, :subject, :reason, :withdraw, :requested_by, :requested_at, :counts, :days
        WHERE EXISTS (SELECT FROM chosen)
    )
    INSERT INTO erasure_items (erasure_id, sample_id, revision, outcome)
    SELECT :erasure_id, chosen.sample_id, chosen.revision, 'waiting' FROM chosen
""")  # noqa: S608 - constants
_ADD_ITEMS = """
    INSERT INTO erasure_items (erasure_id, sample_id, revision, outcome)
    SELECT :erasure_id, chosen.sample_id, chosen.revision, 'waiting' FROM ({chosen}) AS chosen
"""
_ERASURE = "SELECT * FROM erasures WHERE project = :project"
_GET = text(f"{_ERASURE} AND erasure_id = :erasure_id")
_LOCK = text(f"{_ERASURE} AND erasure_id = :erasure_id FOR NO KEY UPDATE")
_UNDER_POLICY = "policy_days IS NOT NULL AND finished_at IS NULL"
_OF_POLICY = text(f"{_ERASURE} AND {_UNDER_POLICY} ORDER BY requested_at, erasure_id")
_PROJECTS_UNDER_POLICY = text(f"SELECT DISTINCT project FROM erasures WHERE {_UNDER_POLICY}")  # noqa: S608
_DROP_WAITING = text("DELETE FROM erasure_items WHERE erasure_id = :erasure_id AND outcome = 'waiting'")
_LIST = f"{_ERASURE} {{conditions}} ORDER BY requested_at DESC, erasure_id DESC LIMIT :limit"
_OUTCOMES = text("""
    SELECT erasure_id, outcome, count(*) AS n FROM erasure_items
    WHERE erasure_id = ANY (CAST(:erasures AS uuid[])) GROUP BY erasure_id, outcome
""")
_SUBJECT_OF = text("SELECT subject FROM erasures WHERE erasure_id = :erasure_id")
_NEXT = text("""
    SELECT CAST(:project AS text) AS project, sample_id, revision FROM erasure_items
    WHERE erasure_id = :erasure_id AND outcome = 'waiting'
      AND (sample_id, revision) NOT IN (
          SELECT * FROM unnest(CAST(:but_samples AS text[]), CAST(:but_revisions AS integer[])))
    ORDER BY sample_id, revision LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
""")
_ERASED_OF = text("""
    SELECT CAST(:project AS text) AS project, sample_id, revision FROM erasure_items
    WHERE erasure_id = :erasure_id AND outcome = 'erased' AND (sample_id, revision) > (:sample_id, :revision)
    ORDER BY sample_id, revision LIMIT :limit
""")
_LOOK_AGAIN = text("""
    UPDATE erasure_items SET outcome = 'waiting' WHERE erasure_id = :erasure_id AND outcome IN ('held', 'live')
""")
_LETTERS_LOOK_AGAIN = text("""
    UPDATE erasures SET finished_at = NULL
    WHERE erasure_id = :erasure_id AND EXISTS (SELECT FROM erasure_letters WHERE erasure_id = :erasure_id)
""")
_SET_OUTCOME = text("""
    UPDATE erasure_items SET outcome = :outcome
    WHERE erasure_id = :erasure_id AND sample_id = :sample_id AND revision = :revision
""")
_FINISH = text("UPDATE erasures SET counts = :counts, finished_at = :finished_at WHERE erasure_id = :erasure_id")
_IS_HELD = text(f"SELECT {_HELD} AS held FROM (SELECT CAST(:project AS text) AS project, "  # noqa: S608
                "CAST(:sample_id AS text) AS sample_id) AS it")  # fmt: skip
_ERASE = text("SELECT concord_erase_revision(:project, :sample_id, :revision, :erasure_id, :actor) AS outcome")
_ERASE_PERSON = text("SELECT concord_erase_person(:project, :actor, :erasure_id) AS counts")
_ERASE_ENTRIES = text("""
    SELECT concord_erase_entries(:project, CAST(:sequences AS bigint[]), :erasure_id) AS texts
""")
# A backslash may stand for a name in other letters: such an event is looked at closely, as one that holds the name.
_LETTERS = text(r"""
    SELECT dead_letter_id, project, raw FROM dead_letters
    WHERE (project = :project OR project IS NULL)
      AND (CAST(:after AS uuid) IS NULL OR dead_letter_id > CAST(:after AS uuid))
      AND (position('\x5c'::bytea IN raw) > 0 OR EXISTS (
          SELECT FROM unnest(CAST(:names AS text[])) AS name WHERE position(convert_to(name, 'UTF8') IN raw) > 0))
    ORDER BY dead_letter_id LIMIT :limit
""")
_ADD_LETTERS = text("""
    INSERT INTO erasure_letters (erasure_id, dead_letter_id, sample_id)
    SELECT :erasure_id, letter.* FROM unnest(CAST(:letters AS uuid[]), CAST(:samples AS text[])) AS letter
""")
_DROP_LETTERS = text("""
    WITH due AS (
        SELECT letter.dead_letter_id, EXISTS (
            SELECT FROM legal_holds AS hold WHERE hold.project = :project AND hold.released_at IS NULL
            AND (hold.sample_id IS NULL OR letter.sample_id IS NULL OR hold.sample_id = letter.sample_id)) AS held
        FROM erasure_letters AS letter WHERE letter.erasure_id = :erasure_id
    ), gone AS (
        DELETE FROM dead_letters WHERE dead_letter_id IN (SELECT dead_letter_id FROM due WHERE NOT held)
        RETURNING dead_letter_id
    )
    SELECT (SELECT count(*) FROM gone) AS gone, (SELECT count(*) FROM due WHERE held) AS held
""")
_DROP_REPLIES = text(r"""
    DELETE FROM idempotency_replies
    WHERE position(convert_to(:project, 'UTF8') IN body) > 0 AND EXISTS (
        SELECT FROM regexp_matches(convert_from(body, 'UTF8'), '"sample_id": ?"([^"]+)"', 'g') AS found (ids)
        JOIN erasure_items AS item ON item.sample_id = found.ids[1]
        WHERE item.erasure_id = :erasure_id AND item.outcome = 'erased')
""")
_TOMBSTONE = text(f"SELECT * FROM tombstones WHERE {OF_REVISION}")  # noqa: S608
_HOLDS_STAND = text(
    "SELECT pg_advisory_xact_lock_shared(hashtextextended('concord hold ' || CAST(:project AS text), 0))"
)
_HOLD_ALONE = text("SELECT pg_advisory_xact_lock(hashtextextended('concord hold ' || CAST(:project AS text), 0))")
_ADD_HOLD = text("""
    INSERT INTO legal_holds (hold_id, project, sample_id, reason, placed_by, placed_at)
    VALUES (:hold_id, :project, :sample_id, :reason, :placed_by, :placed_at)
""")
_A_HOLD = "SELECT * FROM legal_holds WHERE project = :project"
_HOLD = text(f"{_A_HOLD} AND hold_id = :hold_id")
_HOLD_LOCKED = text(f"{_A_HOLD} AND hold_id = :hold_id FOR NO KEY UPDATE")
_HOLDS = f"{_A_HOLD} {{conditions}} ORDER BY placed_at DESC, hold_id DESC LIMIT :limit"
_RELEASE = text("""
    UPDATE legal_holds SET released_by = :released_by, released_at = :released_at WHERE hold_id = :hold_id
""")


def _chosen(subject: ErasureSubject, keep_days: int | None) -> tuple[str, dict[str, Any]] | None:
    """Return the statement that chooses revisions, with its values; None for what is about none."""
    if isinstance(subject, OfSamples):
        return _CHOSEN["samples"], {"samples": [*subject.sample_ids]}
    if isinstance(subject, OfContext):
        return _CHOSEN["context"], {"field": subject.field, "value": subject.value}
    if isinstance(subject, OfExpired):
        assert keep_days is not None  # noqa: S101 - the caller has read it
        return _CHOSEN["expired"], {"days": keep_days}
    return None


def _kept(subject: ErasureSubject) -> dict[str, Any]:
    """Return what is kept of the subject: of a context value, its field alone."""
    if isinstance(subject, OfContext):
        return {"kind": subject.kind, "field": subject.field}
    if isinstance(subject, OfSamples):
        return {"kind": subject.kind}
    return subject.model_dump(mode="json")


def _hold_of(row: Any) -> LegalHold:
    return LegalHold(
        hold_id=row.hold_id,
        project=row.project,
        sample_id=row.sample_id,
        reason=row.reason,
        placed_by=row.placed_by,
        placed_at=row.placed_at,
        released_by=row.released_by,
        released_at=row.released_at,
    )


class PostgresErasures(Repository):
    """Implements :class:`services.ports.erasure.ErasureRepository`."""

    async def preview(self, project: str, subject: ErasureSubject, *, keep_days: int | None) -> ErasureCounts:
        """Count what an erasure would meet; nothing is changed."""
        chosen = _chosen(subject, keep_days)
        if chosen is not None:
            statement = _PREVIEW.format(gone=GONE, held=_HELD, final=_FINAL, chosen=chosen[0])
            rows = await self._run(text(statement), project=project, **chosen[1])
            return ErasureCounts(**{row.state: row.n for row in rows})
        if isinstance(subject, OfPerson):
            person = await self._first(_PREVIEW_PERSON, project=project, actor=subject.actor_id)
            assert person is not None  # noqa: S101 - counts are always a row
            return ErasureCounts(notes=person.notes, profiles=person.profiles, texts=person.texts)
        sequences = [*subject.sequences] if isinstance(subject, OfEntries) else []
        entries = await self._first(_PREVIEW_ENTRIES, project=project, sequences=sequences)
        return ErasureCounts(texts=0 if entries is None else entries.texts)

    async def add(self, erasure: Erasure, subject: ErasureSubject, *, keep_days: int | None) -> int:
        """Keep an erasure with the revisions it is about now; return how many."""
        await self._count(
            _ADD,
            **erasure.model_dump(exclude={"kind", "finished_at", "counts", "policy_days"}),
            subject=body_text(_kept(subject)),
            counts=model_text(erasure.counts),
        )
        chosen = _chosen(subject, keep_days)
        if chosen is None:
            return 0
        statement = text(_ADD_ITEMS.format(chosen=chosen[0]))
        return await self._count(statement, erasure_id=erasure.erasure_id, project=erasure.project, **chosen[1])

    async def add_expired(self, erasure: Erasure, *, limit: int) -> int:
        """Keep an erasure of what has outlived its policy's days and is under no hold, the oldest first."""
        return await self._count(
            _ADD_EXPIRED,
            **erasure.model_dump(exclude={"kind", "finished_at", "counts", "policy_days"}),
            subject=body_text(_kept(OfExpired())),
            counts=model_text(erasure.counts),
            days=erasure.policy_days,
            limit=limit,
        )

    async def under_policy(self, project: str) -> tuple[Erasure, ...]:
        """Return the unfinished erasures that the project's retention policy ordered, oldest first."""
        return await self._erasures(await self._run(_OF_POLICY, project=project))

    async def projects_under_policy(self) -> tuple[str, ...]:
        """Return the projects that have any."""
        return tuple(row.project for row in await self._run(_PROJECTS_UNDER_POLICY))

    async def drop_waiting(self, erasure_id: UUID) -> int:
        """Take out of an erasure what it has not looked at yet; return how many revisions."""
        return await self._count(_DROP_WAITING, erasure_id=erasure_id)

    async def get(self, project: str, erasure_id: UUID, *, lock: bool = False) -> Erasure | None:
        """Return an erasure with how far it is."""
        row = await self._first(_LOCK if lock else _GET, project=project, erasure_id=erasure_id)
        return None if row is None else (await self._erasures([row]))[0]

    async def subject(self, erasure_id: UUID) -> OfPerson | OfEntries | None:
        """Return the person or the entries that an erasure is about; None where it is about revisions."""
        row = await self._first(_SUBJECT_OF, erasure_id=erasure_id)
        kept = None if row is None else body_of(row.subject)
        return _SUBJECT.validate_python(kept) if kept and kept["kind"] in ("person", "entries") else None

    async def list(self, project: str, *, before: tuple[datetime, UUID] | None, limit: int) -> tuple[Erasure, ...]:
        """Return erasures, newest first, by (requested_at, id) before the cursor."""
        conditions, values = "", {"project": project, "limit": limit}
        if before is not None:
            conditions = "AND (requested_at, erasure_id) < (:at, :id)"
            values |= {"at": before[0], "id": before[1]}
        return await self._erasures(await self._run(text(_LIST.format(conditions=conditions)), **values))

    async def _erasures(self, rows: Any) -> tuple[Erasure, ...]:
        counted: dict[UUID, dict[str, int]] = {row.erasure_id: {} for row in rows}
        for row in await self._run(_OUTCOMES, erasures=[*counted]):
            counted[row.erasure_id][row.outcome] = row.n
        return tuple(
            Erasure(
                erasure_id=row.erasure_id,
                project=row.project,
                kind=body_of(row.subject)["kind"],
                reason=row.reason,
                withdraw=row.withdraw,
                requested_by=row.requested_by,
                requested_at=row.requested_at,
                finished_at=row.finished_at,
                counts=ErasureCounts(**{**body_of(row.counts), **counted[row.erasure_id]}),
                policy_days=row.policy_days,
            )
            for row in rows
        )

    async def next_waiting(
        self, project: str, erasure_id: UUID, *, but: Sequence[RevisionRef] = ()
    ) -> RevisionRef | None:
        """Return a revision that the erasure has not looked at yet, and that nobody else is at; it is locked."""
        left_out = {"but_samples": [ref.sample_id for ref in but], "but_revisions": [ref.revision for ref in but]}
        row = await self._first(_NEXT, project=project, erasure_id=erasure_id, **left_out)
        return None if row is None else ref_of(row)

    async def erased_of(
        self, project: str, erasure_id: UUID, *, after: RevisionRef | None, limit: int
    ) -> tuple[RevisionRef, ...]:
        """Return revisions whose content is gone, of those that an erasure is about, by sample and revision."""
        place = {"sample_id": after.sample_id if after else "", "revision": after.revision if after else 0}
        rows = await self._run(_ERASED_OF, project=project, erasure_id=erasure_id, limit=limit, **place)
        return tuple(ref_of(row) for row in rows)

    async def look_again(self, erasure_id: UUID) -> None:
        """Let what was refused wait again; refused events that were held too."""
        await self._count(_LOOK_AGAIN, erasure_id=erasure_id)
        await self._count(_LETTERS_LOOK_AGAIN, erasure_id=erasure_id)

    async def set_outcome(self, erasure_id: UUID, ref: RevisionRef, outcome: Outcome) -> None:
        """Note what became of a revision."""
        values = {"sample_id": ref.sample_id, "revision": ref.revision}
        await self._count(_SET_OUTCOME, erasure_id=erasure_id, outcome=outcome.value, **values)

    async def finish(self, erasure_id: UUID, counts: ErasureCounts, finished_at: datetime | None) -> None:
        """Note that nothing waits any more, and what went beside revisions."""
        await self._count(_FINISH, erasure_id=erasure_id, counts=model_text(counts), finished_at=finished_at)

    async def is_held(self, ref: RevisionRef) -> bool:
        """Whether a legal hold is in force for a sample."""
        row = await self._first(_IS_HELD, project=ref.project, sample_id=ref.sample_id)
        return row is not None and bool(row.held)

    async def erase(self, ref: RevisionRef, erasure_id: UUID, *, actor: str) -> ErasedNow:
        """Erase the content of a revision that has ended, and leave a tombstone."""
        row = await self._first(_ERASE, **ref.model_dump(), erasure_id=erasure_id, actor=actor)
        return cast("ErasedNow", None if row is None else row.outcome)

    async def erase_person(self, project: str, actor_id: str, erasure_id: UUID) -> ErasureCounts | None:
        """Erase what a project holds of a person; None if a legal hold is in force."""
        row = await self._first(_ERASE_PERSON, project=project, actor=actor_id, erasure_id=erasure_id)
        return None if row is None or row.counts is None else ErasureCounts(**json.loads(row.counts))

    async def erase_entries(self, project: str, sequences: tuple[int, ...], erasure_id: UUID) -> int | None:
        """Erase the personal text of audit entries and return how many; None if a legal hold is in force."""
        row = await self._first(_ERASE_ENTRIES, project=project, sequences=[*sequences], erasure_id=erasure_id)
        return None if row is None or row.texts is None else int(row.texts)

    async def letters(
        self, project: str, names: Sequence[str], *, after: UUID | None, limit: int
    ) -> tuple[StoredLetter, ...]:
        """Return refused events that may name one of these, by id after the cursor."""
        rows = await self._run(_LETTERS, project=project, names=[*names], after=after, limit=limit)
        return tuple(StoredLetter(row.dead_letter_id, row.project, row.raw) for row in rows)

    async def add_letters(self, erasure_id: UUID, letters: Sequence[NamedLetter]) -> None:
        """Note which refused events go when an erasure is carried out."""
        ids, samples = [one.dead_letter_id for one in letters], [one.sample_id for one in letters]
        await self._count(_ADD_LETTERS, erasure_id=erasure_id, letters=ids, samples=samples)

    async def drop_letters(self, project: str, erasure_id: UUID) -> tuple[int, int]:
        """Remove the refused events of an erasure that are under no legal hold; return how many, and how many stay."""
        # Whoever places a hold takes this lock alone: it is seen here, or waits until this is done.
        await self._run(_HOLDS_STAND, project=project)
        row = await self._first(_DROP_LETTERS, project=project, erasure_id=erasure_id)
        return (0, 0) if row is None else (row.gone, row.held)

    async def drop_replies(self, project: str, erasure_id: UUID) -> None:
        """Remove stored replies to unsafe calls that tell of samples that an erasure has erased."""
        await self._count(_DROP_REPLIES, project=f'"{project}"', erasure_id=erasure_id)

    async def tombstone(self, ref: RevisionRef) -> Tombstone | None:
        """Return what stands in the place of a revision's content, None if the content is there."""
        row = await self._first(_TOMBSTONE, **ref.model_dump())
        if row is None:
            return None
        return Tombstone(
            ref=ref,
            erasure_id=row.erasure_id,
            erased_by=row.erased_by,
            erased_at=row.erased_at,
            hashes=TombstoneHashes.model_validate_json(row.hashes),
        )

    async def add_hold(self, hold: LegalHold) -> None:
        """Place a legal hold; erasures under way in the project are waited for."""
        await self._run(_HOLD_ALONE, project=hold.project)
        await self._count(_ADD_HOLD, **hold.model_dump(exclude={"released_by", "released_at"}))

    async def hold(self, project: str, hold_id: UUID, *, lock: bool = False) -> LegalHold | None:
        """Return a legal hold."""
        row = await self._first(_HOLD_LOCKED if lock else _HOLD, project=project, hold_id=hold_id)
        return None if row is None else _hold_of(row)

    async def release_hold(self, hold: LegalHold) -> None:
        """Note by whom and when a hold was released."""
        values = {"released_by": hold.released_by, "released_at": hold.released_at}
        await self._count(_RELEASE, hold_id=hold.hold_id, **values)

    async def holds(self, project: str, *, before: tuple[datetime, UUID] | None, limit: int) -> tuple[LegalHold, ...]:
        """Return legal holds, newest first, by (placed_at, id) before the cursor."""
        conditions, values = "", {"project": project, "limit": limit}
        if before is not None:
            conditions = "AND (placed_at, hold_id) < (:at, :id)"
            values |= {"at": before[0], "id": before[1]}
        rows = await self._run(text(_HOLDS.format(conditions=conditions)), **values)
        return tuple(_hold_of(row) for row in rows)

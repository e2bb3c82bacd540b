"""Events in, and those that could not be handled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal
from uuid import UUID

from sqlalchemy import text

from infra.db.documents import body_of, body_text, storable
from infra.db.repositories.base import OF_REVISION, Repository
from services.contracts.canonical import content_sha256
from services.contracts.events import IncomingEvent
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import DeadLetter, StoredEvent
from services.errors import NotFoundError
from services.ports.database import EventPair, LedTo

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:event_key, 1))")
_LOCK_ALL = text("""
    SELECT count(pg_advisory_xact_lock(hashtextextended(event_key, 1)))
    FROM unnest(CAST(:event_keys AS text[])) AS event_key
""")
_GET_ALL = text("""
    SELECT event_key, event, project, sample_id, revision, taxonomy, received_at FROM inbox
    WHERE event_key = ANY (CAST(:event_keys AS text[]))
""")
_GET = text("""
    SELECT event, project, sample_id, revision, taxonomy, received_at FROM inbox WHERE event_key = :event_key
""")
_EVENTS_OF = text(f"""
    SELECT event, project, sample_id, revision, taxonomy, received_at FROM inbox
    WHERE {OF_REVISION} ORDER BY received_at, source, event_id
""")  # noqa: S608 - a constant
_ADD = text("""
    INSERT INTO inbox (event_key, source, event_id, content_sha256, event, via, project, sample_id, revision, taxonomy)
    SELECT event_key, source, event_id, content_sha256, CAST(event AS json), :via, project, sample_id, revision,
           taxonomy
    FROM unnest(CAST(:event_keys AS text[]), CAST(:sources AS text[]), CAST(:ids AS text[]), CAST(:hashes AS text[]),
                CAST(:events AS text[]), CAST(:projects AS text[]), CAST(:samples AS text[]),
                CAST(:revisions AS int[]), CAST(:taxonomies AS text[]))
         WITH ORDINALITY
         AS it (event_key, source, event_id, content_sha256, event, project, sample_id, revision, taxonomy, n)
    ORDER BY n
""")
_ADD_LETTER = text("""
    INSERT INTO dead_letters (dead_letter_id, source, event_id, event_type, project, via, reason_code, reason, places,
                              raw, raw_sha256, received_at)
    VALUES (:dead_letter_id, :source, :event_id, :event_type, :project, :via, :reason_code, :reason, :places,
            :raw, :raw_sha256, :received_at)
    ON CONFLICT (raw_sha256, reason_code) DO NOTHING
""")
_LETTER_COLUMNS = """dead_letter_id, source, event_id, event_type, project, via, reason_code, reason, places,
    raw_sha256, received_at, replayed_at, replay_outcome"""
_KNOWN_LETTER = text(f"""
    SELECT {_LETTER_COLUMNS} FROM dead_letters WHERE raw_sha256 = :raw_sha256 AND reason_code = :reason_code
""")  # noqa: S608 - column names only
_LETTER = text(f"SELECT {_LETTER_COLUMNS}, raw FROM dead_letters WHERE dead_letter_id = :dead_letter_id")  # noqa: S608
_LETTERS = text(f"""
    SELECT {_LETTER_COLUMNS} FROM dead_letters
    WHERE (CAST(:projects AS text[]) IS NULL OR project = ANY (CAST(:projects AS text[])))
      AND (CAST(:after AS uuid) IS NULL OR (received_at, dead_letter_id) <
           (SELECT received_at, dead_letter_id FROM dead_letters WHERE dead_letter_id = CAST(:after AS uuid)))
    ORDER BY received_at DESC, dead_letter_id DESC LIMIT :limit
""")  # noqa: S608
_REPLAYED = text("""
    UPDATE dead_letters SET replayed_at = clock_timestamp(), replay_outcome = :outcome
    WHERE dead_letter_id = :dead_letter_id
""")


def event_key(source: str, event_id: str) -> str:
    """Return the key of a pair (source, id)."""
    return content_sha256([source, event_id])


def _event_of(row: Any) -> StoredEvent:
    return StoredEvent(
        event=IncomingEvent.model_validate_json(row.event),
        led_to=row.taxonomy or RevisionRef(project=row.project, sample_id=row.sample_id, revision=row.revision),
        received_at=row.received_at,
    )


def _letter_of(row: Any) -> DeadLetter:
    return DeadLetter(
        dead_letter_id=row.dead_letter_id,
        source=row.source,
        event_id=row.event_id,
        event_type=row.event_type,
        project=row.project,
        via=row.via,
        reason_code=row.reason_code,
        reason=row.reason,
        places=tuple((place, sentence) for place, sentence in body_of(row.places)),
        raw_sha256=row.raw_sha256,
        received_at=row.received_at,
        replayed_at=row.replayed_at,
        replay_outcome=row.replay_outcome,
    )


def _storable(value: str | None) -> str | None:
    return None if value is None else storable(value)


class PostgresInbox(Repository):
    """Implements :class:`services.ports.database.InboxRepository`."""

    async def lock(self, source: str, event_id: str) -> StoredEvent | None:
        """Return the event accepted under this pair, after serialising with others that handle the same pair."""
        key = event_key(source, event_id)
        await self._run(_LOCK, event_key=key)
        # A statement of its own: its snapshot must be younger than the end of the wait.
        row = await self._first(_GET, event_key=key)
        return None if row is None else _event_of(row)

    async def known(self, pairs: Sequence[EventPair], *, lock: bool) -> dict[EventPair, StoredEvent]:
        """Return the events accepted under these pairs, each pair once; with ``lock`` as :meth:`lock` does for one."""
        by_key = {event_key(*pair): pair for pair in pairs}
        # In one order for all, so that no two transactions wait for each other.
        keys = sorted(by_key)
        if lock:
            await self._run(_LOCK_ALL, event_keys=keys)
        rows = await self._run(_GET_ALL, event_keys=keys)
        return {by_key[row.event_key]: _event_of(row) for row in rows}

    async def add(self, event: IncomingEvent, led_to: LedTo, *, via: Literal["http", "nats"]) -> None:
        """Keep an accepted event with what it led to."""
        await self.add_all([(event, led_to)], via=via)

    async def add_all(self, accepted: Sequence[tuple[IncomingEvent, LedTo]], *, via: Literal["http", "nats"]) -> None:
        """Keep accepted events, each with what it led to."""
        refs = [led_to if isinstance(led_to, RevisionRef) else None for _, led_to in accepted]
        await self._count(
            _ADD,
            via=via,
            event_keys=[event_key(event.source, event.id) for event, _ in accepted],
            sources=[event.source for event, _ in accepted],
            ids=[event.id for event, _ in accepted],
            hashes=[event.content_sha256 for event, _ in accepted],
            events=[event.model_dump_json() for event, _ in accepted],
            projects=[ref and ref.project for ref in refs],
            samples=[ref and ref.sample_id for ref in refs],
            revisions=[ref and ref.revision for ref in refs],
            taxonomies=[None if isinstance(led_to, RevisionRef) else led_to for _, led_to in accepted],
        )

    async def events_of(self, ref: RevisionRef) -> tuple[StoredEvent, ...]:
        """Return the events that led to this revision or changed it, in order of arrival."""
        return tuple(_event_of(row) for row in await self._run(_EVENTS_OF, **ref.model_dump()))

    async def add_dead_letter(self, letter: DeadLetter, raw: bytes) -> DeadLetter:
        """Keep what could not be handled; the same bytes for the same reason code are kept once.

        Texts of the letter come from bad input; characters that can not be stored are replaced.
        """
        added = await self._count(
            _ADD_LETTER,
            dead_letter_id=letter.dead_letter_id,
            source=_storable(letter.source),
            event_id=_storable(letter.event_id),
            event_type=_storable(letter.event_type),
            project=_storable(letter.project),
            via=letter.via,
            reason_code=letter.reason_code,
            reason=storable(letter.reason),
            places=body_text([[storable(place), storable(sentence)] for place, sentence in letter.places]),
            raw=raw,
            raw_sha256=letter.raw_sha256,
            received_at=letter.received_at,
        )
        if added:
            return letter
        known = await self._first(_KNOWN_LETTER, raw_sha256=letter.raw_sha256, reason_code=letter.reason_code)
        return letter if known is None else _letter_of(known)

    async def dead_letter(self, dead_letter_id: UUID) -> tuple[DeadLetter, bytes] | None:
        """Return a dead letter with its raw bytes."""
        row = await self._first(_LETTER, dead_letter_id=dead_letter_id)
        return None if row is None else (_letter_of(row), bytes(row.raw))

    async def list_dead_letters(
        self, *, projects: tuple[str, ...] | None, after: UUID | None, limit: int
    ) -> tuple[DeadLetter, ...]:
        """Return dead letters, newest first; letters without a project only where ``projects`` is None."""
        rows = await self._run(_LETTERS, projects=None if projects is None else [*projects], after=after, limit=limit)
        return tuple(_letter_of(row) for row in rows)

    async def mark_replayed(self, dead_letter_id: UUID, outcome: str) -> None:
        """Note when and how a dead letter was replayed.

        Raises:
            NotFoundError: There is no such letter.
        """
        if not await self._count(_REPLAYED, dead_letter_id=dead_letter_id, outcome=storable(outcome)):
            raise NotFoundError(f"there is no dead letter {dead_letter_id}")

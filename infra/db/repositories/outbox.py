"""What is to be told to the outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import text

from infra.db.documents import body_of, body_text, storable
from infra.db.listen import OUTBOX_CHANNEL
from infra.db.repositories.base import Repository
from infra.db.session import Session
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import OutboxMessage

_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 60.0

ADD_MESSAGES = """
    INSERT INTO outbox (topic, project, sample_id, revision, subject, event_type, sequence, body, attempts)
    SELECT topic, project, sample_id, revision, subject, event_type, sequence, CAST(body AS json), 0
    FROM unnest(CAST(:topics AS text[]), CAST(:message_projects AS text[]), CAST(:samples AS text[]),
                CAST(:revisions AS int[]), CAST(:about AS text[]), CAST(:event_types AS text[]),
                CAST(:sequences AS bigint[]), CAST(:message_bodies AS text[]))
         WITH ORDINALITY
         AS message (topic, project, sample_id, revision, subject, event_type, sequence, body, n)
    ORDER BY n
"""
"""Adds messages, none or several, in the order given; its parameters are those of :meth:`PostgresOutbox.waiting`."""

_ADD = text(ADD_MESSAGES)
# Ids are given in the order of the rows, so the n-th least of them is that of the n-th message.
_ADD_EVENTS = text(f"""
    WITH told AS ({ADD_MESSAGES} RETURNING message_id)
    INSERT INTO webhook_deliveries
        (endpoint_id, message_id, event_type, event_id, sample_id, subject, state, attempts, fence)
    SELECT endpoint.endpoint_id, message.message_id, event.type, event.id, event.sample_id, event.subject, 'waiting', 0,
           0
    FROM (SELECT message_id, row_number() OVER (ORDER BY message_id) AS n FROM told) AS message
    JOIN unnest(CAST(:event_types AS text[]), CAST(:event_ids AS text[]), CAST(:message_projects AS text[]),
                CAST(:samples AS text[]), CAST(:about AS text[]))
         WITH ORDINALITY AS event (type, id, project, sample_id, subject, n) USING (n)
    JOIN webhook_endpoints AS endpoint
      ON endpoint.project = event.project AND endpoint.state <> 'disabled'
     AND (endpoint.event_types = '{{}}' OR event.type = ANY (endpoint.event_types))
    WHERE event.type IS NOT NULL
    ORDER BY message.n, endpoint.created_at, endpoint.endpoint_id
""")  # noqa: S608 - a constant
_NOTIFY = text("SELECT pg_notify(:channel, '')")
# One clock for the whole statement: were it read row by row, an earlier message could leave its pause between the
# look at it and the look at its successor, which would then go first.
_PENDING = text("""
    SELECT message_id, topic, project, sample_id, subject, event_type, sequence, body, created_at, attempts
    FROM outbox AS message
    WHERE published_at IS NULL AND topic = ANY (CAST(:topics AS text[])) AND next_attempt_at <= statement_timestamp()
      AND NOT EXISTS (
          SELECT FROM outbox AS earlier
          WHERE earlier.published_at IS NULL
            AND earlier.project = message.project AND earlier.sample_id = message.sample_id
            AND earlier.message_id < message.message_id
            AND earlier.next_attempt_at > statement_timestamp()
            AND CASE WHEN message.topic = 'event' THEN earlier.topic = 'event'
                     ELSE earlier.topic <> 'event' AND earlier.revision = message.revision END)
      AND NOT EXISTS (
          SELECT FROM outbox AS earlier
          WHERE earlier.published_at IS NULL AND earlier.subject IS NOT NULL
            AND earlier.project = message.project AND earlier.subject = message.subject
            AND earlier.message_id < message.message_id
            AND earlier.next_attempt_at > statement_timestamp())
    ORDER BY message_id LIMIT :limit
""")
_PUBLISHED = text("""
    UPDATE outbox SET published_at = clock_timestamp()
    WHERE message_id = ANY (CAST(:message_ids AS bigint[])) AND published_at IS NULL
""")
_FAILED = text("""
    UPDATE outbox
    SET attempts = attempts + 1, last_error = :error,
        next_attempt_at = clock_timestamp()
            + make_interval(secs => least(:first_pause * power(2, least(attempts, 30)), :longest_pause))
    WHERE message_id = :message_id AND published_at IS NULL
""")
_BACKLOG = text("SELECT topic, count(*) AS waiting FROM outbox WHERE published_at IS NULL GROUP BY topic")


@dataclass(frozen=True, slots=True)
class _Message:
    topic: str
    project: str
    sample_id: str | None
    revision: int | None
    subject: str | None
    sequence: int | None
    body: str
    event_type: str | None
    event_id: str | None


class PostgresOutbox(Repository):
    """Implements :class:`services.ports.database.OutboxRepository`.

    Messages of one sample are written under the sample's or the revision's lock, and those about another subject of a
    project under that subject's, so their ids rise in the order in which their transactions commit. Events are told
    in order per sample or subject; what workflows are told, in order per sample revision. A message is told at least
    once: two relays at the same time may both see it.
    """

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._added = False
        self._waiting: list[_Message] = []

    async def add(
        self,
        topic: Literal["event", "workflow_start", "workflow_signal"],
        ref: RevisionRef,
        body: dict[str, Any],
        *,
        sequence: int | None = None,
        event_type: str | None = None,
        event_id: str | None = None,
    ) -> None:
        """Keep a message, with a delivery for each webhook that wants it, and wake the relay at the commit.

        Messages are written together, as the transaction ends.
        """
        self._added = True
        self._waiting.append(
            _Message(
                topic, **ref.model_dump(), subject=None, sequence=sequence, body=body_text(body), event_type=event_type,
                event_id=event_id,
            )
        )  # fmt: skip

    async def add_about(
        self, project: str, subject: str, body: dict[str, Any], *, event_type: str, event_id: str
    ) -> None:
        """Keep an event about something else of a project than a sample, as :meth:`add` does."""
        self._added = True
        self._waiting.append(
            _Message("event", project, None, None, subject, None, body_text(body), event_type, event_id)
        )

    def wake(self) -> None:
        """Wake the relays when the transaction commits, for something else that they are to send."""
        self._added = True

    @property
    def channels(self) -> tuple[str, ...]:
        """What to notify when the transaction commits: the relays, if it has added messages."""
        return (OUTBOX_CHANNEL,) if self._added else ()

    def waiting(self) -> dict[str, list[Any]]:
        """Return the parameters of :data:`ADD_MESSAGES` for what was not written yet, once."""
        messages, self._waiting = self._waiting, []
        return {
            "topics": [message.topic for message in messages],
            "message_projects": [message.project for message in messages],
            "samples": [message.sample_id for message in messages],
            "revisions": [message.revision for message in messages],
            "about": [message.subject for message in messages],
            "event_types": [message.event_type for message in messages],
            "sequences": [message.sequence for message in messages],
            "message_bodies": [message.body for message in messages],
        }

    async def write_events(self) -> None:
        """Write what was not written yet, if there are events among it: a webhook may want them."""
        if any(message.event_type is not None for message in self._waiting):
            ids = [message.event_id for message in self._waiting]
            await self._count(_ADD_EVENTS, **self.waiting(), event_ids=ids)

    async def finish(self) -> None:
        """Write what was not written yet, and wake the relays when the transaction commits."""
        await self.write_events()
        if self._waiting:
            await self._count(_ADD, **self.waiting())
        for channel in self.channels:
            await self._run(_NOTIFY, channel=channel)

    async def pending(self, topics: tuple[str, ...], *, limit: int) -> tuple[OutboxMessage, ...]:
        """Return unpublished messages in the order they must be told, oldest first, whose retry time has come."""
        rows = await self._run(_PENDING, topics=[*topics], limit=limit)
        return tuple(
            OutboxMessage(
                message_id=row.message_id,
                topic=row.topic,
                project=row.project,
                sample_id=row.sample_id,
                subject=row.subject,
                event_type=row.event_type,
                sequence=row.sequence,
                body=body_of(row.body),
                created_at=row.created_at,
                attempts=row.attempts,
            )
            for row in rows
        )

    async def mark_published(self, message_ids: tuple[int, ...]) -> None:
        """Note that messages were told."""
        await self._count(_PUBLISHED, message_ids=[*message_ids])

    async def mark_failed(self, message_id: int, error: str) -> None:
        """Note a failed attempt; the message is tried again after 0.5 s, 1 s, 2 s … up to a minute."""
        await self._count(
            _FAILED,
            message_id=message_id,
            error=storable(error)[:2_000],
            first_pause=_FIRST_PAUSE_S,
            longest_pause=_LONGEST_PAUSE_S,
        )

    async def backlog(self) -> dict[str, int]:
        """Return how many messages of each topic wait."""
        return {row.topic: row.waiting for row in await self._run(_BACKLOG)}

"""The audit chain of each project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text

from infra.db.documents import body_of, body_text
from infra.db.repositories.base import Repository
from infra.db.repositories.outbox import ADD_MESSAGES, PostgresOutbox
from infra.db.session import Session
from services.audit.chain import GENESIS_SHA256, link_text
from services.audit.personal import commit_texts
from services.contracts.audit import EVERY_ENTRY, AuditFilter
from services.contracts.records import AuditEntry, PersonalText

_PERSONAL: TypeAdapter[tuple[PersonalText, ...]] = TypeAdapter(tuple[PersonalText, ...])

_ADD_HEAD = text("""
    INSERT INTO audit_heads (project, sequence, sha256) VALUES (:project, 0, :sha256) ON CONFLICT DO NOTHING
""")
_SHA256 = """
    encode(sha256(convert_to(link.to_time || now.text || link.to_body || link.body || link.to_previous || last.sha256
                             || link.to_sequence || (last.sequence + 1) || link.rest, 'UTF8')), 'hex')
"""
# What services.audit.chain says of a link, worked out where the chain is. Were its head asked for first, it would be
# held for a round trip more, and with it every other transaction of the project that has something to say.
_EXTEND = text(f"""
    WITH RECURSIVE told AS ({ADD_MESSAGES}), head AS MATERIALIZED (
        SELECT sequence, sha256 FROM audit_heads WHERE project = :project FOR NO KEY UPDATE
    ), now AS MATERIALIZED (
        SELECT at, to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') || '+00:00' AS text
        FROM (SELECT clock_timestamp() AS at FROM head) AS clock
    ), link AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:actors AS text[]), CAST(:actions AS text[]), CAST(:subjects AS text[]),
                             CAST(:bodies AS text[]), CAST(:to_times AS text[]), CAST(:to_bodies AS text[]),
                             CAST(:to_previous AS text[]), CAST(:to_sequences AS text[]), CAST(:rests AS text[]))
             WITH ORDINALITY
             AS link (actor, action, subject, body, to_time, to_body, to_previous, to_sequence, rest, n)
    ), chained AS (
        SELECT link.n, last.sequence + 1 AS sequence, last.sha256 AS previous_sha256, {_SHA256} AS sha256
        FROM head AS last, now, link WHERE link.n = 1
        UNION ALL
        SELECT link.n, last.sequence + 1, last.sha256, {_SHA256}
        FROM chained AS last JOIN link ON link.n = last.n + 1 CROSS JOIN now
    ), added AS (
        INSERT INTO audit_entries (project, sequence, at, actor, action, subject, body, previous_sha256, sha256)
        SELECT :project, sequence, now.at, actor, action, subject, CAST(body AS json), previous_sha256, sha256
        FROM chained JOIN link USING (n) CROSS JOIN now
    )
    UPDATE audit_heads AS head SET sequence = last.sequence, sha256 = last.sha256
    FROM (SELECT sequence, sha256 FROM chained ORDER BY n DESC LIMIT 1) AS last WHERE head.project = :project
    RETURNING head.sequence, (SELECT count(pg_notify(channel, '')) FROM unnest(CAST(:channels AS text[])) AS channel)
""")  # noqa: S608 - constants
_ADD_PERSONAL = text("""
    INSERT INTO audit_personal (project, sequence, name, salt, value)
    SELECT :project, item.sequence, item.name, item.salt, item.value
    FROM unnest(CAST(:sequences AS bigint[]), CAST(:names AS text[]), CAST(:salts AS text[]), CAST(:values AS text[]))
         AS item (sequence, name, salt, value)
""")
_ENTRY = """
    SELECT entry.*, (SELECT json_agg(json_build_object('name', name, 'salt', salt, 'value', value,
                                                       'erasure_id', erasure_id) ORDER BY name)
                     FROM audit_personal AS kept
                     WHERE kept.project = entry.project AND kept.sequence = entry.sequence) AS personal
    FROM audit_entries AS entry WHERE entry.project = :project
"""
_CONDITIONS = {
    "actor": "actor = :actor",
    "action": "action = :action",
    "subject": "subject = :subject",
    "since": "at >= :since",
    "until": "at < :until",
}
_OF_SUBJECTS = text(f"{_ENTRY} AND subject = ANY (CAST(:subjects AS text[])) ORDER BY sequence")
# The row's lock is held to the end, and one that was told lately, or of a longer chain, is left as it is.
_NOTE_ANCHOR = text("""
    INSERT INTO told_anchors (project, sequence, told_at) VALUES (:project, :sequence, clock_timestamp())
    ON CONFLICT (project) DO UPDATE SET sequence = EXCLUDED.sequence, told_at = EXCLUDED.told_at
    WHERE told_anchors.sequence < EXCLUDED.sequence
      AND told_anchors.told_at <= EXCLUDED.told_at - make_interval(secs => :every_s)
""")
_HEAD = text("SELECT sequence, sha256 FROM audit_heads WHERE project = :project")


@dataclass(frozen=True, slots=True)
class _Pending:
    actor: str
    action: str
    subject: str
    body: dict[str, Any]
    personal: tuple[PersonalText, ...]


def _entry_of(row: Any) -> AuditEntry:
    return AuditEntry(
        project=row.project,
        sequence=row.sequence,
        at=row.at,
        actor=row.actor,
        action=row.action,
        subject=row.subject,
        body=body_of(row.body),
        previous_sha256=row.previous_sha256,
        sha256=row.sha256,
        personal=_PERSONAL.validate_json(row.personal) if row.personal else (),
    )


class PostgresAudit(Repository):
    """Implements :class:`services.ports.database.AuditRepository`."""

    def __init__(self, session: Session) -> None:
        super().__init__(session)
        self._pending: dict[str, list[_Pending]] = {}

    def append(
        self,
        project: str,
        *,
        actor: str,
        action: str,
        subject: str,
        body: dict[str, Any],
        personal: Mapping[str, str | None] | None = None,
    ) -> None:
        """Add an entry; it is chained and written as the last step of the transaction."""
        committed, texts = commit_texts(personal or {})
        # Through its own text and back: what is hashed is exactly what is read again later.
        entry = _Pending(actor, action, subject, body_of(body_text({**body, **committed})), texts)
        self._pending.setdefault(project, []).append(entry)

    async def chain(self, outbox: PostgresOutbox) -> bool:
        """Write the pending entries; projects in order, so that two transactions never wait for each other.

        Args:
            outbox: Its messages and notifications are written along, which costs no statement of their own here.

        Returns:
            Whether there were any entries, and with them messages and notifications.
        """
        some = bool(self._pending)
        # Before the first head is locked: it is to be held for no longer than its statement and the commit.
        if some:
            await outbox.write_events()
        for project in sorted(self._pending):
            await self._extend(project, self._pending[project], outbox)
        self._pending.clear()
        return some

    async def _extend(self, project: str, pending: list[_Pending], outbox: PostgresOutbox) -> None:
        links = [
            link_text(project=project, actor=item.actor, action=item.action, subject=item.subject, body=item.body)
            for item in pending
        ]
        values: dict[str, Any] = {
            "project": project,
            "actors": [item.actor for item in pending],
            "actions": [item.action for item in pending],
            "subjects": [item.subject for item in pending],
            "bodies": [link.body for link in links],
            "to_times": [link.to_time for link in links],
            "to_bodies": [link.to_body for link in links],
            "to_previous": [link.to_previous for link in links],
            "to_sequences": [link.to_sequence for link in links],
            "rests": [link.rest for link in links],
            "channels": [*outbox.channels],
        }
        head = await self._first(_EXTEND, **values, **outbox.waiting())
        while head is None:
            await self._count(_ADD_HEAD, project=project, sha256=GENESIS_SHA256)
            head = await self._first(_EXTEND, **values, **outbox.waiting())
        first = head.sequence - len(pending) + 1
        texts = [(first + place, kept) for place, item in enumerate(pending) for kept in item.personal]
        if texts:
            await self._count(
                _ADD_PERSONAL,
                project=project,
                sequences=[sequence for sequence, _ in texts],
                names=[kept.name for _, kept in texts],
                salts=[kept.salt for _, kept in texts],
                values=[kept.value for _, kept in texts],
            )

    async def list(
        self, project: str, *, after: int, limit: int, wanted: AuditFilter = EVERY_ENTRY
    ) -> tuple[AuditEntry, ...]:
        """Return the entries that are wanted, by sequence after ``after``."""
        given = wanted.model_dump(exclude_none=True)
        conditions = "".join(f" AND {_CONDITIONS[name]}" for name in given)
        statement = f"{_ENTRY} AND sequence > :after{conditions} ORDER BY sequence LIMIT :limit"
        rows = await self._run(text(statement), project=project, after=after, limit=limit, **given)
        return tuple(_entry_of(row) for row in rows)

    async def of_subjects(self, project: str, subjects: tuple[str, ...]) -> tuple[AuditEntry, ...]:
        """Return all entries about these subjects, by sequence."""
        rows = await self._run(_OF_SUBJECTS, project=project, subjects=[*subjects])
        return tuple(_entry_of(row) for row in rows)

    async def head(self, project: str) -> tuple[int, str]:
        """Return the sequence and hash of the newest entry as the chain's head states it; (0, zeros) if none."""
        row = await self._first(_HEAD, project=project)
        return (0, GENESIS_SHA256) if row is None else (row.sequence, row.sha256)

    async def note_anchor(self, project: str, sequence: int, *, every_s: float) -> bool:
        """Note that a link is told of; False if the chain has not grown, or was told of less than ``every_s`` ago."""
        return await self._count(_NOTE_ANCHOR, project=project, sequence=sequence, every_s=every_s) == 1

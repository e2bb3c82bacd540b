"""The audit chain of each project."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from infra.db.documents import body_of, body_text
from infra.db.repositories.base import Repository
from infra.db.repositories.outbox import ADD_MESSAGES, PostgresOutbox
from services.audit.chain import GENESIS_SHA256, chain_entry
from services.contracts.records import AuditEntry

_LOCK_HEAD = text(f"""
    WITH told AS ({ADD_MESSAGES})
    SELECT sequence, sha256, clock_timestamp() AS at FROM audit_heads WHERE project = :project FOR NO KEY UPDATE
""")  # noqa: S608 - a constant
_ADD_HEAD = text("""
    INSERT INTO audit_heads (project, sequence, sha256) VALUES (:project, 0, :sha256) ON CONFLICT DO NOTHING
""")
_EXTEND = text("""
    WITH added AS (
        INSERT INTO audit_entries
            (project, sequence, at, actor, action, subject, body, previous_sha256, sha256)
        SELECT :project, :first + link.n - 1, :at, link.actor, link.action, link.subject, CAST(link.body AS json),
               link.previous_sha256, link.sha256
        FROM unnest(CAST(:actors AS text[]), CAST(:actions AS text[]), CAST(:subjects AS text[]),
                    CAST(:bodies AS text[]), CAST(:previous AS text[]), CAST(:hashes AS text[]))
             WITH ORDINALITY AS link (actor, action, subject, body, previous_sha256, sha256, n)
    )
    UPDATE audit_heads SET sequence = :last, sha256 = :head WHERE project = :project
    RETURNING (SELECT count(pg_notify(channel, '')) FROM unnest(CAST(:channels AS text[])) AS channel)
""")
_LIST = text("""
    SELECT * FROM audit_entries WHERE project = :project AND sequence > :after ORDER BY sequence LIMIT :limit
""")
_OF_SUBJECTS = text("""
    SELECT * FROM audit_entries
    WHERE project = :project AND subject = ANY (CAST(:subjects AS text[])) ORDER BY sequence
""")
_HEAD = text("SELECT sequence, sha256 FROM audit_heads WHERE project = :project")


@dataclass(frozen=True, slots=True)
class _Pending:
    actor: str
    action: str
    subject: str
    body: dict[str, Any]


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
    )


class PostgresAudit(Repository):
    """Implements :class:`services.ports.database.AuditRepository`."""

    def __init__(self, connection: AsyncConnection) -> None:
        super().__init__(connection)
        self._pending: dict[str, list[_Pending]] = {}

    def append(self, project: str, *, actor: str, action: str, subject: str, body: dict[str, Any]) -> None:
        """Add an entry; it is chained and written as the last step of the transaction."""
        # Through its own text and back: what is hashed is exactly what is read again later.
        entry = _Pending(actor, action, subject, body_of(body_text(body)))
        self._pending.setdefault(project, []).append(entry)

    async def chain(self, outbox: PostgresOutbox) -> bool:
        """Write the pending entries; projects in order, so that two transactions never wait for each other.

        Args:
            outbox: Its messages and notifications are written along, which costs no statement of their own here.

        Returns:
            Whether there were any entries, and with them messages and notifications.
        """
        some = bool(self._pending)
        for project in sorted(self._pending):
            await self._extend(project, self._pending[project], outbox)
        self._pending.clear()
        return some

    async def _extend(self, project: str, pending: list[_Pending], outbox: PostgresOutbox) -> None:
        head = await self._lock_head(project, outbox)
        previous = head.sha256
        at: datetime = head.at
        entries: list[AuditEntry] = []
        for offset, item in enumerate(pending, start=1):
            entry = chain_entry(
                project=project,
                sequence=head.sequence + offset,
                at=at,
                actor=item.actor,
                action=item.action,
                subject=item.subject,
                body=item.body,
                previous_sha256=previous,
            )
            entries.append(entry)
            previous = entry.sha256
        await self._count(
            _EXTEND,
            project=project,
            at=at,
            first=entries[0].sequence,
            last=entries[-1].sequence,
            head=previous,
            actors=[entry.actor for entry in entries],
            actions=[entry.action for entry in entries],
            subjects=[entry.subject for entry in entries],
            bodies=[body_text(entry.body) for entry in entries],
            previous=[entry.previous_sha256 for entry in entries],
            hashes=[entry.sha256 for entry in entries],
            channels=[*outbox.channels],
        )

    async def _lock_head(self, project: str, outbox: PostgresOutbox) -> Row[Any]:
        head = await self._first(_LOCK_HEAD, project=project, **outbox.waiting())
        while head is None:
            await self._count(_ADD_HEAD, project=project, sha256=GENESIS_SHA256)
            head = await self._first(_LOCK_HEAD, project=project, **outbox.waiting())
        return head

    async def list(self, project: str, *, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Return entries by sequence after ``after``."""
        rows = await self._run(_LIST, project=project, after=after, limit=limit)
        return tuple(_entry_of(row) for row in rows)

    async def of_subjects(self, project: str, subjects: tuple[str, ...]) -> tuple[AuditEntry, ...]:
        """Return all entries about these subjects, by sequence."""
        rows = await self._run(_OF_SUBJECTS, project=project, subjects=[*subjects])
        return tuple(_entry_of(row) for row in rows)

    async def head(self, project: str) -> tuple[int, str]:
        """Return the sequence and hash of the newest entry as the chain's head states it; (0, zeros) if none."""
        row = await self._first(_HEAD, project=project)
        return (0, GENESIS_SHA256) if row is None else (row.sequence, row.sha256)

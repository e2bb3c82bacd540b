"""The audit chain of each project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text

from infra.db.documents import body_of, body_text
from infra.db.repositories.base import Repository
from infra.db.repositories.outbox import ADD_MESSAGES, PostgresOutbox
from infra.db.session import Row, Session
from services.audit.chain import GENESIS_SHA256, chain_entry
from services.audit.personal import commit_texts
from services.contracts.audit import EVERY_ENTRY, AuditFilter
from services.contracts.records import AuditEntry, PersonalText

_PERSONAL: TypeAdapter[tuple[PersonalText, ...]] = TypeAdapter(tuple[PersonalText, ...])

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
        # Before the first head is locked: it is to be held for no longer than one round trip and the commit.
        if some:
            await outbox.write_events()
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

        texts = [(entry.sequence, kept) for entry, item in zip(entries, pending, strict=True) for kept in item.personal]
        if texts:
            await self._count(
                _ADD_PERSONAL,
                project=project,
                sequences=[sequence for sequence, _ in texts],
                names=[kept.name for _, kept in texts],
                salts=[kept.salt for _, kept in texts],
                values=[kept.value for _, kept in texts],
            )

    async def _lock_head(self, project: str, outbox: PostgresOutbox) -> Row:
        head = await self._first(_LOCK_HEAD, project=project, **outbox.waiting())
        while head is None:
            await self._count(_ADD_HEAD, project=project, sha256=GENESIS_SHA256)
            head = await self._first(_LOCK_HEAD, project=project, **outbox.waiting())
        return head

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

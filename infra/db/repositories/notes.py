"""Notes of people on samples."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text

from infra.db.documents import model_text
from infra.db.repositories.base import Repository
from services.contracts.lifecycle import RevisionRef
from services.contracts.notes import Mention, Note, NoteVersion, Pin

_PIN: TypeAdapter[Any] = TypeAdapter(Pin)

_PEOPLE = text("""
    SELECT DISTINCT actor_id FROM api_keys
    WHERE revoked_at IS NULL AND (expires_at IS NULL OR expires_at > clock_timestamp())
      AND (projects IS NULL OR :project = ANY (projects))
""")
_ADD = text("""
    INSERT INTO notes
        (note_id, thread_id, project, sample_id, revision, author, body, pin, mentions, version, created_at)
    VALUES (:note_id, :thread_id, :project, :sample_id, :revision, :author, :body, :pin, CAST(:mentions AS text[]),
            :version, :created_at)
""")
_CHANGE = text("""
    UPDATE notes
    SET body = :body, mentions = CAST(:mentions AS text[]), version = :version, edited_at = :edited_at,
        deleted_at = :deleted_at
    WHERE note_id = :note_id
""")
_ADD_VERSION = text("""
    INSERT INTO note_versions (note_id, version, body, mentions, actor, deleted, at)
    VALUES (:note_id, :version, :body, CAST(:mentions AS text[]), :actor, :deleted, :at)
""")
_DROP_MENTIONS = text("""
    DELETE FROM note_mentions WHERE note_id = :note_id AND NOT actor_id = ANY (CAST(:mentions AS text[]))
""")
_ADD_MENTIONS = text("""
    INSERT INTO note_mentions (note_id, actor_id, project, at)
    SELECT :note_id, actor_id, :project, :at FROM unnest(CAST(:mentions AS text[])) AS actor_id
    ON CONFLICT DO NOTHING
""")
_GET = "SELECT * FROM notes WHERE project = :project AND sample_id = :sample_id AND note_id = :note_id"
_GET_NOTE, _LOCK_NOTE = text(_GET), text(f"{_GET} FOR NO KEY UPDATE")
_TAKES_PART = """
    EXISTS (SELECT FROM notes AS other LEFT JOIN note_mentions AS mention
                ON mention.note_id = other.note_id AND mention.actor_id = :reader
            WHERE other.thread_id = {thread} AND (other.author = :reader OR mention.actor_id IS NOT NULL))
"""
_PART = text("SELECT" + _TAKES_PART.format(thread=":thread_id"))
_OF_SAMPLE = """
    SELECT * FROM notes AS note
    WHERE project = :project AND sample_id = :sample_id AND (created_at, note_id) > (:at, :id) {conditions}
    ORDER BY created_at, note_id LIMIT :limit
"""
_VERSIONS = text("SELECT * FROM note_versions WHERE note_id = :note_id ORDER BY version")
_MENTIONS = """
    SELECT note.*, mention.actor_id, mention.at
    FROM note_mentions AS mention JOIN notes AS note USING (note_id)
    WHERE mention.actor_id = :actor_id {conditions}
    ORDER BY mention.at DESC, mention.note_id DESC LIMIT :limit
"""
_BEGINNING = (datetime.fromisoformat("0001-01-01T00:00:00+00:00"), UUID(int=0))


def _note_of(row: Any) -> Note:
    return Note(
        note_id=row.note_id,
        thread_id=row.thread_id,
        ref=RevisionRef(project=row.project, sample_id=row.sample_id, revision=row.revision),
        author=row.author,
        body=row.body,
        pin=_PIN.validate_json(row.pin),
        mentions=tuple(row.mentions),
        version=row.version,
        created_at=row.created_at,
        edited_at=row.edited_at,
        deleted_at=row.deleted_at,
    )


class PostgresNotes(Repository):
    """Implements :class:`services.ports.notes.NoteRepository`."""

    async def people(self, project: str) -> frozenset[str]:
        """Return who has a valid key that sees the project."""
        return frozenset(row.actor_id for row in await self._run(_PEOPLE, project=project))

    async def add(self, note: Note) -> None:
        """Keep a new note, its first version and its mentions."""
        await self._count(
            _ADD,
            note_id=note.note_id,
            thread_id=note.thread_id,
            **note.ref.model_dump(),
            author=note.author,
            body=note.body,
            pin=model_text(note.pin),
            mentions=[*note.mentions],
            version=note.version,
            created_at=note.created_at,
        )
        await self._keep_version(note, actor=note.author, at=note.created_at)

    async def get(self, project: str, sample_id: str, note_id: UUID, *, lock: bool = False) -> Note | None:
        """Return a note; with ``lock`` no other transaction changes it until this one ends."""
        statement = _LOCK_NOTE if lock else _GET_NOTE
        row = await self._first(statement, project=project, sample_id=sample_id, note_id=note_id)
        return None if row is None else _note_of(row)

    async def change(self, note: Note, *, actor: str) -> None:
        """Replace what a note says, keep this as a version, and its mentions where they are new."""
        await self._count(
            _CHANGE,
            note_id=note.note_id,
            body=note.body,
            mentions=[*note.mentions],
            version=note.version,
            edited_at=note.edited_at,
            deleted_at=note.deleted_at,
        )
        await self._count(_DROP_MENTIONS, note_id=note.note_id, mentions=[*note.mentions])
        await self._keep_version(note, actor=actor, at=note.deleted_at or note.edited_at or note.created_at)

    async def _keep_version(self, note: Note, *, actor: str, at: datetime) -> None:
        mentions = [*note.mentions]
        await self._count(
            _ADD_VERSION,
            note_id=note.note_id,
            version=note.version,
            body=note.body,
            mentions=mentions,
            actor=actor,
            deleted=note.deleted_at is not None,
            at=at,
        )
        if mentions:
            await self._count(_ADD_MENTIONS, note_id=note.note_id, project=note.ref.project, at=at, mentions=mentions)

    async def of_sample(
        self,
        ref: RevisionRef,
        *,
        all_revisions: bool,
        reader: str | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[Note, ...]:
        """Return notes, oldest first, by (created_at, note id) after the cursor."""
        at, note_id = after or _BEGINNING
        values: dict[str, Any] = {"at": at, "id": note_id, "limit": limit, **ref.model_dump()}
        conditions = ""
        if all_revisions:
            del values["revision"]
        else:
            conditions += " AND revision = :revision"
        if reader is not None:
            conditions += " AND" + _TAKES_PART.format(thread="note.thread_id")
            values["reader"] = reader
        rows = await self._run(text(_OF_SAMPLE.format(conditions=conditions)), **values)
        return tuple(_note_of(row) for row in rows)

    async def takes_part(self, thread_id: UUID, actor_id: str) -> bool:
        """Whether a person wrote, or is mentioned, in a thread."""
        row = await self._first(_PART, thread_id=thread_id, reader=actor_id)
        return row is not None and bool(row[0])

    async def versions(self, note_id: UUID) -> tuple[NoteVersion, ...]:
        """Return everything a note said, oldest first."""
        return tuple(
            NoteVersion(
                note_id=row.note_id,
                version=row.version,
                body=row.body,
                mentions=tuple(row.mentions),
                actor=row.actor,
                at=row.at,
                deleted=row.deleted,
            )
            for row in await self._run(_VERSIONS, note_id=note_id)
        )

    async def mentions(
        self, actor_id: str, *, projects: tuple[str, ...] | None, before: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[Mention, ...]:
        """Return where a person is mentioned, newest first, by (at, note id) before the cursor."""
        values: dict[str, Any] = {"actor_id": actor_id, "limit": limit}
        conditions = ""
        if projects is not None:
            conditions += " AND mention.project = ANY (CAST(:projects AS text[]))"
            values["projects"] = [*projects]
        if before is not None:
            conditions += " AND (mention.at, mention.note_id) < (:at, :id)"
            values["at"], values["id"] = before
        rows = await self._run(text(_MENTIONS.format(conditions=conditions)), **values)
        return tuple(Mention(actor_id=row.actor_id, note=_note_of(row), at=row.at) for row in rows)

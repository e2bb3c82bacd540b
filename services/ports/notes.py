"""The store of notes, as the product sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.contracts.lifecycle import RevisionRef
from services.contracts.notes import Mention, Note, NoteVersion


class NoteRepository(Protocol):
    """Notes, what they said before, and who was mentioned."""

    async def people(self, project: str) -> frozenset[str]:
        """Return who has a valid key that sees the project."""
        ...

    async def add(self, note: Note) -> None:
        """Keep a new note, its first version and its mentions."""
        ...

    async def get(self, project: str, sample_id: str, note_id: UUID, *, lock: bool = False) -> Note | None:
        """Return a note; with ``lock`` no other transaction changes it until this one ends."""
        ...

    async def change(self, note: Note, *, actor: str) -> None:
        """Replace what a note says, keep this as a version, and its mentions where they are new."""
        ...

    async def of_sample(
        self,
        ref: RevisionRef,
        *,
        all_revisions: bool,
        reader: str | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[Note, ...]:
        """Return notes, oldest first, by (created_at, note id) after the cursor.

        Args:
            ref: The sample, and the revision unless all are asked for.
            all_revisions: Whether notes on every revision are returned.
            reader: Only threads in which this person wrote or is mentioned; None returns all.
            after: The cursor.
            limit: At most so many.
        """
        ...

    async def takes_part(self, thread_id: UUID, actor_id: str) -> bool:
        """Whether a person wrote, or is mentioned, in a thread."""
        ...

    async def versions(self, note_id: UUID) -> tuple[NoteVersion, ...]:
        """Return everything a note said, oldest first."""
        ...

    async def mentions(
        self, actor_id: str, *, projects: tuple[str, ...] | None, before: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[Mention, ...]:
        """Return where a person is mentioned, newest first, by (at, note id) before the cursor."""
        ...

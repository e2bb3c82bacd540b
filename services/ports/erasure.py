"""The store of erasures, tombstones and legal holds, as the product sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID

from services.contracts.erasure import (
    Erasure,
    ErasureCounts,
    ErasureSubject,
    LegalHold,
    Outcome,
    Tombstone,
)
from services.contracts.lifecycle import RevisionRef

ErasedNow = Literal["done", "erased", "held", "live", "missing"]
"""What became of a revision: erased now, erased before, refused, or not there."""


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A refused event as it came.

    Attributes:
        dead_letter_id: The letter.
        project: The project whose people see it, if it is known.
        raw: The bytes.
    """

    dead_letter_id: UUID
    project: str | None
    raw: bytes


@dataclass(frozen=True, slots=True)
class NamedLetter:
    """A refused event that names the subject of an erasure.

    Attributes:
        dead_letter_id: The letter.
        sample_id: The sample that it is about, if that can be read.
    """

    dead_letter_id: UUID
    sample_id: str | None


class ErasureRepository(Protocol):
    """Erasures. Content goes through the database's own functions, which leave a tombstone and respect holds."""

    async def preview(self, project: str, subject: ErasureSubject, *, keep_days: int | None) -> ErasureCounts:
        """Count what an erasure would meet; nothing is changed."""
        ...

    async def add(self, erasure: Erasure, subject: ErasureSubject, *, keep_days: int | None) -> int:
        """Keep an erasure with the revisions it is about now; return how many. A context's value is not kept."""
        ...

    async def add_expired(self, erasure: Erasure, *, limit: int) -> int:
        """Keep an erasure of what has outlived its policy's days and is under no hold, the oldest first.

        Left out is what waits in another erasure of the policy.

        Returns:
            How many revisions it is about; 0, and nothing kept, if there are none.
        """
        ...

    async def under_policy(self, project: str) -> tuple[Erasure, ...]:
        """Return the unfinished erasures that the project's retention policy ordered, oldest first."""
        ...

    async def projects_under_policy(self) -> tuple[str, ...]:
        """Return the projects that have any."""
        ...

    async def drop_waiting(self, erasure_id: UUID) -> int:
        """Take out of an erasure what it has not looked at yet; return how many revisions."""
        ...

    async def get(self, project: str, erasure_id: UUID, *, lock: bool = False) -> Erasure | None:
        """Return an erasure with how far it is."""
        ...

    async def subject(self, erasure_id: UUID) -> ErasureSubject | None:
        """Return the person or the entries that an erasure is about; None where it is about revisions."""
        ...

    async def list(self, project: str, *, before: tuple[datetime, UUID] | None, limit: int) -> tuple[Erasure, ...]:
        """Return erasures, newest first, by (requested_at, id) before the cursor."""
        ...

    async def next_waiting(
        self, project: str, erasure_id: UUID, *, but: Sequence[RevisionRef] = ()
    ) -> RevisionRef | None:
        """Return a revision that the erasure has not looked at yet, and that nobody else is at; none of ``but``.

        Until the transaction ends, nobody else gets it, and :meth:`drop_waiting` waits for it.
        """
        ...

    async def erased_of(
        self, project: str, erasure_id: UUID, *, after: RevisionRef | None, limit: int
    ) -> tuple[RevisionRef, ...]:
        """Return revisions whose content is gone, of those that an erasure is about, by sample and revision."""
        ...

    async def look_again(self, erasure_id: UUID) -> None:
        """Let what was refused wait again; refused events that were held too."""
        ...

    async def set_outcome(self, erasure_id: UUID, ref: RevisionRef, outcome: Outcome) -> None:
        """Note what became of a revision."""
        ...

    async def finish(self, erasure_id: UUID, counts: ErasureCounts, finished_at: datetime | None) -> None:
        """Note that nothing waits any more, and what went beside revisions."""
        ...

    async def is_held(self, ref: RevisionRef) -> bool:
        """Whether a legal hold is in force for a sample."""
        ...

    async def erase(self, ref: RevisionRef, erasure_id: UUID, *, actor: str) -> ErasedNow:
        """Erase the content of a revision that has ended, and leave a tombstone."""
        ...

    async def erase_person(self, project: str, actor_id: str, erasure_id: UUID) -> ErasureCounts | None:
        """Erase what a project holds of a person; None if a legal hold is in force."""
        ...

    async def erase_entries(self, project: str, sequences: tuple[int, ...], erasure_id: UUID) -> int | None:
        """Erase the personal text of audit entries and return how many; None if a legal hold is in force."""
        ...

    async def letters(
        self, project: str, names: Sequence[str], *, after: UUID | None, limit: int
    ) -> tuple[StoredLetter, ...]:
        """Return refused events that may name one of these, by id after the cursor.

        They are the project's or of none yet, and hold one of the texts, or something that JSON may write otherwise.
        """
        ...

    async def add_letters(self, erasure_id: UUID, letters: Sequence[NamedLetter]) -> None:
        """Note which refused events go when an erasure is carried out."""
        ...

    async def drop_letters(self, project: str, erasure_id: UUID) -> tuple[int, int]:
        """Remove the refused events of an erasure that are under no legal hold.

        A hold on the project, or on the sample that the event is about, keeps it; where that sample can not be read,
        any hold of the project does.

        Returns:
            How many were removed, and how many are held and stay.
        """
        ...

    async def drop_replies(self, project: str, erasure_id: UUID) -> None:
        """Remove stored replies to unsafe calls that tell of samples that an erasure has erased."""
        ...

    async def tombstone(self, ref: RevisionRef) -> Tombstone | None:
        """Return what stands in the place of a revision's content, None if the content is there."""
        ...

    async def add_hold(self, hold: LegalHold) -> None:
        """Place a legal hold; erasures under way in the project are waited for."""
        ...

    async def hold(self, project: str, hold_id: UUID, *, lock: bool = False) -> LegalHold | None:
        """Return a legal hold."""
        ...

    async def release_hold(self, hold: LegalHold) -> None:
        """Note by whom and when a hold was released."""
        ...

    async def holds(self, project: str, *, before: tuple[datetime, UUID] | None, limit: int) -> tuple[LegalHold, ...]:
        """Return legal holds, newest first, by (placed_at, id) before the cursor."""
        ...

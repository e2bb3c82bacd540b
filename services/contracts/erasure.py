"""Retention, legal holds, and the erasure of what somebody may ask to be forgotten."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, ProjectId, Sha256, Text, UtcDatetime
from services.contracts.lifecycle import RevisionRef

Count = Annotated[int, Field(ge=0)]
Reason = Annotated[Text, Field(min_length=1)]


class OfSamples(Contract):
    """All revisions of named samples."""

    kind: Literal["samples"] = "samples"
    sample_ids: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=10_000)]


class OfContext(Contract):
    """All revisions of the samples that name a subject, such as a patient, in an attribute of their context."""

    kind: Literal["context"] = "context"
    field: Name = Field(description="Name of the attribute in the manifest's context.attributes.")
    value: Name = Field(description="Its value as text. It is not kept.")


class OfExpired(Contract):
    """All revisions that ended longer ago than the project keeps them."""

    kind: Literal["expired"] = "expired"


class OfPerson(Contract):
    """What the project holds of one person: profile, texts of notes, drafts, texts in the audit trail."""

    kind: Literal["person"] = "person"
    actor_id: Identifier


class OfEntries(Contract):
    """The personal text of single audit entries."""

    kind: Literal["entries"] = "entries"
    sequences: Annotated[tuple[Annotated[int, Field(ge=1, le=2**53)], ...], Field(min_length=1, max_length=1_000)]


ErasureSubject = Annotated[OfSamples | OfContext | OfExpired | OfPerson | OfEntries, Field(discriminator="kind")]


class ErasureRequest(Contract):
    """What to erase, and why."""

    subject: ErasureSubject
    reason: Reason
    withdraw: bool = Field(default=False, description="Withdraw samples that are under way, and erase them too.")


class PreviewRequest(Contract):
    """What an erasure would be about."""

    subject: ErasureSubject


class ErasureCounts(Contract):
    """What an erasure meets, or has met."""

    waiting: Count = Field(default=0, description="Revisions still to be looked at.")
    erasable: Count = Field(default=0, description="Revisions that would be erased now.")
    erased: Count = Field(default=0, description="Revisions whose content is gone.")
    held: Count = Field(default=0, description="Revisions under a legal hold; refused.")
    live: Count = Field(default=0, description="Revisions under way; refused unless they are withdrawn.")
    texts: Count = Field(default=0, description="Personal texts of audit entries.")
    notes: Count = Field(default=0, description="Notes of the person.")
    profiles: Count = Field(default=0, description="Profiles and drafts of the person.")
    dead_letters: Count = Field(default=0, description="Refused events that name the subject; removed.")
    dead_letters_held: Count = Field(
        default=0, description="Refused events that name the subject, under a legal hold; kept."
    )


class Erasure(Contract):
    """An erasure that was ordered, and how far it is."""

    erasure_id: UUID
    project: ProjectId
    kind: Name
    reason: Text
    withdraw: bool
    requested_by: Identifier
    requested_at: UtcDatetime
    finished_at: UtcDatetime | None = None
    counts: ErasureCounts = Field(default_factory=ErasureCounts)
    policy_days: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="The days of the retention policy that ordered it; none: a person did."
    )


class ApplyRequest(Contract):
    """How to go on with an erasure."""

    retry: bool = Field(default=False, description="Look again at what was held or under way.")


class Outcome(StrEnum):
    """What became of one revision in an erasure."""

    WAITING = "waiting"
    ERASED = "erased"
    HELD = "held"
    LIVE = "live"


class TombstoneHashes(Contract):
    """The hashes of what stood there."""

    manifest: Sha256
    content: Sha256 | None = Field(default=None, description="Of the ground truth's body.")
    lineage: Sha256 | None = None
    labels: tuple[Sha256, ...] = ()
    events: tuple[Sha256, ...] = ()
    decisions: tuple[Sha256, ...] = ()


class Tombstone(Contract):
    """What stands in the place of an erased revision's content."""

    ref: RevisionRef
    erasure_id: UUID
    erased_by: Identifier
    erased_at: UtcDatetime
    hashes: TombstoneHashes


class NewHold(Contract):
    """A legal hold to place."""

    sample_id: Identifier | None = Field(default=None, description="One sample; the whole project if left out.")
    reason: Reason


class LegalHold(Contract):
    """While it is in force nothing under it is erased."""

    hold_id: UUID
    project: ProjectId
    sample_id: Identifier | None = None
    reason: Text
    placed_by: Identifier
    placed_at: UtcDatetime
    released_by: Identifier | None = None
    released_at: UtcDatetime | None = None


class Retention(Contract):
    """How long a project keeps the content of what has ended."""

    keep_days: Annotated[int, Field(ge=1, le=36_500)] = Field(
        description="Days after the end of a revision (committed, rejected, withdrawn, reopened)."
    )
    when_expired: Literal["propose", "erase"] | None = Field(
        default=None,
        description="erase: it is erased by itself; propose, or none: its erasure is ordered by itself, and a person "
        "applies it.",
    )

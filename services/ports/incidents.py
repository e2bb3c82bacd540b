"""The store of incidents, as the product sees it: causes that samples share, their members, their previews."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.contracts.incidents import (
    FixPreview,
    Incident,
    IncidentMember,
    IncidentProgress,
    IncidentState,
    MemberState,
    MemberValue,
)
from services.contracts.lifecycle import RevisionRef


@dataclass(frozen=True, slots=True)
class CauseCandidate:
    """An open finding whose cause could be shared, and is not yet by enough samples.

    Attributes:
        ref: Its revision.
        finding_id: The finding.
        values: Its own estimate of the cause.
    """

    ref: RevisionRef
    finding_id: str
    values: tuple[MemberValue, ...]


@dataclass(frozen=True, slots=True)
class Placed:
    """A member among whom spot checks are chosen.

    Attributes:
        ref: Its revision.
        finding_id: The finding.
        position: Its value on the incident's axis.
        spot_check: Whether it is one now.
        kept: It is one that somebody holds, or has decided, or was closed as one.
    """

    ref: RevisionRef
    finding_id: str
    position: float | None
    spot_check: bool
    kept: bool


@dataclass(frozen=True, slots=True)
class IncidentCounts:
    """How large an incident is: its samples, its spot checks, and its members by state."""

    samples: int
    spot_checks: int
    progress: IncidentProgress


class IncidentRepository(Protocol):
    """Incidents. Everything about one cause is written under the lock of its key."""

    async def lock_causes(self, project: str, keys: Iterable[str]) -> None:
        """Lock causes until the transaction ends, in one order for everybody; after samples, before audit chains."""
        ...

    async def put(self, incident: Incident) -> None:
        """Insert or replace an incident."""
        ...

    async def get(self, project: str, incident_id: UUID) -> Incident | None:
        """Return an incident of a project."""
        ...

    async def live_of_cause(self, project: str, key: str) -> tuple[Incident, ...]:
        """Return the open and fixing incidents under a key, oldest first."""
        ...

    async def list(
        self, project: str, *, state: IncidentState | None, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[Incident, ...]:
        """Return incidents, newest first, by (opened_at, incident id) after the cursor."""
        ...

    async def put_candidate(self, candidate: CauseCandidate, key: str) -> None:
        """Keep an open finding as a candidate for an incident, or replace what is kept of it."""
        ...

    async def drop_candidate(self, ref: RevisionRef, finding_id: str) -> None:
        """Forget a candidate; none is no fault."""
        ...

    async def candidates(self, project: str, key: str, *, limit: int) -> tuple[CauseCandidate, ...]:
        """Return candidates under a key whose finding is still open and whose revision is alive, newest first."""
        ...

    async def put_member(self, member: IncidentMember) -> None:
        """Insert or replace a member by (incident, sample, finding)."""
        ...

    async def members_of_sample(self, project: str, sample_id: str) -> tuple[IncidentMember, ...]:
        """Return every membership of a sample's findings, live or settled, in any incident."""
        ...

    async def members(
        self,
        incident_id: UUID,
        *,
        states: frozenset[MemberState] | None = None,
        spot_checks: bool = False,
        after: tuple[str, str] | None = None,
        limit: int,
    ) -> tuple[IncidentMember, ...]:
        """Return members by (sample id, finding id) after the cursor."""
        ...

    async def placed(self, incident_id: UUID) -> tuple[Placed, ...]:
        """Return the members that wait and all spot checks, with who of them must stay one."""
        ...

    async def bounds(self, incident_id: UUID) -> tuple[float, float] | None:
        """Return the lowest and highest position of the members that wait; None where none has one."""
        ...

    async def set_spot_check(self, incident_id: UUID, ref: RevisionRef, finding_id: str, *, spot_check: bool) -> None:
        """Make a member a spot check, or no longer one."""
        ...

    async def change_state(self, incident_id: UUID, before: MemberState, after: MemberState) -> int:
        """Move all members in one state to another; return how many."""
        ...

    async def counts(self, incident_id: UUID) -> IncidentCounts:
        """Return how large an incident is and how far."""
        ...

    async def put_preview(self, preview: FixPreview) -> None:
        """Keep a preview, the newest by (incident, correction)."""
        ...

    async def preview(self, incident_id: UUID, correction_sha256: str) -> FixPreview | None:
        """Return the newest preview of a correction."""
        ...

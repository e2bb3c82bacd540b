"""Let go of the memberships of a revision that has ended."""

from __future__ import annotations

from services.contracts.incidents import LIVE_MEMBER_STATES, Incident, IncidentMember, MemberState
from services.contracts.lifecycle import RevisionRef
from services.incidents.telling import close_if_settled, note_member
from services.ports.database import Transaction


async def live_members(tx: Transaction, ref: RevisionRef) -> tuple[tuple[IncidentMember, Incident], ...]:
    """Return a revision's live memberships with their incidents, and lock the causes where there are any.

    The caller holds the sample's lock. What is returned is read under the causes' locks.
    """
    seen = await _live(tx, ref)
    if not seen:
        return ()
    await tx.incidents.lock_causes(ref.project, (incident.cause_key for _, incident in seen))
    return await _live(tx, ref)


async def leave_incidents(tx: Transaction, ref: RevisionRef, reason: str) -> None:
    """Note that a revision has ended, and close the incidents that waited for it alone."""
    members = await live_members(tx, ref)
    for member, _ in members:
        await note_member(tx, member, MemberState.GONE, reason=reason)
    for incident_id in {member.incident_id for member, _ in members}:
        await close_if_settled(tx, ref.project, incident_id)


async def _live(tx: Transaction, ref: RevisionRef) -> tuple[tuple[IncidentMember, Incident], ...]:
    found = []
    for member in await tx.incidents.members_of_sample(ref.project, ref.sample_id):
        if member.ref == ref and member.state in LIVE_MEMBER_STATES:
            incident = await tx.incidents.get(ref.project, member.incident_id)
            if incident is not None:
                found.append((member, incident))
    return tuple(found)

"""What is said of an incident: to the audit trail, to the samples that wait for it, and to people."""

from __future__ import annotations

from uuid import UUID, uuid4

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.incidents import (
    LIVE_INCIDENT_STATES,
    CombinedEstimate,
    IncidentMember,
    IncidentState,
    MemberState,
)
from services.contracts.lifecycle import RevisionRef, workflow_id_of
from services.lifecycle.journal import subject_of
from services.ports.database import Transaction

_LONGEST = 2_000


def subject_of_incident(incident_id: UUID) -> str:
    """Return how the audit trail names an incident."""
    return f"incidents/{incident_id}"


def message_of(kind: str, sources: tuple[str, ...], estimate: CombinedEstimate) -> str:
    """Return one sentence that says what the samples have in common, with the numbers."""
    numbers = [f"{value.name} {value.mean:+.4g} ± {value.std:.2g}" for value in estimate.values]
    numbers += [f"{name} {value}" for name, value in estimate.same.items()]
    told = f": {', '.join(numbers)}" if numbers else ""
    return f"{kind} of {', '.join(sources)} in {estimate.samples} findings{told}."[:_LONGEST]


async def wake(tx: Transaction, ref: RevisionRef, incident_id: UUID) -> None:
    """Have a sample's workflow look again at what the sample waits for.

    Any number of times does no harm: the workflow asks what is stored, and a revision that has ended is not told.
    """
    body = {
        "workflow_id": workflow_id_of(ref),
        "signal": "decision_recorded",
        "message_id": f"incident-{incident_id}-{uuid4().hex}",
        "reason": "",
    }
    await tx.outbox.add("workflow_signal", ref, body)


async def note_member(
    tx: Transaction,
    member: IncidentMember,
    state: MemberState,
    *,
    ref: RevisionRef | None = None,
    reason: str | None = None,
    label_version: int | None = None,
) -> IncidentMember:
    """Move a member to a state, and say so in the audit trail of its sample."""
    changed = member.model_copy(
        update={
            "state": state,
            "ref": ref or member.ref,
            "reason": reason,
            "label_version": label_version if label_version is not None else member.label_version,
            "updated_at": await tx.now(),
        }
    )
    await tx.incidents.put_member(changed)
    tx.audit.append(
        changed.ref.project,
        actor=SYSTEM_ACTOR,
        action=f"incident.{state.value}",
        subject=subject_of(changed.ref),
        body={
            "incident_id": str(member.incident_id),
            "finding_id": member.finding_id,
            "label_version": changed.label_version,
        },
        personal={"reason": reason},
    )
    return changed


async def close_if_settled(tx: Transaction, project: str, incident_id: UUID) -> None:
    """Close an incident of which no member is left to be settled; its cause is locked."""
    incident = await tx.incidents.get(project, incident_id)
    if incident is None or incident.state not in LIVE_INCIDENT_STATES:
        return
    progress = (await tx.incidents.counts(incident_id)).progress
    if progress.live:
        return
    now = await tx.now()
    await tx.incidents.put(
        incident.model_copy(
            update={"state": IncidentState.CLOSED, "closed_at": now, "closed_by": SYSTEM_ACTOR, "updated_at": now}
        )
    )
    tx.audit.append(
        project,
        actor=SYSTEM_ACTOR,
        action="incident.closed",
        subject=subject_of_incident(incident_id),
        body={name: count for name, count in progress.model_dump().items() if count},
    )

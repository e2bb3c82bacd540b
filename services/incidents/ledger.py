"""Keep what samples share: findings join an incident, open one, and leave it, in the transaction that stores them.

Everything about one cause is done under the lock of its key, taken after the sample's own lock. Other samples are never
touched from here: their workflows are told, and see for themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from uuid import uuid4

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.annotations import Annotations
from services.contracts.incidents import (
    LIVE_MEMBER_STATES,
    Incident,
    IncidentMember,
    IncidentState,
    MemberState,
)
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import SampleRevision
from services.contracts.review import Decision, FindingState, StoredFinding
from services.incidents.causes import SharedFinding, shared_finding
from services.incidents.corrections import suggested
from services.incidents.estimates import Values, agreeing, agrees, axis_of, combine, distance, position_of
from services.incidents.spot_checks import Candidate, choose_spot_checks
from services.incidents.telling import close_if_settled, message_of, note_member, subject_of_incident, wake
from services.lifecycle.journal import subject_of
from services.ports.database import Transaction
from services.ports.incidents import CauseCandidate
from services.rules.incidents import IncidentRules
from services.rules.rule_set import RuleSet

_CANDIDATES_COMPARED = 2_000
_EACH_TIME_BELOW = 50
_GROWN = 1.1
_ALL_MEMBERS = 1_000_000


@dataclass(frozen=True, slots=True)
class CheckedRevision:
    """What a check run said about a revision.

    Attributes:
        revision: The revision, locked.
        annotations: The labels that were checked.
        author: Who made those that name no author.
        findings: All findings after the run.
        decisions: All decisions.
        rules: The rule set.
    """

    revision: SampleRevision
    annotations: Annotations
    author: Author | None
    findings: tuple[StoredFinding, ...]
    decisions: tuple[Decision, ...]
    rules: RuleSet


async def note_findings(tx: Transaction, checked: CheckedRevision) -> None:
    """Settle the memberships of a sample that was checked again, and let its open findings join what they share.

    Idempotent: the same findings again change nothing.

    Args:
        tx: The transaction that stores the findings; the sample is locked in it.
        checked: The check run.
    """
    ref = checked.revision.ref
    shared = _shared(checked)
    before = await tx.incidents.members_of_sample(ref.project, ref.sample_id)
    live = [member for member in before if member.state in LIVE_MEMBER_STATES]
    if not shared and not live:
        return
    known = {
        member.incident_id: incident
        for member in live
        if (incident := await tx.incidents.get(ref.project, member.incident_id)) is not None
    }
    keys = {incident.cause_key for incident in known.values()} | {item.key for item in shared.values()}
    await tx.incidents.lock_causes(ref.project, keys)
    # Read again: now nobody else changes them.
    members = await tx.incidents.members_of_sample(ref.project, ref.sample_id)
    await _settle_members(tx, checked, shared, members)
    members = await tx.incidents.members_of_sample(ref.project, ref.sample_id)
    for finding_id in sorted(shared):
        await _join(tx, checked, shared[finding_id], members)
    for incident_id in known:
        await close_if_settled(tx, ref.project, incident_id)


def _shared(checked: CheckedRevision) -> dict[str, SharedFinding]:
    """Return the open findings that can be shared, by id; those on which somebody has decided are their own."""
    decided = {name for decision in checked.decisions for name in decision.finding_ids}
    found = {}
    for item in checked.findings:
        name = item.finding.finding_id
        if item.state is FindingState.OPEN and item.blocking and name not in decided:
            shared = shared_finding(
                item.finding,
                checked.revision.manifest,
                checked.annotations,
                checked.rules.shared_causes,
                default_author=checked.author,
            )
            if shared is not None:
                found[name] = shared
    return found


async def _settle_members(
    tx: Transaction, checked: CheckedRevision, shared: Mapping[str, SharedFinding], members: Iterable[IncidentMember]
) -> None:
    ref = checked.revision.ref
    stored = {item.finding.finding_id: item for item in checked.findings}
    for member in members:
        if member.state not in LIVE_MEMBER_STATES:
            continue
        item = stored.get(member.finding_id)
        is_open = item is not None and item.state is FindingState.OPEN
        if member.state is MemberState.APPLIED and is_open:
            await note_member(tx, member, MemberState.LEFT, ref=ref, reason="Still found after the fix.")
        elif member.state is MemberState.APPLIED and (item is None or item.decision_id is None):
            await note_member(tx, member, MemberState.EXPLAINED, ref=ref)
        elif not is_open:
            await note_member(tx, member, MemberState.DECIDED, ref=ref)
        elif member.ref != ref or _values_of(shared, member) != member.values:
            values = _values_of(shared, member)
            await tx.incidents.put_member(member.model_copy(update={"ref": ref, "values": values}))


def _values_of(shared: Mapping[str, SharedFinding], member: IncidentMember) -> Values:
    found = shared.get(member.finding_id)
    return member.values if found is None else found.values


async def _join(
    tx: Transaction, checked: CheckedRevision, shared: SharedFinding, members: Iterable[IncidentMember]
) -> None:
    ref, rules = checked.revision.ref, checked.rules.shared_causes
    name = shared.finding.finding_id
    own = [member for member in members if member.finding_id == name]
    # Released by a person's word that it is none: it is asked about by itself, and never counted again.
    if any(member.state in LIVE_MEMBER_STATES or member.state is MemberState.RELEASED for member in own):
        return
    # A fix is not applied twice to what it has been applied to.
    fixed = {member.incident_id for member in own if member.state in (MemberState.LEFT, MemberState.EXPLAINED)}
    fitting = [
        incident
        for incident in await tx.incidents.live_of_cause(ref.project, shared.key)
        if incident.incident_id not in fixed
        and agrees(shared.values, incident.estimate, shared.rule.values, sigmas=rules.sigmas)
    ]
    if fitting:
        nearest = min(
            fitting,
            key=lambda incident: (
                distance(shared.values, incident.estimate, shared.rule.values),
                incident.opened_at,
                incident.incident_id,
            ),
        )
        await _add_member(tx, checked, nearest, shared)
        return
    await tx.incidents.put_candidate(CauseCandidate(ref, name, shared.values), shared.key)
    await _open(tx, checked, shared)


async def _open(tx: Transaction, checked: CheckedRevision, shared: SharedFinding) -> None:
    """Open an incident if enough samples have the finding's cause."""
    ref, rules = checked.revision.ref, checked.rules.shared_causes
    candidates = [
        item
        for item in await tx.incidents.candidates(ref.project, shared.key, limit=_CANDIDATES_COMPARED)
        if item.ref.sample_id != ref.sample_id
    ]
    places = agreeing(shared.values, [item.values for item in candidates], shared.rule.values, sigmas=rules.sigmas)
    others = [candidates[place] for place in places]
    if 1 + len({item.ref.sample_id for item in others}) < rules.min_samples:
        return
    now = await tx.now()
    joined = [CauseCandidate(ref, shared.finding.finding_id, shared.values), *others]
    estimate = combine([item.values for item in joined], shared.rule.values, sigmas=rules.sigmas, same=shared.same)
    incident = Incident(
        incident_id=uuid4(),
        project=ref.project,
        check=shared.finding.check,
        kind=shared.rule.kind,
        sources=shared.sources,
        state=IncidentState.OPEN,
        severity=shared.finding.severity,
        message=message_of(shared.rule.kind, shared.sources, estimate),
        estimate=estimate,
        axis=axis_of(estimate, shared.rule.values),
        suggestion=suggested(shared.rule, estimate, shared.finding, checked.revision.manifest),
        rule=checked.rules.reference,
        cause_key=shared.key,
        opened_at=now,
        updated_at=now,
    )
    await tx.incidents.put(incident)
    tx.audit.append(
        ref.project,
        actor=SYSTEM_ACTOR,
        action="incident.opened",
        subject=subject_of_incident(incident.incident_id),
        body={
            "check": incident.check,
            "kind": incident.kind,
            "sources": list(incident.sources),
            "samples": sorted({item.ref.sample_id for item in joined}),
        },
    )
    for item in joined:
        await _put_new(tx, incident, item.ref, item.finding_id, item.values, MemberState.WAITING)
    await _choose(tx, incident, rules, own=ref)
    # Those that were chosen wait too: their tasks become spot checks, the others' are taken back.
    for item in others:
        await wake(tx, item.ref, incident.incident_id)


async def _add_member(tx: Transaction, checked: CheckedRevision, incident: Incident, shared: SharedFinding) -> None:
    ref, rules, name = checked.revision.ref, checked.rules.shared_causes, shared.finding.finding_id
    fixing = incident.state is IncidentState.FIXING
    bounds = await tx.incidents.bounds(incident.incident_id)
    state = MemberState.ORDERED if fixing else MemberState.WAITING
    await _put_new(tx, incident, ref, name, shared.values, state)
    if fixing:
        return
    count = (await tx.incidents.counts(incident.incident_id)).progress.waiting
    if count <= _EACH_TIME_BELOW or count >= _GROWN * incident.estimate.samples:
        members = await tx.incidents.members(
            incident.incident_id, states=frozenset({MemberState.WAITING}), limit=_ALL_MEMBERS
        )
        estimate = combine(
            [member.values for member in members],
            shared.rule.values,
            sigmas=rules.sigmas,
            same=incident.estimate.same,
        )
        incident = incident.model_copy(
            update={
                "estimate": estimate,
                "message": message_of(incident.kind, incident.sources, estimate),
                "suggestion": suggested(shared.rule, estimate, shared.finding, checked.revision.manifest),
                "updated_at": await tx.now(),
            }
        )
        await tx.incidents.put(incident)
    position = position_of(shared.values, incident.axis)
    extreme = position is not None and (bounds is None or not bounds[0] <= position <= bounds[1])
    if extreme or count <= 2 * rules.spot_checks or count & (count - 1) == 0:
        await _choose(tx, incident, rules, own=ref)


async def _put_new(
    tx: Transaction, incident: Incident, ref: RevisionRef, name: str, values: Values, state: MemberState
) -> None:
    now = await tx.now()
    await tx.incidents.drop_candidate(ref, name)
    await tx.incidents.put_member(
        IncidentMember(
            incident_id=incident.incident_id,
            ref=ref,
            finding_id=name,
            state=state,
            position=position_of(values, incident.axis),
            values=tuple(values),
            joined_at=now,
            updated_at=now,
        )
    )
    tx.audit.append(
        ref.project,
        actor=SYSTEM_ACTOR,
        action="incident.joined",
        subject=subject_of(ref),
        body={"incident_id": str(incident.incident_id), "finding_id": name},
    )


async def _choose(tx: Transaction, incident: Incident, rules: IncidentRules, *, own: RevisionRef) -> None:
    """Choose the spot checks anew, and tell the samples for which that changes anything, the own one aside."""
    placed = await tx.incidents.placed(incident.incident_id)
    chosen = choose_spot_checks(
        [Candidate(item.ref.sample_id, item.finding_id, item.position, item.kept) for item in placed],
        rules.spot_checks,
        str(incident.incident_id),
    )
    for item in placed:
        is_chosen = (item.ref.sample_id, item.finding_id) in chosen
        if is_chosen is not item.spot_check:
            await tx.incidents.set_spot_check(incident.incident_id, item.ref, item.finding_id, spot_check=is_chosen)
            if item.ref != own:
                await wake(tx, item.ref, incident.incident_id)

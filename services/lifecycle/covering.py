"""What an incident means for one of its samples: what waits, what people are asked, and the fix that was ordered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from services.contracts.incidents import LIVE_MEMBER_STATES, Incident, IncidentMember, IncidentState, MemberState
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import SampleRevision
from services.contracts.review import JUDGING_KINDS, FindingState, ReviewTask, StoredFinding
from services.incidents.applying import apply_fix
from services.incidents.leaving import live_members
from services.incidents.telling import close_if_settled, note_member
from services.lifecycle.asking import ask_people
from services.lifecycle.steps import ProjectRules, cancel_task, is_live
from services.lifecycle.windows import is_held
from services.ports.database import Transaction

# The checks have not confirmed it yet; every other closed state is the end of the finding.
_UNSETTLED = frozenset({FindingState.OPEN, FindingState.FIXED})


@dataclass(slots=True)
class Covered:
    """What looking after a sample's memberships has led to.

    Attributes:
        changed: Whether the revision is no longer as it was: its labels, or its stage, have changed.
        look_again_in: Until somebody's lease ends who holds what the fix would take away; None where nobody does.
    """

    changed: bool = False
    look_again_in: timedelta | None = None


@dataclass(slots=True)
class _Case:
    """One sample's memberships, read under the locks."""

    tx: Transaction
    revision: SampleRevision
    project: ProjectRules
    members: tuple[tuple[IncidentMember, Incident], ...]
    findings: dict[str, StoredFinding]
    tasks: list[ReviewTask]
    decided: frozenset[str]
    now: datetime
    result: Covered = field(default_factory=Covered)

    def tasks_about(self, finding_id: str) -> list[ReviewTask]:
        return [task for task in self.tasks if finding_id in task.finding_ids]

    async def cancel(self, tasks: Iterable[ReviewTask], reason: str) -> None:
        """Cancel tasks that nobody holds; each is locked, so that nobody claims it meanwhile."""
        for seen in tuple(tasks):
            task = await self.tx.review.task(seen.task_id, lock=True)
            if task is not None and is_live(task) and not is_held(task, self.now):
                await cancel_task(self.tx, task, reason)
                self.tasks.remove(seen)


async def held_findings(tx: Transaction, ref: RevisionRef) -> frozenset[str]:
    """Return the ids of a revision's open findings that wait for an incident, and are asked of nobody."""
    waiting = {
        member.finding_id
        for member in await tx.incidents.members_of_sample(ref.project, ref.sample_id)
        if member.ref == ref and _waits(member)
    }
    if not waiting:
        return frozenset()
    return frozenset(
        item.finding.finding_id
        for item in await tx.review.findings(ref)
        if item.state is FindingState.OPEN and item.finding.finding_id in waiting
    )


async def spot_checks_of(tx: Transaction, ref: RevisionRef) -> frozenset[str]:
    """Return the ids of a revision's findings that are looked at for all samples of their incident."""
    members = await tx.incidents.members_of_sample(ref.project, ref.sample_id)
    return frozenset(member.finding_id for member in members if member.ref == ref and _is_spot_check(member))


async def cover(tx: Transaction, revision: SampleRevision, project: ProjectRules) -> Covered:
    """Bring a sample in line with the incidents that it is part of. Idempotent.

    Fixes that are ordered are applied; tasks about what waits for an incident are taken back, unless somebody holds
    them; spot checks, and what an incident has let go of, are asked of people.

    Args:
        tx: The transaction.
        revision: The revision, locked.
        project: Its project.
    """
    ref = revision.ref
    every = [m for m in await tx.incidents.members_of_sample(ref.project, ref.sample_id) if m.ref == ref]
    if not every:
        return Covered()
    members = await live_members(tx, ref)
    case = _Case(
        tx,
        revision,
        project,
        members,
        {item.finding.finding_id: item for item in await tx.review.findings(ref)},
        [task for task in await tx.review.tasks_of(ref) if is_live(task)],
        frozenset(name for decision in await tx.review.decisions(ref) for name in decision.finding_ids),
        await tx.now(),
    )
    replaced = False
    for member, incident in members:
        item = case.findings.get(member.finding_id)
        if item is None or item.state not in _UNSETTLED:
            await note_member(tx, member, MemberState.DECIDED)
        elif member.state is MemberState.ORDERED and item.state is FindingState.OPEN and not replaced:
            replaced = await _apply(case, member, incident, item)
    for incident_id in {incident.incident_id for _, incident in members}:
        await close_if_settled(tx, ref.project, incident_id)
    if not replaced:
        await _take_back(case)
        await _ask(case)
    return case.result


async def _apply(case: _Case, member: IncidentMember, incident: Incident, item: StoredFinding) -> bool:
    """Apply the ordered fix unless somebody is at work on the finding; return whether a new revision took over."""
    tasks = case.tasks_about(member.finding_id)
    if incident.state is not IncidentState.FIXING or incident.fix is None:
        return False
    await case.cancel(
        [task for task in tasks if task.kind in JUDGING_KINDS],
        f"The fix of incident {incident.incident_id} is applied to this sample.",
    )
    for task in case.tasks_about(member.finding_id):
        if task.lease_expires_at is not None and is_held(task, case.now):
            wait = max(task.lease_expires_at - case.now, timedelta(0))
            case.result.look_again_in = min(case.result.look_again_in or wait, wait)
        return False
    applied = await apply_fix(case.tx, case.revision, incident, incident.fix, member, item, case.project.config)
    case.result.changed = case.result.changed or applied.fits
    return applied.replaced


async def _take_back(case: _Case) -> None:
    for member, incident in case.members:
        if member.state is not MemberState.WAITING or member.spot_check or member.finding_id in case.decided:
            continue
        tasks = [
            task
            for task in case.tasks_about(member.finding_id)
            if task.kind in JUDGING_KINDS and task.origin_decision_id is None
        ]
        await case.cancel(tasks, f"The finding is part of incident {incident.incident_id}, and waits for its fix.")


async def _ask(case: _Case) -> None:
    """Ask about spot checks, and about what was asked together with what now waits, or was let go of."""
    ref = case.revision.ref
    last_run = await case.tx.samples.last_check_run(ref)
    if case.result.changed or last_run is None or last_run.label_version != case.revision.label_version:
        return  # the check that comes next asks about what it still finds
    asked = {name for task in case.tasks for name in task.finding_ids}
    held = await held_findings(case.tx, ref)
    open_findings = [
        item
        for name, item in sorted(case.findings.items())
        if item.state is FindingState.OPEN and name not in asked and name not in held and name not in case.decided
    ]
    if not open_findings:
        return
    await ask_people(
        case.tx,
        case.revision,
        case.project,
        open_findings,
        await case.tx.review.decisions(ref),
        folded=last_run.report.folded,
        spot_checks=await spot_checks_of(case.tx, ref),
    )


def _is_spot_check(member: IncidentMember) -> bool:
    return member.spot_check and member.state is MemberState.WAITING


def _waits(member: IncidentMember) -> bool:
    return member.state in LIVE_MEMBER_STATES and not _is_spot_check(member)

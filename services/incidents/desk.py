"""What operations do with incidents: look, preview a fix, order it, dismiss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.annotations import Annotations
from services.contracts.canonical import content_sha256
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport, Finding
from services.contracts.incidents import (
    Correction,
    DismissRequest,
    FixPreview,
    FixRequest,
    Incident,
    IncidentFix,
    IncidentMember,
    IncidentState,
    IncidentSummary,
    MemberState,
    SpotPreview,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest
from services.errors import CorrectionUnfitError, IncidentConflictError, InvalidInputError, NotFoundError
from services.incidents.corrections import apply_correction, is_met
from services.incidents.telling import subject_of_incident, wake
from services.ports.checks import CheckRunner
from services.ports.database import Database, Transaction
from services.projects.registry import rules_of
from services.review.answers import consensus_left
from services.rules.rule_set import RuleSet

_ALL_MEMBERS = 1_000_000
_WAITING = frozenset({MemberState.WAITING})


@dataclass(frozen=True, slots=True)
class _Trial:
    """A spot check on which a correction is tried."""

    ref: RevisionRef
    finding: Finding
    manifest: SampleManifest
    annotations: Annotations
    consensus: Consensus | None
    before: int


class IncidentDesk:
    """Lists, previews, fixes and dismisses incidents.

    Each method raises NotFoundError for a project that does not exist, one the key does not see, and an incident that
    is not there, alike.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        principal: Principal,
        project: str,
        *,
        state: IncidentState | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[IncidentSummary, ...]:
        """Return incidents, newest first, after the cursor."""
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project)
            found = await tx.incidents.list(project, state=state, after=after, limit=limit)
            return tuple([await _summary(tx, incident) for incident in found])

    async def get(self, principal: Principal, project: str, incident_id: UUID) -> IncidentSummary:
        """Return an incident with how far it is."""
        async with self._database.transaction() as tx:
            return await _summary(tx, await _seen(tx, principal, project, incident_id))

    async def members(
        self,
        principal: Principal,
        project: str,
        incident_id: UUID,
        *,
        state: MemberState | None,
        spot_checks: bool,
        after: tuple[str, str] | None,
        limit: int,
    ) -> tuple[IncidentMember, ...]:
        """Return the findings of an incident by (sample id, finding id) after the cursor."""
        async with self._database.transaction() as tx:
            await _seen(tx, principal, project, incident_id)
            states = None if state is None else frozenset({state})
            return await tx.incidents.members(
                incident_id, states=states, spot_checks=spot_checks, after=after, limit=limit
            )

    async def preview(
        self,
        principal: Principal,
        project: str,
        incident_id: UUID,
        given: FixRequest,
        runner: CheckRunner,
    ) -> FixPreview:
        """Try a correction on the spot checks, reckon it for all members, and keep what came of it.

        Nothing is changed in any sample: the checks run over corrected copies, outside of any transaction.

        Args:
            principal: Who asks.
            project: The project.
            incident_id: The incident.
            given: The correction, or none for the incident's own.
            runner: Runs the checks.

        Raises:
            IncidentConflictError: The incident is no longer open.
            InvalidInputError: The incident suggests nothing, and nothing was given.
            UnavailableError: The checks can not be run now.
        """
        async with self._database.transaction() as tx:
            incident = await _seen(tx, principal, project, incident_id)
            _ensure_open(incident)
            correction = _correction_of(given, incident)
            rules = await rules_of(tx, project)
            members = await tx.incidents.members(incident_id, states=_WAITING, limit=_ALL_MEMBERS)
            trials = await _trials(tx, members, rules)
        tried = [await _try(trial, correction, rules, runner) for trial in trials]
        explained = sum(spot.explained for spot in tried)
        asked = rules.shared_causes.min_explained * len(tried)
        async with self._database.transaction() as tx:
            preview = FixPreview(
                incident_id=incident_id,
                correction=correction,
                correction_sha256=content_sha256(correction),
                spot_checks=tuple(tried),
                explained=explained,
                reckoned=_reckoned(incident, correction, members, rules),
                members=len(members),
                sufficient=bool(tried) and explained >= max(asked, 1),
                made_at=await tx.now(),
            )
            await tx.incidents.put_preview(preview)
            tx.audit.append(
                project,
                actor=principal.actor_id,
                action="incident.previewed",
                subject=subject_of_incident(incident_id),
                body={
                    "correction_sha256": preview.correction_sha256,
                    "explained": explained,
                    "spot_checks": len(tried),
                    "reckoned": preview.reckoned,
                },
            )
        return preview

    async def fix(self, principal: Principal, project: str, incident_id: UUID, given: FixRequest) -> IncidentSummary:
        """Order the fix of an incident; each sample applies it in its own workflow, and is checked again.

        The same fix again answers how far it is.

        Raises:
            IncidentConflictError: The incident is not open, the correction was not previewed, or its preview explains
                less than the rule set asks for and ``override`` is not set.
            InvalidInputError: The incident suggests nothing, and nothing was given.
        """
        async with self._database.transaction() as tx:
            incident = await _locked(tx, principal, project, incident_id)
            correction = _correction_of(given, incident)
            digest = content_sha256(correction)
            if incident.fix is not None and incident.fix.correction_sha256 == digest:
                return await _summary(tx, incident)
            _ensure_open(incident)
            preview = await tx.incidents.preview(incident_id, digest)
            if preview is None:
                raise IncidentConflictError(
                    "This correction was not previewed: send the same with dry_run true first, and look at what it "
                    "explains."
                )
            if not preview.sufficient and not given.override:
                raise IncidentConflictError(
                    f"The correction explains {preview.explained} of {len(preview.spot_checks)} spot checks, which is "
                    "less than the rule set asks for; correct it, or set override.",
                    facts={"explained": preview.explained, "spot_checks": len(preview.spot_checks)},
                )
            now = await tx.now()
            fix = IncidentFix(
                fix_id=uuid4(),
                incident_id=incident_id,
                correction=correction,
                correction_sha256=digest,
                ordered_by=principal.actor_id,
                ordered_at=now,
                note=given.note,
                preview=preview,
            )
            await tx.incidents.put(
                incident.model_copy(update={"state": IncidentState.FIXING, "fix": fix, "updated_at": now})
            )
            members = await tx.incidents.members(incident_id, states=_WAITING, limit=_ALL_MEMBERS)
            await tx.incidents.change_state(incident_id, MemberState.WAITING, MemberState.ORDERED)
            await _wake_all(tx, members)
            tx.audit.append(
                project,
                actor=principal.actor_id,
                action="incident.fix_ordered",
                subject=subject_of_incident(incident_id),
                body={
                    "fix_id": str(fix.fix_id),
                    "correction": correction.model_dump(mode="json", exclude_none=True),
                    "correction_sha256": digest,
                    "explained": preview.explained,
                    "spot_checks": len(preview.spot_checks),
                    "override": given.override,
                    "members": len(members),
                    "note": given.note,
                },
            )
            return await _summary(tx, await _seen(tx, principal, project, incident_id))

    async def dismiss(
        self, principal: Principal, project: str, incident_id: UUID, given: DismissRequest
    ) -> IncidentSummary:
        """Say that an incident is none: each of its findings goes back to people; again changes nothing.

        Raises:
            IncidentConflictError: A fix was ordered, or the incident is closed.
        """
        async with self._database.transaction() as tx:
            incident = await _locked(tx, principal, project, incident_id)
            if incident.state is IncidentState.DISMISSED:
                return await _summary(tx, incident)
            _ensure_open(incident)
            now = await tx.now()
            members = await tx.incidents.members(incident_id, states=_WAITING, limit=_ALL_MEMBERS)
            await tx.incidents.change_state(incident_id, MemberState.WAITING, MemberState.RELEASED)
            await tx.incidents.put(
                incident.model_copy(
                    update={
                        "state": IncidentState.DISMISSED,
                        "closed_at": now,
                        "closed_by": principal.actor_id,
                        "reason_code": given.reason_code,
                        "note": given.note,
                        "updated_at": now,
                    }
                )
            )
            await _wake_all(tx, members)
            tx.audit.append(
                project,
                actor=principal.actor_id,
                action="incident.dismissed",
                subject=subject_of_incident(incident_id),
                body={"reason_code": given.reason_code, "released": len(members)},
                personal={"note": given.note},
            )
            return await _summary(tx, await _seen(tx, principal, project, incident_id))


async def _ensure_project(tx: Transaction, principal: Principal, project: str) -> None:
    ensure_sees(principal, project)
    if await tx.projects.get(project) is None:
        raise project_not_found(project)


async def _seen(tx: Transaction, principal: Principal, project: str, incident_id: UUID) -> Incident:
    await _ensure_project(tx, principal, project)
    incident = await tx.incidents.get(project, incident_id)
    if incident is None:
        raise NotFoundError(f"There is no incident {incident_id} in project {project!r}.")
    return incident


async def _locked(tx: Transaction, principal: Principal, project: str, incident_id: UUID) -> Incident:
    incident = await _seen(tx, principal, project, incident_id)
    await tx.incidents.lock_causes(project, (incident.cause_key,))
    return await _seen(tx, principal, project, incident_id)


def _ensure_open(incident: Incident) -> None:
    if incident.state is not IncidentState.OPEN:
        raise IncidentConflictError(
            f"The incident is {incident.state}; only an open one is previewed, fixed or dismissed.",
            facts={"state": incident.state.value},
        )


def _correction_of(given: FixRequest, incident: Incident) -> Correction:
    correction = given.correction or incident.suggestion
    if correction is None:
        sentence = "is needed: this incident suggests none by itself"
        raise InvalidInputError(f"/correction {sentence}", places=(("/correction", sentence),))
    return correction


async def _summary(tx: Transaction, incident: Incident) -> IncidentSummary:
    counts = await tx.incidents.counts(incident.incident_id)
    fixed = counts.progress.checked_again + counts.progress.ordered + counts.progress.applied
    return IncidentSummary(
        incident=incident,
        samples=counts.samples,
        spot_checks=counts.spot_checks,
        progress=counts.progress,
        share_checked=counts.progress.checked_again / fixed if incident.fix is not None and fixed else None,
    )


async def _wake_all(tx: Transaction, members: Sequence[IncidentMember]) -> None:
    for ref, incident_id in dict.fromkeys((member.ref, member.incident_id) for member in members):
        await wake(tx, ref, incident_id)


async def _trials(tx: Transaction, members: Sequence[IncidentMember], rules: RuleSet) -> list[_Trial]:
    """Return the spot checks that wait; where people have decided all of them, as many other members."""
    chosen = [member for member in members if member.spot_check] or list(members[: rules.shared_causes.spot_checks])
    trials = []
    for member in chosen:
        revision = await tx.samples.get(member.ref)
        labels = await tx.samples.label_set(member.ref)
        run = await tx.samples.last_check_run(member.ref)
        stored = {item.finding.finding_id: item.finding for item in await tx.review.findings(member.ref)}
        if revision is not None and run is not None and member.finding_id in stored:
            trials.append(
                _Trial(
                    ref=member.ref,
                    finding=stored[member.finding_id],
                    manifest=revision.manifest,
                    annotations=labels.annotations if labels is not None else (),
                    consensus=await consensus_left(tx, member.ref),
                    before=_blocking(run.report, rules),
                )
            )
    return trials


async def _try(trial: _Trial, correction: Correction, rules: RuleSet, runner: CheckRunner) -> SpotPreview:
    measured = trial.finding.measured
    told = {
        "ref": trial.ref,
        "finding_id": trial.finding.finding_id,
        "measured_before": None if measured is None else measured.value,
        "unit": None if measured is None else measured.unit,
        "findings_before": trial.before,
    }
    try:
        corrected = apply_correction(correction, trial.finding, trial.manifest, trial.annotations)
    except CorrectionUnfitError as error:
        return SpotPreview(**told, explained=False, findings_after=trial.before, reason=error.detail)
    report = await runner.run(corrected.manifest, corrected.annotations, rules, trial.consensus)
    left = next((one for one in report.findings if one.finding_id == trial.finding.finding_id), None)
    after = _blocking(report, rules)
    return SpotPreview(
        **told,
        # What is gone must not have made way for another.
        explained=left is None and after < trial.before,
        measured_after=left.measured.value if left is not None and left.measured is not None else None,
        findings_after=after,
    )


def _blocking(report: CheckReport, rules: RuleSet) -> int:
    return sum(rules.blocks(finding) for finding in report.findings)


def _reckoned(incident: Incident, correction: Correction, members: Sequence[IncidentMember], rules: RuleSet) -> int:
    causes = rules.shared_causes
    rule = causes.shared(incident.check, incident.kind)
    if rule is None:
        return 0
    return sum(is_met(correction, member.values, rule, sigmas=causes.sigmas) is True for member in members)

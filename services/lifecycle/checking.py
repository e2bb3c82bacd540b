"""Run the cross-modal checks over the newest labels, and ask people where they disagree."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from uuid import UUID, uuid4

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.annotations import Annotations
from services.contracts.findings import CheckReport
from services.contracts.lifecycle import FINAL_STAGES, NextStep, RevisionRef, Stage, StepResult
from services.contracts.records import CheckRun, LabelSet, SampleRevision
from services.contracts.review import Decision, FindingState, StoredFinding, TaskKind
from services.incidents.ledger import CheckedRevision, note_findings
from services.lifecycle.answers import are_open
from services.lifecycle.asking import ask_people
from services.lifecycle.covering import held_findings, spot_checks_of
from services.lifecycle.earlier import read_closings
from services.lifecycle.journal import move, subject_of
from services.lifecycle.merge import merge_findings
from services.lifecycle.plan import plan_review
from services.lifecycle.settle import read_facts, settle, step_result
from services.lifecycle.steps import (
    ProjectRules,
    is_live,
    lock_revision,
    read_project_rules,
    read_revision,
)
from services.ports.checks import CheckRunner
from services.ports.database import Database, Transaction
from services.quality.learner import learn_when_due
from services.review.answers import consensus_left
from services.review.earlier import ClosedBefore, Content, still_closed
from services.taxonomy.carriers import Carriers, with_taxonomy
from services.taxonomy.migrating import Carrier, uses_of

_WAY_TO_CHECKING: Mapping[Stage, tuple[Stage, ...]] = {
    Stage.RECEIVED: (Stage.PRE_LABELING, Stage.CHECKING),
    # Labels that arrive between acceptance and commit are checked by way of a review.
    Stage.ACCEPTED: (Stage.IN_REVIEW, Stage.CHECKING),
    Stage.CHECKING: (),
}


async def check_alignment(
    database: Database, runner: CheckRunner, ref: RevisionRef, carriers: Carriers | None = None
) -> StepResult:
    """Check a revision's newest labels, keep what was found, open review tasks, and move the stage.

    Labels of an earlier version of the project's taxonomy are carried over first, as far as its steps decide.

    Idempotent: the checks run outside any lock; what they found is kept in one transaction, which first asks again
    whether the revision still is to be checked at this label version. A second call after that transaction finds
    that it is not, and answers what the state says.

    Args:
        database: The store of record.
        runner: Where the checks run.
        ref: The revision.
        carriers: Keeps prepared taxonomies from one call to the next.

    Raises:
        NotFoundError: There is no such revision.
    """
    carriers = carriers or Carriers()
    async with database.transaction() as tx:
        revision = await read_revision(tx, ref)
        project = await read_project_rules(tx, ref.project)
        carrier = await carriers.of(tx, project.config.taxonomy)
        wanted = plan_review(await read_facts(tx, revision, project)).next_step is NextStep.CHECK
        # Several answers are joined first, under the lock; what comes of it is checked next.
        wanted = wanted and not (revision.stage is Stage.ANNOTATING and await are_open(tx, revision))
        labels = await tx.samples.label_set(ref) if wanted else None
        consensus = await consensus_left(tx, ref) if wanted else None
    if wanted and carrier is not None and labels is not None:
        labels = await _carry_over(database, revision, labels, carrier)
    if not wanted:
        async with database.transaction() as tx:
            return await settle(tx, await lock_revision(tx, ref))
    if consensus is not None:
        await learn_when_due(database, ref.project)
    annotations = labels.annotations if labels is not None else ()
    started = time.perf_counter()
    report = await runner.run(revision.manifest, annotations, with_taxonomy(project.rules, carrier), consensus)
    checked = _Checked(labels, project, carrier, report, seconds=time.perf_counter() - started)
    async with database.transaction() as tx:
        return await _keep(tx, await lock_revision(tx, ref), checked)


@dataclass(frozen=True, slots=True)
class _Checked:
    """A run of the checks that is not kept yet."""

    labels: LabelSet | None
    project: ProjectRules
    carrier: Carrier | None
    report: CheckReport
    seconds: float

    @property
    def annotations(self) -> Annotations:
        return self.labels.annotations if self.labels is not None else ()

    @property
    def label_version(self) -> int:
        return 0 if self.labels is None else self.labels.version


async def _carry_over(database: Database, revision: SampleRevision, labels: LabelSet, carrier: Carrier) -> LabelSet:
    """Return the labels as the project's taxonomy calls them; the same set where that changes nothing.

    Kept as a version of its own. Where somebody else has changed the labels meanwhile nothing is kept, and the check
    of these finds that they are no longer the newest.
    """
    plan = carrier.plan(uses_of(revision.manifest, labels.annotations))
    if not carrier.carries(plan):
        return labels
    ref = revision.ref
    async with database.transaction() as tx:
        newest = await lock_revision(tx, ref)
        if newest.label_version != labels.version or newest.stage in FINAL_STAGES:
            return labels
        made = await tx.samples.add_label_set(
            ref,
            carrier.carried(labels.annotations, plan),
            origin="migration",
            author=labels.author,
        )
        tx.audit.append(
            ref.project,
            actor=SYSTEM_ACTOR,
            action="labels.carried_over",
            subject=subject_of(ref),
            body={"taxonomy": carrier.target.reference, "label_version": made.version},
        )
    return made


async def _keep(tx: Transaction, revision: SampleRevision, checked: _Checked) -> StepResult:
    project = await read_project_rules(tx, revision.ref.project)
    facts = await read_facts(tx, revision, project)
    # Other rules whose moment has come are activated by the next call, which then checks by them.
    overdue = await tx.rule_changes.next_due(revision.ref.project) is not None
    moved_on = (
        overdue
        or revision.label_version != checked.label_version
        or project.rules != checked.project.rules
        or project.config.taxonomy != checked.project.config.taxonomy
    )
    if moved_on or plan_review(facts).next_step is not NextStep.CHECK:
        return await settle(tx, revision)
    await _add_run(tx, revision, checked)
    findings = await _merge(tx, revision, checked, facts.decisions)
    author = checked.labels.author if checked.labels is not None else None
    await note_findings(
        tx, CheckedRevision(revision, checked.annotations, author, findings, facts.decisions, project.rules)
    )
    held = await held_findings(tx, revision.ref)
    way = _WAY_TO_CHECKING.get(revision.stage, (Stage.CHECKING,))
    kinds = await _ask(tx, revision, checked, findings, facts.decisions, held)
    if not kinds and not held:
        after, next_step = Stage.ACCEPTED, NextStep.COMMIT
    elif TaskKind.REVIEW in kinds or not kinds:
        after, next_step = Stage.IN_REVIEW, NextStep.WAIT
    else:
        after, next_step = Stage.ADJUDICATING, NextStep.WAIT
    stage = await move(tx, revision, *way, after, actor=SYSTEM_ACTOR)
    if held:
        # What waits may have its fix ordered already.
        return await settle(tx, await lock_revision(tx, revision.ref))
    return await step_result(tx, revision, stage, next_step, project)


async def _add_run(tx: Transaction, revision: SampleRevision, checked: _Checked) -> None:
    rules, report = checked.project.rules, checked.report
    run = CheckRun(
        run_id=uuid4(),
        ref=revision.ref,
        label_version=checked.label_version,
        rule=rules.reference,
        rule_sha256=rules.sha256,
        report=report,
        seconds=checked.seconds,
        created_at=await tx.now(),
        taxonomy=checked.project.config.taxonomy,
    )
    await tx.samples.add_check_run(run)
    tx.audit.append(
        revision.ref.project,
        actor=SYSTEM_ACTOR,
        action="checks.run",
        subject=subject_of(revision.ref),
        body={
            "run_id": str(run.run_id),
            "label_version": run.label_version,
            "rule_sha256": run.rule_sha256,
            "findings": len(report.findings),
            "folded": len(report.folded),
            "not_applicable": len(report.not_applicable),
        },
    )


async def _merge(
    tx: Transaction, revision: SampleRevision, checked: _Checked, decisions: tuple[Decision, ...]
) -> tuple[StoredFinding, ...]:
    ref = revision.ref
    stored = await tx.review.findings(ref)
    known = {item.finding.finding_id: item for item in stored}
    kept = await _closed_before(tx, revision, checked, known)
    merged = merge_findings(
        stored,
        checked.report,
        ref=ref,
        rules=checked.project.rules,
        annotations=checked.annotations,
        label_version=checked.label_version,
        now=await tx.now(),
        decision_of_version=_decision_of_version(decisions),
        closed_before=kept,
    )
    for item in merged:
        if known.get(item.finding.finding_id) != item:
            await tx.review.put_finding(item)
    _tell_kept(tx, ref, [item for item in merged if item.finding.finding_id not in known])
    return merged


async def _closed_before(
    tx: Transaction, revision: SampleRevision, checked: _Checked, known: Mapping[str, StoredFinding]
) -> dict[str, ClosedBefore]:
    """Return what people have closed already: in earlier revisions, and under the names that classes had before."""
    ref, labels = revision.ref, checked.labels
    unknown = any(finding.finding_id not in known for finding in checked.report.findings)
    closings = await read_closings(tx, ref) if unknown else ()
    renamed = labels is not None and labels.origin == "migration" and bool(known)
    before = await tx.samples.label_set(ref, labels.version - 1) if labels is not None and renamed else None
    if not closings and before is None:
        return {}
    now = Content(revision.manifest, await tx.samples.assets(ref), checked.annotations)
    return still_closed(
        checked.report,
        known.values(),
        now,
        closings,
        risk=revision.risk,
        rules=checked.project.rules,
        carrier=checked.carrier,
        before=None if before is None else replace(now, annotations=before.annotations),
    )


def _tell_kept(tx: Transaction, ref: RevisionRef, items: Iterable[StoredFinding]) -> None:
    """Note what was not asked about because people had closed it in an earlier revision, decision by decision."""
    kept: dict[tuple[int, str], list[str]] = defaultdict(list)
    for item in items:
        if item.decision_revision is not None:
            kept[item.decision_revision, str(item.decision_id)].append(item.finding.finding_id)
    for (revision, decision_id), finding_ids in sorted(kept.items()):
        tx.audit.append(
            ref.project,
            actor=SYSTEM_ACTOR,
            action="findings.kept_closed",
            subject=subject_of(ref),
            body={"decision_id": decision_id, "revision": revision, "finding_ids": finding_ids},
        )


def _decision_of_version(decisions: tuple[Decision, ...]) -> dict[int, UUID]:
    return {
        decision.label_version_after: decision.decision_id
        for decision in decisions
        if decision.label_version_after != decision.label_version_before
    }


async def _ask(
    tx: Transaction,
    revision: SampleRevision,
    checked: _Checked,
    findings: tuple[StoredFinding, ...],
    decisions: tuple[Decision, ...],
    held: frozenset[str],
) -> frozenset[TaskKind]:
    """Open tasks for open findings that wait for no incident; return the kinds of all tasks that are open then."""
    ref = revision.ref
    live = [task for task in await tx.review.tasks_of(ref) if is_live(task)]
    covered = held.union(*(task.finding_ids for task in live))
    asked = [item for item in findings if item.state is FindingState.OPEN and item.finding.finding_id not in covered]
    opened = await ask_people(
        tx,
        revision,
        checked.project,
        asked,
        decisions,
        folded=checked.report.folded,
        spot_checks=await spot_checks_of(tx, ref),
    )
    return opened | {task.kind for task in live}

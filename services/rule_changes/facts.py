"""What is known of a sample whose rules change, and whether it is checked again when they do."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.contracts.annotations import Annotations
from services.contracts.consensus import Consensus
from services.contracts.incidents import LIVE_MEMBER_STATES
from services.contracts.lifecycle import FINAL_STAGES, NextStep, RevisionRef, Stage
from services.contracts.records import AssetRecord, CheckRun, LabelSet, SampleRevision
from services.contracts.review import JUDGING_KINDS, Decision, ReviewTask, StoredFinding, TaskState
from services.lifecycle.earlier import read_closings
from services.lifecycle.plan import ReviewFacts, plan_review
from services.lifecycle.steps import is_live, read_revision
from services.lifecycle.windows import is_held
from services.ports.database import Transaction
from services.review.answers import consensus_left
from services.review.earlier import Closing
from services.rules.rule_set import RuleSet

IN_REVIEW = (Stage.IN_REVIEW, Stage.ADJUDICATING)
TRIED_STAGES = (*IN_REVIEW, Stage.COMMITTED)


@dataclass(frozen=True, slots=True)
class OpenSample:
    """What decides whether a sample revision is checked again when its rules change.

    Attributes:
        revision: The revision.
        run: Its newest check run.
        tasks: All tasks, oldest first.
        decisions: All decisions, oldest first.
        shares_cause: Whether it is part of an incident that is not settled.
        now: The moment of the facts.
    """

    revision: SampleRevision
    run: CheckRun | None
    tasks: tuple[ReviewTask, ...]
    decisions: tuple[Decision, ...]
    shares_cause: bool
    now: datetime

    @property
    def live_tasks(self) -> tuple[ReviewTask, ...]:
        """The tasks that wait for an answer."""
        return tuple(task for task in self.tasks if is_live(task))

    def is_rechecked(self, rules: RuleSet) -> bool:
        """Whether the sample is checked again at once when its project goes by these rules.

        Only what waits for people whom the checks have sent there, and of whom nobody is at work: its tasks are taken
        back, and nothing but the check may follow from that. What else is open is checked when its tasks are done.
        """
        return self.run is not None and self.run.rule_sha256 != rules.sha256 and self.may_be_rechecked(rules)

    def may_be_rechecked(self, rules: RuleSet) -> bool:
        """Whether its tasks can be taken back so that it is checked again, by these rules."""
        tasks, run = self.live_tasks, self.run
        if self.revision.stage not in IN_REVIEW or self.shares_cause or not tasks or run is None:
            return False
        if not all(_may_be_taken_back(task, self.now) for task in tasks):
            return False
        without = tuple(
            task.model_copy(update={"state": TaskState.CANCELLED}) if is_live(task) else task for task in self.tasks
        )
        if run.label_version != self.revision.label_version:
            return False
        plan = plan_review(ReviewFacts(self.revision, rules, without, self.decisions, run.label_version))
        return plan.next_step is NextStep.CHECK


@dataclass(frozen=True, slots=True)
class SampleFacts:
    """A sample revision with all that its checks and its people have said.

    Attributes:
        revision: The revision.
        label_sets: All versions of its labels and all predictions, in order.
        runs: All check runs, oldest first.
        findings: All findings.
        tasks: All tasks, oldest first.
        decisions: All decisions, oldest first.
        consensus: What several answers said together.
        closings: What people closed in earlier revisions.
        assets: As they were read; none where nothing was closed before.
        shares_cause: Whether it is part of an incident that is not settled.
        now: The moment of the facts.
    """

    revision: SampleRevision
    label_sets: tuple[LabelSet, ...]
    runs: tuple[CheckRun, ...]
    findings: tuple[StoredFinding, ...]
    tasks: tuple[ReviewTask, ...]
    decisions: tuple[Decision, ...]
    consensus: Consensus | None
    closings: tuple[Closing, ...]
    assets: tuple[AssetRecord, ...]
    shares_cause: bool
    now: datetime

    @property
    def ended(self) -> bool:
        """Whether its lifecycle is over."""
        return self.revision.stage in FINAL_STAGES

    @property
    def first_runs(self) -> tuple[CheckRun, ...]:
        """The check runs on the labels as they first came to the checks, oldest first."""
        return tuple(run for run in self.runs if run.label_version == self.runs[0].label_version)

    @property
    def live_tasks(self) -> tuple[ReviewTask, ...]:
        """The tasks that wait for an answer."""
        return tuple(task for task in self.tasks if is_live(task))

    def labels_of(self, version: int) -> Annotations:
        """Return a version of the labels; none before the first."""
        found = (labels for labels in self.label_sets if labels.version == version and labels.origin != "prediction")
        return next((labels.annotations for labels in found), ())

    def label_sets_until(self, version: int) -> tuple[LabelSet, ...]:
        """Return the labels and predictions that there were when a version was checked."""
        return tuple(labels for labels in self.label_sets if labels.version <= version)

    def is_rechecked(self, rules: RuleSet) -> bool:
        """Whether the sample is checked again at once when its project goes by these rules."""
        run = self.runs[-1] if self.runs else None
        return OpenSample(self.revision, run, self.tasks, self.decisions, self.shares_cause, self.now).is_rechecked(
            rules
        )


def _may_be_taken_back(task: ReviewTask, now: datetime) -> bool:
    handled = task.on_hold or task.assignee is not None or task.origin_decision_id is not None
    return task.kind in JUDGING_KINDS and not handled and not is_held(task, now)


async def read_open_sample(tx: Transaction, revision: SampleRevision, tasks: tuple[ReviewTask, ...]) -> OpenSample:
    """Read what decides whether a revision is checked again, with its tasks as they were read before."""
    ref = revision.ref
    return OpenSample(
        revision=revision,
        run=await tx.samples.last_check_run(ref),
        tasks=tasks,
        decisions=await tx.review.decisions(ref),
        shares_cause=await _shares_cause(tx, ref),
        now=await tx.now(),
    )


async def _shares_cause(tx: Transaction, ref: RevisionRef) -> bool:
    members = await tx.incidents.members_of_sample(ref.project, ref.sample_id)
    return any(member.ref == ref and member.state in LIVE_MEMBER_STATES for member in members)


async def read_facts_of(tx: Transaction, ref: RevisionRef) -> SampleFacts:
    """Read what is known of a sample revision.

    Raises:
        NotFoundError: There is no such revision.
    """
    closings = await read_closings(tx, ref)
    return SampleFacts(
        revision=await read_revision(tx, ref),
        label_sets=await tx.samples.label_sets(ref),
        runs=await tx.samples.check_runs(ref),
        findings=await tx.review.findings(ref),
        tasks=await tx.review.tasks_of(ref),
        decisions=await tx.review.decisions(ref),
        consensus=await consensus_left(tx, ref),
        closings=closings,
        assets=await tx.samples.assets(ref) if closings else (),
        shares_cause=await _shares_cause(tx, ref),
        now=await tx.now(),
    )

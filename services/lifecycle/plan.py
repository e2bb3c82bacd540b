"""What happens next to a sample under review, derived from stored facts alone. A pure function."""

from __future__ import annotations

from dataclasses import dataclass

from services.contracts.escalation import TaskCause
from services.contracts.lifecycle import FINAL_STAGES, LEGAL_TRANSITIONS, NextStep, Stage
from services.contracts.records import SampleRevision
from services.contracts.review import Decision, ReviewTask, TaskKind, Verdict
from services.lifecycle.steps import is_live
from services.review.escalation import escalation_after
from services.review.overlap import handed_over
from services.review.routing import follow_up_kind
from services.rules.rule_set import RuleSet

_STAGE_OF = {
    TaskKind.ANNOTATE: Stage.ANNOTATING,
    TaskKind.REVIEW: Stage.IN_REVIEW,
    TaskKind.ADJUDICATE: Stage.ADJUDICATING,
    TaskKind.REWORK: Stage.REWORK,
}
# A sample with several open tasks is at the first of these stages that has one.
_PRECEDENCE = (TaskKind.ANNOTATE, TaskKind.REVIEW, TaskKind.ADJUDICATE, TaskKind.REWORK)


@dataclass(frozen=True, slots=True)
class ReviewFacts:
    """What the next step follows from.

    Attributes:
        revision: The revision, locked.
        rules: The project's rule set.
        tasks: All its tasks, oldest first.
        decisions: All its decisions, oldest first.
        checked_version: The label version of the newest check run; None before the first.
        waits_for_incident: Whether an open finding waits for the fix of an incident, and nobody is asked about it.
        taxonomy_changed: Whether the project names another taxonomy than at the newest check run.
    """

    revision: SampleRevision
    rules: RuleSet
    tasks: tuple[ReviewTask, ...]
    decisions: tuple[Decision, ...]
    checked_version: int | None
    waits_for_incident: bool = False
    taxonomy_changed: bool = False


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A decision that must be followed by a task of a kind, and why if that is an adjudication."""

    decision: Decision
    kind: TaskKind
    cause: TaskCause | None = None


@dataclass(frozen=True, slots=True)
class ReviewPlan:
    """What to do, in this order: cancel, open, move; and what the workflow does then."""

    next_step: NextStep
    cancel: tuple[ReviewTask, ...] = ()
    cancel_reason: str = ""
    open: tuple[FollowUp, ...] = ()
    path: tuple[Stage, ...] = ()
    open_tasks: int = 0


def plan_review(facts: ReviewFacts) -> ReviewPlan:
    """Return what follows from the facts; applied, the same facts ask for nothing more.

    - A discarded sample is rejected and its other tasks are cancelled.
    - Every decision that needs one gets its follow-up task, once.
    - While a task is open the sample waits; when none is, it is checked.
    - What was accepted under another taxonomy is checked again.
    - A sample that was checked and waits for an incident waits on.
    """
    revision = facts.revision
    if revision.stage in FINAL_STAGES:
        return ReviewPlan(NextStep.STOP)
    checked = facts.checked_version == revision.label_version and not facts.taxonomy_changed
    if revision.stage is Stage.ACCEPTED and checked:
        return ReviewPlan(NextStep.COMMIT)
    live = [task for task in facts.tasks if is_live(task)]
    if any(decision.verdict is Verdict.DISCARD for decision in facts.decisions):
        return ReviewPlan(NextStep.STOP, tuple(live), "The sample was discarded.", path=(Stage.REJECTED,))
    follow_ups = _follow_ups(facts)
    kinds = {task.kind for task in live} | {follow_up.kind for follow_up in follow_ups}
    waits = [kind for kind in _PRECEDENCE if kind in kinds]
    if not waits and facts.waits_for_incident and facts.checked_version == revision.label_version:
        return ReviewPlan(NextStep.WAIT, path=_path(revision.stage, Stage.IN_REVIEW))
    return ReviewPlan(
        next_step=_next_step(waits),
        open=follow_ups,
        path=_path(revision.stage, _STAGE_OF[waits[0]]) if waits else (),
        open_tasks=len(live) + len(follow_ups),
    )


def _next_step(waits: list[TaskKind]) -> NextStep:
    if not waits:
        return NextStep.CHECK
    return NextStep.ANNOTATE if waits[0] is TaskKind.ANNOTATE else NextStep.WAIT


def _follow_ups(facts: ReviewFacts) -> tuple[FollowUp, ...]:
    opened = {(task.origin_decision_id, task.kind) for task in facts.tasks}
    risk, rules = facts.revision.risk, facts.rules
    escalations = handed_over(facts.decisions)
    asked = any((decision.decision_id, TaskKind.ADJUDICATE) in opened for decision in escalations)
    labelled = any(task.kind is TaskKind.ANNOTATE and is_live(task) for task in facts.tasks)
    # One expert for the sample, whoever of several annotators asked for one, and not before the last of them is done:
    # what they say is what the expert decides from.
    held_back = {decision.decision_id for decision in escalations[0 if asked or labelled else 1 :]}
    needed = (
        FollowUp(decision, kind, escalation_after(decision, risk, rules) if kind is TaskKind.ADJUDICATE else None)
        for decision in facts.decisions
        if (kind := follow_up_kind(decision, risk, rules)) is not None
    )
    return tuple(
        item
        for item in needed
        if (item.decision.decision_id, item.kind) not in opened and item.decision.decision_id not in held_back
    )


def _path(now: Stage, wanted: Stage) -> tuple[Stage, ...]:
    """Return the way to ``wanted``; by way of checking where the lifecycle knows no straight one."""
    if now == wanted:
        return ()
    if wanted in LEGAL_TRANSITIONS[now]:
        return (wanted,)
    return (Stage.CHECKING, wanted)

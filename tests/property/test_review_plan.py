"""The next step of a sample, from stored facts alone: applied, the same facts ask for nothing more."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.contracts.lifecycle import FINAL_STAGES, LEGAL_TRANSITIONS, NextStep, Stage
from services.contracts.manifest import Risk
from services.contracts.review import VERDICTS_OF, ReviewTask, TaskKind, TaskState, Verdict
from services.lifecycle.plan import ReviewFacts, ReviewPlan, plan_review
from services.lifecycle.steps import is_live
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.review_cases import a_decision, a_revision, a_task

WAITING = (Stage.ANNOTATING, Stage.IN_REVIEW, Stage.ADJUDICATING, Stage.REWORK)
KINDS_AT = {
    Stage.ANNOTATING: (TaskKind.ANNOTATE,),
    Stage.IN_REVIEW: (TaskKind.REVIEW, TaskKind.ADJUDICATE, TaskKind.REWORK),
    Stage.ADJUDICATING: (TaskKind.REVIEW, TaskKind.ADJUDICATE, TaskKind.REWORK),
    Stage.REWORK: (TaskKind.REWORK,),
}


@st.composite
def waiting_facts(draw: st.DrawFn) -> ReviewFacts:
    stage = draw(st.sampled_from(WAITING))
    risk: Risk = draw(st.sampled_from(["low", "medium", "high"]))
    tasks: list[ReviewTask] = []
    decisions = []
    for kind in draw(st.lists(st.sampled_from(KINDS_AT[stage]), min_size=1, max_size=5)):
        state = draw(st.sampled_from(TaskState))
        task = a_task(kind, state)
        tasks.append(task)
        if state is TaskState.COMPLETED:
            decisions.append(a_decision(task, draw(st.sampled_from(sorted(VERDICTS_OF[kind])))))
    return ReviewFacts(
        revision=a_revision(stage, risk=risk, label_version=draw(st.integers(0, 3))),
        rules=DEFAULT_RULE_SET,
        tasks=tuple(tasks),
        decisions=tuple(decisions),
        checked_version=draw(st.one_of(st.none(), st.integers(0, 3))),
    )


def applied(facts: ReviewFacts, plan: ReviewPlan) -> ReviewFacts:
    """The facts after the plan, as the store would have them; an illegal step of the stage fails."""
    stage = facts.revision.stage
    for after in plan.path:
        assert after in LEGAL_TRANSITIONS[stage], f"{stage} -> {after}"
        stage = after
    cancelled = {task.task_id for task in plan.cancel}
    tasks = [
        task.model_copy(update={"state": TaskState.CANCELLED}) if task.task_id in cancelled else task
        for task in facts.tasks
    ]
    opened = [a_task(item.kind, origin_decision_id=item.decision.decision_id) for item in plan.open]
    revision = facts.revision.model_copy(update={"stage": stage})
    return replace(facts, revision=revision, tasks=(*tasks, *opened))


@given(waiting_facts())
def test_applied_plan_is_legal_and_asks_for_nothing_more(facts: ReviewFacts) -> None:
    plan = plan_review(facts)
    again = plan_review(applied(facts, plan))
    assert (again.open, again.cancel, again.path) == ((), (), ())
    assert again.next_step is plan.next_step


@given(waiting_facts())
def test_sample_waits_exactly_while_a_task_is_open(facts: ReviewFacts) -> None:
    plan = plan_review(facts)
    live = [task for task in applied(facts, plan).tasks if is_live(task)]
    if any(decision.verdict is Verdict.DISCARD for decision in facts.decisions):
        assert (plan.next_step, plan.path, live) == (NextStep.STOP, (Stage.REJECTED,), [])
    elif live:
        assert plan.next_step in (NextStep.WAIT, NextStep.ANNOTATE)
        assert plan.open_tasks == len(live)
    else:
        assert plan.next_step is NextStep.CHECK


@given(waiting_facts())
def test_high_risk_verdict_of_a_reviewer_is_always_followed_by_an_expert(facts: ReviewFacts) -> None:
    after = applied(facts, plan_review(facts))
    if facts.revision.risk != "high" or after.revision.stage is Stage.REJECTED:
        return
    second_looks = {task.origin_decision_id for task in after.tasks if task.kind is TaskKind.ADJUDICATE}
    for decision in facts.decisions:
        if decision.task_kind is TaskKind.REVIEW and decision.verdict is not Verdict.REJECT:
            assert decision.decision_id in second_looks


@given(st.sampled_from(sorted(FINAL_STAGES)))
def test_final_stage_stops(stage: Stage) -> None:
    facts = ReviewFacts(a_revision(stage), DEFAULT_RULE_SET, (a_task(),), (), None)
    assert plan_review(facts) == ReviewPlan(NextStep.STOP)


@given(st.integers(0, 3), st.one_of(st.none(), st.integers(0, 3)), st.booleans())
def test_accepted_labels_are_committed_only_if_they_are_those_that_were_checked_by_the_same_taxonomy(
    label_version: int, checked_version: int | None, changed: bool
) -> None:
    revision = a_revision(Stage.ACCEPTED, label_version=label_version)
    facts = ReviewFacts(revision, DEFAULT_RULE_SET, (), (), checked_version, taxonomy_changed=changed)
    commits = label_version == checked_version and not changed
    assert plan_review(facts).next_step is (NextStep.COMMIT if commits else NextStep.CHECK)


@given(st.lists(st.tuples(st.sampled_from(TaskState), st.booleans()), min_size=1, max_size=6), st.booleans())
def test_one_expert_is_asked_for_by_annotators_and_not_before_all_of_them_are_done(
    slots: list[tuple[TaskState, bool]], asked_before: bool
) -> None:
    tasks = [a_task(TaskKind.ANNOTATE, state, finding_ids=()) for state, _ in slots]
    decisions = [
        a_decision(task, Verdict.ESCALATE if escalates else Verdict.SUBMIT, f"p{number}")
        for number, (task, (_, escalates)) in enumerate(zip(tasks, slots, strict=True))
        if task.state is TaskState.COMPLETED
    ]
    escalations = [decision for decision in decisions if decision.verdict is Verdict.ESCALATE]
    if asked_before and escalations:
        origin = escalations[-1].decision_id
        tasks.append(a_task(TaskKind.ADJUDICATE, TaskState.COMPLETED, origin_decision_id=origin, finding_ids=()))
    plan = plan_review(
        ReviewFacts(
            a_revision(Stage.ANNOTATING), DEFAULT_RULE_SET, tuple(tasks), tuple(decisions), checked_version=None
        )
    )
    done = not any(is_live(task) for task in tasks)
    wanted = 1 if escalations and done and not asked_before else 0
    assert [item.decision for item in plan.open] == escalations[:wanted]
    assert {item.kind for item in plan.open} <= {TaskKind.ADJUDICATE}

"""What escalation rules are asked about a finding, and the tasks that follow when one fires."""

from __future__ import annotations

from typing import Any

import pytest

from services.contracts.escalation import EscalationFacts, EscalationTarget, TaskCause
from services.contracts.findings import Finding
from services.contracts.queues import QueueFilter, ReviewQueue
from services.contracts.review import FindingResolution, NewTask, TaskKind, Verdict
from services.review.escalation import Circumstances, cause_of, escalation_after, escalation_by, is_judged_twice
from services.review.judges import blindfolded, is_second_look, told_to_decider
from services.review.queueing import default_queues, place_of_task, tier_queue
from services.review.routing import follow_up, follow_up_kind, route
from services.rules.escalation import JUDGING, EscalationRule
from services.rules.rule_set import DEFAULT_RULE_SET, RoutingRule, RuleSet
from tests.review_cases import a_decision, a_finding, a_label, a_label_set, a_revision, a_task, human

LEAD = EscalationTarget(tier="lead")


def with_rules(*rules: EscalationRule, **changes: Any) -> RuleSet:
    routing = (RoutingRule(queue="words", checks=("wording",), skill="words", priority=200),)
    return DEFAULT_RULE_SET.model_copy(update={"routing": routing, "escalations": rules, **changes})


def circumstances(*confidences: float | None, decisions: Any = (), risk: Any = "low") -> Circumstances:
    labels = [
        a_label(f"a{number}").model_copy(update={"confidence": confidence})
        for number, confidence in enumerate(confidences, start=1)
    ]
    return Circumstances(risk, "calls", a_revision().manifest.streams, labels, decisions)


def found(name: str = "f-1", **changes: Any) -> Finding:
    return a_finding(name, **changes).finding


def test_confidence_is_the_least_of_the_labels_that_the_finding_is_about() -> None:
    case = circumstances(0.9, 0.2, None)
    assert case.facts_about(found(annotations=("a1", "a3"))).confidence == 0.9
    assert case.facts_about(found(annotations=("a3",))).confidence is None
    assert case.facts_about(found(annotations=())).confidence == 0.2
    assert case.facts_about(None).confidence == 0.2


def test_modalities_are_those_of_the_streams_that_the_finding_names_or_its_labels_stand_on() -> None:
    case = circumstances(0.9)
    for finding in (found(), found(streams=()), found(streams=(), annotations=()), None):
        assert case.facts_about(finding).modalities == ("text",)
    assert case.facts_about(found(streams=("elsewhere",))).modalities == ()


@pytest.mark.parametrize(
    ("earlier", "now", "disagrees"),
    [
        ((), "approve", False),
        ((Verdict.FIX,), "fix", False),
        ((Verdict.FIX,), "approve", True),
        ((Verdict.REJECT,), "approve", True),
        ((Verdict.ESCALATE,), "approve", False),
        ((Verdict.FIX,), "escalate", False),
        ((Verdict.FIX, Verdict.REJECT), None, True),
        ((Verdict.FIX,), None, False),
    ],
)
def test_reviewers_disagree_when_they_judged_one_finding_differently(
    earlier: tuple[Verdict, ...], now: Any, disagrees: bool
) -> None:
    decisions = [a_decision(a_task(), verdict, f"r{number}") for number, verdict in enumerate(earlier)]
    elsewhere = a_decision(a_task(finding_ids=("f-9",)), Verdict.ACCEPT_CONFLICT, "kim")
    expert = a_decision(a_task(TaskKind.ADJUDICATE), Verdict.ACCEPT_CONFLICT, "exa")
    case = circumstances(decisions=(*decisions, elsewhere, expert))
    assert case.facts_about(found(), verdict=now).disagrees is disagrees


def routed(rules: RuleSet, *findings: Any, queues: tuple[ReviewQueue, ...] = ()) -> tuple[NewTask, ...]:
    return route(findings, rules, a_revision(), (), (), max_review_rounds=3, queues=queues)


def test_a_finding_that_a_rule_fits_goes_past_the_reviewers_to_its_tier() -> None:
    rules = with_rules(EscalationRule(id="grave", min_severity="critical", to=LEAD))
    usual, grave = routed(rules, a_finding("f-1", severity="critical"), a_finding("f-2"))
    assert (grave.kind, grave.queue, grave.skill, grave.priority) == (TaskKind.ADJUDICATE, "words.lead", "words", 200)
    assert grave.caused_by is not None
    assert (grave.caused_by.rule, grave.caused_by.rule_set) == ("grave", rules.reference)
    assert (grave.caused_by.facts.severity, grave.caused_by.facts.verdict) == ("critical", None)
    assert (usual.kind, usual.queue, usual.caused_by) == (TaskKind.REVIEW, "words", None)


def test_the_newest_labels_that_are_no_prediction_tell_the_confidence() -> None:
    unsure, sure = (a_label("a1").model_copy(update={"confidence": value}) for value in (0.2, 0.8))
    versions = (a_label_set(1, human("ann"), unsure), a_label_set(2, human("eva"), sure))
    prediction = a_label_set(3, human("net"), unsure).model_copy(update={"origin": "prediction"})
    rules = with_rules(EscalationRule(id="unsure", below_confidence=0.5))
    for sets, kind in (((versions[0],), TaskKind.ADJUDICATE), ((*versions, prediction), TaskKind.REVIEW)):
        (task,) = route([a_finding()], rules, a_revision(), sets, (), max_review_rounds=3)
        assert task.kind is kind


def test_a_finding_that_nobody_has_judged_leads_a_task_about_others() -> None:
    rules = with_rules(
        EscalationRule(id="late", rounds_over=True, to=LEAD),
        EscalationRule(id="grave", min_severity="critical", to=LEAD),
    )
    earlier = a_decision(a_task(TaskKind.ADJUDICATE, finding_ids=("f-1",)), Verdict.FIX, "exa")
    findings = (a_finding("f-1"), a_finding("f-2", severity="critical"))
    (task,) = route(findings, rules, a_revision(risk="high"), (), (earlier,), max_review_rounds=3)
    assert (task.queue, task.finding_ids) == ("words.lead", ("f-1", "f-2"))
    assert task.caused_by is not None
    assert task.caused_by.rule == "grave"
    decision = a_decision(task=a_task(task.kind), verdict=Verdict.APPROVE, caused_by=task.caused_by)
    second = escalation_by(decision, [item.finding for item in findings], circumstances(risk="high"), rules)
    assert second is not None
    assert second.four_eyes


def test_queues_of_the_project_are_asked_after_the_rule() -> None:
    judges = ReviewQueue(name="judges", filter=QueueFilter(stages=("adjudicating",)))
    own = ReviewQueue(name="mine", filter=QueueFilter(checks=("clock",)))
    finding = a_finding(severity="critical")
    for to, queue, taken, skill in (
        (EscalationTarget(), "words.expert", "judges", None),
        (LEAD, "words.lead", "judges.lead", None),
        (EscalationTarget(queue="board", skill="law"), "board", "judges", "law"),
    ):
        rules = with_rules(EscalationRule(id="grave", min_severity="critical", to=to))
        (plain,), (filtered,) = routed(rules, finding, queues=(own,)), routed(rules, finding, queues=(judges,))
        assert (plain.queue, filtered.queue, filtered.skill) == (queue, taken, skill)
        assert plain.skill == (skill or "words")
        task = a_task(TaskKind.ADJUDICATE, facts=plain.facts, caused_by=plain.caused_by)
        assert place_of_task(task, rules, ()).queue == queue
        assert place_of_task(task, rules, (judges,)).queue == taken
        assert {plain.queue, "words"} <= {item.name for item in default_queues(rules)}


def test_a_tier_replaces_the_experts_and_no_name_grows_too_long() -> None:
    assert tier_queue("words.expert", "lead") == tier_queue("words", "lead") == tier_queue("words.lead", "lead")
    assert len(tier_queue("q" * 200, "lead")) == 200


def test_what_a_reviewer_said_is_held_against_the_rules_finding_by_finding() -> None:
    rules = with_rules(
        EscalationRule(id="accepted", verdicts=("accept_conflict",), kinds=("b",), to=LEAD),
        EscalationRule(id="doubted", verdicts=("approve", "fix"), kinds=("a",)),
        four_eyes_risks=(),
    )
    task = a_task(finding_ids=("f-1", "f-2"))
    findings = (found("f-1", kind="a"), found("f-2", kind="b"))
    case = circumstances(0.9)

    def fires(verdict: Verdict, *resolutions: FindingResolution, kind: TaskKind = TaskKind.REVIEW) -> str | None:
        decision = a_decision(task, verdict, resolutions=resolutions or None, task_kind=kind)
        cause = escalation_by(decision, findings, case, rules)
        return None if cause is None else f"{cause.rule} {cause.facts.finding_id} {cause.facts.verdict}"

    second = FindingResolution(finding_id="f-2", verdict=Verdict.ACCEPT_CONFLICT, reason_code="occlusion")
    assert fires(Verdict.APPROVE) == "doubted f-1 approve"
    assert fires(Verdict.ACCEPT_CONFLICT) == "accepted f-2 accept_conflict"
    assert fires(Verdict.FIX, second) == "accepted f-2 accept_conflict"
    assert fires(Verdict.REJECT) is None
    assert fires(Verdict.ESCALATE) == "escalated f-1 escalate"
    # An expert's word is the last.
    assert fires(Verdict.APPROVE, kind=TaskKind.ADJUDICATE) is None


def test_the_first_word_of_who_a_rule_asked_instead_of_reviewers_has_its_four_eyes_in_the_same_tier() -> None:
    grave = EscalationRule(id="grave", min_severity="major", to=LEAD)
    rules = with_rules(grave, EscalationRule(id="own", verdicts=("approve",), risks=("low",)))
    for risk, rule in (("high", "four_eyes"), ("low", None)):
        case = circumstances(risk=risk)
        cause = cause_of(case.facts_about(found()), rules)
        task = a_task(TaskKind.ADJUDICATE, caused_by=cause, queue="words.lead", risk=risk)
        decision = a_decision(task, Verdict.APPROVE, "lia", caused_by=cause)
        second = escalation_by(decision, (found(),), case, rules)
        assert (None if second is None else second.rule) == rule
        assert escalation_after(decision, case.risk, rules) == (
            None
            if second is None
            else second.model_copy(update={"facts": EscalationFacts(risk="high", verdict="approve")})
        )
        if second is not None:
            assert (second.to, followed(decision, task, second).queue) == (LEAD, "words.lead")
    # What a deadline has moved past the reviewers has not had its first word either.
    case = circumstances(risk="high")
    late = TaskCause(rule="overdue", rule_set=rules.reference, to=LEAD, facts=EscalationFacts(risk="high"))
    task = a_task(TaskKind.ADJUDICATE, caused_by=late, queue="words.lead", risk="high")
    second = escalation_by(a_decision(task, Verdict.FIX, "lia", caused_by=late), (found(),), case, rules)
    assert second is not None
    assert (second.rule, second.four_eyes, second.to) == ("four_eyes", True, LEAD)
    # Reviewers have had their word, or several annotators: the expert's is the last.
    over = cause_of(case.facts_about(found(severity="minor"), rounds_over=True), rules)
    for cause in (over, None):
        decision = a_decision(a_task(TaskKind.ADJUDICATE), Verdict.APPROVE, caused_by=cause)
        assert escalation_by(decision, (found(),), case, rules) is None


def test_four_eyes_go_before_an_earlier_rule_about_another_finding() -> None:
    rules = with_rules(
        EscalationRule(id="open", verdicts=("fix",), kinds=("a",), to=LEAD),
        EscalationRule(id="blind", verdicts=JUDGING, kinds=("b",), four_eyes=True),
    )
    task = a_task(finding_ids=("f-1", "f-2"))
    both = (found("f-1", kind="a"), found("f-2", kind="b"))
    for verdict in (Verdict.FIX, Verdict.APPROVE):
        cause = escalation_by(a_decision(task, verdict), both, circumstances(), rules)
        assert cause is not None
        assert (cause.rule, cause.four_eyes) == ("blind", True)


def test_an_annotator_escalates_without_a_finding() -> None:
    rules = with_rules(
        EscalationRule(id="clocks", checks=("clock",), verdicts=("escalate",)),
        EscalationRule(id="calls", domains=("calls",), verdicts=("escalate",), to=LEAD),
    )
    decision = a_decision(a_task(TaskKind.ANNOTATE, finding_ids=()), Verdict.ESCALATE)
    cause = escalation_by(decision, (), circumstances(0.4), rules)
    assert cause is not None
    assert (cause.rule, cause.facts.finding_id, cause.facts.confidence) == ("calls", None, 0.4)


def test_a_rule_is_not_asked_about_decisions_that_were_made_before_it() -> None:
    rules = with_rules(EscalationRule(id="all", verdicts=("approve",)), four_eyes_risks=("high",))
    old = a_decision(a_task(), Verdict.APPROVE)
    assert escalation_after(old, "low", rules) is None
    assert follow_up_kind(old, "low", rules) is None
    late = escalation_after(old, "high", rules)
    assert late is not None
    assert (late.rule, late.four_eyes) == ("four_eyes", True)
    cause = escalation_by(old, (found(),), circumstances(), rules)
    new = old.model_copy(update={"escalated_by": cause})
    # Nor does a rule that is gone take back what it has set off.
    assert escalation_after(new, "low", with_rules()) == cause
    assert follow_up_kind(new, "low", with_rules()) is TaskKind.ADJUDICATE


@pytest.mark.parametrize(("risk", "verdicts", "twice"), [("low", ("approve",), True), ("low", ("escalate",), False)])
def test_what_may_be_judged_again_is_known_before_it_is_judged(risk: Any, verdicts: Any, twice: bool) -> None:
    rules = with_rules(EscalationRule(id="own", verdicts=verdicts, checks=("wording",)))
    assert is_judged_twice(a_task(), [found()], circumstances(risk=risk), rules) is twice
    assert not is_judged_twice(a_task(), [found(check="clock")], circumstances(), rules)
    assert is_judged_twice(a_task(), [found(check="clock")], circumstances(risk="high"), rules)
    assert not is_judged_twice(a_task(TaskKind.ADJUDICATE), [found()], circumstances(risk="high"), rules)


def followed(decision: Any, task: Any, cause: TaskCause) -> NewTask:
    return follow_up(
        decision, TaskKind.ADJUDICATE, task, findings=(a_finding(),), folded=(), label_sets=(), decisions=(decision,),
        may_rework=lambda _: True, cause=cause,
    )  # fmt: skip


def test_the_task_that_follows_carries_the_cause_and_goes_to_its_tier() -> None:
    rules = with_rules(
        EscalationRule(id="accepted", verdicts=("accept_conflict",), to=LEAD.model_copy(update={"skill": "law"}))
    )
    task = a_task(skill="words")
    decision = a_decision(task, Verdict.ACCEPT_CONFLICT)
    cause = escalation_by(decision, (found(),), circumstances(), rules)
    assert cause is not None
    follows = followed(decision, task, cause)
    assert (follows.queue, follows.skill, follows.caused_by) == ("words.lead", "law", cause)
    assert "accepted of default@1" in (follows.reason or "")


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.FIX, Verdict.ACCEPT_CONFLICT])
def test_the_second_of_four_eyes_learns_nothing_from_the_cause(verdict: Verdict) -> None:
    rules = with_rules(EscalationRule(id="blind", verdicts=JUDGING, four_eyes=True, to=LEAD))
    task = a_task()
    decision = a_decision(task, verdict)
    cause = escalation_by(decision, (found(),), circumstances(), rules)
    assert cause is not None
    assert cause.facts.verdict == verdict
    new = followed(decision, task, cause)
    opened = a_task(
        **new.model_dump(exclude={"ref", "kind", "facts", "caused_by", "worth"}), kind=new.kind, caused_by=cause
    )
    assert is_second_look(opened, (decision,))
    shown = blindfolded(opened)
    other = blindfolded(
        opened.model_copy(
            update={"caused_by": cause.model_copy(update={"rule": "another"}), "origin_decision_id": None}
        )
    )
    assert (shown.caused_by, shown) == (None, other)
    seconds = a_decision(opened, Verdict.APPROVE, "exa", caused_by=cause)
    assert told_to_decider(seconds).caused_by is None


def test_what_is_decided_again_without_four_eyes_shows_its_history() -> None:
    rules = with_rules(EscalationRule(id="open", verdicts=("approve",)))
    decision = a_decision(a_task(), Verdict.APPROVE)
    cause = escalation_by(decision, (found(),), circumstances(), rules)
    opened = a_task(TaskKind.ADJUDICATE, origin_decision_id=decision.decision_id, caused_by=cause)
    assert not is_second_look(opened, (decision,))
    assert is_second_look(opened.model_copy(update={"caused_by": None}), (decision,))
    answer = a_decision(opened, Verdict.FIX, "exa", caused_by=cause)
    assert told_to_decider(answer).caused_by == cause

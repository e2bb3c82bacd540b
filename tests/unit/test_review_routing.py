from collections.abc import Callable

import pytest

from services.contracts.findings import Finding
from services.contracts.label_base import Author
from services.contracts.manifest import Risk
from services.contracts.records import LabelSet
from services.contracts.review import Decision, NewTask, ReviewTask, StoredFinding, TaskKind, Verdict
from services.review.queueing import expert_queue
from services.review.routing import excluded_actors, follow_up, follow_up_kind, route
from services.rules.rule_set import DEFAULT_RULE_SET, RoutingRule
from tests.review_cases import a_decision, a_finding, a_label, a_label_set, a_revision, a_task, human

MACHINE = Author(kind="importer", id="kitti")
RULES = DEFAULT_RULE_SET.model_copy(
    update={
        "routing": (
            RoutingRule(queue="urgent", checks=("wording",), risks=("high",), priority=500),
            RoutingRule(queue="words", checks=("wording",), min_severity="major", priority=200),
            RoutingRule(queue="speech", checks=("audio_transcript",), skill="speech", priority=300),
        )
    }
)


def routed(
    *findings: StoredFinding,
    risk: Risk = "low",
    label_sets: tuple[LabelSet, ...] = (),
    decisions: tuple[Decision, ...] = (),
    rounds: int = 3,
    folded: tuple[Finding, ...] = (),
) -> tuple[NewTask, ...]:
    revision = a_revision(risk=risk)
    return route(findings, RULES, revision, label_sets, decisions, max_review_rounds=rounds, folded=folded)


def test_findings_of_one_queue_become_one_task() -> None:
    (task,) = routed(a_finding("f-2"), a_finding("f-1"))
    assert (task.kind, task.queue, task.priority, task.finding_ids) == (TaskKind.REVIEW, "words", 200, ("f-1", "f-2"))


def test_first_rule_that_fits_decides_and_what_fits_none_goes_to_the_default_queue() -> None:
    assert routed(a_finding(), risk="high")[0].queue == "urgent"
    assert routed(a_finding(severity="minor"))[0].queue == RULES.default_queue
    speech, words = sorted(routed(a_finding("f-1"), a_finding("f-2", check="audio_transcript")), key=lambda t: t.queue)
    assert (speech.queue, speech.skill, words.queue, words.skill) == ("speech", "speech", "words", None)


def test_order_of_findings_does_not_matter() -> None:
    findings = (a_finding("f-1"), a_finding("f-2", severity="minor"), a_finding("f-3", check="audio_transcript"))
    assert routed(*findings) == routed(*reversed(findings))


def test_authors_of_the_labels_and_earlier_deciders_are_excluded() -> None:
    labels = a_label_set(1, MACHINE, a_label("a1", author=human("ann")), a_label("a2", author=human("bob")))
    earlier = a_decision(a_task(), Verdict.FIX, "eva")
    elsewhere = a_decision(a_task(finding_ids=("f-9",)), Verdict.FIX, "kim")
    (task,) = routed(a_finding(), label_sets=(labels,), decisions=(earlier, elsewhere))
    assert task.excluded_actors == ("ann", "eva")


def test_finding_without_labels_of_its_own_excludes_all_authors_of_its_stream() -> None:
    labels = a_label_set(1, human("ann"), a_label("a1"), a_label("a2", author=human("bob")))
    (task,) = routed(a_finding(annotations=()), label_sets=(labels,))
    assert task.excluded_actors == ("ann", "bob")


def test_authors_of_folded_symptoms_are_excluded_with_the_cause() -> None:
    labels = a_label_set(1, MACHINE, a_label("a1", author=human("ann")), a_label("a2", author=human("bob")))
    symptom = a_finding("f-2", annotations=("a2",)).finding
    (task,) = routed(a_finding(explains=("f-2",)), label_sets=(labels,), folded=(symptom,))
    assert task.excluded_actors == ("ann", "bob")


def test_who_corrected_one_label_is_not_the_author_of_its_neighbours() -> None:
    first = a_label_set(1, human("ann"), a_label("a1"), a_label("a2"))
    second = a_label_set(2, human("eva"), a_label("a1"), a_label("a2", "no", human("eva")))
    assert excluded_actors([a_finding(annotations=("a1",)).finding], {}, (first, second), ()) == ("ann",)
    assert excluded_actors([a_finding(annotations=("a2",)).finding], {}, (first, second), ()) == ("ann", "eva")


@pytest.mark.parametrize(("reviews", "kind"), [(0, TaskKind.REVIEW), (1, TaskKind.REVIEW), (2, TaskKind.ADJUDICATE)])
def test_expert_decides_after_the_agreed_rounds(reviews: int, kind: TaskKind) -> None:
    decisions = tuple(a_decision(a_task(), Verdict.FIX, f"r{number}") for number in range(reviews))
    (task,) = routed(a_finding(), decisions=decisions, rounds=2)
    assert task.kind is kind
    assert task.queue == ("words" if kind is TaskKind.REVIEW else "words.expert")


def test_what_an_expert_decided_does_not_go_back_to_reviewers() -> None:
    adjudicated = a_decision(a_task(TaskKind.ADJUDICATE), Verdict.FIX, "exa")
    (task,) = routed(a_finding(), decisions=(adjudicated,))
    assert (task.kind, task.excluded_actors) == (TaskKind.ADJUDICATE, ("exa",))


def test_expert_queue_of_an_expert_queue_is_itself() -> None:
    assert expert_queue(expert_queue("words")) == expert_queue("words") == "words.expert"


@pytest.mark.parametrize(
    ("kind", "verdict", "risk", "expected"),
    [
        (TaskKind.REVIEW, Verdict.APPROVE, "low", None),
        (TaskKind.REVIEW, Verdict.APPROVE, "high", TaskKind.ADJUDICATE),
        (TaskKind.REVIEW, Verdict.FIX, "high", TaskKind.ADJUDICATE),
        (TaskKind.REVIEW, Verdict.ACCEPT_CONFLICT, "high", TaskKind.ADJUDICATE),
        (TaskKind.REVIEW, Verdict.REJECT, "high", TaskKind.REWORK),
        (TaskKind.REVIEW, Verdict.ESCALATE, "low", TaskKind.ADJUDICATE),
        (TaskKind.ADJUDICATE, Verdict.APPROVE, "high", None),
        (TaskKind.ADJUDICATE, Verdict.REJECT, "low", TaskKind.REWORK),
        (TaskKind.ADJUDICATE, Verdict.DISCARD, "high", None),
        (TaskKind.REWORK, Verdict.SUBMIT, "high", None),
        (TaskKind.REWORK, Verdict.ESCALATE, "low", TaskKind.ADJUDICATE),
        (TaskKind.ANNOTATE, Verdict.SUBMIT, "high", None),
    ],
)
def test_verdict_says_what_follows(kind: TaskKind, verdict: Verdict, risk: Risk, expected: TaskKind | None) -> None:
    assert follow_up_kind(a_decision(a_task(kind), verdict), risk, RULES) is expected


def followed(
    decision: Decision,
    kind: TaskKind,
    task: ReviewTask,
    label_sets: tuple[LabelSet, ...] = (),
    may_rework: Callable[[str], bool] = lambda _: True,
) -> NewTask:
    return follow_up(
        decision,
        kind,
        task,
        findings=(a_finding(),),
        folded=(),
        label_sets=label_sets,
        decisions=(decision,),
        may_rework=may_rework,
    )


def test_second_look_is_blind_and_for_somebody_else() -> None:
    task = a_task(risk="high", excluded_actors=("ann",))
    decision = a_decision(task, Verdict.APPROVE, "ben", note="The label is right.")
    follows = followed(decision, TaskKind.ADJUDICATE, task)
    assert follows.excluded_actors == ("ann", "ben")
    assert "right" not in (follows.reason or "")
    assert follows.origin_decision_id == decision.decision_id


def test_rework_goes_to_who_made_most_of_the_labels_and_may_do_it() -> None:
    task = a_task()
    labels = a_label_set(1, MACHINE, a_label("a1", author=human("ann")))
    decision = a_decision(task, Verdict.REJECT, note="Read it again.")
    assert followed(decision, TaskKind.REWORK, task, (labels,)).assignee == "ann"
    assert followed(decision, TaskKind.REWORK, task, (labels,), lambda _: False).assignee is None


def test_rework_never_goes_to_who_rejected() -> None:
    task = a_task()
    labels = a_label_set(1, MACHINE, a_label("a1", author=human("ben")))
    decision = a_decision(task, Verdict.REJECT, "ben", note="Read it again.")
    assert followed(decision, TaskKind.REWORK, task, (labels,)).assignee is None


def test_long_notes_are_cut_to_what_a_task_carries() -> None:
    task = a_task()
    decision = a_decision(task, Verdict.ESCALATE, note="x" * 50_000)
    assert len(followed(decision, TaskKind.ADJUDICATE, task).reason or "") == 2_000

"""Which samples get several answers, and when one more is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.contracts.consensus import Answer
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import RevisionRef
from services.contracts.overlap import Overlap
from services.contracts.review import ReviewTask, TaskKind, TaskState, Verdict
from services.review.overlap import agreement_of, answers_wanted, is_chosen, may_ask_another, merged, undecided
from tests.review_cases import a_decision, a_task
from tests.unit.test_consensus import answers, box, label

RULES = RuleReference(id="default", version=1)
CHOSEN = [2, 4, 7, 8, 13]
AT = datetime(2026, 1, 1, tzinfo=UTC)


def test_the_share_of_the_samples_is_the_share_that_was_asked_for() -> None:
    for share in (0.1, 0.3, 0.9):
        chosen = sum(is_chosen("p", f"s{i}", RULES, share) for i in range(4_000))
        assert chosen == pytest.approx(4_000 * share, abs=4 * (4_000 * share * (1 - share)) ** 0.5)
    assert not any(is_chosen("p", f"s{i}", RULES, 0.0) for i in range(100))
    assert all(is_chosen("p", f"s{i}", RULES, 1.0) for i in range(100))


@given(st.text(max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_the_samples_of_a_smaller_share_are_among_those_of_a_greater_one(name: str, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert is_chosen("p", name, RULES, low) <= is_chosen("p", name, RULES, high)


def test_the_choice_is_the_same_for_ever_and_another_under_another_version() -> None:
    # Written down, so that no change of the code moves samples between those that get one answer and several.
    assert [i for i in range(20) if is_chosen("calls", f"s-{i}", RULES, 0.3)] == CHOSEN
    other = RuleReference(id="default", version=2)
    assert [i for i in range(20) if is_chosen("calls", f"s-{i}", other, 0.3)] != CHOSEN
    assert [i for i in range(20) if is_chosen("other", f"s-{i}", RULES, 0.3)] != CHOSEN


def test_a_sample_that_is_not_chosen_gets_one_answer() -> None:
    overlap = Overlap(answers=3, share=0.5)
    wanted = {answers_wanted("p", f"s{i}", RULES, overlap) for i in range(50)}
    assert wanted == {1, 3}
    assert answers_wanted("p", "s", RULES, None) == 1


def test_a_maximum_below_the_answers_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_answers 2 must be at least answers 3"):
        Overlap(answers=3, max_answers=2)


def tasks(asked: int, *, cancelled: int = 0) -> list[ReviewTask]:
    ref = RevisionRef(project="p", sample_id="s", revision=1)
    states = [TaskState.COMPLETED] * asked + [TaskState.CANCELLED] * cancelled
    return [
        ReviewTask(task_id=UUID(int=i), ref=ref, kind=TaskKind.ANNOTATE, queue="annotate", state=state, created_at=AT)
        for i, state in enumerate(states)
    ]


def said(*classes: str) -> list[Answer]:
    return answers(*(label("image_classification", class_id=name) for name in classes))


def test_one_more_is_asked_while_people_agree_too_little_and_up_to_the_maximum() -> None:
    overlap = Overlap(answers=2, max_answers=4, min_agreement=0.6)
    split = merged(said("cat", "dog"), None)
    assert agreement_of(split) == 0.5
    assert may_ask_another(split, tasks(2), overlap)
    assert may_ask_another(split, tasks(3, cancelled=2), overlap)
    assert not may_ask_another(split, tasks(4), overlap)
    assert not may_ask_another(split, tasks(2), Overlap(answers=2))
    assert not may_ask_another(split, tasks(2), None)
    assert not may_ask_another(merged(said("cat", "cat", "dog"), None), tasks(3), overlap)
    assert not may_ask_another(merged(said("cat"), None), tasks(1), overlap)


def test_all_who_say_that_there_is_nothing_agree() -> None:
    assert agreement_of(merged(answers(None, None), None)) == 1.0


def test_joined_labels_carry_the_agreement_on_them_as_confidence() -> None:
    found = merged(answers([box("a", 0), box("c", 500)], box("b", 0)), None)
    assert sorted(one.annotation.confidence or 0 for one in found.labels) == [0.5, 1.0]


@pytest.mark.parametrize(
    ("kind", "verdict", "finding_ids", "left"),
    [
        (TaskKind.ADJUDICATE, Verdict.APPROVE, (), 0),
        (TaskKind.ADJUDICATE, Verdict.FIX, (), 0),
        (TaskKind.ADJUDICATE, Verdict.REJECT, (), 1),
        (TaskKind.ADJUDICATE, Verdict.APPROVE, ("f-1",), 1),
        (TaskKind.ANNOTATE, Verdict.ESCALATE, (), 1),
    ],
)
def test_an_expert_decides_what_answers_left_open_when_they_decide_the_whole(
    kind: TaskKind, verdict: Verdict, finding_ids: tuple[str, ...], left: int
) -> None:
    found = merged(answers(box("a", 0), None), None)
    decision = a_decision(a_task(kind, finding_ids=finding_ids), verdict)
    assert len(undecided(found, [decision]).labels) == left
    assert undecided(found, []) == found

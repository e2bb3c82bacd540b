"""The tier above a task: where what nobody decides in time goes."""

from __future__ import annotations

import pytest

from services.contracts.escalation import EscalationFacts, EscalationTarget, TaskCause
from services.contracts.queues import QueueFilter, ReviewQueue
from services.contracts.review import ReviewTask, TaskKind
from services.review.queueing import Place, next_tier, place_in_tier
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.review_cases import a_task

LATE = TaskCause(rule="overdue", rule_set=DEFAULT_RULE_SET.reference, facts=EscalationFacts(risk="low"))


def moved(task: ReviewTask, tiers: tuple[str, ...], queues: tuple[ReviewQueue, ...] = ()) -> Place | None:
    to = next_tier(task, tiers)
    return None if to is None else place_in_tier(task, to, queues, tiers)


@pytest.mark.parametrize(
    ("kind", "queue", "tiers", "above"),
    [
        (TaskKind.REVIEW, "words", (), "words.expert"),
        (TaskKind.REVIEW, "words", ("lead",), "words.expert"),
        (TaskKind.ADJUDICATE, "words.expert", (), None),
        (TaskKind.ADJUDICATE, "words.expert", ("lead", "owner"), "words.lead"),
        (TaskKind.ADJUDICATE, "words.lead", ("lead", "owner"), "words.owner"),
        (TaskKind.ADJUDICATE, "words.owner", ("lead", "owner"), None),
        (TaskKind.ADJUDICATE, "words", ("lead",), "words.lead"),
        (TaskKind.ANNOTATE, "annotate", ("lead",), None),
        (TaskKind.REWORK, "rework", ("lead",), None),
    ],
)
def test_a_task_goes_one_tier_up(kind: TaskKind, queue: str, tiers: tuple[str, ...], above: str | None) -> None:
    place = moved(a_task(kind, queue=queue, skill="spatial"), tiers)
    assert place == (None if above is None else Place(above, "spatial"))


def test_the_longest_name_of_a_queue_has_room_for_its_tiers() -> None:
    longest = "q" * 200
    for kind, tiers in ((TaskKind.REVIEW, ()), (TaskKind.ADJUDICATE, ("lead",))):
        above = moved(a_task(kind, queue=longest), tiers)
        assert above is not None
        assert len(above.queue) == 200


@pytest.mark.parametrize(
    ("kind", "queue", "to", "above"),
    [
        (TaskKind.REVIEW, "words", None, "board"),
        (TaskKind.ADJUDICATE, "board", EscalationTarget(), "board.lead"),
        (TaskKind.ADJUDICATE, "board.lead", EscalationTarget(tier="lead"), "board.owner"),
        (TaskKind.ADJUDICATE, "words.lead", EscalationTarget(tier="lead"), "board.owner"),
        (TaskKind.ADJUDICATE, "elsewhere", EscalationTarget(tier="lead"), "board.owner"),
        (TaskKind.ADJUDICATE, "board.owner", EscalationTarget(tier="owner"), None),
    ],
)
def test_a_projects_own_queues_are_asked_where_the_tier_takes_it_in(
    kind: TaskKind, queue: str, to: EscalationTarget | None, above: str | None
) -> None:
    queues = (
        ReviewQueue(name="reviews", position=1, filter=QueueFilter(stages=("in_review",))),
        ReviewQueue(name="board", position=2, filter=QueueFilter(stages=("adjudicating",), risks=("high",))),
    )
    cause = None if to is None else LATE.model_copy(update={"to": to})
    task = a_task(kind, queue=queue, risk="high", caused_by=cause, skill="spatial")
    place = moved(task, ("lead", "owner"), queues)
    assert place == (None if above is None else Place(above))
    if kind is TaskKind.REVIEW:
        low = moved(task.model_copy(update={"risk": "low"}), ("lead", "owner"), queues)
        assert low == Place("words.expert", "spatial"), "the queue does not take it in"

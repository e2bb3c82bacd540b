"""The tier above a task: where what nobody decides in time goes."""

from __future__ import annotations

import pytest

from services.contracts.review import TaskKind
from services.review.routing import queue_of_next_tier
from tests.review_cases import a_task


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
    assert queue_of_next_tier(a_task(kind, queue=queue), tiers) == above


def test_the_longest_name_of_a_queue_has_room_for_its_tiers() -> None:
    longest = "q" * 200
    for kind, tiers in ((TaskKind.REVIEW, ()), (TaskKind.ADJUDICATE, ("lead",))):
        above = queue_of_next_tier(a_task(kind, queue=longest), tiers)
        assert above is not None
        assert len(above) == 200

"""Give a person a probe instead of the task that would be next.

A probe takes the place in line of that task: its queue, kind, skill and risk, its priority, and an age that lies just
before it. It is chosen when it is given, so that no probe waits anywhere where it could be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

from services.contracts.queues import Lane
from services.contracts.review import ReviewTask, TaskKind
from services.errors import IntegrityError
from services.ports.database import Transaction
from services.ports.probes import Choice
from services.quality.mixing import comes_before, drawn, is_gold_turn, place_in_line
from services.review.fitting import skills_asked


async def deal(tx: Transaction, actor_id: str, lanes: Sequence[Lane]) -> UUID | None:
    """Return the probe that the person is given now; None if they are given the real task that is next.

    A probe that was given before and is free again is given as a real task would be: in its place in line. A real
    task that the person has had before is no new turn: who gives tasks back can draw no lots.

    Args:
        tx: The transaction, in which the person's claims wait for each other.
        actor_id: The person.
        lanes: From which they may take now.
    """
    if not any(lane.gold or lane.second_opinions for lane in lanes):
        return None
    head = await tx.review.look_next(actor_id, lanes, [skills_asked(lane) for lane in lanes])
    again = await _free(tx, actor_id, lanes, head)
    if again is not None or head is None:
        return again
    lane = lane_of(head, lanes)
    if head.assignee is not None or await tx.operations.activity(head.task_id, actor_id) is not None:
        return None
    if head.kind in (TaskKind.REVIEW, TaskKind.ANNOTATE) and lane.gold is not None:
        return await _gold(tx, actor_id, head, lane)
    if head.kind is TaskKind.ADJUDICATE and lane.second_opinions is not None:
        return await _second_opinion(tx, actor_id, head, lane.second_opinions.share)
    return None


def lane_of(task: ReviewTask, lanes: Sequence[Lane]) -> Lane:
    """Return the lane that a task waits in."""
    for lane in lanes:
        if (lane.project, lane.queue, lane.kind, lane.skill) == (task.ref.project, task.queue, task.kind, task.skill):
            return lane
    raise IntegrityError(f"task {task.task_id} is of none of the lanes that it was looked for in")


async def _free(tx: Transaction, actor_id: str, lanes: Sequence[Lane], head: ReviewTask | None) -> UUID | None:
    places = {(lane.project, lane.queue, lane.kind, lane.skill): lane for lane in lanes}
    now = await tx.now()
    best: ReviewTask | None = head
    for probe in await tx.probes.free(actor_id):
        lane = places.get((probe.ref.project, probe.queue, probe.kind, probe.skill))
        if lane is None:
            continue
        other = lane if best is None else lane_of(best, lanes)
        if best is None or comes_before(
            probe,
            best,
            now,
            ageing=(lane.ageing_per_hour, other.ageing_per_hour),
            fits=(skills_asked(lane), skills_asked(other)),
        ):
            best = probe
    return None if best is None or best is head else best.task_id


async def _gold(tx: Transaction, actor_id: str, head: ReviewTask, lane: Lane) -> UUID | None:
    policy = lane.gold
    if policy is None:
        return None
    secret = await tx.probes.secret(lane.project)
    turn = await tx.probes.next_turn(lane.project, actor_id)
    if not is_gold_turn(secret, actor_id, turn, policy.rate):
        return None
    since = None if policy.max_age_days is None else await tx.now() - timedelta(days=policy.max_age_days)
    chosen = await tx.probes.open(
        Choice(
            purpose="gold",
            head=head,
            actor_id=actor_id,
            salt=f"{secret}/{actor_id}/{turn}/",
            place=place_in_line(secret, actor_id, turn),
            opened_since=since,
        )
    )
    await tx.probes.note_turn(lane.project, actor_id, given=chosen is not None)
    return chosen


async def _second_opinion(tx: Transaction, actor_id: str, head: ReviewTask, share: float) -> UUID | None:
    secret = await tx.probes.secret(head.ref.project)
    return await tx.probes.open(
        Choice(
            purpose="second_opinion",
            head=head,
            actor_id=actor_id,
            salt=f"{secret}/",
            place=0.02 + 0.96 * float(drawn(secret, "place", str(head.task_id))),
            share=share,
        )
    )

"""The window piece by piece: what came, what went, what was there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import partial

from services.contracts.lifecycle import Stage
from services.contracts.operations import Bucket, Counted, KindLoad, SampleSelection, StageLoad, TaskSelection
from services.contracts.review import TaskKind
from services.operations.lists import counted
from services.ports.database import Transaction


def stage_loads(
    project: str, numbers: Mapping[Stage, int], selection_of: Callable[[Stage], SampleSelection]
) -> tuple[StageLoad, ...]:
    """Return the stages that have samples, in the order of the lifecycle."""
    return tuple(
        StageLoad(stage=stage, samples=counted(project, numbers[stage], selection_of(stage)))
        for stage in Stage
        if numbers.get(stage)
    )


async def read_buckets(
    tx: Transaction,
    project: str,
    since: datetime,
    piece: timedelta,
    pieces: int,
    stages_now: Mapping[Stage, int],
) -> tuple[Bucket, ...]:
    """Return the pieces of a window, the oldest first.

    What was open or at a stage at the end of a piece follows from what is there now and what has changed since.

    Args:
        tx: The transaction.
        project: The project.
        since: Beginning of the window, which ends now.
        piece: Length of a piece.
        pieces: How many there are.
        stages_now: Sample revisions at each stage now.
    """
    store = tx.operations
    arrived = await store.count_tasks(project, TaskSelection(created_since=since), by=("created", "kind"), pieces=piece)
    ended = {
        how: await store.count_tasks(
            project, TaskSelection(ended=how, ended_since=since), by=("ended_at", "kind"), pieces=piece
        )
        for how in ("completed", "cancelled")
    }
    moves = await store.stage_moves(project, since, piece)
    stages = dict(stages_now)
    found_open = await store.count_tasks(project, TaskSelection(open_at=since + pieces * piece), by=("kind",))
    open_ = {kind: found_open.get((kind.value,), 0) for kind in TaskKind}
    found: list[Bucket] = []
    for index in reversed(range(pieces)):
        begin, end = since + index * piece, since + (index + 1) * piece
        came = _by_kind(arrived, index)
        went = {how: _by_kind(counts, index) for how, counts in ended.items()}
        for stage in Stage:
            # What happened after the end of this piece is taken back; the last one ends with what is there now.
            stages[stage] = stages.get(stage, 0) - moves.get((stage, index + 1), 0)
        committed = SampleSelection(entered=Stage.COMMITTED, since=begin, before=end)
        found.append(
            Bucket(
                since=begin,
                before=end,
                arrived=counted(project, came.total(), TaskSelection(created_since=begin, created_before=end)),
                completed=_ended(project, went["completed"].total(), "completed", begin, end),
                cancelled=_ended(project, went["cancelled"].total(), "cancelled", begin, end),
                open=counted(project, sum(open_.values()), TaskSelection(open_at=end)),
                kinds=tuple(
                    KindLoad(kind=kind, open=counted(project, number, TaskSelection(open_at=end, kind=kind)))
                    for kind, number in open_.items()
                    if number
                ),
                committed=counted(project, await store.count_samples(project, committed), committed),
                stages=stage_loads(project, stages, partial(_stood, end)),
            )
        )
        for kind in TaskKind:
            open_[kind] += went["completed"][kind] + went["cancelled"][kind] - came[kind]
    return tuple(reversed(found))


def _by_kind(counts: Mapping[tuple[str, ...], int], piece: int) -> Counter[TaskKind]:
    return Counter({kind: counts.get((str(piece), kind.value), 0) for kind in TaskKind})


def _stood(at: datetime, stage: Stage) -> SampleSelection:
    return SampleSelection(stage_at=stage, at=at)


def _ended(project: str, number: int, how: str, begin: datetime, end: datetime) -> Counted:
    selection = TaskSelection.model_validate({"ended": how, "ended_since": begin, "ended_before": end})
    return counted(project, number, selection)

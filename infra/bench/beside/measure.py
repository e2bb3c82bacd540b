"""``concord bench beside``: every work by us and by the others, in turns, with the goals that we set ourselves."""

from __future__ import annotations

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from infra.bench.beside.arrays import Given, made_up, write
from infra.bench.beside.compare import Agreement, agreement_of, ratio_of
from infra.bench.beside.environments import default_folder, environment_python
from infra.bench.beside.recorded import recorded
from infra.bench.beside.turns import Side, take_turns
from services.contracts.base import Contract
from services.errors import InvalidInputError

DEVKIT, TRACKER, BARE = 20.0, 5.0, 0.5
"""Goals: this many times our time at least. Half of it is within two times of the bare operations."""

WORKS = {
    "project": "cuboids to boxes in the image",
    "match": "the same, and paired with the camera's boxes",
    "iou_table": "one large table of overlaps",
    "iou_frames": "a small table of overlaps for each frame",
    "identity": "rows of tracks to switched ids",
    "identity_check": "the whole check track_identity, with its findings",
}
MADE_UP = "made up"

Told = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Tool:
    """One of the others.

    Attributes:
        name: How the command calls it.
        environment: Which environment it runs in; empty for ours.
        goals: What it is measured at, with how many times our time it is to take at least; None for no goal.
    """

    name: str
    environment: str
    goals: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """The module that its process runs."""
        return f"infra.bench.beside.side_{self.name}"


TOOLS = {
    tool.name: tool
    for tool in (
        Tool("nuscenes", "numpy1", {"project": DEVKIT, "match": DEVKIT}),
        Tool("av2", "numpy2", {"project": DEVKIT, "match": DEVKIT}),
        # Compiled C, which nobody promised to beat.
        Tool("coco", "numpy2", {"iou_table": None, "iou_frames": None}),
        Tool("motmetrics", "numpy1", {"identity": TRACKER, "identity_check": TRACKER}),
        # The whole check begins at labels and ends at patches, where TrackEval begins at arrays and ends at numbers.
        Tool("trackeval", "numpy2", {"identity": TRACKER, "identity_check": None}),
        Tool("bare", "", dict.fromkeys(("project", "match", "iou_table", "iou_frames", "identity"), BARE)),
    )
}
OURS = Tool("ours", "")


class Comparison(Contract):
    """One work by us and by one of the others.

    Attributes:
        input: What the arrays are.
        work: What was done.
        beside: By whom else.
        rows: How many rows (cuboids, boxes, labels) went in; for ``iou_table`` pairs.
        our_us_per_row: Median of our processor time, microseconds.
        their_us_per_row: Theirs.
        ratio: Median over the rounds of theirs over ours.
        lowest: The least ratio of a round.
        highest: The greatest.
        goal: What the ratio is to reach; None where nothing is promised.
        holds: Whether it does.
        agreement: Whether both found the same.
    """

    input: str
    work: str
    beside: str
    rows: int
    our_us_per_row: float
    their_us_per_row: float
    ratio: float
    lowest: float
    highest: float
    goal: float | None
    holds: bool | None
    agreement: Agreement


class BesideReport(Contract):
    """All comparisons, and the packages of every side with their versions."""

    rounds: int
    packages: dict[str, dict[str, str]]
    comparisons: tuple[Comparison, ...]

    @property
    def good(self) -> bool:
        """Whether every goal is reached, and both sides found the same wherever what is right is known."""
        return all(one.holds is not False for one in self.comparisons) and all(
            one.agreement.agrees for one in self.comparisons if one.input == MADE_UP
        )


def measure_beside(
    *,
    boxes: int,
    rounds: int,
    tools: Sequence[str] = (),
    works: Sequence[str] = (),
    data: Path | None = None,
    environments: Path | None = None,
    seed: int = 1,
    tell: Told = lambda _: None,
) -> BesideReport:
    """Let every side do the same works on the same arrays, in turns.

    Args:
        boxes: Rows of every input.
        rounds: Measured rounds; one more warms up and is compared.
        tools: Only these; all by default.
        works: Only these; all by default.
        data: A folder with recordings; without it only made-up arrays are used.
        environments: Where the others' environments live or are made.
        seed: Another seed makes other arrays.
        tell: Is told what is being done.

    Raises:
        InvalidInputError: There is no such tool or work.
        UnavailableError: An environment could not be made.
        IntegrityError: A side's process ended.
    """
    _known("tool", tools, TOOLS)
    _known("work", works, WORKS)
    chosen = [TOOLS[name] for name in tools or tuple(TOOLS)]
    pythons = {
        name: environment_python(name, environments or default_folder(), tell)
        for name in sorted({tool.environment for tool in chosen if tool.environment})
    }
    packages: dict[str, dict[str, str]] = {}
    comparisons: list[Comparison] = []
    for name, given in _inputs(data, boxes, seed):
        with _started(given, [OURS, *chosen], pythons) as (ours, others):
            packages |= {side.name: side.packages for side in (ours, *others)}
            for work in works or tuple(WORKS):
                beside = [side for side in others if work in TOOLS[side.name].goals]
                comparisons += _compared(name, work, _rows(work, given), ours, beside, rounds, tell)
    return BesideReport(rounds=rounds, packages=packages, comparisons=tuple(comparisons))


def _known(what: str, names: Sequence[str], known: Mapping[str, object]) -> None:
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise InvalidInputError(f"there is no {what} {unknown[0]!r}; {what}s are {', '.join(known)}")


def _inputs(data: Path | None, boxes: int, seed: int) -> Iterator[tuple[str, Given]]:
    yield MADE_UP, made_up(boxes, seed)
    if data is not None:
        found = False
        for found_name, given in recorded(data, boxes):
            found = True
            yield found_name, given
        if not found:
            raise InvalidInputError(f"{data} holds no kitti_tracking/ with labels and calibration")


def _rows(work: str, given: Given) -> int:
    if work.startswith("identity"):
        return len(given["label_ids"])
    if work == "iou_table":
        return len(given["iou_a_px"]) * len(given["iou_b_px"])
    if work == "iou_frames":
        return int(given["frames_a_px"].shape[0] * given["frames_a_px"].shape[1])
    return len(given["frames"])


@contextlib.contextmanager
def _started(
    given: Given, tools: Sequence[Tool], pythons: Mapping[str, Path]
) -> Iterator[tuple[Side, tuple[Side, ...]]]:
    with tempfile.TemporaryDirectory(prefix="concord-bench-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        write(given, folder / "given.npz")
        sides = [
            stack.enter_context(
                Side(
                    tool.name,
                    pythons[tool.environment] if tool.environment else Path(sys.executable),
                    tool.module,
                    folder / "given.npz",
                    folder,
                )
            )
            for tool in tools
        ]
        yield sides[0], tuple(sides[1:])


def _compared(
    given: str, work: str, rows: int, ours: Side, others: Sequence[Side], rounds: int, tell: Told
) -> Iterator[Comparison]:
    if not others:
        return
    found = {side.name: side.result(work) for side in (ours, *others)}
    taken = take_turns((ours, *others), work, rounds)
    micros = {name: 1e6 * statistics.median(seconds) / rows for name, seconds in taken.items()}
    for side in others:
        ratio = ratio_of(taken[ours.name], taken[side.name])
        goal = TOOLS[side.name].goals[work]
        tell(f"{given}: {work} beside {side.name}: {ratio.median:.2f} times our time")
        yield Comparison(
            input=given,
            work=work,
            beside=side.name,
            rows=rows,
            our_us_per_row=round(micros[ours.name], 4),
            their_us_per_row=round(micros[side.name], 4),
            ratio=round(ratio.median, 3),
            lowest=round(ratio.lowest, 3),
            highest=round(ratio.highest, 3),
            goal=goal,
            holds=None if goal is None else ratio.median >= goal,
            agreement=agreement_of(found[ours.name], found[side.name]),
        )

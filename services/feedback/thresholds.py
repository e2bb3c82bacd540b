"""What a tighter threshold of a check would have kept, by what people said of the findings that were made.

Only findings that were made have verdicts: what a looser threshold would have reported nobody has seen. So precision
and recall are among findings that were made, and only a tighter threshold can be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from services.contracts.feedback import ThresholdAdvice, ThresholdPoint
from services.contracts.findings import Finding
from services.contracts.review import Decision, Verdict
from services.feedback.models import share_of

Direction = Literal["above", "below", "either_side"]
Ruling = Literal["right", "wrong", "accepted"]

MAX_HELD = 100_000
"""Most findings of one threshold that are held, three values each."""

MAX_THRESHOLDS = 8
"""Most values that a threshold has had; with more it is a fact of each sample, such as a rate it is told to have."""

_POINTS = 20
_RULINGS: dict[Verdict, Ruling] = {
    Verdict.FIX: "right",
    Verdict.REJECT: "right",
    Verdict.APPROVE: "wrong",
    Verdict.ACCEPT_CONFLICT: "accepted",
}


def ruling_on(finding_id: str, decisions: Iterable[Decision]) -> Ruling | None:
    """Return what people said of a finding last; None if nobody did, or they discarded the sample.

    Args:
        finding_id: The finding.
        decisions: All decisions about its revision, oldest first.
    """
    verdicts = [one.verdict_on(finding_id) for one in decisions if finding_id in one.finding_ids]
    said = [verdict for verdict in verdicts if verdict is not Verdict.ESCALATE]
    return _RULINGS.get(said[-1]) if said else None


_Row = tuple[float, float, bool | None]
"""Value, threshold, and whether people confirmed it; None where they accepted the conflict."""


class _Judged:
    """The judged findings of one kind."""

    def __init__(self) -> None:
        self.rows: list[_Row] = []
        self.left_out = 0
        self._thresholds: set[float] = set()

    @property
    def varies(self) -> bool:
        """Whether the threshold is a fact of each sample and nothing that a rule set sets."""
        return len(self._thresholds) > MAX_THRESHOLDS

    def add(self, value: float, threshold: float, ruling: Ruling) -> None:
        if len(self._thresholds) <= MAX_THRESHOLDS:
            self._thresholds.add(threshold)
        if self.varies:
            self.rows.clear()
        elif len(self.rows) == MAX_HELD:
            self.left_out += 1
        else:
            self.rows.append((value, threshold, None if ruling == "accepted" else ruling == "right"))

    def sides(self) -> Iterator[tuple[Direction, list[_Row]]]:
        """Yield the findings on each side of the threshold; signed values are told by their size."""
        rows = self.rows
        if any(value < 0 for value, _, _ in rows) and all(abs(value) >= limit >= 0 for value, limit, _ in rows):
            yield "either_side", [(abs(value), limit, right) for value, limit, right in rows]
            return
        below = [row for row in rows if row[0] < row[1]]
        above = [row for row in rows if row[0] > row[1]]
        at = [row for row in rows if row[0] == row[1]]
        # On the threshold itself a finding is of the side that the others are on.
        (below if below and not above else above).extend(at)
        yield "above", above
        yield "below", below


class ThresholdTally:
    """Collects judged findings in any order; what is told does not depend on it below :data:`MAX_HELD`."""

    def __init__(self) -> None:
        self._judged: dict[tuple[str, str, str], _Judged] = {}

    def add(self, finding: Finding, ruling: Ruling) -> None:
        """Count one finding; one that tells no number or no threshold counts nowhere."""
        measured = finding.measured
        if measured is None or measured.threshold is None:
            return
        key = (finding.check, finding.kind, measured.unit)
        self._judged.setdefault(key, _Judged()).add(measured.value, measured.threshold, ruling)

    def varying(self) -> tuple[str, ...]:
        """Return the checks and kinds whose threshold is a fact of each sample: nothing can be said of these."""
        return tuple(sorted({f"{key[0]}/{key[1]}"[:200] for key, judged in self._judged.items() if judged.varies}))

    def finish(self, target_precision: float) -> tuple[ThresholdAdvice, ...]:
        """Return what the verdicts say about each threshold that has any.

        Args:
            target_precision: Least share of confirmed findings, by its lower bound.
        """
        return tuple(
            _advice(key, direction, rows, judged.left_out, target_precision)
            for key, judged in sorted(self._judged.items())
            for direction, rows in judged.sides()
            if any(right is not None for _, _, right in rows)
        )


def _advice(
    key: tuple[str, str, str], direction: Direction, rows: Sequence[_Row], left_out: int, target: float
) -> ThresholdAdvice:
    check, kind, unit = key
    values = [(value, right) for value, _, right in rows if right is not None]
    ends = sorted({limit for _, limit, right in rows if right is not None}, reverse=direction == "below")
    points = _points(values, ends[-1], direction)
    reached = next((point for point in points if point.kept and point.precision.low >= target), None)
    return ThresholdAdvice(
        check=check,
        kind=kind,
        unit=unit,
        direction=direction,
        judged=len(values),
        right=sum(right for _, right in values),
        accepted=len(rows) - len(values),
        present=ends[-1],
        loosest=ends[0],
        points=points,
        suggested=None if reached is None else reached.threshold,
        reason="out_of_reach" if reached is None else "keep" if reached is points[0] else "tighten",
        left_out=left_out,
    )


def _points(values: Sequence[tuple[float, bool]], present: float, direction: Direction) -> tuple[ThresholdPoint, ...]:
    sign = -1.0 if direction == "below" else 1.0
    # From the threshold outwards; of the values beyond it, at most so many, evenly spread over the findings.
    beyond = sorted((sign * value, right) for value, right in values if sign * value >= sign * present)
    steps = sorted({beyond[len(beyond) * step // _POINTS][0] for step in range(_POINTS)}) if beyond else []
    grid = [sign * present, *(step for step in steps if step > sign * present)]
    every = sum(right for _, right in beyond)
    found: list[ThresholdPoint] = []
    for edge in grid:
        kept = [right for value, right in beyond if value >= edge]
        right = sum(kept)
        found.append(
            ThresholdPoint(
                threshold=sign * edge,
                kept=len(kept),
                right=right,
                precision=share_of(right, len(kept)),
                recall=share_of(right, every),
            )
        )
    return tuple(found)

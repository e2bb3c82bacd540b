"""What a tighter threshold of a check would have kept, by what people said of the findings that were made.

Only findings that were made have verdicts: what a looser threshold would have reported nobody has seen. So precision
and recall are among findings that were made, and only a tighter threshold can be judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

from services.contracts.feedback import ThresholdAdvice, ThresholdPoint
from services.contracts.findings import Finding
from services.contracts.review import Decision, Verdict
from services.feedback.models import share_of

Direction = Literal["above", "below"]
Ruling = Literal["right", "wrong", "accepted"]

MAX_HELD = 100_000
"""Most findings of one threshold that are held, two numbers each."""

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


class _Judged:
    """The judged findings of one threshold."""

    def __init__(self) -> None:
        self.values: list[tuple[float, bool]] = []
        self.thresholds: set[float] = set()
        self.accepted = 0
        self.left_out = 0

    def add(self, value: float, threshold: float, ruling: Ruling) -> None:
        if ruling == "accepted":
            self.accepted += 1
        elif len(self.values) == MAX_HELD:
            self.left_out += 1
        else:
            self.values.append((value, ruling == "right"))
            # The two ends are all that is asked for.
            ends = {*self.thresholds, threshold}
            self.thresholds = {min(ends), max(ends)}


class ThresholdTally:
    """Collects judged findings in any order; what is told does not depend on it below :data:`MAX_HELD`."""

    def __init__(self) -> None:
        self._judged: dict[tuple[str, str, str, Direction], _Judged] = {}

    def add(self, finding: Finding, ruling: Ruling) -> None:
        """Count one finding; one that tells no number or no threshold counts nowhere."""
        measured = finding.measured
        if measured is None or measured.threshold is None:
            return
        direction: Direction = "below" if measured.value < measured.threshold else "above"
        key = (finding.check, finding.kind, measured.unit, direction)
        self._judged.setdefault(key, _Judged()).add(measured.value, measured.threshold, ruling)

    def finish(self, target_precision: float) -> tuple[ThresholdAdvice, ...]:
        """Return what the verdicts say about each threshold that has any.

        Args:
            target_precision: Least share of confirmed findings, by its lower bound.
        """
        return tuple(
            _advice(key, judged, target_precision) for key, judged in sorted(self._judged.items()) if judged.values
        )


def _advice(key: tuple[str, str, str, Direction], judged: _Judged, target: float) -> ThresholdAdvice:
    check, kind, unit, direction = key
    ends = sorted(judged.thresholds, reverse=direction == "below")
    points = _points(judged.values, ends[-1], direction)
    reached = next((point for point in points if point.kept and point.precision.low >= target), None)
    return ThresholdAdvice(
        check=check,
        kind=kind,
        unit=unit,
        direction=direction,
        judged=len(judged.values),
        right=sum(right for _, right in judged.values),
        accepted=judged.accepted,
        present=ends[-1],
        loosest=ends[0],
        points=points,
        suggested=None if reached is None else reached.threshold,
        reason="out_of_reach" if reached is None else "keep" if reached is points[0] else "tighten",
        left_out=judged.left_out,
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

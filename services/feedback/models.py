"""How good each model version is on each class, counted sample by sample."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from services.agreement.intervals import wilson_interval
from services.contracts.annotations import Annotation
from services.contracts.feedback import ClassQuality, ModelQuality, Share
from services.feedback.matching import Outcome, outcomes_of
from services.rules.consensus import ConsensusRules

Model = tuple[str, str | None]
"""A model's name and version."""

ClassKey = tuple[str, str]
"""Kind of label and class."""


@dataclass(slots=True)
class _Tally:
    counts: Counter[str] = field(default_factory=Counter)
    closeness: float = 0.0
    close: int = 0

    def add(self, other: _Tally) -> None:
        self.counts.update(other.counts)
        self.closeness += other.closeness
        self.close += other.close


class QualityTally:
    """Counts what became of predictions; what it keeps grows with models and classes, not with samples.

    Args:
        rules: When two labels are of one thing; the defaults if left out.
    """

    def __init__(self, rules: ConsensusRules | None = None) -> None:
        self._rules = rules or ConsensusRules()
        self._tallies: dict[Model, dict[ClassKey, _Tally]] = {}
        self._truth: Counter[ClassKey] = Counter()
        self._records = 0
        self._skipped: Counter[str] = Counter()

    @property
    def truth(self) -> Counter[ClassKey]:
        """How often each class was committed in the records that were added, judged or not."""
        return self._truth

    @property
    def records(self) -> int:
        """How many records were compared."""
        return self._records

    def skip(self, why: str, committed: Iterable[Annotation] = ()) -> None:
        """Count a record that is compared with nothing: ``unpredicted``, ``unjudged`` or ``erased``."""
        self._skipped[why] += 1
        self._truth.update((label.type, label.label) for label in committed)

    def add(self, predictions: Iterable[tuple[Model, Sequence[Annotation]]], committed: Sequence[Annotation]) -> None:
        """Count one committed sample.

        Args:
            predictions: What each model version said of it, once each.
            committed: Its committed labels.
        """
        self._records += 1
        self._truth.update((label.type, label.label) for label in committed)
        for model, labels in predictions:
            tallies = self._tallies.setdefault(model, defaultdict(_Tally))
            for outcome in outcomes_of(labels, committed, self._rules):
                _count(tallies, outcome)

    def classes(self) -> tuple[ClassQuality, ...]:
        """Return each model version on each class, and on each kind as a whole before its classes.

        A kind that a model never predicted is not its task: what was committed of it is not missed.
        """
        found: list[ClassQuality] = []
        for model, tallies in sorted(self._tallies.items(), key=lambda item: (item[0][0], item[0][1] or "")):
            kinds = sorted({kind for (kind, _), tally in tallies.items() if tally.counts["predictions"]})
            for kind in kinds:
                own = sorted((label, tally) for (of, label), tally in tallies.items() if of == kind)
                whole = _Tally()
                for _, tally in own:
                    whole.add(tally)
                found.append(_quality(model, kind, None, whole))
                found += [_quality(model, kind, label, tally) for label, tally in own]
        return tuple(found)

    def finish(self, project: str, *, complete: bool = True) -> ModelQuality:
        """Return the numbers of what was added."""
        return ModelQuality(
            project=project,
            records=self._records,
            unpredicted=self._skipped["unpredicted"],
            unjudged=self._skipped["unjudged"],
            erased=self._skipped["erased"],
            complete=complete,
            models=self.classes(),
        )


def share_of(hits: int, trials: int) -> Share:
    """Return a share with its interval."""
    low, high = wilson_interval(hits, trials)
    # The ends of a share of 0 or 1 are these; the square root leaves a last digit.
    return Share(
        value=hits / trials if trials else None,
        low=0.0 if hits == 0 else low,
        high=1.0 if hits == trials else high,
        of=trials,
    )


def _count(tallies: dict[ClassKey, _Tally], outcome: Outcome) -> None:
    predicted, committed, change = outcome.predicted, outcome.committed, outcome.change
    if predicted is not None:
        counts = tallies[predicted.type, predicted.label].counts
        counts["predictions"] += 1
        counts[f"corrected_{change}" if change in ("class", "geometry", "attributes") else change or "confirmed"] += 1
    if committed is not None:
        tally = tallies[committed.type, committed.label]
        tally.counts["truth"] += 1
        if predicted is None:
            tally.counts["missed"] += 1
        elif change == "class":
            tally.counts["taken_for_another"] += 1
        elif outcome.closeness is not None:
            tally.closeness += outcome.closeness
            tally.close += 1


def _quality(model: Model, kind: str, label: str | None, tally: _Tally) -> ClassQuality:
    counts = tally.counts
    found = counts["confirmed"] + counts["corrected_geometry"] + counts["corrected_attributes"]
    return ClassQuality(
        model=model[0],
        version=model[1],
        kind=kind,
        label="all" if label is None else label,
        scope="kind" if label is None else "class",
        predictions=counts["predictions"],
        confirmed=counts["confirmed"],
        corrected_class=counts["corrected_class"],
        corrected_geometry=counts["corrected_geometry"],
        corrected_attributes=counts["corrected_attributes"],
        removed=counts["removed"],
        truth=counts["truth"],
        taken_for_another=counts["taken_for_another"],
        missed=counts["missed"],
        precision=share_of(found, counts["predictions"]),
        recall=share_of(found, counts["truth"]),
        mean_closeness=min(1.0, tally.closeness / tally.close) if tally.close else None,
    )

"""Which samples to label next: where models are weak, unsure, or see what is rare."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean

from services.contracts.annotations import Annotation
from services.contracts.feedback import ClassQuality, NextParts, NextSample
from services.contracts.lifecycle import RevisionRef, Stage
from services.feedback.models import ClassKey, Model


class Ranking:
    """Ranks samples that are not committed yet, and keeps only the best.

    Args:
        classes: How good each model version is on each class.
        truth: How often each class was committed.
        limit: How many to keep.
    """

    def __init__(self, classes: Iterable[ClassQuality], truth: Counter[ClassKey], *, limit: int) -> None:
        self._weakness = {
            ((one.model, one.version), (one.kind, one.label)): 1.0 - min(one.precision.low, one.recall.low)
            for one in classes
            if one.scope == "class"
        }
        self._rarity = _rarity(truth)
        self._limit = limit
        self._ranked: list[NextSample] = []
        self.candidates = 0
        self.unpredicted = 0

    def add(self, ref: RevisionRef, stage: Stage, predictions: Iterable[tuple[Model, Sequence[Annotation]]]) -> None:
        """Rank one sample by what models said of it."""
        self.candidates += 1
        labels = [(model, label) for model, said in predictions for label in said]
        self.unpredicted += not labels
        self._ranked.append(self._scored(ref, stage, labels))
        if len(self._ranked) >= 2 * self._limit + 100:
            self._cut()

    def best(self) -> tuple[NextSample, ...]:
        """Return the best of what was added: by score, then by sample id; those without a prediction last."""
        self._cut()
        return tuple(self._ranked)

    def _cut(self) -> None:
        self._ranked = heapq.nsmallest(self._limit, self._ranked, key=_place)

    def _scored(self, ref: RevisionRef, stage: Stage, labels: Sequence[tuple[Model, Annotation]]) -> NextSample:
        if not labels:
            return NextSample(ref=ref, stage=stage, predictions=0)
        # What is known of no class counts as the weakest and the rarest: nothing speaks for it.
        weakness = [
            (self._weakness.get((model, (label.type, label.label)), 1.0), f"{label.type}/{label.label}")
            for model, label in labels
        ]
        rarity = [
            (self._rarity.get((label.type, label.label), 1.0), f"{label.type}/{label.label}") for _, label in labels
        ]
        told = [1.0 - label.confidence for _, label in labels if label.confidence is not None]
        parts = NextParts(
            weakness=_rounded(fmean(value for value, _ in weakness)),
            doubt=_rounded(fmean(told)) if told else None,
            rarity=_rounded(max(rarity)[0]),
        )
        known = [parts.weakness, parts.rarity, *(() if parts.doubt is None else (parts.doubt,))]
        return NextSample(
            ref=ref,
            stage=stage,
            predictions=len(labels),
            score=_rounded(fmean(known)),
            parts=parts,
            weakest=max(weakness)[1][:200],
            rarest=max(rarity)[1][:200],
        )


def _rarity(truth: Counter[ClassKey]) -> Mapping[ClassKey, float]:
    most: Counter[str] = Counter()
    for (kind, _), count in truth.items():
        most[kind] = max(most[kind], count)
    return {key: 1.0 - count / most[key[0]] for key, count in truth.items() if count}


def _rounded(value: float) -> float:
    # The last digits of a sum do not choose between samples that are worth the same.
    return min(1.0, max(0.0, round(value, 6)))


def _place(sample: NextSample) -> tuple[float, str]:
    return (1.0 if sample.score is None else -sample.score), sample.ref.sample_id

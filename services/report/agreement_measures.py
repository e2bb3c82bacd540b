"""The numbers of one view on one kind of label, each with what is behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np

from services.agreement.alpha import alpha_interval, krippendorff_alpha
from services.agreement.kappa import agreement_weights, cohen_kappa, gwet_ac
from services.agreement.measures import f1, ratio_interval
from services.agreement.ratings import MISSING, Agreement, Interval, Ints, Level
from services.contracts.agreement import AgreementEntry, AgreementMeasure, AgreementMetric
from services.report.agreement_units import TEXT_KINDS, Gathered, Judgement, Unit
from services.report.agreement_views import Row, View
from services.rules.consensus import ConsensusRules

_OVERLAP: dict[str, AgreementMetric] = {
    "keypoints": "mean_oks", "lane_marking": "mean_closeness", "spatial_label": "mean_closeness",
}  # fmt: skip
_LIST_AT_LEAST = 1_000
_SHOWN_LABELS = 20


@dataclass(slots=True)
class Entries:
    """A list that may be shortened, and still counts everything."""

    most: int | None = None
    count: int = 0
    _kept: list[tuple[float, AgreementEntry]] = field(default_factory=list)

    def add(self, order: float, entry: AgreementEntry) -> None:
        """Count an entry; the lowest ``order`` comes first."""
        self.count += 1
        self._kept.append((order, entry))
        if self.most is not None and len(self._kept) > 2 * self.most + _LIST_AT_LEAST:
            self._cut()

    def listed(self) -> tuple[AgreementEntry, ...]:
        """Return the entries that are listed."""
        self._cut()
        return tuple(entry for _, entry in self._kept)

    @property
    def unlisted(self) -> int:
        """Entries that are not."""
        self._cut()
        return self.count - len(self._kept)

    def _cut(self) -> None:
        self._kept.sort(key=lambda item: (item[0], item[1].sample_id, item[1].place, item[1].annotation_ids,
                                          item[1].project, item[1].people))  # fmt: skip
        if self.most is not None:
            del self._kept[self.most :]


def entry_of(gathered: Gathered, unit: Unit, judgements: Sequence[Judgement], sentence: str) -> AgreementEntry:
    """Return a disagreement on one thing."""
    project, sample_id = gathered.samples[unit.sample]
    return AgreementEntry(
        project=project,
        sample_id=sample_id,
        place=unit.place[:2_000],
        sentence=sentence[:2_000],
        people=tuple(one.person for one in judgements),
        annotation_ids=tuple(name for one in judgements for name in one.ids),
    )


def class_sentence(judgements: Sequence[Judgement]) -> str:
    """Return who says what."""
    said = ", ".join(f"{one.person} {one.label}" for one in judgements[:_SHOWN_LABELS])
    return f"{said}{', …' if len(judgements) > _SHOWN_LABELS else ''}."


@dataclass(frozen=True, slots=True)
class _Pair:
    """Two labels, or two answers, of which a ratio counts."""

    sample: int
    top: float
    bottom: float
    order: float
    entry: AgreementEntry | None


class Measures:
    """Makes the numbers of one kind of label.

    Args:
        gathered: All answers.
        kind: The kind.
        units: Its things.
        rules: How close is close, and which classes have an order.
        max_listed: Most entries behind a number.
    """

    def __init__(
        self, gathered: Gathered, kind: str, units: list[Unit], rules: ConsensusRules, max_listed: int | None
    ) -> None:
        self._gathered = gathered
        self._kind = kind
        self._units = units
        self._rules = rules
        self._max_listed = max_listed
        used = {one.label for unit in units for one in unit.judgements}
        scale = next((scale for scale in rules.ordered_classes if used <= set(scale)), None)
        self._level: Level = "nominal" if scale is None else "ordinal"
        self._classes = sorted(used) if scale is None else list(scale)
        self._who = {one.person for unit in units for one in unit.judgements}

    def of(self, view: View, *, seed: int) -> Iterator[AgreementMeasure]:
        """Yield the numbers of one view; of views in which nothing was compared none, except of everything."""
        rows = list(view.rows(self._units))
        if rows or view.view == "all":
            yield from self._of_classes(view, rows, seed)
        if any(unit.closeness is not None for unit, _ in rows):
            yield self._ratio(view, _OVERLAP.get(self._kind, "mean_iou"), self._closeness(rows), seed)
        if self._kind in TEXT_KINDS and rows:
            yield self._ratio(view, "wer", self._word_errors(rows), seed)
        if view.only_class is None:
            boundaries = list(self._boundaries(view))
            if boundaries:
                yield self._ratio(view, "boundary_f1", boundaries, seed)
            found = list(self._found(view))
            if found and any(unit.closeness is not None for unit in self._units):
                yield self._ratio(view, "detection_f1", found, seed)

    def _of_classes(self, view: View, rows: Sequence[Row], seed: int) -> Iterator[AgreementMeasure]:
        classes, level = self._classes, self._level
        if view.only_class is not None:
            classes, level = ["other", view.only_class], "nominal"
        code = {name: index for index, name in enumerate(classes)}
        codes = np.full((len(rows), max((len(places) for _, places in rows), default=2)), MISSING, dtype=np.intp)
        entries = Entries(self._max_listed)
        for index, (unit, places) in enumerate(rows):
            judgements = [unit.judgements[place] for place in places]
            codes[index, : len(places)] = [code.get(one.label, 0) for one in judgements]
            said = set(codes[index, : len(places)].tolist())
            if len(said) > 1:
                entries.add(-float(len(said)), entry_of(self._gathered, unit, judgements, class_sentence(judgements)))
        samples = np.array([unit.sample for unit, _ in rows], dtype=np.intp)
        ratings = np.where(codes < 0, np.nan, codes.astype(np.float64))
        alpha = krippendorff_alpha(ratings, level)
        interval = None
        if alpha.value is not None and len(rows):
            interval = alpha_interval(ratings, level, seed=seed, clusters=samples)
        yield self._measure(view, "krippendorff_alpha", alpha, interval, len(rows), samples, entries)
        weights = None if level == "nominal" else agreement_weights(len(classes), level)
        ac = gwet_ac(codes, len(classes), weights)
        yield self._measure(view, "gwet_ac1" if weights is None else "gwet_ac2", ac, None, len(rows), samples, entries)
        if view.view == "pair" and len(rows):
            kappa = cohen_kappa(codes[:, 0], codes[:, 1], len(classes), weights)
            yield self._measure(view, "cohen_kappa", kappa, None, len(rows), samples, entries)

    def _measure(
        self, view: View, metric: AgreementMetric, agreement: Agreement, interval: Interval | None, compared: int,
        samples: Ints, entries: Entries,
    ) -> AgreementMeasure:  # fmt: skip
        observed = agreement.observed
        if metric == "krippendorff_alpha" and not np.isnan(observed):
            observed = 1.0 - observed if self._level == "nominal" or view.only_class is not None else np.nan
        return AgreementMeasure(
            view=view.view, name=view.name, kind=self._kind, metric=metric, value=agreement.value,
            low=interval.low if interval is not None else None, high=interval.high if interval is not None else None,
            observed=None if np.isnan(observed) else round(float(observed), 12), compared=compared,
            samples=len(set(samples.tolist())), degenerate=agreement.degenerate, differing=entries.count,
            entries=entries.listed(), unlisted=entries.unlisted,
        )  # fmt: skip

    def _ratio(self, view: View, metric: AgreementMetric, pairs: Iterable[_Pair], seed: int) -> AgreementMeasure:
        given = list(pairs)
        tops, bottoms = (
            np.array([getattr(one, name) for one in given], dtype=np.float64) for name in ("top", "bottom")
        )
        samples = np.array([one.sample for one in given], dtype=np.intp)
        entries = Entries(self._max_listed)
        for one in given:
            if one.entry is not None:
                entries.add(one.order, one.entry)
        total = float(bottoms.sum())
        interval = ratio_interval(tops, bottoms, samples, seed=seed) if total else None
        return AgreementMeasure(
            view=view.view, name=view.name, kind=self._kind, metric=metric,
            value=float(tops.sum()) / total if total else None, low=interval.low if interval is not None else None,
            high=interval.high if interval is not None else None, compared=len(given),
            samples=len(set(samples.tolist())), degenerate=None if total else "no_pairs", differing=entries.count,
            entries=entries.listed(), unlisted=entries.unlisted,
        )  # fmt: skip

    def _pairs(self, rows: Sequence[Row]) -> Iterator[tuple[Unit, int, int]]:
        for unit, places in rows:
            for i, j in combinations(places, 2):
                yield unit, i, j

    def _closeness(self, rows: Sequence[Row]) -> Iterator[_Pair]:
        limit = self._rules.place_of(self._kind)
        for unit, i, j in self._pairs(rows):
            if unit.closeness is None:
                continue
            value = float(unit.closeness[i, j])
            entry = None
            if value < limit:
                both = (unit.judgements[i], unit.judgements[j])
                sentence = f"{both[0].person} and {both[1].person}: {value:.2f}, less than {limit:g}."
                entry = entry_of(self._gathered, unit, both, sentence)
            yield _Pair(unit.sample, value, 1.0, value, entry)

    def _word_errors(self, rows: Sequence[Row]) -> Iterator[_Pair]:
        for unit, i, j in self._pairs(rows):
            errors, words = unit.errors[i, j]
            entry = None
            if errors:
                both = (unit.judgements[i], unit.judgements[j])
                sentence = f"{both[0].person} and {both[1].person} differ in {errors} of {words:g} words."
                entry = entry_of(self._gathered, unit, both, sentence)
            yield _Pair(unit.sample, float(errors), words, -errors / words if words else 0.0, entry)

    def _boundaries(self, view: View) -> Iterator[_Pair]:
        for one in self._gathered.boundaries:
            a, b = one.people
            if one.kind != self._kind or not {a, b} <= self._who or not view.includes(one.sample, a, b):
                continue
            total = one.counts[0] + one.counts[1]
            if not total:
                continue
            score = f1(one.matched, *one.counts)
            entry = None
            if score < 1.0:
                project, sample_id = self._gathered.samples[one.sample]
                sentence = f"{a} has {one.counts[0]} boundaries, {b} {one.counts[1]}; {one.matched} are the same."
                entry = AgreementEntry(
                    project=project, sample_id=sample_id, place=one.place, sentence=sentence, people=one.people,
                    annotation_ids=(),
                )  # fmt: skip
            yield _Pair(one.sample, 2.0 * one.matched, float(total), score, entry)

    def _found(self, view: View) -> Iterator[_Pair]:
        """Yield, for each thing and two people who use the kind, whether both labelled it or one alone."""
        for unit in self._units:
            own = {one.person: one for one in unit.judgements}
            people = sorted(self._who.intersection(self._gathered.answered[unit.sample]))
            for a, b in combinations(people, 2):
                has = [own[name] for name in (a, b) if name in own]
                if not has or not view.includes(unit.sample, a, b):
                    continue
                entry = None
                if len(has) == 1:
                    other = b if has[0].person == a else a
                    sentence = f"{has[0].person} labelled a {has[0].label}, {other} nothing."
                    entry = entry_of(self._gathered, unit, has, sentence).model_copy(update={"people": (a, b)})
                # Twice what both have over what either has, one thing after the other: summed up it is the F1.
                yield _Pair(unit.sample, 2.0 * (len(has) == 2), float(len(has)), 0.0, entry)

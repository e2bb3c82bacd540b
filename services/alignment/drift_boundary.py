"""``boundary_bias``: does one party draw the same things systematically tighter, looser, shorter, longer or aside?

For each thing that both parties labelled with the same class and could see whole, the differences of its edges are
taken: of a box's width, height and centre as shares of its side and in pixels, of a time span's beginning, end and
length in seconds. Each cluster (object or sample) has one vote, its median; the mean of the votes has Student's
interval. A bias is reported where the interval's near end exceeds the limit. What a bias of all classes explains is
taken off before the classes are looked at one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import stdtrit

from services.alignment.drift_findings import Said, Teller
from services.alignment.drift_units import Item, Unit, pairs_of
from services.alignment.geometry import Floats
from services.contracts.base import Scalar
from services.contracts.findings import Measured

_BOXES = ("box", "polygon")
_SIDES = ("width", "height", "right", "down")
_TIMES = ("start", "end", "length")
_NO_TIMES = ("entity_span",)
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class _Bias:
    """A bias with its interval, as measured and as a share of the size."""

    mean: Floats
    half: Floats
    clusters: int

    @property
    def near(self) -> Floats:
        """The end of the interval that is nearer to zero; zero where the interval holds it."""
        return np.sign(self.mean) * np.maximum(np.abs(self.mean) - self.half, 0.0)


def boundary_statements(teller: Teller, question: str, units: Sequence[Unit]) -> Iterator[Said]:
    """Yield each pair's biases: one of all classes, and those of single classes that it leaves unexplained."""
    if question in _NO_TIMES:
        return
    shared: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        for pair in combinations(sorted(unit.items), 2):
            if _comparable(unit.items[pair[0]], unit.items[pair[1]]):
                shared[pair].append(unit)
    pairs = [pair for pair in pairs_of(units) if len(shared[pair]) >= teller.section.min_units]
    for pair in pairs:
        yield from _of_pair(teller, question, pair, shared[pair], len(pairs))


def _comparable(one: Item, other: Item) -> bool:
    return (
        one.extent is not None and other.extent is not None and one.label == other.label and one.clear and other.clear
    )


def _of_pair(teller: Teller, question: str, pair: tuple[str, str], units: Sequence[Unit], pairs: int) -> Iterator[Said]:
    a = np.array([unit.items[pair[0]].extent for unit in units], dtype=np.float64)
    b = np.array([unit.items[pair[1]].extent for unit in units], dtype=np.float64)
    labels = np.array([unit.items[pair[0]].label for unit in units])
    _, clusters = np.unique(np.array([unit.cluster for unit in units]), return_inverse=True)
    shares, sizes = _differences(question, a, b)
    classes = sorted(set(labels.tolist()))
    comparisons = pairs * shares.shape[1] * (1 + len(classes))
    pooled = _bias(teller, np.concatenate([shares, sizes], axis=1), clusters, comparisons)
    if pooled is not None and (said := _said(teller, question, pair, pooled, "", len(units), comparisons)) is not None:
        yield said
        width = shares.shape[1]
        shares, sizes = shares - pooled.mean[:width], sizes - pooled.mean[width:]
    if len(classes) < 2:
        return
    for name in classes:
        own = labels == name
        if own.sum() < teller.section.min_units:
            continue
        bias = _bias(teller, np.concatenate([shares[own], sizes[own]], axis=1), clusters[own], comparisons)
        if bias is not None:
            said = _said(teller, question, pair, bias, name, int(own.sum()), comparisons)
            if said is not None:
                yield said


def _differences(question: str, a: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Return differences (a - b) as shares of the size and in units: two of shape (units, measures)."""
    if question in _BOXES:
        side_a, side_b = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
        centre = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2.0
        apart = np.concatenate([side_a - side_b, centre], axis=1)
        size = np.maximum((side_a + side_b) / 2.0, _TINY)
        return apart / np.concatenate([size, size], axis=1), apart
    start, end = a[:, 0] - b[:, 0], a[:, 2] - b[:, 2]
    apart = np.stack([start, end, end - start], axis=1)
    length = ((a[:, 2] - a[:, 0]) + (b[:, 2] - b[:, 0])) / 2.0
    return apart / np.maximum(length, _TINY)[:, None], apart


def _bias(teller: Teller, values: Floats, clusters: np.typing.NDArray[np.intp], comparisons: int) -> _Bias | None:
    names = np.unique(clusters)
    if len(names) < teller.section.min_clusters:
        return None
    votes = np.array([np.median(values[clusters == name], axis=0) for name in names])
    tail = (1.0 - teller.section.confidence) / (2.0 * comparisons)
    quantile = float(stdtrit(len(names) - 1, 1.0 - tail))
    half = quantile * votes.std(axis=0, ddof=1) / np.sqrt(len(names))
    return _Bias(votes.mean(axis=0), half, len(names))


def _said(
    teller: Teller, question: str, pair: tuple[str, str], bias: _Bias, label: str, units: int, comparisons: int
) -> Said | None:
    section = teller.section
    is_box = question in _BOXES
    names = _SIDES if is_box else _TIMES
    count = len(names)
    near_share, near = np.abs(bias.near[:count]), np.abs(bias.near[count:])
    if is_box:
        over = (near_share >= section.min_bias_share) & (near >= section.min_bias_px)
    else:
        over = near >= section.min_bias_s
    if not over.any():
        return None
    worst = int(np.argmax(np.where(over, near_share if is_box else near, -1.0)))
    which = {names[index] for index in np.nonzero(over)[0]}
    mean_share, mean, half = bias.mean[worst], bias.mean[count + worst], bias.half[count + worst]
    direction = _box_direction(bias.mean, which) if is_box else _time_direction(bias.mean[count:], which)
    unit = "px" if is_box else "s"
    what = {"width": "wide", "height": "high", "right": "to the right", "down": "down"}.get(names[worst], names[worst])
    relative = f" ({100 * mean_share:+.1f} % of the size)" if is_box else ""
    about = f" of {label!r}" if label else ""
    beyond = " beyond its bias in all classes" if label else ""
    message = (
        f"{pair[0]} draws {question} labels{about} {direction} than {pair[1]}{beyond}: {what} {mean:+.2f} ± {half:.2f} "
        f"{unit}{relative}, over {units} things and {bias.clusters} independent clusters."
    )
    estimate: dict[str, Scalar] = {
        "question": question, "direction": direction, "units": units, "clusters": bias.clusters,
        "confidence": section.confidence, "comparisons": comparisons, **({"class": label} if label else {}),
    }  # fmt: skip
    for index, name in enumerate(names):
        estimate[f"{name}_{unit}"] = round(float(bias.mean[count + index]), 4)
        estimate[f"{name}_{unit}_uncertainty"] = round(float(bias.half[count + index]), 4)
        if is_box:
            estimate[f"{name}_share"] = round(float(bias.mean[index]), 5)
            estimate[f"{name}_share_uncertainty"] = round(float(bias.half[index]), 5)
    if is_box:
        measured = Measured(value=float(mean_share), unit="share of size", threshold=section.min_bias_share)
    else:
        measured = Measured(value=float(mean), unit="s", threshold=section.min_bias_s)
    return Said(
        "boundary_bias", pair, (question, label), message, measured, estimate, 1 if mean > 0 else -1
    )  # fmt: skip


def _box_direction(mean: Floats, which: set[str]) -> str:
    sides = [mean[index] for index, name in enumerate(_SIDES[:2]) if name in which]
    if not sides:
        return "aside"
    if all(side < 0 for side in sides):
        return "tighter"
    return "looser" if all(side > 0 for side in sides) else "in another shape"


def _time_direction(mean: Floats, which: set[str]) -> str:
    if "length" in which:
        return "longer" if mean[2] > 0 else "shorter"
    late = mean[0] if "start" in which else mean[1]
    return "later" if late > 0 else "earlier"

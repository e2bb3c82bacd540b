"""``class_confusion`` and ``agreement_low``: do two parties call the same things the same?

Agreement is Krippendorff's alpha of the units both judged, with a bootstrap interval over independent clusters; low is
an alpha that is below the limit by its interval and by a Bonferroni bound over everything that is compared. A confusion
is a share of one party's labels of a class that the other calls by one other class; its lower Wilson bound (E. B.
Wilson, 1927) must exceed the limit. The direction is an exact sign test (McNemar's, 1947) of the two ways.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy.special import bdtr, ndtri

from services.agreement.alpha import alpha_interval, krippendorff_alpha
from services.agreement.intervals import wilson_interval
from services.agreement.kappa import cohen_kappa, gwet_ac
from services.agreement.ratings import Agreement, Floats, Interval, encode
from services.alignment.drift_findings import Said, Teller, explained
from services.alignment.drift_units import Unit, pairs_of
from services.contracts.base import Scalar
from services.contracts.findings import Finding, Measured

_MAX_BOOTSTRAPPED_PAIRS = 400
_AGAINST = 0.1
_HALF = 0.5


@dataclass(frozen=True, slots=True)
class _Pair:
    """The units that two parties share."""

    parties: tuple[str, str]
    ratings: tuple[tuple[str, str], ...]
    clusters: tuple[str, ...]
    names: tuple[str, ...]


def agreement_findings(
    teller: Teller, question: str, units: Sequence[Unit]
) -> tuple[list[Finding], list[Finding], list[Said]]:
    """Return findings and folded findings of one question, and the one-way confusions for other parts to look at."""
    pairs = [pair for pair in _pairs(units) if len(pair.ratings) >= teller.section.min_units]
    if not pairs:
        return [], [], []
    classes = sorted({name for pair in pairs for both in pair.ratings for name in both})
    if len(classes) < 2:
        return [], [], []
    compared = [pair.parties for pair in pairs]
    confusions = [said for pair in pairs for said in _confusions(teller, question, pair, len(pairs), classes)]
    low = [said for pair in pairs if (said := _low(teller, question, pair, len(pairs), classes)) is not None]
    found, folded = _confusion_findings(teller, confusions, compared)
    agreement, pair_folded = explained(teller, low, compared) if low else ([], [])
    folded += pair_folded
    kept: list[Finding] = []
    for finding, behind in agreement:
        mine = {item.pair for item in behind}
        related = [item for item in found if _mostly_in(item[1], mine)]
        causes = [item[0] for item in related if _explain([item[1]], behind, pairs, teller)]
        if not causes and len(related) == 2 and _explain([item[1] for item in related], behind, pairs, teller):
            causes = [item[0] for item in related]
        if causes:
            folded.append(finding)
            found = [(_with(cause, finding) if cause is causes[0] else cause, said) for cause, said in found]
            continue
        # Classes mixed in many ways, or both ways between parties whose agreement is low, are what guessing looks like.
        under = [item for item in related if _recovery([item[1]], behind, pairs, teller) < _HALF]
        folded += [item[0] for item in under]
        found = [item for item in found if item not in under]
        ids = (*finding.explains, *(item[0].finding_id for item in under))
        kept.append(_over_all(finding, units, behind).model_copy(update={"explains": tuple(sorted(ids))}))
    return [item[0] for item in found] + kept, folded, confusions


def _mostly_in(said: Sequence[Said], pairs: set[tuple[str, str]]) -> bool:
    inside = sum(item.pair in pairs for item in said)
    return inside == len(said) or (len(pairs) > 1 and inside > len(said) / 2)


def _over_all(finding: Finding, units: Sequence[Unit], behind: Sequence[Said]) -> Finding:
    """Return a finding about many pairs with the alpha of all parties together."""
    if len(behind) < 2 or finding.cause is None:
        return finding
    codes, parties, _ = encode([{name: item.label for name, item in unit.items.items()} for unit in units])
    agreement = krippendorff_alpha(np.where(codes < 0, np.nan, codes.astype(np.float64)))
    if agreement.value is None:
        return finding
    estimate = {**finding.cause.estimate, "krippendorff_alpha_of_all": round(agreement.value, 4)}
    message = f"All {len(parties)} parties together have alpha {agreement.value:.2f}; {finding.message}"
    cause = finding.cause.model_copy(update={"estimate": dict(list(estimate.items())[-50:])})
    return finding.model_copy(update={"message": message[:2_000], "cause": cause})


def _with(finding: Finding, symptom: Finding) -> Finding:
    return finding.model_copy(update={"explains": tuple(sorted({*finding.explains, symptom.finding_id}))})


def _one_way(said: Sequence[Said]) -> bool:
    """Whether somebody means another thing: one direction, or a swap; not where everybody differs from everybody."""
    if not set.intersection(*(set(item.pair) for item in said)):
        return False
    return all(item.sign != 0 or item.measured.value > 0.5 for item in said)


def _pairs(units: Sequence[Unit]) -> Iterator[_Pair]:
    shared: dict[tuple[str, str], list[Unit]] = defaultdict(list)
    for unit in units:
        for pair in combinations(sorted(unit.items), 2):
            shared[pair].append(unit)
    for a, b in pairs_of(units):
        own = shared[a, b]
        yield _Pair(
            (a, b),
            tuple((unit.items[a].label, unit.items[b].label) for unit in own),
            tuple(unit.cluster for unit in own),
            tuple(unit.items[a].name for unit in own),
        )


def _z(teller: Teller, comparisons: int) -> float:
    """Return the one-sided normal quantile of the confidence, shared by all comparisons."""
    return float(ndtri(1.0 - (1.0 - teller.section.confidence) / (2.0 * max(1, comparisons))))


def _confusions(teller: Teller, question: str, pair: _Pair, pairs: int, classes: Sequence[str]) -> Iterator[Said]:
    section = teller.section
    counts = Counter(pair.ratings)
    mixed = sorted({(min(both), max(both)) for both in counts if both[0] != both[1]})
    z = _z(teller, pairs * max(1, len(mixed)))
    for c, d in mixed:
        n_cd, n_dc = counts[c, d], counts[d, c]
        if n_cd + n_dc < section.min_confusions:
            continue
        # For each way: of one party's labels of a class, how many the other calls by the other class.
        ways = [
            (*_share(pair, 0, c, d), pair.parties[0], c, pair.parties[1], d),
            (*_share(pair, 0, d, c), pair.parties[0], d, pair.parties[1], c),
            (*_share(pair, 1, c, d), pair.parties[1], c, pair.parties[0], d),
            (*_share(pair, 1, d, c), pair.parties[1], d, pair.parties[0], c),
        ]
        usable = [way for way in ways if way[2] >= section.min_confusions]
        if not usable:
            continue
        hits, trials, events, who, says, other, instead = max(
            usable, key=lambda way: (wilson_interval(way[0], way[1], z)[0], way[0])
        )
        low = wilson_interval(hits, trials, z)[0]
        sign = _direction(pair, c, d)
        least = section.min_confusion_share if sign != 0 else section.min_mutual_share
        if low < least:
            continue
        share = hits / trials
        one_way = sign != 0
        arrow = "one way" if one_way else "both ways"
        message = (
            f"Of what {who} calls {says!r}, {other} calls {100 * share:.0f} % {instead!r} ({events} labels of "
            f"{len(pair.ratings)} both judged; at least {100 * low:.0f} %), {arrow}."
        )
        example = next(name for name, both in zip(pair.names, pair.ratings, strict=True) if set(both) == {c, d})
        estimate: dict[str, Scalar] = {
            "question": question, "class_a": c, "class_b": d, "direction": arrow, "says": f"{who}: {says}",
            "instead_of": f"{other}: {instead}", "share": round(share, 4), "share_low": round(low, 4),
            "a_says_first_b_second": n_cd, "a_says_second_b_first": n_dc, "units": len(pair.ratings),
            "example": example,
        }  # fmt: skip
        measured = Measured(value=share, unit="share", threshold=least)
        yield Said("class_confusion", pair.parties, (question, c, d), message, measured, estimate, sign)


def _share(pair: _Pair, side: int, says: str, other: str) -> tuple[float, float, int]:
    """Return (clusters in which the other party says ``other``, clusters, labels); a cluster counts by its share."""
    mine: dict[str, list[int]] = defaultdict(list)
    for both, cluster in zip(pair.ratings, pair.clusters, strict=True):
        if both[side] == says:
            mine[cluster].append(both[1 - side] == other)
    events = sum(sum(hits) for hits in mine.values())
    return sum(sum(hits) / len(hits) for hits in mine.values()), float(len(mine)), events


def _direction(pair: _Pair, c: str, d: str) -> int:
    """Return +1 where the first party says ``c`` and the second ``d`` far more often than the other way round.

    Far more often is ten times as often, or so often that the sign test over clusters leaves no doubt.
    """
    balance: Counter[str] = Counter()
    for both, cluster in zip(pair.ratings, pair.clusters, strict=True):
        if both == (c, d):
            balance[cluster] += 1
        elif both == (d, c):
            balance[cluster] -= 1
    ahead = sum(value > 0 for value in balance.values())
    behind = sum(value < 0 for value in balance.values())
    trials = ahead + behind
    n_cd, n_dc = (sum(both == way for both in pair.ratings) for way in ((c, d), (d, c)))
    if min(n_cd, n_dc) <= _AGAINST * max(n_cd, n_dc):
        return 1 if n_cd > n_dc else -1
    chance = 2.0 * float(bdtr(min(ahead, behind), trials, 0.5))
    return 0 if chance > 0.01 else 1 if ahead > behind else -1


def _alpha(pair: _Pair, ratings: Sequence[tuple[str, str]], teller: Teller) -> tuple[Agreement, Interval | None]:
    codes, _, _ = encode([{"a": a, "b": b} for a, b in ratings])
    values: Floats = codes.astype(np.float64)
    _, clusters = np.unique(np.array(pair.clusters), return_inverse=True)
    agreement = krippendorff_alpha(values)
    limit = teller.section.min_alpha
    if agreement.value is None or agreement.value >= limit:
        return agreement, None
    seed = zlib.crc32("/".join(pair.parties).encode())
    section = teller.section
    interval = alpha_interval(
        values, seed=seed, clusters=clusters, resamples=section.resamples, confidence=section.confidence
    )
    return agreement, interval


def _is_low(teller: Teller, agreement: Agreement, interval: Interval | None, comparisons: int) -> bool:
    if agreement.value is None or interval is None or interval.clusters < teller.section.min_clusters:
        return False
    bound = max(interval.high, agreement.value + _z(teller, comparisons) * interval.error)
    return bound < teller.section.min_alpha


def _low(teller: Teller, question: str, pair: _Pair, pairs: int, classes: Sequence[str]) -> Said | None:
    comparisons = min(pairs, _MAX_BOOTSTRAPPED_PAIRS) * (1 + len(classes))
    agreement, interval = _alpha(pair, pair.ratings, teller)
    whole = _is_low(teller, agreement, interval, comparisons)
    per_class = _low_classes(teller, pair, comparisons) if len(classes) > 2 else {}
    if not whole and not per_class:
        return None
    a, b = pair.parties
    mixed = Counter(both for both in pair.ratings if both[0] != both[1])
    (says, instead), count = max(mixed.items(), key=lambda item: (item[1], item[0]))
    if whole and agreement.value is not None and interval is not None:
        value, span, what = agreement.value, interval, "their labels"
    else:
        name = min(per_class, key=lambda item: (per_class[item][0], item))
        (value, span), what = per_class[name], f"the class {name!r}"
    codes, _, names = encode([{"a": one, "b": other} for one, other in pair.ratings])
    kappa, ac1 = cohen_kappa(codes[:, 0], codes[:, 1], len(names)), gwet_ac(codes, len(names))
    message = (
        f"{a} and {b} agree on {what} little beyond chance: alpha {value:.2f} [{span.low:.2f}, {span.high:.2f}] over "
        f"{len(pair.ratings)} things both judged ({question}). Most often {a} says {says!r} where {b} says {instead!r} "
        f"({count} times; {mixed[instead, says]} the other way)."
    )
    estimate: dict[str, Scalar] = {
        "question": question, "krippendorff_alpha": round(value, 4), "alpha_low": round(span.low, 4),
        "alpha_high": round(span.high, 4), "confidence": span.confidence, "units": len(pair.ratings),
        "clusters": span.clusters, "a_says": says, "b_says": instead, "times": count,
        "times_the_other_way": mixed[instead, says], "observed_agreement": round(kappa.observed, 4),
    }  # fmt: skip
    estimate |= {name: round(item.value, 4) for name, item in (("cohen_kappa", kappa), ("gwet_ac1", ac1)) if item.value}
    for name in sorted(per_class, key=lambda item: (per_class[item][0], item))[:20]:
        estimate[f"alpha_of_{name}"[:200]] = round(per_class[name][0], 4)
    measured = Measured(value=value, unit="alpha", threshold=teller.section.min_alpha)
    about = (question,) if whole else (question, what)
    return Said("agreement_low", pair.parties, about, message, measured, estimate)


def _low_classes(teller: Teller, pair: _Pair, comparisons: int) -> dict[str, tuple[float, Interval]]:
    found: dict[str, tuple[float, Interval]] = {}
    used: Counter[str] = Counter()
    for both in pair.ratings:
        used.update(set(both))
    for name in sorted(used):
        if used[name] < teller.section.min_units:
            continue
        ratings = [("1" if a == name else "0", "1" if b == name else "0") for a, b in pair.ratings]
        agreement, interval = _alpha(pair, ratings, teller)
        if _is_low(teller, agreement, interval, comparisons) and agreement.value is not None and interval is not None:
            found[name] = agreement.value, interval
    return found


def _confusion_findings(
    teller: Teller, confusions: Sequence[Said], compared: Sequence[tuple[str, str]]
) -> tuple[list[tuple[Finding, tuple[Said, ...]]], list[Finding]]:
    by_classes: dict[tuple[str, ...], list[Said]] = defaultdict(list)
    for said in confusions:
        by_classes[said.about].append(said)
    found: list[tuple[Finding, tuple[Said, ...]]] = []
    folded: list[Finding] = []
    for about in sorted(by_classes):
        one, other = explained(teller, by_classes[about], compared)
        found += one
        folded += other
    return found, folded


def _explain(confusions: Sequence[Sequence[Said]], low: Sequence[Said], pairs: Sequence[_Pair], teller: Teller) -> bool:
    return _recovery(confusions, low, pairs, teller) >= 1.0


def _recovery(
    confusions: Sequence[Sequence[Said]], low: Sequence[Said], pairs: Sequence[_Pair], teller: Teller
) -> float:
    """Return how much of the missing agreement comes back once the confused classes count as one.

    The least over the pairs whose agreement is low: 1 and more where alpha reaches the limit again, or where no two
    classes are left to tell apart; 0 where the confusion has no direction.
    """
    if not all(_one_way(said) for said in confusions):
        return 0.0
    by_parties = {pair.parties: pair for pair in pairs}
    limit = teller.section.min_alpha
    shares = []
    for item in low:
        ratings = by_parties[item.pair].ratings
        merged = list(ratings)
        for c, d in (said[0].about[1:3] for said in confusions if item.pair in {one.pair for one in said}):
            merged = [(c if a == d else a, c if b == d else b) for a, b in merged]
        before, after = (_alpha_of(both) for both in (ratings, merged))
        missing = limit - before if before is not None else 0.0
        if after is None or after >= limit:
            shares.append(1.0 if merged != list(ratings) else 0.0)
        else:
            shares.append((after - (before or 0.0)) / missing if missing > 0 else 0.0)
    return min(shares, default=0.0)


def _alpha_of(ratings: Sequence[tuple[str, str]]) -> float | None:
    codes, _, _ = encode([{"a": a, "b": b} for a, b in ratings])
    return krippendorff_alpha(codes.astype(np.float64)).value

"""``usage_shift`` and ``taxonomy_version_mix``: which classes and which versions the parties use.

Each sample gives each party's share of every class. Where two parties labelled the same samples, the shares are
compared sample by sample; else their means are compared over different samples, which may differ in content, so that a
shift is then only a hint. Student's interval over samples (Welch's for different ones) decides.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from services.alignment.drift_findings import Said, Teller
from services.alignment.drift_units import Gathered, newest
from services.alignment.geometry import Floats
from services.contracts.base import Scalar
from services.contracts.findings import Finding, Measured


@dataclass(frozen=True, slots=True)
class _Shift:
    mean: Floats
    half: Floats
    samples: int
    paired: bool


def usage_statements(teller: Teller, found: Gathered) -> Iterator[Said]:
    """Yield each pair of parties that use the classes differently."""
    questions = sorted({question for _, question in found.usage})
    for question in questions:
        parties = sorted(party for party, name in found.usage if name == question)
        shares = {party: _by_recording(found, party, question) for party in parties}
        pairs = [(a, b) for index, a in enumerate(parties) for b in parties[index + 1 :]]
        classes = sorted({name for party in parties for used in shares[party].values() for name in used})
        if len(classes) < 2:
            continue
        for a, b in pairs:
            shift = _shift(teller, shares[a], shares[b], classes, len(pairs) * len(classes))
            if shift is not None and (said := _said(teller, question, (a, b), shift, classes)) is not None:
                yield said


def _by_recording(found: Gathered, party: str, question: str) -> dict[str, Counter[str]]:
    usage: dict[str, Counter[str]] = defaultdict(Counter)
    for sample, counts in found.usage[party, question].items():
        usage[found.recordings[sample]].update(counts)
    return dict(usage)


def _table(usage: Mapping[str, Counter[str]], names: Sequence[str], classes: Sequence[str]) -> Floats:
    counts = np.array([[usage[name][label] for label in classes] for name in names], dtype=np.float64)
    return np.asarray(counts / counts.sum(axis=1, keepdims=True))


def _shift(
    teller: Teller, a: Mapping[str, Counter[str]], b: Mapping[str, Counter[str]], classes: Sequence[str], tests: int
) -> _Shift | None:
    least = teller.section.min_usage_samples
    tail = (1.0 - teller.section.confidence) / (2.0 * tests)
    common = sorted(set(a) & set(b))
    if len(common) >= least:
        apart = _table(a, common, classes) - _table(b, common, classes)
        error = apart.std(axis=0, ddof=1) / np.sqrt(len(common))
        quantile = float(stdtrit(len(common) - 1, 1.0 - tail))
        return _Shift(apart.mean(axis=0), quantile * error, len(common), paired=True)
    alone = [sorted(set(one) - set(common)) for one in (a, b)]
    if min(len(names) for names in alone) < least:
        return None
    one, other = _table(a, alone[0], classes), _table(b, alone[1], classes)
    errors = [table.var(axis=0, ddof=1) / len(table) for table in (one, other)]
    error = np.sqrt(errors[0] + errors[1])
    freedom = min(len(one), len(other)) - 1
    quantile = float(stdtrit(freedom, 1.0 - tail))
    return _Shift(one.mean(axis=0) - other.mean(axis=0), quantile * error, len(one) + len(other), paired=False)


def _said(teller: Teller, question: str, pair: tuple[str, str], shift: _Shift, classes: Sequence[str]) -> Said | None:
    near = np.abs(shift.mean) - shift.half
    over = near >= teller.section.min_usage_share
    if not over.any():
        return None
    worst = int(np.argmax(np.where(over, near, -1.0)))
    same = "the same samples" if shift.paired else "different samples, whose content may differ"
    message = (
        f"{pair[0]} uses {classes[worst]!r} for {100 * shift.mean[worst]:+.0f} ± {100 * shift.half[worst]:.0f} "
        f"percentage points of its {question} labels compared with {pair[1]}, over {shift.samples} samples ({same})."
    )
    estimate: dict[str, Scalar] = {"question": question, "samples": shift.samples, "paired": shift.paired}
    for index in np.argsort(-np.abs(shift.mean), kind="stable")[:10]:
        estimate[f"share_of_{classes[index]}"[:200]] = round(float(shift.mean[index]), 4)
    measured = Measured(
        value=float(shift.mean[worst]), unit="share of labels", threshold=teller.section.min_usage_share
    )
    sign = 1 if shift.mean[worst] > 0 else -1
    return Said("usage_shift", pair, (question,), message, measured, estimate, sign)


def version_findings(teller: Teller, versions: Mapping[tuple[str, str, str], int]) -> Iterator[Finding]:
    """Yield one finding for each taxonomy whose labels are of several versions."""
    by_taxonomy: dict[str, Counter[str]] = defaultdict(Counter)
    users: dict[tuple[str, str], set[str]] = defaultdict(set)
    for (taxonomy, version, party), count in versions.items():
        by_taxonomy[taxonomy][version] += count
        users[taxonomy, version].add(party)
    for taxonomy in sorted(by_taxonomy):
        counts = by_taxonomy[taxonomy]
        if len(counts) < 2:
            continue
        latest = newest(counts)
        older = sum(count for version, count in counts.items() if version != latest)
        total = sum(counts.values())
        shown = ", ".join(
            f"{taxonomy}@{version}: {counts[version]} labels of {', '.join(sorted(users[taxonomy, version])[:5])}"
            for version in sorted(counts)
        )
        estimate: dict[str, Scalar] = {f"labels_of_{version}"[:200]: counts[version] for version in sorted(counts)[:40]}
        estimate["newest"] = latest
        yield teller.make(
            "taxonomy_version_mix",
            taxonomy,
            f"{older} of {total} labels are of an older version of {taxonomy} than {latest} ({shown}).",
            measured=Measured(value=older / total, unit="share of labels", threshold=0.0),
            estimate=estimate,
        )

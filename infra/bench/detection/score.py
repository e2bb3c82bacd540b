"""Score the checks: recall and precision per kind of fault, false alarms on clean and harmlessly changed labels.

Groups (sequences, files, speakers) are split in two, so that who changes a threshold can choose it on the half ``tune``
and read its worth on the half ``test``. Both are scored apart.
Intervals are Wilson's (1927: "Probable inference, the law of succession, and statistical inference"), 95 %.
"""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import chi2

import infra.bench.detection
from infra.bench.detection.fault import CleanSamples, LabelFault, RulesOf, half_of
from infra.bench.detection.known import KnownScore, known_disagreements
from services.agreement.intervals import wilson_interval
from services.alignment.engine import CHECKS
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.base import Contract
from services.contracts.findings import SEVERITY_ORDER, Finding
from services.errors import ConcordError
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

GRAVE = SEVERITY_ORDER["major"]
Told = Callable[[str], None]


class FaultScore(Contract):
    """How one fault fared on one half.

    ``recall`` and ``precision`` come with the bounds of their 95 % interval. Precision counts, of all findings of
    major or above in the spoiled samples, those that name the fault or one of its labels; it is left out where there
    is none.
    """

    check: str
    kind: str
    fault: str
    half: str
    injected: int
    found: int
    recall: float | None
    recall_low: float | None
    recall_high: float | None
    precision: float | None
    precision_low: float | None
    precision_high: float | None
    seconds_per_1000_labels: float


class CleanScore(Contract):
    """False alarms (findings of major or above) of one check on labels without a fault.

    Alarms are counts, so the bounds of their 95 % interval are those of a Poisson rate (Garwood, 1936).
    """

    check: str
    benchmark: str
    half: str
    control: str
    labels: int
    false_alarms: int
    false_alarms_per_1000: float | None
    false_alarms_per_1000_low: float | None
    false_alarms_per_1000_high: float | None


class DetectionReport(Contract):
    """Everything that was scored."""

    faults: tuple[FaultScore, ...]
    controls: tuple[CleanScore, ...]
    known: tuple[KnownScore, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Benchmark:
    name: str
    check: str
    faults: Sequence[LabelFault]
    clean_samples: CleanSamples
    rules_of: RulesOf | None = None


def benchmarks() -> Iterator[_Benchmark]:
    """Yield what each module of this package brings that is named after a check, or a check and what is special."""
    for module in sorted(pkgutil.iter_modules(infra.bench.detection.__path__), key=lambda one: one.name):
        check = next((name for name in CHECKS if module.name == name or module.name.startswith(f"{name}_")), None)
        if check is not None:
            found = importlib.import_module(f"{infra.bench.detection.__name__}.{module.name}")
            yield _Benchmark(module.name, check, found.FAULTS, found.clean_samples, getattr(found, "rules_of", None))


def score(
    data: Path,
    *,
    seeds: int,
    checks: Sequence[str] = (),
    rules: RuleSet = DEFAULT_RULE_SET,
    tell: Told = lambda _: None,
) -> DetectionReport:
    """Score the checks on a folder of recordings.

    Args:
        data: The folder.
        seeds: How often each fault is put into each sample, at another place.
        checks: Only these; all by default.
        rules: Thresholds.
        tell: Is told what is being done.
    """
    faults: list[FaultScore] = []
    controls: list[CleanScore] = []
    left_out: list[str] = []
    for benchmark in benchmarks():
        if checks and benchmark.check not in checks:
            continue
        try:
            samples = list(benchmark.clean_samples(data))
        except ConcordError as error:
            left_out.append(f"{benchmark.name}: {error.detail}")
            continue
        if not samples:
            left_out.append(f"{benchmark.name}: the folder has no recordings for it")
            continue
        own = benchmark.rules_of(data, rules) if benchmark.rules_of is not None else rules
        for half in ("tune", "test"):
            group = [sample for name, sample in samples if half_of(name) == half]
            tell(f"{benchmark.name}: {len(group)} samples of the half {half}")
            for control, change in _CONTROLS.items():
                controls.append(_score_clean(benchmark, half, control, [change(one) for one in group], own))
            faults.extend(_score_fault(fault, half, group, own, seeds) for fault in benchmark.faults)
    tell("disagreements that the recordings hold as they are")
    known = known_disagreements(data, rules, checks)
    return DetectionReport(faults=tuple(faults), controls=tuple(controls), known=known, left_out=tuple(left_out))


def _reordered(sample: CheckSample) -> CheckSample:
    order = np.random.default_rng(1).permutation(len(sample.annotations))
    return replace(sample, annotations=tuple(sample.annotations[index] for index in order))


def _renamed(sample: CheckSample) -> CheckSample:
    names = {label.id: f"renamed-{index}" for index, label in enumerate(sample.annotations)}
    pointers = ("from_id", "to_id")
    renamed = tuple(
        label.model_copy(
            update={"id": names[label.id]}
            | {name: names.get(getattr(label, name), getattr(label, name)) for name in pointers if hasattr(label, name)}
        )
        for label in sample.annotations
    )
    texts = {names.get(name, name): read for name, read in sample.region_texts.items()}
    return replace(sample, annotations=renamed, region_texts=texts)


_CONTROLS: dict[str, Callable[[CheckSample], CheckSample]] = {
    "untouched": lambda sample: sample,
    "reordered": _reordered,
    "ids renamed": _renamed,
}


def _grave(outcome: CheckOutcome) -> list[Finding]:
    return [finding for finding in outcome.findings if SEVERITY_ORDER[finding.severity] >= GRAVE]


def _score_clean(
    benchmark: _Benchmark, half: str, control: str, samples: Sequence[CheckSample], rules: RuleSet
) -> CleanScore:
    labels = sum(len(sample.annotations) for sample in samples)
    alarms = sum(len(_grave(CHECKS[benchmark.check](sample, rules))) for sample in samples)
    low, high = poisson(alarms)
    return CleanScore(
        check=benchmark.check,
        benchmark=benchmark.name,
        half=half,
        control=control,
        labels=labels,
        false_alarms=alarms,
        false_alarms_per_1000=round(1000 * alarms / labels, 3) if labels else None,
        false_alarms_per_1000_low=round(1000 * low / labels, 3) if labels else None,
        false_alarms_per_1000_high=round(1000 * high / labels, 3) if labels else None,
    )


def _score_fault(
    fault: LabelFault, half: str, samples: Sequence[CheckSample], rules: RuleSet, seeds: int
) -> FaultScore:
    injected = found = right = grave = labels = 0
    seconds = 0.0
    for number, sample in enumerate(samples):
        for seed in range(1 if fault.once else seeds):
            spoiled = fault.inject(sample, np.random.default_rng((seed, number)))
            if spoiled is None:
                continue
            changed, concerned = spoiled
            started = time.perf_counter()
            outcome = CHECKS[fault.check](changed, rules)
            seconds += time.perf_counter() - started
            labels += len(changed.annotations)
            injected += 1
            found += any(_names(finding, fault, concerned, changed) for finding in outcome.findings)
            alarms = _grave(outcome)
            grave += len(alarms)
            right += sum(_concerns(finding, fault, concerned, changed) for finding in alarms)
    low, high = wilson(found, injected)
    precise = wilson(right, grave)
    return FaultScore(
        check=fault.check,
        kind=fault.kind,
        fault=fault.name or fault.kind,
        half=half,
        injected=injected,
        found=found,
        recall=round(found / injected, 4) if injected else None,
        recall_low=low,
        recall_high=high,
        precision=round(right / grave, 4) if grave else None,
        precision_low=precise[0],
        precision_high=precise[1],
        seconds_per_1000_labels=round(1000 * seconds / labels, 4) if labels else 0.0,
    )


def _names(finding: Finding, fault: LabelFault, concerned: frozenset[str], changed: CheckSample) -> bool:
    """Whether a finding is of the fault's kind and about its labels, where it is about any."""
    if finding.kind != fault.kind and finding.kind not in fault.also:
        return False
    if fault.names is not None and not fault.names(finding, changed):
        return False
    return not concerned or not finding.annotations or bool(concerned & set(finding.annotations))


def _concerns(finding: Finding, fault: LabelFault, concerned: frozenset[str], changed: CheckSample) -> bool:
    return _names(finding, fault, concerned, changed) or bool(concerned & set(finding.annotations))


def wilson(hits: int, trials: int) -> tuple[float | None, float | None]:
    """Return the bounds of Wilson's 95 % interval of a share; None for no trials."""
    if trials == 0:
        return None, None
    low, high = wilson_interval(hits, trials)
    return round(low, 4), round(high, 4)


def poisson(count: int) -> tuple[float, float]:
    """Return the bounds of the 95 % interval of a rate of which ``count`` were seen."""
    low = float(chi2.ppf(0.025, 2 * count)) / 2 if count else 0.0
    return low, float(chi2.ppf(0.975, 2 * count + 2)) / 2

"""Seconds per 1,000 labels of every check, and how they grow with the number of labels."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence

from infra.bench.checks.growth import growth_of, sizes_up_to
from infra.bench.checks.inputs import Case, cases
from services.alignment.engine import CHECKS
from services.contracts.base import Contract
from services.errors import InvalidInputError

Told = Callable[[str], None]


class CheckTiming(Contract):
    """One check on one number of labels.

    Attributes:
        seconds: Median of the rounds, of processor time.
        slowest_s: The slowest round.
        seconds_per_1000_labels: Of the median.
        findings: How many it returned, folded ones included.
    """

    check: str
    input: str
    labels: int
    seconds: float
    slowest_s: float
    seconds_per_1000_labels: float
    findings: int


class CheckGrowth(Contract):
    """How one check's time grows; see :class:`infra.bench.checks.growth.Growth`."""

    check: str
    input: str
    largest: int
    exponent: float | None
    end_exponent: float | None
    limit: float | None
    holds: bool | None


class ChecksReport(Contract):
    """All checks' times."""

    rounds: int
    timings: tuple[CheckTiming, ...]
    growth: tuple[CheckGrowth, ...]


def measure_checks(
    *, max_labels: int, rounds: int, checks: Sequence[str] = (), tell: Told = lambda _: None
) -> ChecksReport:
    """Time the checks on made-up samples.

    Args:
        max_labels: The largest number of labels; the smallest is 100, with powers of ten between.
        rounds: How often each is run; the median counts.
        checks: Only these; all by default.
        tell: Is told what is being done.

    Raises:
        InvalidInputError: There is no such check.
    """
    unknown = sorted(set(checks) - set(CHECKS))
    if unknown:
        raise InvalidInputError(f"there is no check {unknown[0]!r}; checks are {', '.join(sorted(CHECKS))}")
    timings: list[CheckTiming] = []
    growth: list[CheckGrowth] = []
    for case in cases():
        if checks and case.check not in checks:
            continue
        own = [_time(case, size, rounds, tell) for size in sizes_up_to(max_labels)]
        timings.extend(own)
        fitted = growth_of([(one.labels, one.seconds) for one in own])
        growth.append(CheckGrowth(check=case.check, input=case.name, largest=own[-1].labels, **fitted.model_dump()))
    return ChecksReport(rounds=rounds, timings=tuple(timings), growth=tuple(growth))


def _time(case: Case, size: int, rounds: int, tell: Told) -> CheckTiming:
    sample = case.make(size)
    labels = len(sample.annotations)
    check = CHECKS[case.check]
    taken: list[float] = []
    findings = 0
    for _ in range(rounds):
        gc.collect()
        # Processor time: what else a busy machine does is not the check's.
        started = time.process_time()
        outcome = check(sample, case.rules)
        taken.append(time.process_time() - started)
        findings = len(outcome.findings) + len(outcome.folded)
    median = statistics.median(taken)
    tell(f"{case.check}, {case.name}: {labels:,} labels in {median:.3f} s, {findings:,} findings")
    return CheckTiming(
        check=case.check,
        input=case.name,
        labels=labels,
        seconds=round(median, 6),
        slowest_s=round(max(taken), 6),
        seconds_per_1000_labels=round(1_000 * median / labels, 6),
        findings=findings,
    )

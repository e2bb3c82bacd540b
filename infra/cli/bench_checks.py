"""The tables of ``concord bench checks`` and ``concord bench memory``."""

from __future__ import annotations

from infra.bench.checks.memory import MemoryReport
from infra.bench.checks.timings import ChecksReport
from infra.cli.console import print_table

GROWTH_WORDS = {True: "yes", False: "NO", None: "too few sizes"}


def print_checks(report: ChecksReport) -> None:
    """Print seconds per 1,000 labels by number of labels, and the fitted exponents."""
    print_table(
        ("check", "input", "labels", "s", "slowest s", "s/1000 labels", "findings"),
        [
            (
                one.check, one.input, one.labels, one.seconds, one.slowest_s, one.seconds_per_1000_labels,
                one.findings,
            )
            for one in report.timings
        ],
    )  # fmt: skip
    print_table(
        ("check", "input", "largest", "exponent", "of the last two decades", "n log n", "holds"),
        [
            (
                one.check, one.input, one.largest, one.exponent, one.end_exponent, one.limit, GROWTH_WORDS[one.holds],
            )
            for one in report.growth
        ],
    )  # fmt: skip


def print_memory(report: MemoryReport) -> None:
    """Print what each scenario took at most."""
    print_table(
        ("scenario", "input", "file MB", "labels", "findings", "s", "peak MB", "limit MB", "holds"),
        [
            (
                one.scenario, one.size, round(one.input_bytes / 1e6), one.labels, one.findings, one.seconds,
                round(one.peak_bytes / 1e6), round(one.limit_bytes / 1e6), GROWTH_WORDS[one.holds],
            )
            for one in report.scenarios
        ],
    )  # fmt: skip

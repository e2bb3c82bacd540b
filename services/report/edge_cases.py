"""Missing edge cases: what the rule set requires of the dataset and of each sample, and is not there."""

from __future__ import annotations

from services.alignment.coverage_facts import holds
from services.alignment.dataset_coverage import CoverageCount, CoverageTally
from services.contracts.dataset_report import ReportEntry
from services.report.sample import ReportSample
from services.report.tally import Tally, entry_of
from services.rules.coverage import CoverageRules
from services.rules.rule_set import RuleSet


class EdgeCases:
    """Counts scenarios, combinations and edge cases over samples.

    Args:
        rules: The section ``coverage``.
        tally: Of the issue; what concerns samples goes to it at once.
    """

    def __init__(self, rules: RuleSet, tally: Tally) -> None:
        self._rules = rules
        self._section = rules.coverage or CoverageRules()
        self._enabled = rules.coverage is not None and self._section.enabled
        self._coverage = CoverageTally(rules)
        self._tally = tally
        self._samples = 0

    def add(self, item: ReportSample) -> None:
        """Count one sample."""
        if not self._enabled:
            self._tally.not_judged("the rule set does not ask for this check", "coverage")
            return
        self._samples += 1
        self._coverage.add(item.sample)
        findings = item.findings_of("missing_edge_cases")
        asked = any(holds(item.sample, requirement.when) for requirement in self._section.requirements)
        entries = [entry_of(item.sample.manifest, "what the sample must have", findings)] if findings else []
        if asked or entries:
            self._tally.add_sample(1, entries)
        for missing in item.report.not_applicable:
            if missing.check == "coverage":
                self._tally.not_judged(missing.reason, "coverage")

    def count(self) -> None:
        """Judge the dataset."""
        if not self._enabled:
            return
        result = self._coverage.result()
        silent = {name for name, unknown in result.unknown.items() if unknown == self._samples and self._samples}
        for name in sorted(silent):
            self._tally.not_judged(
                f"no sample says {name}, so nothing can be counted by it", "coverage", samples=self._samples
            )
        for name, unknown in sorted(result.unknown.items()):
            if unknown and name not in silent:
                self._tally.not_judged(f"the sample says nothing of {name}", "coverage", samples=unknown)
        judged = [count for count in result.counts if not _fields(count) & silent]
        self._tally.add(len(judged), [_entry(count, result.samples) for count in judged if count.missing])
        if not self._section.requirements and not result.counts:
            self._tally.not_judged(
                "the rule set requires nothing of the dataset (coverage.dimensions, combinations, edge_cases, "
                "requirements)",
                "coverage",
                samples=0,
            )


def _fields(count: CoverageCount) -> set[str]:
    """Return the fields that a scenario or a combination is counted by; an edge case has conditions of its own."""
    if count.kind == "edge_case":
        return set()
    return {part.split("=", 1)[0] for part in count.name.split(" & ")}


def _entry(count: CoverageCount, samples: int) -> ReportEntry:
    what = count.kind.replace("_", " ")
    return ReportEntry(
        place=f"{what} {count.name}"[:2_000],
        sentence=f"{count.found} of {samples} samples have it, {count.required} are required; with so many samples its "
        f"share may be up to {100 * count.share_high:.1f} % (95 %).",
        reasons=(f"missing_{count.kind}",),
    )

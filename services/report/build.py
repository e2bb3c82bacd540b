"""The report of a dataset, made sample by sample.

What is kept of a sample is what is listed, beside counts of classes, and those labels that name a team or an author:
only all of them together show whether people mean the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import get_args

from services.alignment.sample import CheckSample
from services.contracts.dataset_report import DatasetReport, Issue
from services.contracts.findings import Finding
from services.report.edge_cases import EdgeCases
from services.report.ground_truth import GroundTruthUse
from services.report.issues import issue_of
from services.report.parts import count_parts
from services.report.reviewers import Reviewers
from services.report.sample import ReportSample
from services.report.statements import count_context, count_metadata
from services.report.tally import Tally, entry_of, reason_of
from services.report.taxonomies import TaxonomyUse
from services.rules.rule_set import RuleSet

ALL_ISSUES: tuple[Issue, ...] = get_args(Issue)
_PARTS: tuple[Issue, ...] = ("inconsistent_labels", "misaligned_modalities", "inaccurate_timestamps")


class ReportBuilder:
    """Counts samples in any order; the report does not depend on it.

    Args:
        rules: The rule set that the samples were checked with.
        max_listed: Most entries to list behind each number, the gravest; None lists all.
    """

    def __init__(self, rules: RuleSet, *, max_listed: int | None = None) -> None:
        self._rules = rules
        self._tallies = {issue: Tally(issue, max_listed) for issue in ALL_ISSUES}
        self._cases = EdgeCases(rules, self._tallies["missing_edge_cases"])
        self._taxonomies = TaxonomyUse(rules)
        self._reviewers = Reviewers(rules, self._tallies["reviewer_interpretation"])
        self._truth = GroundTruthUse(rules, self._tallies["unvalidated_ground_truth"])
        self._other: Counter[str] = Counter()
        self._samples = 0
        self._labels = 0

    def add(self, item: ReportSample) -> None:
        """Count one sample."""
        item = replace(item, sample=CheckSample(item.sample.manifest, item.sample.annotations))
        self._samples += 1
        self._labels += len(item.sample.annotations)
        for issue in _PARTS:
            count_parts(item, self._rules, issue, self._tallies[issue])
        count_metadata(item, self._rules, self._tallies["incomplete_metadata"])
        count_context(item, self._rules, self._tallies["missing_domain_context"])
        self._cases.add(item)
        self._taxonomies.add(item)
        self._reviewers.add(item)
        self._truth.add(item)
        self._other.update(
            reason_of(finding) for finding in item.report.findings if issue_of(finding.check, finding.kind) is None
        )

    def add_exchanged(self, project: str, finding: Finding, sample_ids: Sequence[str]) -> None:
        """Count two samples whose files were exchanged: one thing that fails, and named is the first of them."""
        first, *others = sorted(sample_ids)
        entry = entry_of(None, f"samples {', '.join((first, *others))}", [finding])
        self._tallies["misaligned_modalities"].add(
            1, [entry.model_copy(update={"project": project, "sample_id": first})]
        )

    def not_compared(self, issue: Issue, reason: str, check: str) -> None:
        """Note what is not looked for in the dataset as a whole."""
        self._tallies[issue].not_judged(reason, check, samples=0)

    def finish(self, *, unreadable: int = 0, left_out: int = 0) -> DatasetReport:
        """Return the report; nothing can be added afterwards.

        Args:
            unreadable: Samples that could not be read.
            left_out: Samples that were not looked at.
        """
        self._cases.count()
        self._taxonomies.count(self._tallies["taxonomies_by_data_type"])
        self._reviewers.count()
        self._truth.count()
        return DatasetReport(
            rule=self._rules.reference,
            samples=self._samples,
            labels=self._labels,
            unreadable=unreadable,
            left_out=left_out,
            scores=tuple(self._tallies[issue].score() for issue in ALL_ISSUES),
            other_findings=dict(sorted(self._other.items())),
        )


def build_report(samples: Iterable[ReportSample], rules: RuleSet, *, max_listed: int | None = None) -> DatasetReport:
    """Return the report of a dataset."""
    builder = ReportBuilder(rules, max_listed=max_listed)
    for item in samples:
        builder.add(item)
    return builder.finish()

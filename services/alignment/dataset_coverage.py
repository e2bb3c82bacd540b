"""What a dataset contains of the scenarios and edge cases it must contain.

Each value of a dimension, each combination of two (pairwise coverage, as in combinatorial testing: Kuhn, Wallace and
Gallo 2004) and each edge case is counted in one pass; the samples are not kept. Shares come with Wilson's 95 % interval
(1927), so that a small dataset does not look as if a rare case could not occur.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Literal

from pydantic import Field

from services.agreement.intervals import wilson_interval
from services.alignment.coverage import check_coverage
from services.alignment.coverage_facts import facts_of, fitting_labels, holds
from services.alignment.sample import CheckSample
from services.contracts.base import Contract, Name, Text
from services.rules.coverage import CoverageRules, EdgeCase
from services.rules.rule_set import RuleSet

_Z = 1.959964


class CoverageCount(Contract):
    """How often one required thing was found.

    ``share`` is of all samples, with the bounds of its 95 % interval; ``samples`` lists the first by id.
    """

    kind: Literal["scenario", "combination", "edge_case"]
    name: Text
    found: int
    required: int
    share: float
    share_low: float
    share_high: float
    samples: tuple[Name, ...] = ()

    @property
    def missing(self) -> int:
        """How many samples are lacking."""
        return max(0, self.required - self.found)


class DatasetCoverage(Contract):
    """What a dataset lacks.

    Attributes:
        samples: How many samples were counted.
        score: Share of the required scenarios, combinations and edge cases that are there often enough; 1.0 where
            nothing is required.
        counts: Everything required, the gravest gap first.
        incomplete: Ids of samples that lack something the rule set requires of each.
        incomplete_samples: How many those are; the list is cut.
        unknown: How many samples do not say anything of a dimension, by field.
    """

    samples: int
    score: float
    counts: tuple[CoverageCount, ...] = ()
    incomplete: tuple[Name, ...] = ()
    incomplete_samples: int = 0
    unknown: dict[str, int] = Field(default_factory=dict)

    @property
    def gaps(self) -> tuple[CoverageCount, ...]:
        """What is not there often enough."""
        return tuple(count for count in self.counts if count.missing)


@dataclass(slots=True)
class _Tally:
    kind: Literal["scenario", "combination", "edge_case"]
    name: str
    required: int
    min_share: float = 0.0
    listed: int = 0
    found: int = 0
    samples: list[str] = field(default_factory=list)

    def add(self, sample_id: str) -> None:
        self.found += 1
        insort(self.samples, sample_id)
        del self.samples[self.listed :]


def dataset_coverage(samples: Iterable[CheckSample], rules: RuleSet) -> DatasetCoverage:
    """Count what ``samples`` contain of what the rule set requires of a dataset.

    The result does not depend on the order of the samples.

    Args:
        samples: Read once, one at a time.
        rules: The section ``coverage``: dimensions, combinations and edge cases; and requirements of each sample.
    """
    tally = CoverageTally(rules)
    for sample in samples:
        tally.add(sample)
    return tally.result()


class CoverageTally:
    """The same, for samples that come one by one; of each only its id is kept, and only where it may be listed.

    Args:
        rules: The section ``coverage``.
    """

    def __init__(self, rules: RuleSet) -> None:
        self._rules = rules
        self._section = section = rules.coverage or CoverageRules()
        listed = section.max_listed
        self._scenarios = _scenarios(section)
        self._cases = [_Tally("edge_case", c.name, c.min_samples, listed=listed) for c in section.edge_cases]
        self._unknown = {dimension.field: 0 for dimension in section.dimensions}
        self._incomplete = _Tally("edge_case", "", 0, listed=listed)
        self._total = 0

    def add(self, sample: CheckSample) -> None:
        """Count one sample."""
        self._total += 1
        name = sample.manifest.sample_id
        facts = {dimension.field: facts_of(sample, dimension.field) for dimension in self._section.dimensions}
        for where, values in facts.items():
            self._unknown[where] += not values
        for place, tally in self._scenarios.items():
            if all(value in facts[where] for where, value in place):
                tally.add(name)
        for case, tally in zip(self._section.edge_cases, self._cases, strict=True):
            if _is_case(sample, case):
                tally.add(name)
        if any(finding.kind != "unexpected_value" for finding in check_coverage(sample, self._rules).findings):
            self._incomplete.add(name)

    def result(self) -> DatasetCoverage:
        """Return what was counted."""
        counts = [_counted(tally, self._total) for tally in (*self._scenarios.values(), *self._cases)]
        counts.sort(key=lambda count: (-count.missing / max(count.required, 1), count.kind, count.name))
        return DatasetCoverage(
            samples=self._total,
            score=sum(not count.missing for count in counts) / len(counts) if counts else 1.0,
            counts=tuple(counts),
            incomplete=tuple(self._incomplete.samples),
            incomplete_samples=self._incomplete.found,
            unknown=self._unknown,
        )


def _scenarios(section: CoverageRules) -> dict[tuple[tuple[str, str], ...], _Tally]:
    """Return what to count, by the facts that a sample must have: of one dimension, or of two."""
    tallies: dict[tuple[tuple[str, str], ...], _Tally] = {}
    for dimension in section.dimensions:
        for value in dimension.values:
            tallies[(dimension.field, value.casefold()),] = _Tally(
                "scenario", f"{dimension.field}={value}", dimension.min_samples, dimension.min_share, section.max_listed
            )
    values = {dimension.field: dimension.values for dimension in section.dimensions}
    for one, other in section.combinations:
        for left, right in product(values[one], values[other]):
            if not _impossible(section, {one: left, other: right}):
                key = ((one, left.casefold()), (other, right.casefold()))
                name = f"{one}={left} & {other}={right}"
                tallies[key] = _Tally("combination", name, section.min_combination_samples, listed=section.max_listed)
    return tallies


def _impossible(section: CoverageRules, facts: dict[str, str]) -> bool:
    return any(
        all(
            where in facts and facts[where].casefold() in {value.casefold() for value in values}
            for where, values in one.items()
        )
        for one in section.impossible
        if one
    )


def _counted(tally: _Tally, total: int) -> CoverageCount:
    low, high = wilson_interval(tally.found, total, _Z)
    return CoverageCount(
        kind=tally.kind,
        name=tally.name[:2_000],
        found=tally.found,
        required=max(tally.required, math.ceil(tally.min_share * total - 1e-9)),
        share=tally.found / total if total else 0.0,
        share_low=low,
        share_high=high,
        samples=tuple(tally.samples),
    )


def _is_case(sample: CheckSample, case: EdgeCase) -> bool:
    return holds(sample, case.when) and all(
        len(fitting_labels(sample, required)) >= required.min_count for required in case.labels
    )

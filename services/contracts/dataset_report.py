"""The report of a dataset: nine numbers, each with the list behind it."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Fraction, Identifier, Name, ProjectId, Text
from services.contracts.findings import RuleReference, Severity

Issue = Literal[
    "inconsistent_labels", "misaligned_modalities", "missing_edge_cases", "inaccurate_timestamps",
    "taxonomies_by_data_type", "reviewer_interpretation", "incomplete_metadata", "missing_domain_context",
    "unvalidated_ground_truth",
]  # fmt: skip
"""The nine ways in which a large dataset still fails."""

Count = Annotated[int, Field(ge=0)]


class ReportEntry(Contract):
    """One thing that fails."""

    project: ProjectId | None = Field(default=None, description="Left out where it concerns every project.")
    sample_id: Identifier | None = Field(default=None, description="Left out where it concerns the dataset.")
    place: Text = Field(description="Where it is: a label, a stream, a field of the manifest, a class, a scenario.")
    sentence: Text = Field(description="What is wrong, with the numbers.")
    reasons: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="check/kind of each finding, or what the report itself looks for."
    )
    severity: Severity | None = Field(default=None, description="Of the gravest finding; none where none is behind it.")
    finding_ids: tuple[Identifier, ...] = Field(default=(), description="The gravest first.")


class NotJudged(Contract):
    """What could not be counted, and why: neither a pass nor a failure."""

    reason: Text
    check: Name | None = None
    samples: Count = Field(default=0, description="Samples it holds for; 0 where it concerns the dataset.")


class Score(Contract):
    """One of the nine numbers.

    Without anything to count there is no rate, and ``not_judged`` says why.
    """

    issue: Issue
    title: Name
    counted: Text = Field(description="What one thing is.")
    population: Count = Field(description="How many things could have failed.")
    failing: Count = Field(description="How many did: as many as there are entries, listed or not.")
    rate: Fraction | None = Field(default=None, description="failing / population; none where nothing was judged.")
    samples_judged: Count = 0
    samples_failing: Count = 0
    entries: tuple[ReportEntry, ...] = Field(default=(), description="The gravest first.")
    unlisted: Count = Field(default=0, description="Entries beyond the limit that was asked for.")
    by_reason: dict[Name, Count] = Field(
        default_factory=dict, description="Entries by reason; one entry may have several."
    )
    not_judged: tuple[NotJudged, ...] = ()

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        if self.failing != len(self.entries) + self.unlisted:
            raise ValueError("failing must be the number of entries")
        if self.failing > self.population:
            raise ValueError("no more things can fail than there are")
        if (self.rate is None) != (self.population == 0):
            raise ValueError("there is a rate where something was judged, and only there")
        if self.population == 0 and not self.not_judged:
            raise ValueError("not_judged must say why nothing was judged")
        return self


class DatasetReport(Contract):
    """How a dataset does on all nine, in their order."""

    format: Literal["concord.dataset_report/1"] = "concord.dataset_report/1"
    rule: RuleReference
    samples: Count
    labels: Count
    left_out: Count = Field(
        default=0, description="Samples that are in no number: withdrawn, not checked yet, or beyond those asked for."
    )
    unreadable: Count = Field(default=0, description="Samples that could not be read, and are in no number.")
    scores: Annotated[tuple[Score, ...], Field(min_length=9, max_length=9)]
    other_findings: dict[Name, Count] = Field(
        default_factory=dict, description="Findings of plug-ins, which belong to none of the nine, by check/kind."
    )

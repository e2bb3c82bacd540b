"""The card of a dataset version: what it covers, who made it, and how good it is known to be."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.agreement import AgreementReport
from services.contracts.base import Contract, Name, UtcDatetime
from services.contracts.dataset_report import DatasetReport

Count = Annotated[int, Field(ge=0)]
Counts = dict[Name, Count]


class Coverage(Contract):
    """How many samples there are of each; values beyond the most frequent ones are summed up as ``(others)``."""

    modalities: Counts = Field(default_factory=dict, description="With at least one such stream.")
    risks: Counts = Field(default_factory=dict)
    regions: Counts = Field(default_factory=dict, description="``(none)``: the context does not say.")
    products: Counts = Field(default_factory=dict)
    kinds: Counts = Field(default_factory=dict, description="Labels by their kind.")
    captured_from: UtcDatetime | None = None
    captured_to: UtcDatetime | None = None


class ReviewCounts(Contract):
    """Who stands behind the labels, as the records' lineage tells it."""

    annotators: Count = Field(default=0, description="People who labelled.")
    reviewers: Count = Field(default=0, description="People who decided about findings, experts included.")
    decisions: Counts = Field(default_factory=dict, description="By kind of task and verdict.")
    reviewed_samples: Count = Field(default=0, description="With at least one decision about findings.")


class Conflicts(Contract):
    """What the checks found, by what became of it until the commit."""

    findings: Counts = Field(default_factory=dict)
    open_conflicts: Count = Field(default=0, description="Findings that nobody has settled: open or noted.")
    accepted_conflicts: Count = Field(default=0, description="Findings that a person let stand.")
    by_check: Counts = Field(default_factory=dict, description="Of both: by check/kind.")


class DatasetCard(Contract):
    """Made with the version and part of it."""

    format: Literal["concord.dataset_card/1"] = "concord.dataset_card/1"
    coverage: Coverage = Field(default_factory=Coverage)
    review: ReviewCounts = Field(default_factory=ReviewCounts)
    conflicts: Conflicts = Field(default_factory=Conflicts)
    rule_sets: Counts = Field(default_factory=dict, description="Samples by the rules they were accepted under.")
    taxonomies: Counts = Field(default_factory=dict, description="Samples by the taxonomies that their labels name.")
    samples_read: Count = Field(default=0, description="Members that agreement and report are of, the first by id.")
    agreement: AgreementReport | None = Field(default=None, description="None where no member was read for it.")
    report: DatasetReport | None = Field(default=None, description="How they do on the nine failures.")

"""What a person's answer to a task is judged by."""

from __future__ import annotations

from pydantic import Field

from services.contracts.base import Contract, UtcDatetime
from services.contracts.findings import RuleReference
from services.contracts.records import LabelSet
from services.contracts.review import Activity, Decision, StoredFinding
from services.rules.rule_set import RuleSet


class CaseFile(Contract):
    """Everything that an answer to a task is judged by, as it was at one moment."""

    at: UtcDatetime = Field(description="The moment, by the store's clock.")
    findings: tuple[StoredFinding, ...] = Field(description="Those that the task names, by id.")
    decisions: tuple[Decision, ...] = Field(description="All on the revision, oldest first.")
    label_sets: tuple[LabelSet, ...] = Field(description="All versions of its labels and all predictions, in order.")
    activity: Activity | None = Field(description="The person's on the task.")
    scored: bool = Field(description="Whether the answer is held against a known one, or others against it.")
    rule_set: RuleReference = Field(description="The one that the project goes by.")
    rules: RuleSet | None = Field(default=None, description="Its content; none if it is not stored.")

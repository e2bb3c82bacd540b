"""Whether a committed record is one that a selection asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.contracts.datasets import FindingCondition, LabelCondition, Selection
from services.contracts.lifecycle import Stage
from services.datasets.splits import context_value


@dataclass(frozen=True, slots=True)
class Candidate:
    """A committed record with what selections ask about.

    Attributes:
        revision: Its revision.
        content_sha256: Hash of the body.
        committed_at: When it was committed.
        stages: Every stage that its revision was at, or one that it was made of: there until it was migrated.
        body: What was decided.
        lineage: Why it is believed.
        before: Lineages of the records that taxonomy migrations made it of, the oldest first.
    """

    revision: int
    content_sha256: str
    committed_at: datetime
    stages: frozenset[Stage]
    body: Mapping[str, Any]
    lineage: Mapping[str, Any]
    before: tuple[Mapping[str, Any], ...] = ()

    @property
    def sample_id(self) -> str:
        """Its sample."""
        return str(self.body["sample_id"])

    @property
    def annotations(self) -> Sequence[Mapping[str, Any]]:
        """Its labels."""
        labels: Sequence[Mapping[str, Any]] = self.body["annotations"]
        return labels

    @property
    def lineages(self) -> tuple[Mapping[str, Any], ...]:
        """Why it and what it was made of are believed, the oldest first; what was erased says nothing."""
        return (*(one for one in self.before if one), self.lineage)

    @property
    def findings(self) -> Sequence[Mapping[str, Any]]:
        """All findings by id; of one that was made again, the newest."""
        found = {finding["id"]: finding for lineage in self.lineages for finding in lineage["findings"]}
        return list(found.values())


def fits(selection: Selection, candidate: Candidate) -> bool:
    """Whether a record meets every condition."""
    return (
        (not selection.sample_ids or candidate.sample_id in selection.sample_ids)
        and (not selection.risks or context_value(candidate.body, "risk") in selection.risks)
        and _fits_times(selection, candidate)
        and set(selection.passed_stages) <= candidate.stages
        and not candidate.stages & set(selection.avoided_stages)
        and set(selection.modalities) <= {stream["modality"] for stream in candidate.body["streams"]}
        and all(_fits_context(candidate.body, one.field, one.any_of) for one in selection.context)
        and all(_fits_labels(one, candidate.annotations) for one in selection.labels)
        and all(_fits_findings(one, candidate.findings) for one in selection.findings)
    )


def _fits_times(selection: Selection, candidate: Candidate) -> bool:
    if not _within(candidate.committed_at, selection.committed_from, selection.committed_before):
        return False
    if selection.captured_from is None and selection.captured_before is None:
        return True
    text = candidate.body.get("captured_at")
    # A sample that does not say when it was recorded is in no span of time.
    return text is not None and _within(
        datetime.fromisoformat(text), selection.captured_from, selection.captured_before
    )


def _within(moment: datetime, first: datetime | None, end: datetime | None) -> bool:
    return (first is None or moment >= first) and (end is None or moment < end)


def _fits_context(body: Mapping[str, Any], field: str, any_of: Sequence[Any]) -> bool:
    value = context_value(body, field)
    # In Python True equals 1; a flag is no number.
    return any(value == wanted and isinstance(value, bool) == isinstance(wanted, bool) for wanted in any_of)


def _fits_labels(condition: LabelCondition, labels: Sequence[Mapping[str, Any]]) -> bool:
    wanted = {
        name: value
        for name, value in (("label", condition.label), ("type", condition.type), ("stream", condition.stream))
        if value is not None
    }
    count = sum(all(label[name] == value for name, value in wanted.items()) for label in labels)
    return count >= condition.at_least and (condition.at_most is None or count <= condition.at_most)


def _fits_findings(condition: FindingCondition, findings: Sequence[Mapping[str, Any]]) -> bool:
    wanted = condition.model_dump(mode="json", exclude={"present"}, exclude_none=True)
    found = any(all(finding[name] == value for name, value in wanted.items()) for finding in findings)
    return found == condition.present

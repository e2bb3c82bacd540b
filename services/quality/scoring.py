"""Hold verdicts against what is known, or was decided later by an expert. Pure functions.

A verdict is judged once for each finding: by the known answer where the sample has one, else by what others said later
about the same finding of the same labels: in an adjudication, or in any review after the sample was opened again. The
first of them that overturns it counts, else the first that upholds it. What nobody looked at again is not judged; a
verdict that sends labels back, or a task on, is no answer and is judged by known answers only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.contracts.annotations import Annotation, Annotations
from services.contracts.findings import Finding
from services.contracts.quality import GoldAnswer, ReferenceKind
from services.contracts.review import JUDGING_KINDS, UPHELD_BY, Decision, TaskKind, Verdict
from services.review.authorship import concerned_ids

_LATER = UPHELD_BY.keys() | {Verdict.REJECT, Verdict.DISCARD}


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """What a revision's verdicts are held against.

    Attributes:
        findings: Its findings by id.
        decisions: Its decisions, oldest first.
        labels: Its label sets by version.
        gold: The known answer, if there is one.
        later: The revisions that the sample was opened again as, the oldest first.
    """

    findings: Mapping[str, Finding]
    decisions: Sequence[Decision]
    labels: Mapping[int, Annotations]
    gold: GoldAnswer | None = None
    later: Sequence[JudgedSample] = ()


@dataclass(frozen=True, slots=True)
class Scored:
    """One verdict on one finding, and whether it was right.

    Attributes:
        decision: The decision.
        finding: What was judged.
        verdict: What the person said about this finding.
        reference: What it is held against.
        expected: What that says.
        right: Whether both agree.
        classes: Classes of the labels that were judged, as they were then.
    """

    decision: Decision
    finding: Finding
    verdict: Verdict
    reference: ReferenceKind
    expected: Verdict
    right: bool
    classes: tuple[str, ...]


def score_sample(sample: JudgedSample) -> Iterator[Scored]:
    """Yield each verdict of a revision that can be held against something, in the order of the decisions."""
    for decision in sample.decisions:
        if decision.task_kind not in JUDGING_KINDS:
            continue
        for finding_id in decision.finding_ids:
            finding = sample.findings.get(finding_id)
            if finding is None:
                continue
            verdict = decision.verdict_on(finding_id)
            judged = _judged(sample, decision, finding_id, verdict)
            if judged is not None:
                reference, expected, right = judged
                seen = sample.labels.get(decision.label_version_before, ())
                yield Scored(decision, finding, verdict, reference, expected, right, _classes(finding, seen))


def labels_agree(one: Annotation, other: Annotation, tolerance: float) -> bool:
    """Whether two labels are the same but for their author, each number within ``tolerance`` of its unit."""
    left, right = (label.model_dump(mode="json", exclude={"author", "confidence"}) for label in (one, other))
    return _equal(left, right, tolerance)


def _judged(
    sample: JudgedSample, decision: Decision, finding_id: str, verdict: Verdict
) -> tuple[ReferenceKind, Verdict, bool] | None:
    if sample.gold is not None and sample.gold.verdict is not None:
        if verdict is Verdict.ESCALATE:
            return None  # to ask is no answer, right or wrong
        return "gold", sample.gold.verdict, _meets(sample, decision, verdict, sample.gold)
    if verdict not in UPHELD_BY:
        return None
    said = [other.verdict_on(finding_id) for other in _later(sample, decision, sample.findings[finding_id])]
    if not said:
        return None
    overturned = next((later for later in said if later not in UPHELD_BY[verdict]), None)
    return "later_verdict", overturned or said[0], overturned is None


def _later(sample: JudgedSample, decision: Decision, finding: Finding) -> Iterator[Decision]:
    """Yield the later verdicts of others on a finding, while its labels are those that the decision left."""
    left = sample.labels.get(decision.label_version_after)
    for revision in (sample, *sample.later):
        for other in revision.decisions:
            again = (other.decided_at, other.decision_id) > (decision.decided_at, decision.decision_id)
            counts = other.task_kind is TaskKind.ADJUDICATE or (
                revision is not sample and other.task_kind in JUDGING_KINDS
            )
            if not again or not counts or finding.finding_id not in other.finding_ids:
                continue
            if not _same_labels(finding, left, revision.labels.get(other.label_version_before)):
                return
            if other.actor_id != decision.actor_id and other.verdict_on(finding.finding_id) in _LATER:
                yield other


def _same_labels(finding: Finding, before: Annotations | None, after: Annotations | None) -> bool:
    """Whether the labels that a finding is about are the same; those that are not kept any more count as the same."""
    if before is None or after is None:
        return True
    one, other = _concerned(finding, before), _concerned(finding, after)
    return one.keys() == other.keys() and all(labels_agree(one[name], other[name], 0.0) for name in one)


def _concerned(finding: Finding, labels: Annotations) -> dict[str, Annotation]:
    names = frozenset(concerned_ids(finding, labels))
    return {label.id: label for label in labels if label.id in names}


def _meets(sample: JudgedSample, decision: Decision, verdict: Verdict, gold: GoldAnswer) -> bool:
    if verdict is not gold.verdict:
        return False
    if verdict is not Verdict.FIX:
        return True
    after = {label.id: label for label in sample.labels.get(decision.label_version_after, ())}
    return all(label.id in after and labels_agree(label, after[label.id], gold.tolerance) for label in gold.labels)


def _classes(finding: Finding, labels: Annotations) -> tuple[str, ...]:
    named = frozenset(concerned_ids(finding, labels))
    return tuple(sorted({label.label for label in labels if label.id in named}))


def _equal(one: Any, other: Any, tolerance: float) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_equal(one[key], other[key], tolerance) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(_equal(a, b, tolerance) for a, b in zip(one, other, strict=True))
    if _is_number(one) and _is_number(other):
        return bool(abs(one - other) <= tolerance)
    return bool(one == other)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

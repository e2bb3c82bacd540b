"""Hold verdicts against what is known, or was decided later by an expert. Pure functions.

A verdict is judged once for each finding: by the known answer where the sample has one, else by the first verdict of
another person in an adjudication of the same finding that came later. What nobody looked at again is not judged; a
verdict that sends labels back, or a task on, is no answer and is judged by known answers only.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
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
    """

    findings: Mapping[str, Finding]
    decisions: Sequence[Decision]
    labels: Mapping[int, Annotations]
    gold: GoldAnswer | None = None


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
    if sample.gold is not None:
        if verdict is Verdict.ESCALATE:
            return None  # to ask is no answer, right or wrong
        return "gold", sample.gold.verdict, _meets(sample, decision, verdict, sample.gold)
    if decision.task_kind is not TaskKind.REVIEW or verdict not in UPHELD_BY:
        return None
    later = _later(sample.decisions, decision, finding_id)
    if later is None:
        return None
    expected = later.verdict_on(finding_id)
    return "later_verdict", expected, expected in UPHELD_BY[verdict]


def _later(decisions: Iterable[Decision], decision: Decision, finding_id: str) -> Decision | None:
    """Return the first later verdict of an expert who is somebody else, on the same finding."""
    return next(
        (
            other
            for other in decisions
            if other.task_kind is TaskKind.ADJUDICATE
            and other.actor_id != decision.actor_id
            and finding_id in other.finding_ids
            and other.verdict_on(finding_id) in _LATER
            and (other.decided_at, other.decision_id) > (decision.decided_at, decision.decision_id)
        ),
        None,
    )


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

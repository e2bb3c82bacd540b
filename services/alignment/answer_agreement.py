"""``answer_agreement``: do the answers of several people settle on a label?

Answers to one sample are joined label by label (:mod:`services.consensus.build`). Each label that the section
``consensus`` of the rule set does not call agreed is told here, once for each thing that is disputed about it:

* ``disputed_presence``: too few of those who answered labelled it;
* ``disputed_class`` (of a field: ``disputed_value``): its class has too small a share of the votes, or a tie;
* ``disputed_geometry``, ``disputed_interval``, ``disputed_text``: those who labelled it are too far apart, measured as
  the mean closeness of any two of them (intersection over union, one less the word error rate, … by kind).

A label that was accepted stays accepted, and one that was changed after the answers were joined has been decided:
neither is told. Findings name nobody: they carry counts, votes and the spread of the closeness.
"""

from __future__ import annotations

from collections.abc import Iterator

from services.alignment.sample import CheckOutcome, CheckSample
from services.consensus.disputes import disputes_in, share_of, support_of
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.consensus import ConsensusLabel, Dispute
from services.contracts.findings import Cause, Finding, Measured, NotApplicable, Severity, finding_id
from services.rules.answer_agreement import ANSWER_AGREEMENT, AnswerAgreementKind, AnswerAgreementRules
from services.rules.consensus import ConsensusRules
from services.rules.rule_set import RuleSet

CHECK = ANSWER_AGREEMENT
_TEXTS = frozenset({"transcript_segment", "summary"})
_INTERVALS = frozenset(
    {"entity_span", "frame_label", "action", "event", "sound_event", "emotion", "speaker_turn", "acoustic_event"}
)
_CLASSES_NAMED = 20
_LONGEST_CLASS = 60


def check_answer_agreement(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return one finding for each thing that is disputed about a label and that nobody has decided since."""
    if sample.consensus is None:
        reason = "no answers of several people to this sample were joined"
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason=reason),))
    now = {label.id: label for label in sample.annotations}
    return CheckOutcome(
        tuple(
            finding
            for item in sample.consensus.labels
            if now.get(item.annotation.id) == item.annotation
            for finding in disputed(item, rules)
        )
    )


def disputed(item: ConsensusLabel, rules: RuleSet) -> Iterator[Finding]:
    """Yield a finding for each thing that is disputed about a label of a consensus."""
    thresholds = rules.consensus or ConsensusRules()
    for dispute in disputes_in(item, thresholds):
        yield _finding(item, dispute, thresholds, rules)


def _finding(item: ConsensusLabel, dispute: Dispute, thresholds: ConsensusRules, rules: RuleSet) -> Finding:
    label = item.annotation
    kind = _kind_of(label, dispute)
    frames = () if label.frame is None else (label.frame,)
    identity = finding_id(CHECK, kind, rules.id, annotations=(label.id,), frames=frames)
    measured, said = _told(item, dispute, thresholds)
    return Finding(
        finding_id=identity,
        check=CHECK,
        kind=kind,
        severity=_severity(item, kind, rules.answer_agreement or AnswerAgreementRules()),
        message=f"The answers do not settle on {_named(label)}: {said}."[:2_000],
        measured=measured,
        streams=(label.stream,),
        annotations=(label.id,),
        frames=frames,
        interval_s=_interval(label),
        cause=Cause(kind=dispute, group=identity, estimate=_counts(item)),
        rule=rules.reference,
    )


def _kind_of(label: Annotation, dispute: Dispute) -> AnswerAgreementKind:
    if dispute == "few_supporters":
        return "disputed_presence"
    if dispute != "place_apart":
        return "disputed_value" if label.type == "metadata_field" else "disputed_class"
    if label.type in _TEXTS:
        return "disputed_text"
    return "disputed_interval" if label.type in _INTERVALS else "disputed_geometry"


def _severity(item: ConsensusLabel, kind: AnswerAgreementKind, section: AnswerAgreementRules) -> Severity:
    fixed = section.severities.get(kind)
    if fixed is not None:
        return fixed
    agreement = item.agreement or 0.0
    if agreement < section.critical_below:
        return "critical"
    return "minor" if agreement >= section.minor_from else "major"


def _told(item: ConsensusLabel, dispute: Dispute, thresholds: ConsensusRules) -> tuple[Measured, str]:
    labelled, people = len(item.support), len(item.support) + len(item.absent)
    if dispute == "few_supporters":
        share, least = support_of(item), thresholds.min_support
        said = f"{labelled} of {people} answers have it, {least:.0%} must"
        return Measured(value=share, unit="share of answers", threshold=least), said
    if dispute == "place_apart":
        place, least = item.place or 0.0, thresholds.place_of(item.annotation.type)
        low, high = item.place_range or (place, place)
        said = f"the {labelled} that have it are {place:.2f} close ({low:.2f} to {high:.2f}), {least:.2f} is asked for"
        return Measured(value=place, unit="mean closeness", threshold=least), said
    share, least = share_of(item.votes), thresholds.min_class_share
    ranked = sorted(item.votes.items(), key=lambda vote: (-vote[1], vote[0]))[:_CLASSES_NAMED]
    votes = ", ".join(f"{weight:.3g} for {name[:_LONGEST_CLASS]}" for name, weight in ranked)
    tied = "; there is a tie" if dispute == "class_tied" else ""
    said = f"the votes are {votes}, {least:.0%} must be for one{tied}"
    return Measured(value=share, unit="share of votes", threshold=least), said


def _counts(item: ConsensusLabel) -> dict[str, Scalar]:
    found: dict[str, Scalar] = {
        "answers": len(item.support) + len(item.absent),
        "labelled": len(item.support),
        "agreement": round(item.agreement or 0.0, 6),
    }
    if item.place is not None and item.place_range is not None:
        low, high = item.place_range
        found |= {"closeness_mean": round(item.place, 6), "closeness_min": round(low, 6)}
        found |= {"closeness_max": round(high, 6), "near": item.near or 0}
    ranked = sorted(item.votes.items(), key=lambda vote: (-vote[1], vote[0]))[:_CLASSES_NAMED]
    return found | {f"votes_of_{name}"[:200]: round(weight, 6) for name, weight in ranked}


def _named(label: Annotation) -> str:
    kind = label.type.replace("_", " ")
    where = f"in {label.stream}" if label.frame is None else f"in {label.stream}, frame {label.frame}"
    return f"the {kind} {label.label[:_LONGEST_CLASS]!r} ({label.id}, {where})"


def _interval(label: Annotation) -> tuple[float, float] | None:
    start_s, end_s = getattr(label, "start_s", None), getattr(label, "end_s", None)
    return None if start_s is None or end_s is None else (start_s, end_s)

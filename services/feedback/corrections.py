"""What was corrected in a committed sample, and why: a line of the retraining export."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from services.contracts.annotations import Annotation
from services.contracts.feedback import CorrectedPrediction, CorrectedSample, Correction, CorrectionReason
from services.contracts.records import GroundTruth, LabelSet
from services.contracts.review import JUDGING_KINDS, Decision, StoredFinding, Verdict
from services.feedback.matching import Outcome, outcomes_of
from services.feedback.models import Model
from services.ground_truth.history import SampleHistory
from services.rules.consensus import ConsensusRules

_SAID_BY_NOBODY = frozenset({"prediction", "pre_label", "migration"})
_CORRECTS = frozenset({Verdict.FIX, Verdict.REJECT})


def newest_predictions(label_sets: Iterable[LabelSet]) -> dict[Model, LabelSet]:
    """Return the newest prediction of every model version, by name and version."""
    newest = {(one.author.id, one.author.version): one for one in label_sets if one.origin == "prediction"}
    return dict(sorted(newest.items(), key=lambda item: (item[0][0], item[0][1] or "")))


def is_judged(label_sets: Iterable[LabelSet], decisions: Iterable[Decision]) -> bool:
    """Whether the labels are more than predictions that nobody said anything of."""
    return bool(list(decisions)) or any(one.origin not in _SAID_BY_NOBODY for one in label_sets)


def corrected_sample(
    record: GroundTruth, history: SampleHistory, findings: Iterable[StoredFinding], rules: ConsensusRules
) -> CorrectedSample | None:
    """Return what was corrected in a committed sample; None where nothing was, or nobody judged it.

    Of a kind that a model predicted nothing of in this sample, nothing counts as missed, unless it predicted nothing
    at all.

    Args:
        record: The committed record.
        history: All versions of its labels and predictions, and all its decisions. A prediction about what a migration
            made it of is compared in the words of the record, and told as it was said.
        findings: All its findings.
        rules: When two labels are of one thing.
    """
    label_sets, decisions = history.label_sets, history.decisions
    versions = [one for one in label_sets if one.origin != "prediction"]
    if not versions or not is_judged(label_sets, decisions):
        return None
    committed = versions[-1].annotations
    why = _Reasons(versions, findings, decisions)
    found: list[CorrectedPrediction] = []
    for (model, version), said in newest_predictions(label_sets).items():
        kinds = {label.type for label in said.annotations}
        corrections = [
            _correction(outcome, why)
            for outcome in outcomes_of(said.annotations, committed, rules)
            if outcome.change is not None
            and (outcome.predicted is not None or not kinds or (outcome.committed and outcome.committed.type in kinds))
        ]
        if corrections:
            found.append(
                CorrectedPrediction(
                    model=model,
                    version=version,
                    sha256=said.sha256,
                    annotations=history.as_said.get(said.sha256, said.annotations),
                    corrections=tuple(sorted(corrections, key=_place)),
                )
            )
    if not found:
        return None
    return CorrectedSample(
        ref=record.ref,
        content_sha256=record.content_sha256,
        annotations=tuple(sorted(committed, key=lambda label: label.id)),
        predictions=tuple(found),
    )


def _correction(outcome: Outcome, why: _Reasons) -> Correction:
    assert outcome.change is not None  # what was committed as predicted is no correction  # noqa: S101
    return Correction(
        change=outcome.change,
        prediction=None if outcome.predicted is None else outcome.predicted.id,
        committed=None if outcome.committed is None else outcome.committed.id,
        closeness=outcome.closeness,
        reasons=why.of(outcome),
    )


def _place(correction: Correction) -> tuple[str, str]:
    return correction.prediction or "", correction.committed or ""


class _Reasons:
    """Finds what a correction rests on: findings about the label that people confirmed, and the labels it came with."""

    def __init__(
        self, versions: Sequence[LabelSet], findings: Iterable[StoredFinding], decisions: Sequence[Decision]
    ) -> None:
        self._versions = versions
        self._decisions: Mapping[UUID, Decision] = {one.decision_id: one for one in decisions}
        self._by_label: dict[str, list[CorrectionReason]] = defaultdict(list)
        for stored in sorted(findings, key=lambda item: item.finding.finding_id):
            finding = stored.finding
            for decision in decisions:
                if decision.task_kind not in JUDGING_KINDS or finding.finding_id not in decision.finding_ids:
                    continue
                verdict = decision.verdict_on(finding.finding_id)
                if verdict in _CORRECTS:
                    reason = CorrectionReason(
                        finding_id=finding.finding_id,
                        check=finding.check,
                        finding_kind=finding.kind,
                        decision_id=decision.decision_id,
                        verdict=verdict,
                        reason_code=decision.reason_code,
                        decision_sha256=decision.content_sha256,
                    )
                    for name in finding.annotations:
                        self._by_label[name].append(reason)
        self._labels = [{label.id: label for label in one.annotations} for one in versions]

    def of(self, outcome: Outcome) -> tuple[CorrectionReason, ...]:
        """Return the reasons of one correction, those by findings first."""
        names = dict.fromkeys(label.id for label in (outcome.predicted, outcome.committed) if label is not None)
        found = [reason for name in names for reason in self._by_label.get(name, ())]
        # A finding may name both labels.
        found = list({(one.finding_id, one.decision_id): one for one in found}.values())
        return (*found[:999], self._by_version(outcome))

    def _by_version(self, outcome: Outcome) -> CorrectionReason:
        if outcome.committed is not None:
            at = self._since(outcome.committed)
        else:
            at = self._gone_since(outcome.predicted.id if outcome.predicted is not None else "")
        labels = self._versions[at]
        decision = None if labels.decision_id is None else self._decisions.get(labels.decision_id)
        return CorrectionReason(
            label_version=labels.version,
            revision=None if labels.ref == self._versions[-1].ref else labels.ref.revision,
            origin=labels.origin,
            decision_id=labels.decision_id,
            verdict=None if decision is None else decision.verdict,
            reason_code=None if decision is None else decision.reason_code,
            decision_sha256=None if decision is None else decision.content_sha256,
        )

    def _since(self, label: Annotation) -> int:
        """Return the first version from which on a committed label is as it was committed."""
        at = len(self._labels) - 1
        while at > 0 and self._labels[at - 1].get(label.id) == label:
            at -= 1
        return at

    def _gone_since(self, name: str) -> int:
        """Return the first version from which on no label has the id."""
        at = len(self._labels) - 1
        while at > 0 and name not in self._labels[at - 1]:
            at -= 1
        return at

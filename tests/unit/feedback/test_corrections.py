"""What was corrected, and why."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from services.contracts.annotations import Annotation
from services.contracts.feedback import CorrectedSample
from services.contracts.findings import Finding, RuleReference
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import GroundTruth, LabelSet
from services.contracts.review import Decision, FindingState, LabelOrigin, StoredFinding, TaskKind, Verdict
from services.feedback.corrections import corrected_sample, is_judged, newest_predictions
from services.ground_truth.history import RevisionHistory, SampleHistory
from services.rules.consensus import ConsensusRules
from tests.review_world import box

REF = RevisionRef(project="p", sample_id="s", revision=1)
AT = datetime(2026, 3, 1, tzinfo=UTC)
MODEL = Author(kind="model", id="detector", version="1")
RECORD = GroundTruth(
    ref=REF, content_sha256="c" * 64, lineage_sha256="d" * 64, body={"format": "x"}, lineage={}, committed_at=AT
)


def labels(version: int, origin: LabelOrigin, *given: Annotation, author: Author = MODEL, **more: Any) -> LabelSet:
    return LabelSet(
        ref=REF, version=version, origin=origin, author=author, annotations=given, sha256=f"{version:064}",
        created_at=AT, **more,
    )  # fmt: skip


def decision(number: int, verdict: Verdict, kind: TaskKind = TaskKind.REVIEW, **given: Any) -> Decision:
    return Decision(
        decision_id=UUID(int=number), task_id=UUID(int=100 + number), ref=REF, task_kind=kind, actor_id="rita",
        verdict=verdict, fence=1, label_version_before=1, label_version_after=1, content_sha256=f"{number:064}",
        note="Rita says: wrong.", finding_ids=("f-1",), decided_at=AT, **given,
    )  # fmt: skip


def stored(*names: str) -> StoredFinding:
    finding = Finding(
        finding_id="f-1", check="lidar_camera", kind="low_overlap", severity="major", message="They do not overlap.",
        annotations=names, rule=RuleReference(id="default", version=1),
    )  # fmt: skip
    return StoredFinding(
        ref=REF, finding=finding, state=FindingState.FIXED, blocking=True, labels_sha256="0" * 64, label_version=1,
        found_at=AT, updated_at=AT,
    )  # fmt: skip


def made_of(sets: list[LabelSet], findings: list[StoredFinding], decisions: list[Decision]) -> CorrectedSample | None:
    history = SampleHistory((RevisionHistory(REF, tuple(sets), tuple(decisions)),), {})
    return corrected_sample(RECORD, history, findings, ConsensusRules())


def test_a_correction_names_the_finding_and_the_labels_it_came_with() -> None:
    fix = decision(1, Verdict.FIX)
    sets = [
        labels(1, "prediction", box("a1"), box("a2", frame=1)),
        labels(2, "pre_label", box("a1"), box("a2", frame=1)),
        labels(3, "reviewer", box("a1", label="van"), box("a2", frame=1), decision_id=fix.decision_id),
        labels(4, "reviewer", box("a1", label="van")),
    ]
    found = made_of(sets, [stored("a1")], [fix])
    assert found is not None
    (said,) = found.predictions
    assert [(one.change, one.prediction, one.committed) for one in said.corrections] == [
        ("class", "a1", "a1"), ("removed", "a2", None),
    ]  # fmt: skip
    by_finding, by_labels = said.corrections[0].reasons
    assert (by_finding.finding_id, by_finding.verdict, by_finding.decision_id) == ("f-1", Verdict.FIX, fix.decision_id)
    assert (by_labels.label_version, by_labels.origin, by_labels.decision_id) == (3, "reviewer", fix.decision_id)
    (gone,) = said.corrections[1].reasons
    assert (gone.label_version, gone.decision_id) == (4, None)
    assert "Rita" not in found.model_dump_json()


def test_a_finding_that_was_dismissed_is_no_reason() -> None:
    approve = decision(1, Verdict.APPROVE)
    sets = [labels(1, "prediction", box("a1")), labels(2, "annotator", box("a1", label="van"))]
    found = made_of(sets, [stored("a1")], [approve])
    assert found is not None
    assert [one.finding_id for one in found.predictions[0].corrections[0].reasons] == [None]


def test_what_was_committed_as_predicted_or_judged_by_nobody_is_no_line() -> None:
    same = [labels(1, "prediction", box("a1")), labels(2, "annotator", box("a1"))]
    assert made_of(same, [], []) is None
    promoted = [labels(1, "prediction", box("a1")), labels(2, "pre_label", box("a1", label="van"))]
    assert not is_judged(promoted, [])
    assert made_of(promoted, [], []) is None
    assert not is_judged([*promoted, labels(3, "migration", box("a1", label="lorry"))], [])
    assert is_judged(promoted, [decision(1, Verdict.APPROVE)])
    assert made_of([labels(1, "prediction", box("a1"))], [], [decision(1, Verdict.APPROVE)]) is None


def test_only_the_newest_prediction_of_each_model_version_counts() -> None:
    other = Author(kind="model", id="detector", version="2")
    sets = [
        labels(1, "prediction", box("a1")),
        labels(2, "prediction", box("a1", label="van"), author=other),
        labels(3, "prediction", box("a1", label="bus")),
        labels(4, "annotator", box("a1")),
    ]
    assert {key: one.version for key, one in newest_predictions(sets).items()} == {
        ("detector", "1"): 3, ("detector", "2"): 2,
    }  # fmt: skip
    found = made_of(sets, [], [])
    assert found is not None
    assert [(one.version, one.corrections[0].change) for one in found.predictions] == [("1", "class"), ("2", "class")]


def test_a_model_that_said_nothing_missed_everything() -> None:
    found = made_of([labels(1, "prediction"), labels(2, "annotator", box("a1"))], [], [])
    assert found is not None
    assert [one.change for one in found.predictions[0].corrections] == ["missed"]

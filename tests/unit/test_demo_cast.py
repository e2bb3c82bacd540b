from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

from infra.demo import faults, scenes
from infra.demo.cast import decide, difference
from infra.demo.faults import Fault
from services.contracts.findings import Finding, RuleReference
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.review import Evidence, FindingState, ReviewTask, StoredFinding, TaskKind, Verdict

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def _evidence(manifest: SampleManifest, task: TaskKind, check: str, kind: str) -> Evidence:
    ref = RevisionRef(project="demo", sample_id=manifest.sample_id, revision=1)
    finding = Finding(
        finding_id="f-1", check=check, kind=kind, severity="major", message="m", rule=RuleReference(id="r", version=1)
    )
    stored = StoredFinding(
        ref=ref, finding=finding, state=FindingState.OPEN, blocking=True, labels_sha256="0" * 64, label_version=1,
        found_at=NOW, updated_at=NOW,
    )  # fmt: skip
    return Evidence(
        task=ReviewTask(task_id=uuid4(), ref=ref, kind=task, queue="spatial", created_at=NOW), stage=Stage.IN_REVIEW,
        context=manifest.context, streams=manifest.streams, findings=(stored,), label_version=1,
        annotations=manifest.annotations,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("task", "check", "kind", "verdict"),
    [
        (TaskKind.REVIEW, "lidar_camera", "low_overlap", Verdict.APPROVE),
        (TaskKind.REVIEW, "lidar_camera", "calibration_shift", Verdict.ESCALATE),
        (TaskKind.ADJUDICATE, "lidar_camera", "calibration_shift", Verdict.DISCARD),
        (TaskKind.ADJUDICATE, "context_gate", "policy_expired", Verdict.ACCEPT_CONFLICT),
        (TaskKind.ADJUDICATE, "context_gate", "missing", Verdict.DISCARD),
        (TaskKind.ANNOTATE, "lidar_camera", "low_overlap", Verdict.SUBMIT),
    ],
)
def test_what_a_played_person_decides(tmp_path: Path, task: TaskKind, check: str, kind: str, verdict: Verdict) -> None:
    truth = scenes.still(tmp_path, "demo", 0, 1)

    assert decide(_evidence(truth, task, check, kind), truth, 1).verdict is verdict


@pytest.mark.parametrize("fault", [faults.move_cuboid, faults.lose_box, faults.swap_class])
def test_the_correction_of_a_played_person_restores_the_truth(tmp_path: Path, fault: Fault) -> None:
    truth = scenes.still(tmp_path, "demo", 0, 1)
    faulty = fault(truth, np.random.default_rng(0))
    assert faulty is not None

    patch = difference(faulty[0].annotations, truth)

    assert patch is not None
    now = {label.id: label for label in faulty[0].annotations} | {label.id: label for label in patch.upsert}
    assert now == {label.id: label for label in truth.annotations}
    assert difference(truth.annotations, truth) is None


def test_work_that_lacks_a_box_goes_back_to_its_author(tmp_path: Path) -> None:
    truth = scenes.still(tmp_path, "demo", 0, 1)
    faulty = faults.lose_box(truth, np.random.default_rng(0))
    assert faulty is not None

    evidence = _evidence(faulty[0], TaskKind.REVIEW, "lidar_camera", "unmatched_cuboid")

    assert decide(evidence, truth, 1).verdict is Verdict.REJECT

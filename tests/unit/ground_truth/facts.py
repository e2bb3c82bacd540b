"""A revision with everything a ground-truth record rests on, made in memory."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from services.contracts.annotations import Annotation
from services.contracts.canonical import content_sha256
from services.contracts.events import IncomingEvent
from services.contracts.findings import CheckReport, Finding, finding_id
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest, Stream
from services.contracts.records import AssetRecord, CheckRun, LabelSet, SampleRevision, StoredEvent
from services.contracts.review import (
    Decision,
    FindingState,
    LabelOrigin,
    StoredFinding,
    TaskKind,
    Verdict,
)
from services.ground_truth.record import RevisionFacts
from services.ground_truth.verify import event_sha256
from services.rules.rule_set import DEFAULT_RULE_SET

NOW = datetime(2026, 3, 1, 12, 0, 0, 250, tzinfo=UTC)
REF = RevisionRef(project="p", sample_id="s-1", revision=1)
DECISION_ID = UUID("00000000-0000-4000-8000-000000000001")


def box(label_id: str, x_px: float = 0.0) -> Box:
    return Box(
        id=label_id,
        type="box",
        stream="cam",
        label="car",
        box=(x_px, 0.0, x_px + 10.0, 10.0),
        taxonomy_version="av@3",
        author=Author(kind="human", id="u17"),
    )


def label_set(version: int, origin: LabelOrigin, author: Author, *annotations: Annotation, **more: Any) -> LabelSet:
    return LabelSet(
        ref=REF,
        version=version,
        origin=origin,
        author=author,
        annotations=annotations,
        sha256=content_sha256([a.model_dump(mode="json", exclude_none=True) for a in annotations]),
        created_at=NOW,
        **more,
    )


def make_facts() -> RevisionFacts:
    manifest = SampleManifest(
        format="concord.sample/1",
        sample_id=REF.sample_id,
        project=REF.project,
        captured_at=NOW,
        streams=(Stream(id="cam", modality="image", uri="a.png"),),
        annotations=(box("b2"), box("b1", -0.0)),
    )
    data = manifest.model_dump(mode="json", exclude_none=True)
    event = IncomingEvent(
        source="up",
        id="e1",
        type="concord.sample.created.v1",
        data=data,
        content_sha256=event_sha256("concord.sample.created.v1", None, data),
    )
    finding = Finding(
        finding_id=finding_id("lidar_camera", "low_overlap", "default", annotations=("b1",)),
        check="lidar_camera",
        kind="low_overlap",
        severity="major",
        message="They overlap by 0.1.",
        annotations=("b1",),
        rule=DEFAULT_RULE_SET.reference,
    )
    reviewer = Author(kind="human", id="rex")
    return RevisionFacts(
        revision=SampleRevision(
            ref=REF,
            stage=Stage.COMMITTED,
            risk="low",
            manifest=manifest,
            manifest_sha256=content_sha256(manifest),
            label_version=2,
            event_source="up",
            event_id="e1",
            created_at=NOW,
            updated_at=NOW,
        ),
        events=(StoredEvent(event=event, led_to=REF, received_at=NOW),),
        label_sets=(
            label_set(1, "manifest", Author(kind="importer", id="up"), *manifest.annotations),
            label_set(1, "prediction", Author(kind="model", id="net", version="7"), box("p1")),
            label_set(2, "reviewer", reviewer, box("b2"), box("b1", 1.0), decision_id=DECISION_ID),
        ),
        assets=(AssetRecord(stream="cam", uri="a.png", sha256="a" * 64, size_bytes=12),),
        check_runs=tuple(
            CheckRun(
                run_id=UUID(int=number),
                ref=REF,
                label_version=number,
                rule=DEFAULT_RULE_SET.reference,
                rule_sha256=DEFAULT_RULE_SET.sha256,
                report=CheckReport(rule=DEFAULT_RULE_SET.reference, findings=(finding,) if number == 1 else ()),
                seconds=0.1,
                created_at=NOW + timedelta(seconds=number),
            )
            for number in (1, 2)
        ),
        findings=(
            StoredFinding(
                ref=REF,
                finding=finding,
                state=FindingState.RESOLVED,
                blocking=True,
                labels_sha256="b" * 64,
                label_version=1,
                decision_id=DECISION_ID,
                fixed_by_label_version=2,
                found_at=NOW,
                updated_at=NOW,
            ),
        ),
        decisions=(
            Decision(
                decision_id=DECISION_ID,
                task_id=UUID(int=9),
                ref=REF,
                task_kind=TaskKind.REVIEW,
                actor_id="rex",
                verdict=Verdict.FIX,
                note="moved",
                finding_ids=(finding.finding_id,),
                fence=3,
                label_version_before=1,
                label_version_after=2,
                content_sha256=content_sha256({"verdict": "fix", "note": "moved"}),
                decided_at=NOW,
            ),
        ),
    )

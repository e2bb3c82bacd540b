"""Tasks, decisions and findings as values, for tests of the pure rules about them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from services.contracts.annotations import Annotation
from services.contracts.canonical import content_sha256
from services.contracts.findings import Finding
from services.contracts.label_base import Author
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.records import LabelSet, SampleRevision
from services.contracts.review import (
    Decision,
    FindingState,
    ReviewTask,
    StoredFinding,
    TaskKind,
    TaskState,
    Verdict,
)
from services.rules.rule_set import DEFAULT_RULE_SET

REF = RevisionRef(project="p", sample_id="s", revision=1)
AT = datetime(2026, 1, 1, tzinfo=UTC)
SHA256 = "0" * 64


def a_revision(stage: Stage = Stage.CHECKING, **changes: Any) -> SampleRevision:
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "project": REF.project,
            "sample_id": REF.sample_id,
            "streams": [{"id": "note", "modality": "text", "inline": "yes"}],
        }
    )
    values: dict[str, Any] = {
        "ref": REF,
        "stage": stage,
        "risk": "low",
        "manifest": manifest,
        "manifest_sha256": content_sha256(manifest),
        "label_version": 1,
        "created_at": AT,
        "updated_at": AT,
    }
    return SampleRevision(**values | changes)


def a_task(kind: TaskKind = TaskKind.REVIEW, state: TaskState = TaskState.OPEN, **changes: Any) -> ReviewTask:
    values: dict[str, Any] = {
        "task_id": uuid4(),
        "ref": REF,
        "kind": kind,
        "queue": "words",
        "state": state,
        "finding_ids": ("f-1",),
        "created_at": AT,
    }
    return ReviewTask(**values | changes)


def a_decision(task: ReviewTask, verdict: Verdict, actor_id: str = "ben", **changes: Any) -> Decision:
    values: dict[str, Any] = {
        "decision_id": uuid4(),
        "task_id": task.task_id,
        "ref": REF,
        "task_kind": task.kind,
        "actor_id": actor_id,
        "verdict": verdict,
        "finding_ids": task.finding_ids,
        "fence": 1,
        "label_version_before": 1,
        "label_version_after": 1,
        "content_sha256": SHA256,
        "decided_at": AT,
    }
    return Decision(**values | changes)


def a_finding(name: str = "f-1", **changes: Any) -> StoredFinding:
    values: dict[str, Any] = {
        "finding_id": name,
        "check": "wording",
        "kind": "wrong_word",
        "severity": "major",
        "message": f"{name} says the wrong thing.",
        "streams": ("note",),
        "annotations": ("a1",),
        "rule": DEFAULT_RULE_SET.reference,
    }
    return StoredFinding(
        ref=REF,
        finding=Finding(**values | changes),
        state=FindingState.OPEN,
        blocking=True,
        labels_sha256=SHA256,
        label_version=1,
        found_at=AT,
        updated_at=AT,
    )


def human(name: str) -> Author:
    return Author(kind="human", id=name)


def a_label(name: str, word: str = "yes", author: Author | None = None) -> Intent:
    return Intent(id=name, type="intent", stream="note", label=word, author=author)


def a_label_set(version: int, author: Author, *annotations: Annotation, decision_id: UUID | None = None) -> LabelSet:
    return LabelSet(
        ref=REF,
        version=version,
        origin="annotator",
        author=author,
        annotations=annotations,
        sha256=SHA256,
        decision_id=decision_id,
        created_at=AT,
    )

"""Findings, review tasks, drafts and decisions."""

from __future__ import annotations

from datetime import datetime
from typing import get_args
from uuid import UUID

from sqlalchemy import Boolean, Double, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlmodel import Field

from infra.db.tables.base import (
    Table,
    bigint_column,
    check,
    document_column,
    double_column,
    flag_column,
    integer_column,
    moment_column,
    one_of,
    text_column,
    texts_column,
    uuid_column,
    written_at_column,
)
from infra.db.tables.samples import of_revision
from services.contracts.findings import Severity
from services.contracts.manifest import Risk
from services.contracts.review import FindingState, TaskKind, TaskState, Verdict

UNFINISHED = "state IN ('open', 'claimed')"


class FindingRow(Table, table=True):
    """A finding and what became of it."""

    __tablename__ = "findings"
    __table_args__ = (
        of_revision(),
        ForeignKeyConstraint(["decision_id"], ["decisions.decision_id"], deferrable=True, initially="DEFERRED"),
        one_of("severity", get_args(Severity)),
        one_of("state", FindingState),
    )

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)
    finding_id: str = text_column(primary_key=True)
    check: str = text_column()
    kind: str = text_column()
    severity: str = text_column()
    finding: str = document_column()
    state: str = text_column()
    blocking: bool = Field(sa_type=Boolean)
    labels_sha256: str = text_column()
    label_version: int = integer_column()
    decision_id: UUID | None = uuid_column(default=None, nullable=True)
    decision_revision: int | None = integer_column(default=None, nullable=True)
    fixed_by_label_version: int | None = integer_column(default=None, nullable=True)
    found_at: datetime = moment_column()
    updated_at: datetime = moment_column()


class ReviewTaskRow(Table, table=True):
    """A piece of work for one person.

    Triggers keep its fence from falling and its end from changing, and set its lane and rank.
    """

    __tablename__ = "review_tasks"
    __table_args__ = (
        of_revision(),
        ForeignKeyConstraint(
            ["origin_decision_id"],
            ["decisions.decision_id"],
            deferrable=True,
            initially="DEFERRED",
            use_alter=True,
        ),
        one_of("kind", TaskKind),
        one_of("state", TaskState),
        one_of("risk", get_args(Risk)),
        check("fence", "fence >= 0"),
        check("worth", "worth >= 0"),
        check("held", "(state = 'claimed') = (held_by IS NOT NULL AND lease_expires_at IS NOT NULL)"),
        check("lease", "(held_by IS NULL) = (lease_expires_at IS NULL)"),
        check("finished", "(state IN ('completed', 'cancelled')) = (completed_at IS NOT NULL)"),
        check("not_excluded", "held_by IS NULL OR NOT (held_by = ANY (excluded_actors))"),
        check("assignee", "held_by IS NULL OR assignee IS NULL OR held_by = assignee"),
        Index(
            "uq_review_tasks_origin",
            "origin_decision_id",
            "kind",
            unique=True,
            postgresql_where=text("origin_decision_id IS NOT NULL"),
        ),
        Index("ix_review_tasks_revision", "project", "sample_id", "revision"),
        Index("ix_review_tasks_arrived", "project", "created_at", "task_id"),
        Index("ix_review_tasks_ended", "project", "completed_at", postgresql_where=text("completed_at IS NOT NULL")),
        Index("ix_review_tasks_listed", "created_at", "task_id"),
        Index(
            "ix_review_tasks_lane",
            "lane_id",
            "rank",
            "created_at",
            "task_id",
            postgresql_where=text(f"{UNFINISHED} AND assignee IS NULL AND NOT on_hold"),
        ),
        Index(
            "ix_review_tasks_assigned",
            "assignee",
            postgresql_where=text(f"{UNFINISHED} AND assignee IS NOT NULL AND NOT on_hold"),
        ),
        Index(
            "ix_review_tasks_claimed",
            "project",
            "queue",
            "lease_expires_at",
            postgresql_where=text("state = 'claimed'"),
        ),
        Index("ix_review_tasks_held", "held_by", "lease_expires_at", postgresql_where=text("state = 'claimed'")),
        # So that a claim finds place for the task's new version beside the old one.
        {"postgresql_with": {"fillfactor": 85}},
    )

    task_id: UUID = uuid_column(primary_key=True)
    project: str = text_column()
    sample_id: str = text_column()
    revision: int = integer_column()
    kind: str = text_column()
    queue: str = text_column()
    skill: str | None = text_column(default=None, nullable=True)
    risk: str = text_column()
    priority: int = integer_column()
    state: str = text_column()
    finding_ids: list[str] = texts_column()
    assignee: str | None = text_column(default=None, nullable=True)
    excluded_actors: list[str] = texts_column()
    origin_decision_id: UUID | None = uuid_column(default=None, nullable=True)
    caused_by: str | None = document_column(default=None, nullable=True)
    reason: str | None = text_column(default=None, nullable=True)
    held_by: str | None = text_column(default=None, nullable=True)
    fence: int = bigint_column()
    tier_fence: int = bigint_column(default=0, sa_column_kwargs={"server_default": text("0")})
    lease_expires_at: datetime | None = moment_column(default=None, nullable=True)
    created_at: datetime = written_at_column()
    start_by_at: datetime | None = moment_column(default=None, nullable=True)
    due_at: datetime | None = moment_column(default=None, nullable=True)
    completed_at: datetime | None = moment_column(default=None, nullable=True)
    lane_id: int = integer_column(foreign_key="review_lanes.lane_id")
    rank: float = double_column()
    worth: float = double_column(default=0, nullable=False, sa_column_kwargs={"server_default": text("0")})
    on_hold: bool = flag_column(default=False)
    hold_reason: str | None = text_column(default=None, nullable=True)
    on_hold_since: datetime | None = moment_column(default=None, nullable=True)
    check: str | None = text_column(default=None, nullable=True)
    finding_kind: str | None = text_column(default=None, nullable=True)
    severity: str | None = text_column(default=None, nullable=True)
    domain: str | None = text_column(default=None, nullable=True)
    language: str | None = text_column(default=None, nullable=True)
    region: str | None = text_column(default=None, nullable=True)


class DraftRow(Table, table=True):
    """Unfinished work of one person on one task."""

    __tablename__ = "drafts"

    task_id: UUID = uuid_column(primary_key=True, foreign_key="review_tasks.task_id")
    actor_id: str = text_column(primary_key=True)
    body: str = document_column()
    saved_at: datetime = moment_column()


class TaskActivityRow(Table, table=True):
    """How long one person really worked on one task."""

    __tablename__ = "task_activity"
    __table_args__ = (check("active_s", "active_s >= 0"),)

    task_id: UUID = uuid_column(primary_key=True, foreign_key="review_tasks.task_id")
    actor_id: str = text_column(primary_key=True)
    active_s: float = Field(sa_type=Double)
    active_at: datetime | None = moment_column(default=None, nullable=True)
    updated_at: datetime = moment_column()


class DecisionRow(Table, table=True):
    """A decision; never changed, one per task, by nobody the task excludes, under the task's fence (triggers)."""

    __tablename__ = "decisions"
    __table_args__ = (
        of_revision(),
        ForeignKeyConstraint(["task_id"], ["review_tasks.task_id"]),
        UniqueConstraint("task_id"),
        one_of("task_kind", TaskKind),
        one_of("verdict", Verdict),
        check("fence", "fence >= 0"),
        check("label_versions", "label_version_before >= 0 AND label_version_after >= label_version_before"),
        Index("ix_decisions_decided", "project", "decided_at", "decision_id"),
        Index("ix_decisions_revision", "project", "sample_id", "revision", "decided_at"),
    )

    decision_id: UUID = uuid_column(primary_key=True)
    task_id: UUID = uuid_column()
    project: str = text_column()
    sample_id: str = text_column()
    revision: int = integer_column()
    task_kind: str = text_column()
    actor_id: str = text_column()
    verdict: str = text_column()
    reason_code: str | None = text_column(default=None, nullable=True)
    note: str | None = text_column(default=None, nullable=True)
    finding_ids: list[str] = texts_column()
    fence: int = bigint_column()
    label_version_before: int = integer_column()
    label_version_after: int = integer_column()
    content_sha256: str = text_column()
    body: str = document_column()
    caused_by: str | None = document_column(default=None, nullable=True)
    escalated_by: str | None = document_column(default=None, nullable=True)
    decided_at: datetime = moment_column()

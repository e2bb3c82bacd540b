"""Finished tasks that are given again for their known answer, kept apart from all real work."""

from __future__ import annotations

from datetime import datetime
from typing import get_args
from uuid import UUID

from sqlalchemy import Boolean, ForeignKeyConstraint, Index, text
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
)
from infra.db.tables.samples import of_revision
from services.contracts.calibration import ProbePurpose
from services.contracts.review import TaskKind, TaskState


class ProbeTaskRow(Table, table=True):
    """A finished task given again. To who holds it, it is a task like any other: the columns are those of one."""

    __tablename__ = "probe_tasks"
    __table_args__ = (
        of_revision(),
        ForeignKeyConstraint(["source_task_id"], ["review_tasks.task_id"]),
        one_of("purpose", get_args(ProbePurpose)),
        one_of("kind", TaskKind),
        one_of("state", TaskState),
        check("fence", "fence >= 0"),
        check("held", "(state = 'claimed') = (held_by IS NOT NULL AND lease_expires_at IS NOT NULL)"),
        check("finished", "(state IN ('completed', 'cancelled')) = (completed_at IS NOT NULL)"),
        check("not_excluded", "held_by IS NULL OR NOT (held_by = ANY (excluded_actors))"),
        check("answered", "(decision IS NULL) = (answered_by IS NULL)"),
        Index("ix_probe_tasks_held", "held_by", postgresql_where=text("state = 'claimed'")),
        Index("ix_probe_tasks_source", "source_task_id", "purpose"),
        Index("ix_probe_tasks_sample", "project", "sample_id"),
        # An adjudication has one second opinion.
        Index(
            "uq_probe_tasks_second", "source_task_id", unique=True, postgresql_where=text("purpose = 'second_opinion'")
        ),
    )

    task_id: UUID = uuid_column(primary_key=True)
    purpose: str = text_column()
    source_task_id: UUID = uuid_column()
    label_version: int = integer_column()
    shift_s: float = double_column()
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
    reason: str | None = text_column(default=None, nullable=True)
    held_by: str | None = text_column(default=None, nullable=True)
    fence: int = bigint_column()
    tier_fence: int = bigint_column(default=0, sa_column_kwargs={"server_default": text("0")})
    lease_expires_at: datetime | None = moment_column(default=None, nullable=True)
    created_at: datetime = moment_column()
    start_by_at: datetime | None = moment_column(default=None, nullable=True)
    due_at: datetime | None = moment_column(default=None, nullable=True)
    completed_at: datetime | None = moment_column(default=None, nullable=True)
    on_hold: bool = flag_column(default=False)
    hold_reason: str | None = text_column(default=None, nullable=True)
    on_hold_since: datetime | None = moment_column(default=None, nullable=True)
    check: str | None = text_column(default=None, nullable=True)
    finding_kind: str | None = text_column(default=None, nullable=True)
    severity: str | None = text_column(default=None, nullable=True)
    domain: str | None = text_column(default=None, nullable=True)
    language: str | None = text_column(default=None, nullable=True)
    region: str | None = text_column(default=None, nullable=True)
    caused_by: str | None = document_column(default=None, nullable=True)
    decision: str | None = document_column(default=None, nullable=True)
    body: str | None = document_column(default=None, nullable=True)
    labels_after: str | None = document_column(default=None, nullable=True)
    answered_by: str | None = text_column(default=None, nullable=True)
    agreed: bool | None = Field(default=None, sa_type=Boolean, nullable=True)


class ProbeSeenRow(Table, table=True):
    """Who has been given which sample for its known answer: nobody is given the same one twice."""

    __tablename__ = "probe_seen"
    __table_args__ = (
        ForeignKeyConstraint(["task_id"], ["probe_tasks.task_id"]),
        Index("ix_probe_seen_task", "task_id"),
    )

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    actor_id: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    task_id: UUID = uuid_column()


class ProbeDraftRow(Table, table=True):
    """Unfinished work of one person on a task given again."""

    __tablename__ = "probe_drafts"
    __table_args__ = (ForeignKeyConstraint(["task_id"], ["probe_tasks.task_id"]),)

    task_id: UUID = uuid_column(primary_key=True)
    actor_id: str = text_column(primary_key=True)
    body: str = document_column()
    saved_at: datetime = moment_column()


class ProbeSecretRow(Table, table=True):
    """What the choice of a project's probes hangs on, beside what everybody knows."""

    __tablename__ = "probe_secrets"

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    secret: str = text_column()


class ProbeTurnRow(Table, table=True):
    """How many reviews of a project a person was given, and how many of them had a known answer."""

    __tablename__ = "probe_turns"
    __table_args__ = (check("counts", "0 <= given AND 0 <= missing AND given + missing <= turns"),)

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    actor_id: str = text_column(primary_key=True)
    turns: int = bigint_column()
    given: int = bigint_column()
    missing: int = bigint_column()

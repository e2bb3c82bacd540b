"""Operations on many tasks, and what they did with each."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, ForeignKeyConstraint, Index, UniqueConstraint
from sqlmodel import Field

from infra.db.tables.base import (
    Table,
    document_column,
    integer_column,
    one_of,
    text_column,
    uuid_column,
    written_at_column,
)
from services.contracts.task_operations import Outcome


class TaskOperationRow(Table, table=True):
    """An operation; an undo is one too, and there is at most one for each."""

    __tablename__ = "task_operations"
    __table_args__ = (
        ForeignKeyConstraint(["project"], ["projects.id"]),
        ForeignKeyConstraint(["undoes"], ["task_operations.operation_id"]),
        UniqueConstraint("undoes"),
        Index("ix_task_operations_listed", "project", "created_at", "operation_id"),
    )

    operation_id: UUID = uuid_column(primary_key=True)
    project: str = text_column()
    action: str = text_column()
    request: str | None = document_column(default=None, nullable=True)
    note: str | None = text_column(default=None, nullable=True)
    actor_id: str = text_column()
    outcomes: str = document_column()
    undoes: UUID | None = uuid_column(default=None, nullable=True)
    created_at: datetime = written_at_column()


class TaskOperationItemRow(Table, table=True):
    """What an operation did with one task."""

    __tablename__ = "task_operation_items"
    __table_args__ = (
        ForeignKeyConstraint(["operation_id"], ["task_operations.operation_id"], deferrable=True, initially="DEFERRED"),
        one_of("outcome", Outcome),
    )

    operation_id: UUID = uuid_column(primary_key=True)
    task_id: UUID = uuid_column(primary_key=True)
    outcome: str = text_column()
    queue_before: str = text_column()
    queue_after: str = text_column()
    skill_before: str | None = text_column(default=None, nullable=True)
    skill_after: str | None = text_column(default=None, nullable=True)
    priority_before: int = integer_column()
    priority_after: int = integer_column()
    on_hold_before: bool = Field(sa_type=Boolean)
    on_hold_after: bool = Field(sa_type=Boolean)
    hold_reason_before: str | None = text_column(default=None, nullable=True)
    hold_reason_after: str | None = text_column(default=None, nullable=True)
    assignee_before: str | None = text_column(default=None, nullable=True)
    assignee_after: str | None = text_column(default=None, nullable=True)

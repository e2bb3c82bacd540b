"""Review queues, and the lanes in which tasks wait."""

from __future__ import annotations

from sqlalchemy import Boolean, Identity, UniqueConstraint
from sqlmodel import Field

from infra.db.tables.base import (
    Table,
    check,
    document_column,
    double_column,
    integer_column,
    text_column,
    texts_column,
)


class ReviewQueueRow(Table, table=True):
    """A queue of a project; what is not here has the defaults that follow from the rule set."""

    __tablename__ = "review_queues"
    __table_args__ = (check("ageing_per_hour", "ageing_per_hour >= 0"), check("capacity", "capacity >= 1"))

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    name: str = text_column(primary_key=True)
    position: int = integer_column()
    filter: str | None = document_column(default=None, nullable=True)
    skills: str = document_column()
    teams: list[str] = texts_column()
    base_priority: int | None = integer_column(default=None, nullable=True)
    ageing_per_hour: float = double_column()
    capacity: int | None = integer_column(default=None, nullable=True)
    paused: bool = Field(sa_type=Boolean)


class ReviewLaneRow(Table, table=True):
    """Tasks of one queue, kind and skill: who may take one of them may take all of them, and they share one order."""

    __tablename__ = "review_lanes"
    __table_args__ = (UniqueConstraint("project", "queue", "kind", "skill"),)

    lane_id: int | None = integer_column(default=None, primary_key=True, sa_column_args=(Identity(always=True),))
    project: str = text_column()
    queue: str = text_column()
    kind: str = text_column()
    skill: str = text_column()
    ageing_per_hour: float = double_column()

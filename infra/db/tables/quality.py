"""Known answers, scored answers, and who is paused for them."""

from __future__ import annotations

from datetime import datetime
from typing import get_args
from uuid import UUID

from sqlalchemy import Boolean, Index
from sqlmodel import Field

from infra.db.tables.base import (
    Table,
    document_column,
    flag_column,
    moment_column,
    one_of,
    text_column,
    texts_column,
    uuid_column,
)
from services.contracts.quality import ReferenceKind
from services.contracts.review import TaskKind


class GoldAnswerRow(Table, table=True):
    """The known answer for a sample, which need not have come yet."""

    __tablename__ = "gold_answers"

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    sample_id: str = text_column(primary_key=True)
    answer: str = document_column()
    given_by: str = text_column()
    given_at: datetime = moment_column()


class ScoredAnswerRow(Table, table=True):
    """A verdict on one finding that could be held against something; real tasks and probes alike."""

    __tablename__ = "scored_answers"
    __table_args__ = (
        one_of("kind", TaskKind),
        one_of("reference", get_args(ReferenceKind)),
        Index("ix_scored_answers_person", "project", "actor_id", "decided_at"),
    )

    decision_id: UUID = uuid_column(primary_key=True)
    finding_id: str = text_column(primary_key=True)
    project: str = text_column(foreign_key="projects.id")
    task_id: UUID = uuid_column()
    actor_id: str = text_column()
    queue: str = text_column()
    kind: str = text_column()
    check: str = text_column()
    finding_kind: str = text_column()
    labels: list[str] = texts_column()
    reference: str = text_column()
    right: bool = Field(sa_type=Boolean)
    decided_at: datetime = moment_column()


class PersonPauseRow(Table, table=True):
    """That a person is given no more tasks of a queue and kind; stays after they are resumed, for what counts since."""

    __tablename__ = "person_pauses"
    __table_args__ = (one_of("kind", TaskKind),)

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    actor_id: str = text_column(primary_key=True)
    queue: str = text_column(primary_key=True)
    kind: str = text_column(primary_key=True)
    paused: bool = flag_column(default=True)
    pause: str = document_column()
    counted_from: datetime | None = moment_column(default=None, nullable=True)

"""What several people's answers said together, and what was learned about those who gave them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Index, text

from infra.db.tables.base import (
    Table,
    check,
    document_column,
    double_column,
    integer_column,
    moment_column,
    text_column,
)
from infra.db.tables.samples import of_revision


class JoinedAnswersRow(Table, table=True):
    """The answers of a revision, joined when nobody was at work on another one."""

    __tablename__ = "joined_answers"
    __table_args__ = (
        of_revision(),
        check("answers", "answers >= 2"),
        Index(
            "ix_joined_answers_labels",
            "project",
            "joined_at",
            postgresql_where=text("label_version IS NOT NULL"),
        ),
    )

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)
    answers: int = integer_column(primary_key=True)
    label_version: int | None = integer_column(default=None, nullable=True)
    body: str = document_column()
    joined_at: datetime = moment_column()


class AnnotatorQualityRow(Table, table=True):
    """When the skills of a project's annotators were learned, and from how much."""

    __tablename__ = "annotator_quality"

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    samples: int = integer_column()
    joined: int = integer_column()
    units: int = integer_column()
    known: int = integer_column()
    learned_at: datetime = moment_column()


class AnnotatorSkillRow(Table, table=True):
    """How often a person is right about a class; the empty person is everybody, the empty class all of them."""

    __tablename__ = "annotator_skills"

    project: str = text_column(primary_key=True, foreign_key="annotator_quality.project")
    actor_id: str = text_column(primary_key=True)
    label: str = text_column(primary_key=True)
    judged: float = double_column()
    correct: float = double_column()
    share: float = double_column()
    low: float = double_column()
    high: float = double_column()

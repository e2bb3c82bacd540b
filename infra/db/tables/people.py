"""Reviewers as projects know them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint

from infra.db.tables.base import (
    Table,
    check,
    document_column,
    integer_column,
    moment_column,
    one_of,
    text_column,
    texts_column,
)


class ReviewerRow(Table, table=True):
    """What is set for a person in a project."""

    __tablename__ = "reviewers"
    __table_args__ = (check("max_claims", "max_claims >= 1"),)

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    actor_id: str = text_column(primary_key=True)
    teams: list[str] = texts_column()
    calendar: str | None = document_column(default=None, nullable=True)
    max_claims: int | None = integer_column(default=None, nullable=True)
    max_claims_of_queue: str = document_column()


class ReviewerSkillRow(Table, table=True):
    """A skill of a person; each source has its own word on it."""

    __tablename__ = "reviewer_skills"
    __table_args__ = (
        ForeignKeyConstraint(["project", "actor_id"], ["reviewers.project", "reviewers.actor_id"], ondelete="CASCADE"),
        one_of("source", ("granted", "measured")),
        check("level", "level BETWEEN 1 AND 5"),
    )

    project: str = text_column(primary_key=True)
    actor_id: str = text_column(primary_key=True)
    name: str = text_column(primary_key=True)
    source: str = text_column(primary_key=True)
    level: int = integer_column()
    set_by: str = text_column()
    set_at: datetime = moment_column()
    figures: str | None = document_column(default=None, nullable=True)

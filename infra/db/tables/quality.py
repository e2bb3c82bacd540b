"""Known answers."""

from __future__ import annotations

from datetime import datetime

from infra.db.tables.base import Table, document_column, moment_column, text_column


class GoldAnswerRow(Table, table=True):
    """The known answer for a sample, which need not have come yet."""

    __tablename__ = "gold_answers"

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    sample_id: str = text_column(primary_key=True)
    answer: str = document_column()
    given_by: str = text_column()
    given_at: datetime = moment_column()

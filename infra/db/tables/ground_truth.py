"""Committed records."""

from __future__ import annotations

from datetime import datetime

from infra.db.tables.base import Table, document_column, integer_column, moment_column, text_column
from infra.db.tables.samples import of_revision


class GroundTruthRow(Table, table=True):
    """A committed record; never changed, one per revision."""

    __tablename__ = "ground_truth"
    __table_args__ = (of_revision(),)

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)
    content_sha256: str = text_column()
    lineage_sha256: str = text_column()
    body: str = document_column()
    lineage: str = document_column()
    committed_at: datetime = moment_column()

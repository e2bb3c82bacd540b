"""Committed records."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index

from infra.db.tables.base import Table, document_column, integer_column, moment_column, one_of, text_column
from infra.db.tables.samples import of_revision
from services.contracts.lineage import OriginKind


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


class GroundTruthOriginRow(Table, table=True):
    """That a record rests on something; never changed. The key asks "what depends on this", the index "on what"."""

    __tablename__ = "ground_truth_origins"
    __table_args__ = (
        ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["ground_truth.project", "ground_truth.sample_id", "ground_truth.revision"],
        ),
        one_of("kind", OriginKind),
        Index("ix_ground_truth_origins_record", "project", "sample_id", "revision"),
    )

    project: str = text_column(primary_key=True)
    kind: str = text_column(primary_key=True)
    key: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)

"""Samples, their revisions, label sets, assets and check runs."""

from __future__ import annotations

from datetime import datetime
from typing import get_args
from uuid import UUID

from sqlalchemy import Boolean, Double, ForeignKeyConstraint, Index, text
from sqlmodel import Field

from infra.db.tables.base import (
    Table,
    bigint_column,
    check,
    document_column,
    integer_column,
    moment_column,
    one_of,
    text_column,
    uuid_column,
    written_at_column,
)
from services.contracts.lifecycle import Stage
from services.contracts.manifest import Risk
from services.contracts.review import LabelOrigin


def of_revision() -> ForeignKeyConstraint:
    """The row belongs to a revision, which may be written later in the same transaction."""
    return ForeignKeyConstraint(
        ["project", "sample_id", "revision"],
        ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
        deferrable=True,
        initially="DEFERRED",
    )


class SampleRow(Table, table=True):
    """A sample: its newest revision, and the last number of its sequence of events."""

    __tablename__ = "samples"
    __table_args__ = (
        check("current_revision", "current_revision >= 0"),
        check("event_sequence", "event_sequence >= 0"),
    )

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    sample_id: str = text_column(primary_key=True)
    current_revision: int = integer_column()
    event_sequence: int = bigint_column()
    created_at: datetime = written_at_column()


class SampleRevisionRow(Table, table=True):
    """A revision of a sample."""

    __tablename__ = "sample_revisions"
    __table_args__ = (
        ForeignKeyConstraint(["project", "sample_id"], ["samples.project", "samples.sample_id"]),
        ForeignKeyConstraint(["event_key"], ["inbox.event_key"], deferrable=True, initially="DEFERRED", use_alter=True),
        one_of("stage", Stage),
        one_of("risk", get_args(Risk)),
        check("revision", "revision >= 1"),
        check("label_version", "label_version >= 0"),
        check("prediction_version", "prediction_version >= 0"),
        Index(
            "ix_sample_revisions_newest",
            "project",
            text("created_at DESC"),
            text("sample_id DESC"),
            text("revision DESC"),
        ),
        Index(
            "ix_sample_revisions_stage",
            "project",
            "stage",
            text("created_at DESC"),
            text("sample_id DESC"),
            text("revision DESC"),
        ),
    )

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)
    stage: str = text_column()
    risk: str = text_column()
    manifest: str = document_column()
    manifest_sha256: str = text_column()
    label_version: int = integer_column()
    prediction_version: int = integer_column()
    event_key: str | None = text_column(default=None, nullable=True)
    event_source: str | None = text_column(default=None, nullable=True)
    event_id: str | None = text_column(default=None, nullable=True)
    created_at: datetime = written_at_column()
    updated_at: datetime = written_at_column()


class StageChangeRow(Table, table=True):
    """One step of a sample's timeline; never changed."""

    __tablename__ = "stage_changes"
    __table_args__ = (
        of_revision(),
        one_of("stage", Stage),
        one_of("previous_stage", Stage),
        check("sequence", "sequence >= 1"),
        Index("ix_stage_changes_at", "project", "at"),
    )

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    sequence: int = bigint_column(primary_key=True)
    revision: int = integer_column()
    stage: str = text_column()
    previous_stage: str | None = text_column(default=None, nullable=True)
    actor: str = text_column()
    reason: str | None = text_column(default=None, nullable=True)
    at: datetime = moment_column()


class LabelSetRow(Table, table=True):
    """A version of the labels of a revision, or of its predictions; never changed."""

    __tablename__ = "label_sets"
    __table_args__ = (
        of_revision(),
        ForeignKeyConstraint(["decision_id"], ["decisions.decision_id"], deferrable=True, initially="DEFERRED"),
        ForeignKeyConstraint(["incident_id"], ["incidents.incident_id"]),
        one_of("origin", get_args(LabelOrigin)),
        check("prediction", "prediction = (origin = 'prediction')"),
        check("version", "version >= 1"),
    )

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)
    prediction: bool = Field(sa_type=Boolean, primary_key=True)
    version: int = integer_column(primary_key=True)
    origin: str = text_column()
    author: str = document_column()
    annotations: str = document_column()
    sha256: str = text_column()
    decision_id: UUID | None = uuid_column(default=None, nullable=True)
    incident_id: UUID | None = uuid_column(default=None, nullable=True)
    created_at: datetime = written_at_column()


class AssetRow(Table, table=True):
    """An asset as it was read.

    ``uri_sha256`` is part of the key because one stream can have several label files.
    """

    __tablename__ = "assets"
    __table_args__ = (
        of_revision(),
        one_of("role", ("stream", "label_file")),
        check("size_bytes", "size_bytes >= 0"),
    )

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    revision: int = integer_column(primary_key=True)
    stream: str = text_column(primary_key=True)
    role: str = text_column(primary_key=True)
    uri_sha256: str = text_column(primary_key=True)
    uri: str = text_column()
    sha256: str = text_column()
    size_bytes: int = bigint_column()


class CheckRunRow(Table, table=True):
    """One run of the checks; never changed."""

    __tablename__ = "check_runs"
    __table_args__ = (
        of_revision(),
        ForeignKeyConstraint(["rule_id", "rule_version"], ["rule_sets.id", "rule_sets.version"]),
        check("label_version", "label_version >= 0"),
        Index("ix_check_runs_newest", "project", "sample_id", "revision", text("created_at DESC")),
    )

    run_id: UUID = uuid_column(primary_key=True)
    project: str = text_column()
    sample_id: str = text_column()
    revision: int = integer_column()
    label_version: int = integer_column()
    rule_id: str = text_column()
    rule_version: int = integer_column()
    rule_sha256: str = text_column()
    report: str = document_column()
    seconds: float = Field(sa_type=Double)
    created_at: datetime = moment_column()
    taxonomy: str | None = text_column(default=None, nullable=True)

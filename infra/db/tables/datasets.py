"""Datasets, their versions and what these hold."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Index, UniqueConstraint

from infra.db.tables.base import (
    Table,
    check,
    document_column,
    integer_column,
    moment_column,
    text_column,
)


class DatasetRow(Table, table=True):
    """A dataset; never changed."""

    __tablename__ = "datasets"

    project: str = text_column(primary_key=True, foreign_key="projects.id")
    name: str = text_column(primary_key=True)
    description: str = text_column()
    selection: str = document_column()
    split: str = document_column()
    created_by: str = text_column()
    created_at: datetime = moment_column()


class DatasetVersionRow(Table, table=True):
    """A version; never changed."""

    __tablename__ = "dataset_versions"
    __table_args__ = (
        ForeignKeyConstraint(["project", "dataset"], ["datasets.project", "datasets.name"]),
        check("version", "version >= 1"),
    )

    project: str = text_column(primary_key=True)
    dataset: str = text_column(primary_key=True)
    version: int = integer_column(primary_key=True)
    content: str = document_column()
    manifest_sha256: str = text_column()
    created_by: str = text_column()
    created_at: datetime = moment_column()


class DatasetGroupRow(Table, table=True):
    """The one split of a group, in all versions of its dataset; never changed."""

    __tablename__ = "dataset_groups"
    __table_args__ = (
        ForeignKeyConstraint(["project", "dataset"], ["datasets.project", "datasets.name"]),
        # What members refer to, so that none can be in another split than its group.
        UniqueConstraint("project", "dataset", "group_key", "split"),
    )

    project: str = text_column(primary_key=True)
    dataset: str = text_column(primary_key=True)
    group_key: str = text_column(primary_key=True)
    split: str = text_column()


class DatasetMemberRow(Table, table=True):
    """A record in a version; never changed, and written before its version."""

    __tablename__ = "dataset_members"
    __table_args__ = (
        ForeignKeyConstraint(
            ["project", "dataset", "version"],
            ["dataset_versions.project", "dataset_versions.dataset", "dataset_versions.version"],
            deferrable=True,
            initially="DEFERRED",
        ),
        ForeignKeyConstraint(
            ["project", "dataset", "group_key", "split"],
            [
                "dataset_groups.project",
                "dataset_groups.dataset",
                "dataset_groups.group_key",
                "dataset_groups.split",
            ],
        ),
        ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["ground_truth.project", "ground_truth.sample_id", "ground_truth.revision"],
        ),
        UniqueConstraint("project", "dataset", "version", "sample_id"),
        check("position", "position >= 0"),
        Index("ix_dataset_members_sample", "project", "sample_id"),
        Index("ix_dataset_members_split", "project", "dataset", "version", "split", "position"),
    )

    project: str = text_column(primary_key=True)
    dataset: str = text_column(primary_key=True)
    version: int = integer_column(primary_key=True)
    position: int = integer_column(primary_key=True)
    sample_id: str = text_column()
    revision: int = integer_column()
    content_sha256: str = text_column()
    split: str = text_column()
    group_key: str = text_column()
    labels: int = integer_column()

"""Create datasets, the versions that never change, and the one split of each group."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1400"
down_revision = "20261129_1310"
branch_labels = None
depends_on = None

_TABLES = ("datasets", "dataset_versions", "dataset_groups", "dataset_members")
# A version is written last, in the transaction of its members: whatever comes later finds it there.
_GUARD_MEMBERS = """
CREATE FUNCTION concord_guard_dataset_members() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM added JOIN dataset_versions USING (project, dataset, version)) THEN
        RAISE EXCEPTION 'nothing is added to a version that is made'
            USING ERRCODE = 'check_violation', TABLE = 'dataset_members',
                  CONSTRAINT = 'ck_dataset_members_before_version';
    END IF;
    RETURN NULL;
END $$
"""


def upgrade() -> None:
    op.create_table(
        "datasets",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=False),
        sa.Column("selection", sa.JSON(), nullable=False),
        sa.Column("split", sa.JSON(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_datasets_projects")),
        sa.PrimaryKeyConstraint("project", "name", name=op.f("pk_datasets")),
    )
    op.create_table(
        "dataset_versions",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("content", sa.JSON(), nullable=False),
        sa.Column("manifest_sha256", sa.Text(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_dataset_versions_version")),
        sa.ForeignKeyConstraint(
            ["project", "dataset"], ["datasets.project", "datasets.name"], name=op.f("fk_dataset_versions_datasets")
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "version", name=op.f("pk_dataset_versions")),
    )
    op.create_table(
        "dataset_groups",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "dataset"], ["datasets.project", "datasets.name"], name=op.f("fk_dataset_groups_datasets")
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "group_key", name=op.f("pk_dataset_groups")),
        sa.UniqueConstraint(
            "project",
            "dataset",
            "group_key",
            "split",
            name=op.f("uq_dataset_groups_project_dataset_group_key_split"),
        ),
    )
    op.create_table(
        "dataset_members",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("dataset", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("split", sa.Text(), nullable=False),
        sa.Column("group_key", sa.Text(), nullable=False),
        sa.Column("labels", sa.Integer(), nullable=False),
        sa.CheckConstraint("position >= 0", name=op.f("ck_dataset_members_position")),
        sa.ForeignKeyConstraint(
            ["project", "dataset", "version"],
            ["dataset_versions.project", "dataset_versions.dataset", "dataset_versions.version"],
            name=op.f("fk_dataset_members_dataset_versions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["project", "dataset", "group_key", "split"],
            ["dataset_groups.project", "dataset_groups.dataset", "dataset_groups.group_key", "dataset_groups.split"],
            name=op.f("fk_dataset_members_dataset_groups"),
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["ground_truth.project", "ground_truth.sample_id", "ground_truth.revision"],
            name=op.f("fk_dataset_members_ground_truth"),
        ),
        sa.PrimaryKeyConstraint("project", "dataset", "version", "position", name=op.f("pk_dataset_members")),
        sa.UniqueConstraint(
            "project",
            "dataset",
            "version",
            "sample_id",
            name=op.f("uq_dataset_members_project_dataset_version_sample_id"),
        ),
    )
    op.create_index("ix_dataset_members_sample", "dataset_members", ["project", "sample_id"])
    op.create_index(
        "ix_dataset_members_split", "dataset_members", ["project", "dataset", "version", "split", "position"]
    )
    for table in _TABLES:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
        )
    op.execute(_GUARD_MEMBERS)
    op.execute(
        "CREATE TRIGGER guard AFTER INSERT ON dataset_members REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_guard_dataset_members()"
    )


def downgrade() -> None:
    for table in reversed(_TABLES):
        op.drop_table(table)
    op.execute("DROP FUNCTION concord_guard_dataset_members")

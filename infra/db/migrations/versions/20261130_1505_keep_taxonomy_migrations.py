"""Migrations of samples to another taxonomy version, and the revisions they opened."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1505"
down_revision = "20261130_1500"
branch_labels = None
depends_on = None

_ORIGINS = (
    "'manifest', 'label_files', 'prediction', 'pre_label', 'annotator', 'external', 'reviewer', 'adjudicator', "
    "'rework', 'consensus', 'incident'"
)


def upgrade() -> None:
    op.create_table(
        "taxonomy_migrations",
        sa.Column("migration_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("migration", sa.JSON(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("change", sa.Integer(), nullable=False),
        sa.Column("told", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'completed', 'cancelled')", name=op.f("ck_taxonomy_migrations_state")
        ),
        sa.CheckConstraint("told <= change", name=op.f("ck_taxonomy_migrations_told")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_taxonomy_migrations_projects")),
        sa.PrimaryKeyConstraint("migration_id", name=op.f("pk_taxonomy_migrations")),
    )
    op.create_index(
        "uq_taxonomy_migrations_live",
        "taxonomy_migrations",
        ["project"],
        unique=True,
        postgresql_where=sa.text("state IN ('running', 'paused')"),
    )
    op.create_index(
        "ix_taxonomy_migrations_untold",
        "taxonomy_migrations",
        ["migration_id"],
        postgresql_where=sa.text("told < change"),
    )
    op.create_index(
        "ix_taxonomy_migrations_newest",
        "taxonomy_migrations",
        ["project", sa.literal_column("started_at DESC"), sa.literal_column("migration_id DESC")],
    )
    op.create_table(
        "taxonomy_migration_samples",
        sa.Column("migration_id", sa.Uuid(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("carried", sa.JSON(), nullable=False),
        sa.CheckConstraint("outcome IN ('migrated', 'reopened')", name=op.f("ck_taxonomy_migration_samples_outcome")),
        sa.ForeignKeyConstraint(
            ["migration_id"],
            ["taxonomy_migrations.migration_id"],
            name=op.f("fk_taxonomy_migration_samples_taxonomy_migrations"),
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_taxonomy_migration_samples_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("migration_id", "sample_id", name=op.f("pk_taxonomy_migration_samples")),
    )
    op.create_index(
        "uq_taxonomy_migration_samples_revision",
        "taxonomy_migration_samples",
        ["project", "sample_id", "revision"],
        unique=True,
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON taxonomy_migration_samples "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
    )
    op.drop_constraint(op.f("ck_label_sets_origin"), "label_sets", type_="check")
    op.create_check_constraint(op.f("ck_label_sets_origin"), "label_sets", f"origin IN ({_ORIGINS}, 'migration')")


def downgrade() -> None:
    op.drop_constraint(op.f("ck_label_sets_origin"), "label_sets", type_="check")
    # Label sets are never changed, so those that are there stay as they are.
    op.execute(f"ALTER TABLE label_sets ADD CONSTRAINT ck_label_sets_origin CHECK (origin IN ({_ORIGINS})) NOT VALID")
    op.drop_table("taxonomy_migration_samples")
    op.drop_table("taxonomy_migrations")

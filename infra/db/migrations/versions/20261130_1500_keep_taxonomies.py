"""Taxonomies as stored documents: published versions, drafts, and which version a check run went by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1500"
down_revision = "20261130_1400"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "taxonomies",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("classes", sa.Integer(), nullable=False),
        sa.Column("published_by", sa.Text(), nullable=False),
        sa.Column(
            "published_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_taxonomies_version")),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_taxonomies")),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON taxonomies "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
    )
    op.create_table(
        "taxonomy_drafts",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("edited_by", sa.Text(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_taxonomy_drafts")),
    )
    op.add_column("check_runs", sa.Column("taxonomy", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("check_runs", "taxonomy")
    op.drop_table("taxonomy_drafts")
    op.drop_table("taxonomies")

"""Tell erasures that a retention policy ordered from those that people did, and note which anchors were told."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261201_1010"
down_revision = "20261201_1000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("erasures", sa.Column("policy_days", sa.Integer(), nullable=True))
    op.create_index(
        "ix_erasures_of_policy",
        "erasures",
        ["project"],
        postgresql_where=sa.text("policy_days IS NOT NULL AND finished_at IS NULL"),
    )
    op.create_table(
        "told_anchors",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_told_anchors_sequence")),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_told_anchors")),
    )


def downgrade() -> None:
    op.drop_table("told_anchors")
    op.drop_index("ix_erasures_of_policy", "erasures")
    op.drop_column("erasures", "policy_days")

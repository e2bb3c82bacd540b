"""Keep who owns rule sets, and from when on projects go by them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261202_1000"
down_revision = "20261201_1010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "rule_set_owners",
        sa.Column("rule_set_id", sa.Text(), nullable=False),
        sa.Column("owners", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("changed_by", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("rule_set_id", name=op.f("pk_rule_set_owners")),
    )
    op.create_table(
        "rule_activations",
        sa.Column("activation_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("rule_set_id", sa.Text(), nullable=False),
        sa.Column("rule_set_version", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("effective_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("activation", sa.JSON(), nullable=False),
        sa.CheckConstraint("state IN ('scheduled', 'activated', 'cancelled')", name=op.f("ck_rule_activations_state")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_rule_activations_projects")),
        sa.ForeignKeyConstraint(
            ["rule_set_id", "rule_set_version"],
            ["rule_sets.id", "rule_sets.version"],
            name=op.f("fk_rule_activations_rule_sets"),
        ),
        sa.PrimaryKeyConstraint("activation_id", name=op.f("pk_rule_activations")),
    )
    op.create_index(
        "uq_rule_activations_scheduled",
        "rule_activations",
        ["project", "effective_at"],
        unique=True,
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index(
        "ix_rule_activations_due",
        "rule_activations",
        ["effective_at"],
        postgresql_where=sa.text("state = 'scheduled'"),
    )
    op.create_index(
        "ix_rule_activations_newest",
        "rule_activations",
        ["project", sa.literal_column("effective_at DESC"), sa.literal_column("activation_id DESC")],
    )


def downgrade() -> None:
    op.drop_table("rule_activations")
    op.drop_table("rule_set_owners")

"""Known answers, by which people's verdicts are held against what is right."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_1400"
down_revision = "20261129_1100"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "gold_answers",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("answer", sa.JSON(), nullable=False),
        sa.Column("given_by", sa.Text(), nullable=False),
        sa.Column("given_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_gold_answers_projects")),
        sa.PrimaryKeyConstraint("project", "sample_id", name=op.f("pk_gold_answers")),
    )


def downgrade() -> None:
    op.drop_table("gold_answers")

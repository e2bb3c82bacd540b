"""Keep annotator skills: how often people are right, as learned from answers to the same samples."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1305"
down_revision = "20261130_1300"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "annotator_quality",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        sa.Column("joined", sa.Integer(), nullable=False),
        sa.Column("units", sa.Integer(), nullable=False),
        sa.Column("known", sa.Integer(), nullable=False),
        sa.Column("learned_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_annotator_quality_projects")),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_annotator_quality")),
    )
    op.create_table(
        "annotator_skills",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("label", sa.Text(), nullable=False),
        sa.Column("judged", sa.Double(), nullable=False),
        sa.Column("correct", sa.Double(), nullable=False),
        sa.Column("share", sa.Double(), nullable=False),
        sa.Column("low", sa.Double(), nullable=False),
        sa.Column("high", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(
            ["project"], ["annotator_quality.project"], name=op.f("fk_annotator_skills_annotator_quality")
        ),
        sa.PrimaryKeyConstraint("project", "actor_id", "label", name=op.f("pk_annotator_skills")),
    )


def downgrade() -> None:
    op.drop_table("annotator_skills")
    op.drop_table("annotator_quality")

"""Keep reviewers: skills with levels and sources, teams, working hours, caps."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_0910"
down_revision = "20261129_0900"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "reviewers",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("teams", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("calendar", sa.JSON(), nullable=True),
        sa.Column("max_claims", sa.Integer(), nullable=True),
        sa.Column("max_claims_of_queue", sa.JSON(), nullable=False),
        sa.CheckConstraint("max_claims >= 1", name=op.f("ck_reviewers_max_claims")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_reviewers_projects")),
        sa.PrimaryKeyConstraint("project", "actor_id", name=op.f("pk_reviewers")),
    )
    op.create_table(
        "reviewer_skills",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("level", sa.Integer(), nullable=False),
        sa.Column("set_by", sa.Text(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("source IN ('granted', 'measured')", name=op.f("ck_reviewer_skills_source")),
        sa.CheckConstraint("level BETWEEN 1 AND 5", name=op.f("ck_reviewer_skills_level")),
        sa.ForeignKeyConstraint(
            ["project", "actor_id"],
            ["reviewers.project", "reviewers.actor_id"],
            name=op.f("fk_reviewer_skills_reviewers"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("project", "actor_id", "name", "source", name=op.f("pk_reviewer_skills")),
    )


def downgrade() -> None:
    op.drop_table("reviewer_skills")
    op.drop_table("reviewers")

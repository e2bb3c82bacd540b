"""Answers held against what is known or was decided later, and who is paused for them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1105"
down_revision = "20261130_1100"
branch_labels = None
depends_on = None


_MOMENT = sa.DateTime(timezone=True)
_KINDS = "'annotate', 'review', 'adjudicate', 'rework'"


def upgrade() -> None:
    op.create_table(
        "scored_answers",
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=False)
            for name in ("actor_id", "queue", "kind", "check", "finding_kind")
        ),
        sa.Column("labels", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("right", sa.Boolean(), nullable=False),
        sa.Column("decided_at", _MOMENT, nullable=False),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name=op.f("ck_scored_answers_kind")),
        sa.CheckConstraint("reference IN ('gold', 'later_verdict')", name=op.f("ck_scored_answers_reference")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_scored_answers_projects")),
        sa.PrimaryKeyConstraint("decision_id", "finding_id", name=op.f("pk_scored_answers")),
    )
    op.create_index("ix_scored_answers_person", "scored_answers", ["project", "actor_id", "decided_at"])
    op.create_table(
        "person_pauses",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("paused", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("pause", sa.JSON(), nullable=False),
        sa.Column("counted_from", _MOMENT, nullable=True),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name=op.f("ck_person_pauses_kind")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_person_pauses_projects")),
        sa.PrimaryKeyConstraint("project", "actor_id", "queue", "kind", name=op.f("pk_person_pauses")),
    )


def downgrade() -> None:
    op.drop_table("person_pauses")
    op.drop_table("scored_answers")

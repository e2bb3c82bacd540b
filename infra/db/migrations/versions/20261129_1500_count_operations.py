"""Active time of people on tasks, and indexes for what operations counts."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_1500"
down_revision = "20261129_1005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "task_activity",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("active_s", sa.Double(), nullable=False),
        sa.Column("active_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("active_s >= 0", name=op.f("ck_task_activity_active_s")),
        sa.ForeignKeyConstraint(["task_id"], ["review_tasks.task_id"], name=op.f("fk_task_activity_review_tasks")),
        sa.PrimaryKeyConstraint("task_id", "actor_id", name=op.f("pk_task_activity")),
    )
    op.create_index("ix_review_tasks_arrived", "review_tasks", ["project", "created_at", "task_id"])
    op.create_index("ix_review_tasks_ended", "review_tasks", ["project", "completed_at"])
    op.create_index("ix_decisions_decided", "decisions", ["project", "decided_at", "decision_id"])
    op.create_index("ix_stage_changes_at", "stage_changes", ["project", "at"])


def downgrade() -> None:
    op.drop_index("ix_stage_changes_at", table_name="stage_changes")
    op.drop_index("ix_decisions_decided", table_name="decisions")
    op.drop_index("ix_review_tasks_ended", table_name="review_tasks")
    op.drop_index("ix_review_tasks_arrived", table_name="review_tasks")
    op.drop_table("task_activity")

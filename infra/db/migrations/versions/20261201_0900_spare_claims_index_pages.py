"""Have a claim write fewer pages: a task's new version beside the old one, and nothing about an end it has not had."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261201_0900"
down_revision = "20261130_1700"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE review_tasks SET (fillfactor = 85)")
    op.drop_index("ix_review_tasks_ended", "review_tasks")
    op.create_index(
        "ix_review_tasks_ended",
        "review_tasks",
        ["project", "completed_at"],
        postgresql_where=sa.text("completed_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_review_tasks_ended", "review_tasks")
    op.create_index("ix_review_tasks_ended", "review_tasks", ["project", "completed_at"])
    op.execute("ALTER TABLE review_tasks RESET (fillfactor)")

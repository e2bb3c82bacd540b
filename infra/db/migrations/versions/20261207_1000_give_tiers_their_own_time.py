"""Keep the fence with which a task came to its tier, so that the tier has a start deadline of its own."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261207_1000"
down_revision = "20261202_1000"
branch_labels = None
depends_on = None


# A probe looks like the task that it stands for, down to its columns.
_TABLES = ("review_tasks", "probe_tasks")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("tier_fence", sa.BigInteger(), server_default=sa.text("0"), nullable=False))


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "tier_fence")

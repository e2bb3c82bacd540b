"""Keep since when a task is on hold: its deadlines stand still meanwhile."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261207_1010"
down_revision = "20261207_1000"
branch_labels = None
depends_on = None

# A probe looks like the task that it stands for, down to its columns.
_TABLES = ("review_tasks", "probe_tasks")


def upgrade() -> None:
    for table in _TABLES:
        op.add_column(table, sa.Column("on_hold_since", sa.DateTime(timezone=True), nullable=True))
    # When a hold began was not kept; from here on it counts.
    op.execute("UPDATE review_tasks SET on_hold_since = now() WHERE on_hold")


def downgrade() -> None:
    for table in _TABLES:
        op.drop_column(table, "on_hold_since")

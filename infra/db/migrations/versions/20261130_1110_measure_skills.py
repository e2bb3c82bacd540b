"""What a measured skill was measured by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1110"
down_revision = "20261130_1105"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("reviewer_skills", sa.Column("figures", sa.JSON(), nullable=True))


def downgrade() -> None:
    op.drop_column("reviewer_skills", "figures")

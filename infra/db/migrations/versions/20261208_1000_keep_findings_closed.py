"""Keep the earlier revision on whose decision a finding stays closed."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261208_1000"
down_revision = "20261207_1010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("findings", sa.Column("decision_revision", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("findings", "decision_revision")

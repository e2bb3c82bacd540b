"""Keep which refused events an erasure is about: they go when it is carried out, and not under a legal hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261211_1000"
down_revision = "20261209_1000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "erasure_letters",
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("dead_letter_id", sa.Uuid(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"], name=op.f("fk_erasure_letters_erasures")),
        sa.ForeignKeyConstraint(
            ["dead_letter_id"],
            ["dead_letters.dead_letter_id"],
            name=op.f("fk_erasure_letters_dead_letters"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("erasure_id", "dead_letter_id", name=op.f("pk_erasure_letters")),
    )
    op.create_index("ix_erasure_letters_letter", "erasure_letters", ["dead_letter_id"])


def downgrade() -> None:
    op.drop_table("erasure_letters")

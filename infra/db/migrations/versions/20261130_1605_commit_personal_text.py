"""Keep personal text beside the audit chain, find entries by who, what and when."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1605"
down_revision = "20261130_1600"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_audit_entries_actor", "audit_entries", ["project", "actor", "sequence"])
    op.create_index("ix_audit_entries_action", "audit_entries", ["project", "action", "sequence"])
    op.create_index("ix_audit_entries_at", "audit_entries", ["project", "at", "sequence"])
    op.create_table(
        "audit_personal",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("salt", sa.Text(), nullable=True),
        sa.Column("value", sa.Text(), nullable=True),
        sa.Column("erasure_id", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "(salt IS NULL) = (value IS NULL) AND (value IS NULL) = (erasure_id IS NOT NULL)",
            name=op.f("ck_audit_personal_erased"),
        ),
        sa.ForeignKeyConstraint(
            ["project", "sequence"],
            ["audit_entries.project", "audit_entries.sequence"],
            name=op.f("fk_audit_personal_audit_entries"),
        ),
        sa.PrimaryKeyConstraint("project", "sequence", "name", name=op.f("pk_audit_personal")),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_personal "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("audit_personal")
    for name in ("actor", "action", "at"):
        op.drop_index(f"ix_audit_entries_{name}", "audit_entries")

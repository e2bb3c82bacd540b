"""Create notes, what they said before, and whom they mention."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_1305"
down_revision = "20261129_1400"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "notes",
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("thread_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("author", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("pin", sa.JSON(), nullable=False),
        sa.Column("mentions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("edited_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("deleted_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("version >= 1", name=op.f("ck_notes_version")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_notes_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["thread_id"], ["notes.note_id"], name=op.f("fk_notes_notes"), initially="DEFERRED", deferrable=True
        ),
        sa.PrimaryKeyConstraint("note_id", name=op.f("pk_notes")),
    )
    op.create_index("ix_notes_sample", "notes", ["project", "sample_id", "created_at", "note_id"])
    op.create_index("ix_notes_thread", "notes", ["thread_id"])
    op.create_table(
        "note_versions",
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("mentions", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_note_versions_version")),
        sa.ForeignKeyConstraint(["note_id"], ["notes.note_id"], name=op.f("fk_note_versions_notes")),
        sa.PrimaryKeyConstraint("note_id", "version", name=op.f("pk_note_versions")),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON note_versions "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
    )
    op.create_table(
        "note_mentions",
        sa.Column("note_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["note_id"], ["notes.note_id"], name=op.f("fk_note_mentions_notes")),
        sa.PrimaryKeyConstraint("note_id", "actor_id", name=op.f("pk_note_mentions")),
    )
    op.create_index(
        "ix_note_mentions_newest",
        "note_mentions",
        ["actor_id", sa.literal_column("at DESC"), sa.literal_column("note_id DESC")],
    )


def downgrade() -> None:
    op.drop_table("note_mentions")
    op.drop_table("note_versions")
    op.drop_table("notes")

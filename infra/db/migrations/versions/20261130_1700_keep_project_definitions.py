"""Keep definitions of projects as they were applied, and what decision rests on a project's labels."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1700"
down_revision = "20261130_1610"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("projects", sa.Column("decision", sa.Text(), nullable=False, server_default=""))
    op.alter_column("projects", "decision", server_default=None)
    op.create_table(
        "project_definitions",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("definition", sa.JSON(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("reverts_to", sa.Integer(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_project_definitions_version")),
        sa.CheckConstraint("origin IN ('applied', 'reverted', 'found')", name=op.f("ck_project_definitions_origin")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_project_definitions_projects")),
        sa.PrimaryKeyConstraint("project", "version", name=op.f("pk_project_definitions")),
    )
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON project_definitions "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("project_definitions")
    op.drop_column("projects", "decision")

"""Keep operations on many tasks, so that they can be looked at and taken back."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_0920"
down_revision = "20261129_0910"
branch_labels = None
depends_on = None

_OUTCOMES = ("changed", "held", "excluded", "unfit", "away", "finished", "changed_since")


def upgrade() -> None:
    op.create_table(
        "task_operations",
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("request", sa.JSON(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("outcomes", sa.JSON(), nullable=False),
        sa.Column("undoes", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_task_operations_projects")),
        sa.ForeignKeyConstraint(
            ["undoes"], ["task_operations.operation_id"], name=op.f("fk_task_operations_task_operations")
        ),
        sa.PrimaryKeyConstraint("operation_id", name=op.f("pk_task_operations")),
        sa.UniqueConstraint("undoes", name=op.f("uq_task_operations_undoes")),
    )
    op.create_index("ix_task_operations_listed", "task_operations", ["project", "created_at", "operation_id"])
    op.create_table(
        "task_operation_items",
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("queue_before", sa.Text(), nullable=False),
        sa.Column("queue_after", sa.Text(), nullable=False),
        sa.Column("skill_before", sa.Text(), nullable=True),
        sa.Column("skill_after", sa.Text(), nullable=True),
        sa.Column("priority_before", sa.Integer(), nullable=False),
        sa.Column("priority_after", sa.Integer(), nullable=False),
        sa.Column("on_hold_before", sa.Boolean(), nullable=False),
        sa.Column("on_hold_after", sa.Boolean(), nullable=False),
        sa.Column("hold_reason_before", sa.Text(), nullable=True),
        sa.Column("hold_reason_after", sa.Text(), nullable=True),
        sa.Column("assignee_before", sa.Text(), nullable=True),
        sa.Column("assignee_after", sa.Text(), nullable=True),
        sa.CheckConstraint(
            f"outcome IN ({', '.join(repr(name) for name in _OUTCOMES)})", name=op.f("ck_task_operation_items_outcome")
        ),
        sa.ForeignKeyConstraint(
            ["operation_id"],
            ["task_operations.operation_id"],
            name=op.f("fk_task_operation_items_task_operations"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("operation_id", "task_id", name=op.f("pk_task_operation_items")),
    )


def downgrade() -> None:
    op.drop_table("task_operation_items")
    op.drop_table("task_operations")

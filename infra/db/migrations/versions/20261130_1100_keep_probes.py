"""Finished tasks that are given again for their known answer, apart from all real work."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1100"
down_revision = "20261130_1000"
branch_labels = None
depends_on = None


_MOMENT = sa.DateTime(timezone=True)
_KINDS = "'annotate', 'review', 'adjudicate', 'rework'"
_STATES = "'open', 'claimed', 'completed', 'cancelled'"


def upgrade() -> None:
    op.create_table(
        "probe_tasks",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("source_task_id", sa.Uuid(), nullable=False),
        sa.Column("label_version", sa.Integer(), nullable=False),
        sa.Column("shift_s", sa.Double(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("skill", sa.Text(), nullable=True),
        sa.Column("risk", sa.Text(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("finding_ids", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("assignee", sa.Text(), nullable=True),
        sa.Column("excluded_actors", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("origin_decision_id", sa.Uuid(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("held_by", sa.Text(), nullable=True),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_expires_at", _MOMENT, nullable=True),
        sa.Column("created_at", _MOMENT, nullable=False),
        sa.Column("start_by_at", _MOMENT, nullable=True),
        sa.Column("due_at", _MOMENT, nullable=True),
        sa.Column("completed_at", _MOMENT, nullable=True),
        sa.Column("on_hold", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        *(
            sa.Column(name, sa.Text(), nullable=True)
            for name in ("hold_reason", "check", "finding_kind", "severity", "domain", "language", "region")
        ),
        sa.Column("caused_by", sa.JSON(), nullable=True),
        sa.Column("decision", sa.JSON(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=True),
        sa.Column("labels_after", sa.JSON(), nullable=True),
        sa.Column("answered_by", sa.Text(), nullable=True),
        sa.Column("agreed", sa.Boolean(), nullable=True),
        sa.CheckConstraint("purpose IN ('gold', 'second_opinion')", name=op.f("ck_probe_tasks_purpose")),
        sa.CheckConstraint(f"kind IN ({_KINDS})", name=op.f("ck_probe_tasks_kind")),
        sa.CheckConstraint(f"state IN ({_STATES})", name=op.f("ck_probe_tasks_state")),
        sa.CheckConstraint("fence >= 0", name=op.f("ck_probe_tasks_fence")),
        sa.CheckConstraint(
            "(state = 'claimed') = (held_by IS NOT NULL AND lease_expires_at IS NOT NULL)",
            name=op.f("ck_probe_tasks_held"),
        ),
        sa.CheckConstraint(
            "(state IN ('completed', 'cancelled')) = (completed_at IS NOT NULL)", name=op.f("ck_probe_tasks_finished")
        ),
        sa.CheckConstraint(
            "held_by IS NULL OR NOT (held_by = ANY (excluded_actors))", name=op.f("ck_probe_tasks_not_excluded")
        ),
        sa.CheckConstraint("(decision IS NULL) = (answered_by IS NULL)", name=op.f("ck_probe_tasks_answered")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_probe_tasks_sample_revisions"),
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.ForeignKeyConstraint(["source_task_id"], ["review_tasks.task_id"], name=op.f("fk_probe_tasks_review_tasks")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_probe_tasks")),
    )
    op.create_index("ix_probe_tasks_held", "probe_tasks", ["held_by"], postgresql_where=sa.text("state = 'claimed'"))
    op.create_index("ix_probe_tasks_source", "probe_tasks", ["source_task_id", "purpose"])
    op.create_index("ix_probe_tasks_sample", "probe_tasks", ["project", "sample_id"])
    op.create_index(
        "uq_probe_tasks_second",
        "probe_tasks",
        ["source_task_id"],
        unique=True,
        postgresql_where=sa.text("purpose = 'second_opinion'"),
    )
    op.create_table(
        "probe_seen",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_probe_seen_projects")),
        sa.ForeignKeyConstraint(["task_id"], ["probe_tasks.task_id"], name=op.f("fk_probe_seen_probe_tasks")),
        sa.PrimaryKeyConstraint("project", "actor_id", "sample_id", name=op.f("pk_probe_seen")),
    )
    op.create_index("ix_probe_seen_task", "probe_seen", ["task_id"])
    op.create_table(
        "probe_drafts",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("saved_at", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["probe_tasks.task_id"], name=op.f("fk_probe_drafts_probe_tasks")),
        sa.PrimaryKeyConstraint("task_id", "actor_id", name=op.f("pk_probe_drafts")),
    )
    op.create_table(
        "probe_secrets",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_probe_secrets_projects")),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_probe_secrets")),
    )
    op.create_table(
        "probe_turns",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("turns", sa.BigInteger(), nullable=False),
        sa.Column("given", sa.BigInteger(), nullable=False),
        sa.Column("missing", sa.BigInteger(), nullable=False),
        sa.CheckConstraint(
            "0 <= given AND 0 <= missing AND given + missing <= turns", name=op.f("ck_probe_turns_counts")
        ),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_probe_turns_projects")),
        sa.PrimaryKeyConstraint("project", "actor_id", name=op.f("pk_probe_turns")),
    )


def downgrade() -> None:
    for table in ("probe_turns", "probe_secrets", "probe_drafts", "probe_seen", "probe_tasks"):
        op.drop_table(table)

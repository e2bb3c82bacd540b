"""Create the store of record."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261123_0900"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("key_id", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("projects", sa.ARRAY(sa.Text()), nullable=True),
        sa.Column("skills", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("secret_sha256", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "role IN ('admin', 'operations', 'annotator', 'reviewer', 'expert', 'upstream', 'viewer')",
            name=op.f("ck_api_keys_role"),
        ),
        sa.PrimaryKeyConstraint("key_id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("secret_sha256", name=op.f("uq_api_keys_secret_sha256")),
    )
    op.create_table(
        "audit_entries",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("previous_sha256", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_audit_entries_sequence")),
        sa.PrimaryKeyConstraint("project", "sequence", name=op.f("pk_audit_entries")),
    )
    op.create_index("ix_audit_entries_subject", "audit_entries", ["project", "subject", "sequence"], unique=False)
    op.create_table(
        "audit_heads",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.CheckConstraint("sequence >= 0", name=op.f("ck_audit_heads_sequence")),
        sa.PrimaryKeyConstraint("project", name=op.f("pk_audit_heads")),
    )
    op.create_table(
        "dead_letters",
        sa.Column("dead_letter_id", sa.Uuid(), nullable=False),
        sa.Column("source", sa.Text(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column("event_type", sa.Text(), nullable=True),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("places", sa.JSON(), nullable=False),
        sa.Column("raw", sa.LargeBinary(), nullable=False),
        sa.Column("raw_sha256", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("replayed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("replay_outcome", sa.Text(), nullable=True),
        sa.CheckConstraint("via IN ('http', 'nats')", name=op.f("ck_dead_letters_via")),
        sa.PrimaryKeyConstraint("dead_letter_id", name=op.f("pk_dead_letters")),
        sa.UniqueConstraint("raw_sha256", "reason_code", name=op.f("uq_dead_letters_raw_sha256_reason_code")),
    )
    op.create_index(
        "ix_dead_letters_newest",
        "dead_letters",
        [sa.literal_column("received_at DESC"), sa.literal_column("dead_letter_id DESC")],
        unique=False,
    )
    op.create_table(
        "idempotency_replies",
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("request_sha256", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("actor_id", "key", name=op.f("pk_idempotency_replies")),
    )
    op.create_table(
        "projects",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("domain", sa.Text(), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_projects")),
    )
    op.create_table(
        "rule_sets",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("document", sa.JSON(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("version >= 1", name=op.f("ck_rule_sets_version")),
        sa.PrimaryKeyConstraint("id", "version", name=op.f("pk_rule_sets")),
    )
    op.create_table(
        "samples",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("current_revision", sa.Integer(), nullable=False),
        sa.Column("event_sequence", sa.BigInteger(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("current_revision >= 0", name=op.f("ck_samples_current_revision")),
        sa.CheckConstraint("event_sequence >= 0", name=op.f("ck_samples_event_sequence")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_samples_projects")),
        sa.PrimaryKeyConstraint("project", "sample_id", name=op.f("pk_samples")),
    )
    op.create_table(
        "sample_revisions",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("risk", sa.Text(), nullable=False),
        sa.Column("manifest", sa.JSON(), nullable=False),
        sa.Column("manifest_sha256", sa.Text(), nullable=False),
        sa.Column("label_version", sa.Integer(), nullable=False),
        sa.Column("prediction_version", sa.Integer(), nullable=False),
        sa.Column("event_key", sa.Text(), nullable=True),
        sa.Column("event_source", sa.Text(), nullable=True),
        sa.Column("event_id", sa.Text(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("risk IN ('low', 'medium', 'high')", name=op.f("ck_sample_revisions_risk")),
        sa.CheckConstraint(
            "stage IN ('received', 'pre_labeling', 'annotating', 'checking', 'accepted', 'in_review', "
            "'adjudicating', 'rework', 'committed', 'rejected', 'withdrawn', 'reopened')",
            name=op.f("ck_sample_revisions_stage"),
        ),
        sa.CheckConstraint("label_version >= 0", name=op.f("ck_sample_revisions_label_version")),
        sa.CheckConstraint("prediction_version >= 0", name=op.f("ck_sample_revisions_prediction_version")),
        sa.CheckConstraint("revision >= 1", name=op.f("ck_sample_revisions_revision")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id"], ["samples.project", "samples.sample_id"], name=op.f("fk_sample_revisions_samples")
        ),
        sa.PrimaryKeyConstraint("project", "sample_id", "revision", name=op.f("pk_sample_revisions")),
    )
    op.create_index(
        "ix_sample_revisions_newest",
        "sample_revisions",
        [
            "project",
            sa.literal_column("created_at DESC"),
            sa.literal_column("sample_id DESC"),
            sa.literal_column("revision DESC"),
        ],
        unique=False,
    )
    op.create_index(
        "ix_sample_revisions_stage",
        "sample_revisions",
        [
            "project",
            "stage",
            sa.literal_column("created_at DESC"),
            sa.literal_column("sample_id DESC"),
            sa.literal_column("revision DESC"),
        ],
        unique=False,
    )
    op.create_table(
        "assets",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("uri_sha256", sa.Text(), nullable=False),
        sa.Column("uri", sa.Text(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("role IN ('stream', 'label_file')", name=op.f("ck_assets_role")),
        sa.CheckConstraint("size_bytes >= 0", name=op.f("ck_assets_size_bytes")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_assets_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint(
            "project", "sample_id", "revision", "stream", "role", "uri_sha256", name=op.f("pk_assets")
        ),
    )
    op.create_table(
        "check_runs",
        sa.Column("run_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("label_version", sa.Integer(), nullable=False),
        sa.Column("rule_id", sa.Text(), nullable=False),
        sa.Column("rule_version", sa.Integer(), nullable=False),
        sa.Column("rule_sha256", sa.Text(), nullable=False),
        sa.Column("report", sa.JSON(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("label_version >= 0", name=op.f("ck_check_runs_label_version")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_check_runs_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["rule_id", "rule_version"], ["rule_sets.id", "rule_sets.version"], name=op.f("fk_check_runs_rule_sets")
        ),
        sa.PrimaryKeyConstraint("run_id", name=op.f("pk_check_runs")),
    )
    op.create_index(
        "ix_check_runs_newest",
        "check_runs",
        ["project", "sample_id", "revision", sa.literal_column("created_at DESC")],
        unique=False,
    )
    op.create_table(
        "ground_truth",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("lineage_sha256", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("lineage", sa.JSON(), nullable=False),
        sa.Column("committed_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_ground_truth_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("project", "sample_id", "revision", name=op.f("pk_ground_truth")),
    )
    op.create_table(
        "inbox",
        sa.Column("event_key", sa.Text(), nullable=False),
        sa.Column("source", sa.Text(), nullable=False),
        sa.Column("event_id", sa.Text(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("event", sa.JSON(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column(
            "received_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint("via IN ('http', 'nats')", name=op.f("ck_inbox_via")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_inbox_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("event_key", name=op.f("pk_inbox")),
    )
    op.create_index(
        op.f("ix_inbox_project_sample_id_revision"), "inbox", ["project", "sample_id", "revision"], unique=False
    )
    op.create_table(
        "outbox",
        sa.Column("message_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("published_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column(
            "next_attempt_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.CheckConstraint("(topic = 'event') = (sequence IS NOT NULL)", name=op.f("ck_outbox_sequence")),
        sa.CheckConstraint("topic IN ('event', 'workflow_start', 'workflow_signal')", name=op.f("ck_outbox_topic")),
        sa.CheckConstraint("attempts >= 0", name=op.f("ck_outbox_attempts")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_outbox_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_outbox")),
    )
    op.create_index(
        "ix_outbox_unpublished",
        "outbox",
        ["message_id", "topic"],
        unique=False,
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_index(
        "ix_outbox_waiting",
        "outbox",
        ["project", "sample_id", "message_id"],
        unique=False,
        postgresql_where=sa.text("published_at IS NULL"),
    )
    op.create_index(
        "uq_outbox_sequence",
        "outbox",
        ["project", "sample_id", "sequence"],
        unique=True,
        postgresql_where=sa.text("sequence IS NOT NULL"),
    )
    op.create_table(
        "review_tasks",
        sa.Column("task_id", sa.Uuid(), nullable=False),
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
        sa.Column("lease_expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("completed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'claimed') = (held_by IS NOT NULL AND lease_expires_at IS NOT NULL)",
            name=op.f("ck_review_tasks_held"),
        ),
        sa.CheckConstraint(
            "(state IN ('completed', 'cancelled')) = (completed_at IS NOT NULL)", name=op.f("ck_review_tasks_finished")
        ),
        sa.CheckConstraint("kind IN ('annotate', 'review', 'adjudicate', 'rework')", name=op.f("ck_review_tasks_kind")),
        sa.CheckConstraint("risk IN ('low', 'medium', 'high')", name=op.f("ck_review_tasks_risk")),
        sa.CheckConstraint(
            "state IN ('open', 'claimed', 'completed', 'cancelled')", name=op.f("ck_review_tasks_state")
        ),
        sa.CheckConstraint("(held_by IS NULL) = (lease_expires_at IS NULL)", name=op.f("ck_review_tasks_lease")),
        sa.CheckConstraint("fence >= 0", name=op.f("ck_review_tasks_fence")),
        sa.CheckConstraint(
            "held_by IS NULL OR NOT (held_by = ANY (excluded_actors))", name=op.f("ck_review_tasks_not_excluded")
        ),
        sa.CheckConstraint(
            "held_by IS NULL OR assignee IS NULL OR held_by = assignee", name=op.f("ck_review_tasks_assignee")
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_review_tasks_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_review_tasks")),
    )
    op.create_index(
        "ix_review_tasks_best",
        "review_tasks",
        [sa.literal_column("priority DESC"), "created_at", "task_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('open', 'claimed')"),
    )
    op.create_index(
        "ix_review_tasks_best_of_queue",
        "review_tasks",
        ["queue", sa.literal_column("priority DESC"), "created_at", "task_id"],
        unique=False,
        postgresql_where=sa.text("state IN ('open', 'claimed')"),
    )
    op.create_index("ix_review_tasks_listed", "review_tasks", ["created_at", "task_id"], unique=False)
    op.create_index("ix_review_tasks_revision", "review_tasks", ["project", "sample_id", "revision"], unique=False)
    op.create_index(
        "uq_review_tasks_origin",
        "review_tasks",
        ["origin_decision_id", "kind"],
        unique=True,
        postgresql_where=sa.text("origin_decision_id IS NOT NULL"),
    )
    op.create_table(
        "stage_changes",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("sequence", sa.BigInteger(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("stage", sa.Text(), nullable=False),
        sa.Column("previous_stage", sa.Text(), nullable=True),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "previous_stage IN ('received', 'pre_labeling', 'annotating', 'checking', 'accepted', "
            "'in_review', 'adjudicating', 'rework', 'committed', 'rejected', 'withdrawn', 'reopened')",
            name=op.f("ck_stage_changes_previous_stage"),
        ),
        sa.CheckConstraint(
            "stage IN ('received', 'pre_labeling', 'annotating', 'checking', 'accepted', 'in_review', "
            "'adjudicating', 'rework', 'committed', 'rejected', 'withdrawn', 'reopened')",
            name=op.f("ck_stage_changes_stage"),
        ),
        sa.CheckConstraint("sequence >= 1", name=op.f("ck_stage_changes_sequence")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_stage_changes_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("project", "sample_id", "sequence", name=op.f("pk_stage_changes")),
    )
    op.create_table(
        "decisions",
        sa.Column("decision_id", sa.Uuid(), nullable=False),
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("task_kind", sa.Text(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason_code", sa.Text(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.Column("finding_ids", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("label_version_before", sa.Integer(), nullable=False),
        sa.Column("label_version_after", sa.Integer(), nullable=False),
        sa.Column("content_sha256", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "task_kind IN ('annotate', 'review', 'adjudicate', 'rework')", name=op.f("ck_decisions_task_kind")
        ),
        sa.CheckConstraint(
            "verdict IN ('submit', 'approve', 'fix', 'reject', 'accept_conflict', 'escalate', 'discard')",
            name=op.f("ck_decisions_verdict"),
        ),
        sa.CheckConstraint("fence >= 0", name=op.f("ck_decisions_fence")),
        sa.CheckConstraint(
            "label_version_before >= 0 AND label_version_after >= label_version_before",
            name=op.f("ck_decisions_label_versions"),
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_decisions_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(["task_id"], ["review_tasks.task_id"], name=op.f("fk_decisions_review_tasks")),
        sa.PrimaryKeyConstraint("decision_id", name=op.f("pk_decisions")),
        sa.UniqueConstraint("task_id", name=op.f("uq_decisions_task_id")),
    )
    op.create_index(
        "ix_decisions_revision", "decisions", ["project", "sample_id", "revision", "decided_at"], unique=False
    )
    op.create_table(
        "drafts",
        sa.Column("task_id", sa.Uuid(), nullable=False),
        sa.Column("actor_id", sa.Text(), nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("saved_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["review_tasks.task_id"], name=op.f("fk_drafts_review_tasks")),
        sa.PrimaryKeyConstraint("task_id", "actor_id", name=op.f("pk_drafts")),
    )
    op.create_table(
        "findings",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.Column("check", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("finding", sa.JSON(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("blocking", sa.Boolean(), nullable=False),
        sa.Column("labels_sha256", sa.Text(), nullable=False),
        sa.Column("label_version", sa.Integer(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=True),
        sa.Column("fixed_by_label_version", sa.Integer(), nullable=True),
        sa.Column("found_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("severity IN ('info', 'minor', 'major', 'critical')", name=op.f("ck_findings_severity")),
        sa.CheckConstraint(
            "state IN ('open', 'noted', 'dismissed', 'accepted', 'fixed', 'resolved')", name=op.f("ck_findings_state")
        ),
        sa.ForeignKeyConstraint(
            ["decision_id"],
            ["decisions.decision_id"],
            name=op.f("fk_findings_decisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_findings_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("project", "sample_id", "revision", "finding_id", name=op.f("pk_findings")),
    )
    op.create_table(
        "label_sets",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("prediction", sa.Boolean(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("author", sa.JSON(), nullable=False),
        sa.Column("annotations", sa.JSON(), nullable=False),
        sa.Column("sha256", sa.Text(), nullable=False),
        sa.Column("decision_id", sa.Uuid(), nullable=True),
        sa.Column(
            "created_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False
        ),
        sa.CheckConstraint(
            "origin IN ('manifest', 'label_files', 'prediction', 'pre_label', 'annotator', 'external', "
            "'reviewer', 'adjudicator', 'rework')",
            name=op.f("ck_label_sets_origin"),
        ),
        sa.CheckConstraint("prediction = (origin = 'prediction')", name=op.f("ck_label_sets_prediction")),
        sa.CheckConstraint("version >= 1", name=op.f("ck_label_sets_version")),
        sa.ForeignKeyConstraint(
            ["decision_id"],
            ["decisions.decision_id"],
            name=op.f("fk_label_sets_decisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_label_sets_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint(
            "project", "sample_id", "revision", "prediction", "version", name=op.f("pk_label_sets")
        ),
    )
    # The two that close a circle.
    op.create_foreign_key(
        "fk_sample_revisions_inbox",
        "sample_revisions",
        "inbox",
        ["event_key"],
        ["event_key"],
        deferrable=True,
        initially="DEFERRED",
    )
    op.create_foreign_key(
        "fk_review_tasks_decisions",
        "review_tasks",
        "decisions",
        ["origin_decision_id"],
        ["decision_id"],
        deferrable=True,
        initially="DEFERRED",
    )


def downgrade() -> None:
    names = ", ".join(
        (
            "api_keys",
            "audit_entries",
            "audit_heads",
            "dead_letters",
            "idempotency_replies",
            "projects",
            "rule_sets",
            "samples",
            "sample_revisions",
            "assets",
            "check_runs",
            "ground_truth",
            "inbox",
            "outbox",
            "review_tasks",
            "stage_changes",
            "decisions",
            "drafts",
            "findings",
            "label_sets",
        )
    )
    op.execute(f"DROP TABLE {names} CASCADE")

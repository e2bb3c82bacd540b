"""Guard what must never change: triggers where a constraint can not say it."""

from __future__ import annotations

from alembic import op

revision = "20261123_0905"
down_revision = "20261123_0900"
branch_labels = None
depends_on = None

APPEND_ONLY = (
    "audit_entries",
    "check_runs",
    "decisions",
    "ground_truth",
    "inbox",
    "label_sets",
    "rule_sets",
    "stage_changes",
)

_REFUSE_CHANGE = """
CREATE FUNCTION concord_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME,
              CONSTRAINT = 'append_only_' || TG_TABLE_NAME;
END $$
"""

_GUARD_DECISION = """
CREATE FUNCTION concord_guard_decision() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    task review_tasks%ROWTYPE;
BEGIN
    SELECT * INTO task FROM review_tasks WHERE task_id = NEW.task_id FOR NO KEY UPDATE;
    IF NEW.actor_id = ANY (task.excluded_actors) THEN
        RAISE EXCEPTION 'the task excludes %', NEW.actor_id
            USING ERRCODE = 'check_violation', TABLE = 'decisions', CONSTRAINT = 'ck_decisions_not_excluded';
    END IF;
    IF NEW.fence <> task.fence THEN
        RAISE EXCEPTION 'the fence is %, not %', task.fence, NEW.fence
            USING ERRCODE = 'check_violation', TABLE = 'decisions', CONSTRAINT = 'ck_decisions_current_fence';
    END IF;
    RETURN NEW;
END $$
"""

_GUARD_TASK = """
CREATE FUNCTION concord_guard_task() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.state IN ('completed', 'cancelled') THEN
        RAISE EXCEPTION 'task % is finished', OLD.task_id
            USING ERRCODE = 'check_violation', TABLE = 'review_tasks', CONSTRAINT = 'ck_review_tasks_end_is_final';
    END IF;
    IF NEW.fence < OLD.fence THEN
        RAISE EXCEPTION 'the fence of task % falls', OLD.task_id
            USING ERRCODE = 'check_violation', TABLE = 'review_tasks', CONSTRAINT = 'ck_review_tasks_fence_rises';
    END IF;
    IF NEW.held_by IS DISTINCT FROM OLD.held_by AND NEW.held_by IS NOT NULL AND NEW.fence <= OLD.fence THEN
        RAISE EXCEPTION 'task % changes hands under the same fence', OLD.task_id
            USING ERRCODE = 'check_violation', TABLE = 'review_tasks', CONSTRAINT = 'ck_review_tasks_fence_rises';
    END IF;
    IF NOT NEW.excluded_actors @> OLD.excluded_actors THEN
        RAISE EXCEPTION 'task % forgets whom it excludes', OLD.task_id
            USING ERRCODE = 'check_violation', TABLE = 'review_tasks', CONSTRAINT = 'ck_review_tasks_exclusions_stay';
    END IF;
    RETURN NEW;
END $$
"""

_GUARD_HEAD = """
CREATE FUNCTION concord_guard_head() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' THEN
        RAISE EXCEPTION 'the head of an audit chain is never removed'
            USING ERRCODE = 'restrict_violation', TABLE = 'audit_heads', CONSTRAINT = 'append_only_audit_heads';
    END IF;
    IF NEW.project <> OLD.project OR NEW.sequence <= OLD.sequence THEN
        RAISE EXCEPTION 'the head of an audit chain only goes forward'
            USING ERRCODE = 'restrict_violation', TABLE = 'audit_heads', CONSTRAINT = 'append_only_audit_heads';
    END IF;
    RETURN NEW;
END $$
"""


_GUARD_REVISION = """
CREATE FUNCTION concord_guard_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'what a revision began with is never changed'
        USING ERRCODE = 'restrict_violation', TABLE = 'sample_revisions', CONSTRAINT = 'append_only_sample_revisions';
END $$
"""


def upgrade() -> None:
    op.execute(_REFUSE_CHANGE)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
        )
    op.execute(_GUARD_DECISION)
    op.execute("CREATE TRIGGER guard BEFORE INSERT ON decisions FOR EACH ROW EXECUTE FUNCTION concord_guard_decision()")
    op.execute(_GUARD_TASK)
    op.execute("CREATE TRIGGER guard BEFORE UPDATE ON review_tasks FOR EACH ROW EXECUTE FUNCTION concord_guard_task()")
    op.execute(_GUARD_REVISION)
    # Per column: what changes every day, such as the stage, costs nothing here.
    op.execute(
        "CREATE TRIGGER guard "
        "BEFORE UPDATE OF manifest, manifest_sha256, event_key, event_source, event_id, created_at "
        "OR DELETE OR TRUNCATE ON sample_revisions FOR EACH STATEMENT EXECUTE FUNCTION concord_guard_revision()"
    )
    op.execute(_GUARD_HEAD)
    op.execute(
        "CREATE TRIGGER guard BEFORE UPDATE OR DELETE ON audit_heads FOR EACH ROW EXECUTE FUNCTION concord_guard_head()"
    )
    op.execute(
        "CREATE TRIGGER guard_all BEFORE TRUNCATE ON audit_heads "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
    )


def downgrade() -> None:
    for table in APPEND_ONLY:
        op.execute(f"DROP TRIGGER append_only ON {table}")
    op.execute("DROP TRIGGER guard ON decisions")
    op.execute("DROP TRIGGER guard ON review_tasks")
    op.execute("DROP TRIGGER guard ON sample_revisions")
    op.execute("DROP TRIGGER guard ON audit_heads")
    op.execute("DROP TRIGGER guard_all ON audit_heads")
    op.execute(
        "DROP FUNCTION concord_refuse_change, concord_guard_decision, concord_guard_task, "
        "concord_guard_head, concord_guard_revision"
    )

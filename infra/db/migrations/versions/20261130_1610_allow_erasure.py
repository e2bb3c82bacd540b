"""Let content be erased in one way only: by the owner's functions, which leave a tombstone."""
# ruff: noqa: S608 - statements made of constants

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1610"
down_revision = "20261130_1605"
branch_labels = None
depends_on = None

_FINAL = "('committed', 'rejected', 'withdrawn', 'reopened')"

# True only inside the functions below: whoever sets it otherwise lacks the right to change these tables, and leaves no
# tombstone, which verification finds.
_IS_ERASING = """
CREATE FUNCTION concord_is_erasing() RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT coalesce(current_setting('concord.erasing', true), '') = pg_current_xact_id()::text
$$
"""
_REFUSE = """
    RAISE EXCEPTION 'rows of % are never changed', TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', TABLE = TG_TABLE_NAME,
              CONSTRAINT = 'append_only_' || TG_TABLE_NAME;
"""
_ERASABLE = (
    "'audit_personal', 'check_runs', 'decisions', 'ground_truth', 'inbox', 'label_sets', 'note_versions', "
    "'stage_changes'"
)
_REFUSE_CHANGE = f"""
CREATE OR REPLACE FUNCTION concord_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME IN ({_ERASABLE}) AND concord_is_erasing() THEN
        RETURN NULL;
    END IF;
    {_REFUSE}
END $$
"""
_REFUSE_CHANGE_BEFORE = f"""
CREATE OR REPLACE FUNCTION concord_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {_REFUSE}
END $$
"""
_REVISION = """
CREATE OR REPLACE FUNCTION concord_guard_revision() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    {}
    RAISE EXCEPTION 'what a revision began with is never changed'
        USING ERRCODE = 'restrict_violation', TABLE = 'sample_revisions', CONSTRAINT = 'append_only_sample_revisions';
END $$
"""
_GUARD_REVISION = _REVISION.format("IF TG_OP = 'UPDATE' AND concord_is_erasing() THEN RETURN NULL; END IF;")
_GUARD_REVISION_BEFORE = _REVISION.format("")
# Finished tasks do not change, except that what is said in them goes.
_GUARD_TASK = "CREATE TRIGGER guard BEFORE UPDATE ON review_tasks FOR EACH ROW"

_OF = "project = of_project AND sample_id = of_sample AND revision = of_revision"
_SUBJECT = "'samples/' || of_sample || '/revisions/' || of_revision"
_HELD = """
    SELECT EXISTS (SELECT FROM legal_holds AS hold WHERE hold.project = of_project AND hold.released_at IS NULL
                   AND (hold.sample_id IS NULL OR hold.sample_id = of_sample))
"""
_ERASE_REVISION = f"""
CREATE FUNCTION concord_erase_revision(of_project text, of_sample text, of_revision integer, by_erasure uuid,
                                       by_actor text)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    its sample_revisions%ROWTYPE;
    record ground_truth%ROWTYPE;
BEGIN
    -- Whoever places a hold takes this lock alone: it is seen here, or waits until this is done.
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('concord hold ' || of_project, 0));
    SELECT * INTO its FROM sample_revisions WHERE {_OF} FOR NO KEY UPDATE;
    IF NOT FOUND THEN RETURN 'missing'; END IF;
    IF EXISTS (SELECT FROM tombstones WHERE {_OF}) THEN RETURN 'erased'; END IF;
    IF ({_HELD}) THEN RETURN 'held'; END IF;
    IF its.stage NOT IN {_FINAL} THEN RETURN 'live'; END IF;
    SELECT * INTO record FROM ground_truth WHERE {_OF};
    INSERT INTO tombstones (project, sample_id, revision, erasure_id, erased_by, erased_at, hashes)
    VALUES (of_project, of_sample, of_revision, by_erasure, by_actor, clock_timestamp(), json_strip_nulls(
        json_build_object(
            'manifest', its.manifest_sha256,
            'content', record.content_sha256,
            'lineage', record.lineage_sha256,
            'labels', (SELECT coalesce(json_agg(sha256 ORDER BY prediction, version), '[]') FROM label_sets
                       WHERE {_OF}),
            'events', (SELECT coalesce(json_agg(content_sha256 ORDER BY received_at, event_key), '[]') FROM inbox
                       WHERE {_OF}),
            'decisions', (SELECT coalesce(json_agg(content_sha256 ORDER BY decided_at, decision_id), '[]')
                          FROM decisions WHERE {_OF}))));
    PERFORM set_config('concord.erasing', pg_current_xact_id()::text, true);
    UPDATE sample_revisions SET manifest = json_build_object(
        'format', 'concord.sample/1', 'sample_id', of_sample, 'project', of_project,
        'context', json_build_object('risk', its.risk),
        'streams', json_build_array(json_build_object('id', 'erased', 'modality', 'record')))
    WHERE {_OF};
    UPDATE label_sets SET annotations = '[]' WHERE {_OF};
    UPDATE inbox SET event = (event::jsonb - 'data' - 'subject')::json WHERE {_OF};
    UPDATE assets SET uri = 'erased' WHERE {_OF};
    UPDATE check_runs SET report = json_build_object('rule', report -> 'rule') WHERE {_OF};
    UPDATE findings SET finding = json_build_object(
        'finding_id', finding_id, 'check', "check", 'kind', kind, 'severity', severity, 'message', 'erased',
        'rule', finding -> 'rule')
    WHERE {_OF};
    UPDATE decisions SET note = NULL, body = '{{}}' WHERE {_OF};
    UPDATE stage_changes SET reason = NULL WHERE {_OF} AND reason IS NOT NULL;
    UPDATE ground_truth SET body = '{{}}', lineage = '{{}}' WHERE {_OF};
    DELETE FROM drafts USING review_tasks AS task WHERE drafts.task_id = task.task_id AND task.project = of_project
        AND task.sample_id = of_sample AND task.revision = of_revision;
    UPDATE review_tasks SET reason = NULL, hold_reason = NULL WHERE {_OF};
    DELETE FROM joined_answers WHERE {_OF};
    DELETE FROM probe_drafts USING probe_tasks AS task WHERE probe_drafts.task_id = task.task_id
        AND task.project = of_project AND task.sample_id = of_sample AND task.revision = of_revision;
    UPDATE probe_tasks SET reason = NULL, hold_reason = NULL, decision = (decision::jsonb - 'note' - 'remarks')::json,
        body = CASE WHEN body IS NULL THEN NULL ELSE '{{}}'::json END,
        labels_after = CASE WHEN labels_after IS NULL THEN NULL ELSE '[]'::json END
    WHERE {_OF};
    UPDATE incident_findings SET reason = NULL WHERE {_OF};
    DELETE FROM gold_answers WHERE project = of_project AND sample_id = of_sample;
    PERFORM concord_erase_notes(ARRAY(SELECT note_id FROM notes WHERE {_OF}));
    UPDATE search_entries SET excerpt = '', words = concord_words(of_sample) WHERE kind = 'sample' AND {_OF};
    UPDATE outbox SET body = (CASE WHEN body::jsonb ? 'body' THEN jsonb_set(body::jsonb, '{{body}}', '""')
                                   ELSE body::jsonb END - 'reason')::json
    WHERE {_OF} AND topic = 'event';
    UPDATE audit_personal AS text SET salt = NULL, value = NULL, erasure_id = by_erasure
    FROM audit_entries AS entry
    WHERE entry.project = of_project AND (entry.subject = {_SUBJECT} OR starts_with(entry.subject, {_SUBJECT} || '/'))
      AND text.project = entry.project AND text.sequence = entry.sequence AND text.value IS NOT NULL;
    PERFORM set_config('concord.erasing', '', true);
    RETURN 'done';
END $$
"""
_ERASE_NOTES = """
CREATE FUNCTION concord_erase_notes(of_notes uuid[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    UPDATE notes SET body = '', mentions = '{}', deleted_at = coalesce(deleted_at, clock_timestamp())
    WHERE note_id = ANY (of_notes);
    UPDATE note_versions SET body = '', mentions = '{}' WHERE note_id = ANY (of_notes);
    DELETE FROM note_mentions WHERE note_id = ANY (of_notes);
END $$
"""
_ERASE_PERSON = """
CREATE FUNCTION concord_erase_person(of_project text, of_actor text, by_erasure uuid) RETURNS json
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    their uuid[] := ARRAY(SELECT note_id FROM notes WHERE project = of_project AND author = of_actor AND body <> '');
    profiles integer; unfinished integer; texts integer;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('concord hold ' || of_project, 0));
    IF EXISTS (SELECT FROM legal_holds WHERE project = of_project AND released_at IS NULL) THEN RETURN NULL; END IF;
    PERFORM set_config('concord.erasing', pg_current_xact_id()::text, true);
    DELETE FROM reviewers WHERE project = of_project AND actor_id = of_actor;
    GET DIAGNOSTICS profiles = ROW_COUNT;
    DELETE FROM drafts USING review_tasks AS task
    WHERE drafts.task_id = task.task_id AND task.project = of_project AND drafts.actor_id = of_actor;
    GET DIAGNOSTICS unfinished = ROW_COUNT;
    PERFORM concord_erase_notes(their);
    UPDATE stage_changes SET reason = NULL
    WHERE project = of_project AND actor = of_actor AND reason IS NOT NULL;
    UPDATE audit_personal AS text SET salt = NULL, value = NULL, erasure_id = by_erasure
    FROM audit_entries AS entry
    WHERE entry.project = of_project AND entry.actor = of_actor
      AND text.project = entry.project AND text.sequence = entry.sequence AND text.value IS NOT NULL;
    GET DIAGNOSTICS texts = ROW_COUNT;
    PERFORM set_config('concord.erasing', '', true);
    RETURN json_build_object('profiles', profiles + unfinished, 'notes', cardinality(their), 'texts', texts);
END $$
"""
_ERASE_ENTRIES = """
CREATE FUNCTION concord_erase_entries(of_project text, of_sequences bigint[], by_erasure uuid) RETURNS integer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, public AS $$
DECLARE
    texts integer;
BEGIN
    PERFORM pg_advisory_xact_lock_shared(hashtextextended('concord hold ' || of_project, 0));
    IF EXISTS (SELECT FROM legal_holds AS hold WHERE hold.project = of_project AND hold.released_at IS NULL
               AND (hold.sample_id IS NULL OR EXISTS (
                   SELECT FROM audit_entries AS entry
                   WHERE entry.project = of_project AND entry.sequence = ANY (of_sequences)
                     AND starts_with(entry.subject, 'samples/' || hold.sample_id || '/')))) THEN
        RETURN NULL;
    END IF;
    PERFORM set_config('concord.erasing', pg_current_xact_id()::text, true);
    UPDATE audit_personal SET salt = NULL, value = NULL, erasure_id = by_erasure
    WHERE project = of_project AND sequence = ANY (of_sequences) AND value IS NOT NULL;
    GET DIAGNOSTICS texts = ROW_COUNT;
    PERFORM set_config('concord.erasing', '', true);
    RETURN texts;
END $$
"""
_FUNCTIONS = (
    "concord_erase_revision(text, text, integer, uuid, text)",
    "concord_erase_person(text, text, uuid)",
    "concord_erase_entries(text, bigint[], uuid)",
)


def upgrade() -> None:
    op.create_table(
        "erasures",
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("subject", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("withdraw", sa.Boolean(), nullable=False),
        sa.Column("requested_by", sa.Text(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("counts", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_erasures_projects")),
        sa.PrimaryKeyConstraint("erasure_id", name=op.f("pk_erasures")),
    )
    op.create_index("ix_erasures_listed", "erasures", ["project", "requested_at", "erasure_id"])
    op.create_table(
        "erasure_items",
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.CheckConstraint("outcome IN ('waiting', 'erased', 'held', 'live')", name=op.f("ck_erasure_items_outcome")),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"], name=op.f("fk_erasure_items_erasures")),
        sa.PrimaryKeyConstraint("erasure_id", "sample_id", "revision", name=op.f("pk_erasure_items")),
    )
    op.create_index(
        "ix_erasure_items_waiting",
        "erasure_items",
        ["erasure_id", "sample_id", "revision"],
        postgresql_where=sa.text("outcome = 'waiting'"),
    )
    op.create_table(
        "tombstones",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("erasure_id", sa.Uuid(), nullable=False),
        sa.Column("erased_by", sa.Text(), nullable=False),
        sa.Column("erased_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("hashes", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["erasure_id"], ["erasures.erasure_id"], name=op.f("fk_tombstones_erasures")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_tombstones_sample_revisions"),
            initially="DEFERRED",
            deferrable=True,
        ),
        sa.PrimaryKeyConstraint("project", "sample_id", "revision", name=op.f("pk_tombstones")),
    )
    op.create_table(
        "legal_holds",
        sa.Column("hold_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("placed_by", sa.Text(), nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("released_by", sa.Text(), nullable=True),
        sa.Column("released_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(released_by IS NULL) = (released_at IS NULL)", name=op.f("ck_legal_holds_released")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_legal_holds_projects")),
        sa.PrimaryKeyConstraint("hold_id", name=op.f("pk_legal_holds")),
    )
    op.create_index("ix_legal_holds_listed", "legal_holds", ["project", "placed_at", "hold_id"])
    op.create_index(
        "ix_legal_holds_live", "legal_holds", ["project", "sample_id"], postgresql_where=sa.text("released_at IS NULL")
    )
    for statement in (_IS_ERASING, _REFUSE_CHANGE, _GUARD_REVISION, _ERASE_NOTES, _ERASE_REVISION, _ERASE_PERSON,
                      _ERASE_ENTRIES):  # fmt: skip
        op.execute(statement)
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON tombstones "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
    )
    op.execute("DROP TRIGGER guard ON review_tasks")
    op.execute(f"{_GUARD_TASK} WHEN (NOT concord_is_erasing()) EXECUTE FUNCTION concord_guard_task()")
    for function in _FUNCTIONS:
        op.execute(f"REVOKE EXECUTE ON FUNCTION {function} FROM PUBLIC")


def downgrade() -> None:
    op.execute("DROP TRIGGER guard ON review_tasks")
    op.execute(f"{_GUARD_TASK} EXECUTE FUNCTION concord_guard_task()")
    for statement in (_REFUSE_CHANGE_BEFORE, _GUARD_REVISION_BEFORE):
        op.execute(statement)
    for function in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {function}")
    op.execute("DROP FUNCTION concord_erase_notes(uuid[])")
    for table in ("erasure_items", "tombstones", "legal_holds", "erasures"):
        op.drop_table(table)
    op.execute("DROP FUNCTION concord_is_erasing()")

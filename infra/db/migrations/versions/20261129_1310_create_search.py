"""Create the search: entries as words, kept by triggers beside what they tell of."""
# ruff: noqa: S608 - statements made of constants

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

revision = "20261129_1310"
down_revision = "20261129_1305"
branch_labels = None
depends_on = None

# What stands between ASCII punctuation is a word, so that ids are found by each of their parts. 'simple' because
# labels come in every language.
_WORDS = r"""
CREATE FUNCTION concord_words(content text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT to_tsvector('simple'::regconfig, lower(translate(
        left(content, 20000), '!"#$%&''()*+,-./:;<=>?@[\]^_`{|}~', repeat(' ', 32))))
$$
"""
_INTO = """
    INSERT INTO search_entries
        (kind, subject, project, sample_id, revision, title, excerpt, actor, severity, words, at)
"""
_ENTRIES = {
    "sample_revisions": """
        SELECT 'sample', it.sample_id, it.project, it.sample_id, it.revision, it.sample_id,
               left(coalesce(it.manifest ->> 'context', ''), 300), NULL, NULL,
               concord_words(it.sample_id || ' ' || coalesce(it.manifest ->> 'context', '')), it.created_at
    """,
    "findings": """
        SELECT 'finding', it.finding_id, it.project, it.sample_id, it.revision, it."check" || '/' || it.kind,
               left(it.finding ->> 'message', 300), NULL, it.severity,
               concord_words(concat_ws(' ', it."check", it.kind, it.sample_id, it.finding_id,
                                       it.finding ->> 'message')), it.found_at
    """,
    "notes": """
        SELECT 'note', it.note_id::text, it.project, it.sample_id, it.revision, it.author,
               left(it.body, 300), it.author, NULL,
               concord_words(concat_ws(' ', it.author, it.sample_id, it.body)), it.created_at
    """,
    "review_tasks": """
        SELECT 'task', it.task_id::text, it.project, it.sample_id, it.revision, it.kind || ' ' || it.queue,
               left(coalesce(it.reason, ''), 300), NULL, NULL,
               concord_words(concat_ws(' ', it.kind, it.queue, it.sample_id, it.reason)), it.created_at
    """,
}
_PERSON = """
    'person', it.actor_id, scope.project, NULL, NULL, it.actor_id, it.role, NULL, NULL,
           concord_words(it.actor_id || ' ' || it.role), it.created_at
"""
_SCOPES = "unnest(coalesce(it.projects, ARRAY[NULL]::text[])) AS scope (project)"


def _function(name: str, body: str) -> str:
    return (
        f"CREATE FUNCTION concord_index_{name}() RETURNS trigger LANGUAGE plpgsql AS $$\n"
        f"DECLARE it ALIAS FOR NEW;\nBEGIN\n{body}\n    RETURN NULL;\nEND $$"
    )


def _again(kind: str, subject: str) -> str:
    return f"""
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM search_entries
        WHERE kind = '{kind}' AND subject = {subject} AND project = it.project AND sample_id = it.sample_id
          AND revision = it.revision;
    END IF;"""


def upgrade() -> None:
    op.create_table(
        "search_entries",
        sa.Column("entry_id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=True),
        sa.Column("sample_id", sa.Text(), nullable=True),
        sa.Column("revision", sa.Integer(), nullable=True),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("excerpt", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("words", TSVECTOR(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "kind IN ('sample', 'finding', 'note', 'task', 'person')", name=op.f("ck_search_entries_kind")
        ),
        sa.CheckConstraint(
            "severity IN ('info', 'minor', 'major', 'critical')", name=op.f("ck_search_entries_severity")
        ),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_search_entries")),
    )
    op.execute(_WORDS)
    for table, entry in _ENTRIES.items():
        op.execute(f"{_INTO} {entry} FROM {table} AS it" + (" WHERE deleted_at IS NULL" if table == "notes" else ""))
    op.execute(
        f"{_INTO} SELECT DISTINCT ON (it.actor_id, scope.project) {_PERSON} "
        f"FROM api_keys AS it, {_SCOPES} WHERE it.revoked_at IS NULL "
        "ORDER BY it.actor_id, scope.project, it.created_at"
    )
    newest: list[str | sa.ColumnElement[object]] = [sa.literal_column("at DESC"), sa.literal_column("entry_id DESC")]
    op.create_index(
        "uq_search_entries_subject",
        "search_entries",
        ["kind", "subject", "project", "sample_id", "revision"],
        unique=True,
        postgresql_nulls_not_distinct=True,
    )
    op.create_index("ix_search_entries_words", "search_entries", ["words"], postgresql_using="gin")
    op.create_index("ix_search_entries_newest", "search_entries", newest)
    for name, columns in (("project", ["project"]), ("kind", ["kind"]), ("sample", ["project", "sample_id"]),
                          ("actor", ["actor"])):  # fmt: skip
        op.create_index(f"ix_search_entries_{name}", "search_entries", [*columns, *newest])

    op.execute(_function("sample", f"{_INTO} {_ENTRIES['sample_revisions']};"))
    op.execute(
        "CREATE TRIGGER search AFTER INSERT ON sample_revisions FOR EACH ROW EXECUTE FUNCTION concord_index_sample()"
    )
    op.execute(_function("finding", f"{_again('finding', 'it.finding_id')} {_INTO} {_ENTRIES['findings']};"))
    op.execute("CREATE TRIGGER search AFTER INSERT ON findings FOR EACH ROW EXECUTE FUNCTION concord_index_finding()")
    op.execute(
        "CREATE TRIGGER search_again AFTER UPDATE ON findings FOR EACH ROW "
        "WHEN (OLD.severity <> NEW.severity OR OLD.finding::text <> NEW.finding::text) "
        "EXECUTE FUNCTION concord_index_finding()"
    )
    op.execute(
        _function(
            "note",
            f"{_again('note', 'it.note_id::text')} IF it.deleted_at IS NULL THEN {_INTO} {_ENTRIES['notes']}; END IF;",
        )
    )
    op.execute(
        "CREATE TRIGGER search AFTER INSERT OR UPDATE ON notes FOR EACH ROW EXECUTE FUNCTION concord_index_note()"
    )
    op.execute(_function("task", f"{_again('task', 'it.task_id::text')} {_INTO} {_ENTRIES['review_tasks']};"))
    op.execute("CREATE TRIGGER search AFTER INSERT ON review_tasks FOR EACH ROW EXECUTE FUNCTION concord_index_task()")
    op.execute(
        "CREATE TRIGGER search_again AFTER UPDATE ON review_tasks FOR EACH ROW "
        "WHEN (OLD.queue <> NEW.queue OR OLD.kind <> NEW.kind OR OLD.reason IS DISTINCT FROM NEW.reason) "
        "EXECUTE FUNCTION concord_index_task()"
    )
    # A person is found as long as one of their keys is not revoked.
    op.execute(
        _function(
            "person",
            f"""
    IF TG_OP = 'UPDATE' THEN
        DELETE FROM search_entries AS entry
        WHERE entry.kind = 'person' AND entry.subject = it.actor_id AND NOT EXISTS (
            SELECT FROM api_keys AS other
            WHERE other.actor_id = it.actor_id AND other.revoked_at IS NULL
              AND (CASE WHEN entry.project IS NULL THEN other.projects IS NULL
                        ELSE entry.project = ANY (other.projects) END));
        RETURN NULL;
    END IF;
    {_INTO} SELECT {_PERSON} FROM {_SCOPES} ON CONFLICT DO NOTHING;""",
        )
    )
    op.execute(
        "CREATE TRIGGER search AFTER INSERT OR UPDATE OF revoked_at ON api_keys "
        "FOR EACH ROW EXECUTE FUNCTION concord_index_person()"
    )


def downgrade() -> None:
    for table in ("sample_revisions", "findings", "notes", "review_tasks", "api_keys"):
        op.execute(f"DROP TRIGGER search ON {table}")
    for table in ("findings", "review_tasks"):
        op.execute(f"DROP TRIGGER search_again ON {table}")
    op.execute(
        "DROP FUNCTION concord_index_sample, concord_index_finding, concord_index_note, concord_index_task, "
        "concord_index_person"
    )
    op.drop_table("search_entries")
    op.execute("DROP FUNCTION concord_words")

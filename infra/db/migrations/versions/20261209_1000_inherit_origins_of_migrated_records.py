"""Let a record that a taxonomy migration made be found from what the one before it rests on."""

from __future__ import annotations

from alembic import op

revision = "20261209_1000"
down_revision = "20261208_1000"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Along the whole way at once: a record may have been migrated several times.
    op.execute("""
        WITH RECURSIVE way AS (
            SELECT project, sample_id, revision, CAST(carried ->> 'revision_before' AS integer) AS older
            FROM taxonomy_migration_samples
            UNION
            SELECT way.project, way.sample_id, way.revision, CAST(step.carried ->> 'revision_before' AS integer)
            FROM way JOIN taxonomy_migration_samples AS step
                ON step.project = way.project AND step.sample_id = way.sample_id AND step.revision = way.older
        )
        INSERT INTO ground_truth_origins (project, kind, key, sample_id, revision)
        SELECT DISTINCT way.project, origin.kind, origin.key, way.sample_id, way.revision
        FROM way
        JOIN ground_truth AS made ON made.project = way.project AND made.sample_id = way.sample_id
            AND made.revision = way.revision
        JOIN ground_truth_origins AS origin ON origin.project = way.project AND origin.sample_id = way.sample_id
            AND origin.revision = way.older
        WHERE origin.kind <> 'taxonomy'
        ON CONFLICT DO NOTHING
    """)


def downgrade() -> None:
    # Rows of origins are never removed. What they say stays true; only an earlier verifier calls them stray.
    pass

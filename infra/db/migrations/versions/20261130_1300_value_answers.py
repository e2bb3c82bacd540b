"""Value answers: what one more answer is worth orders the tasks of a lane; what answers said together is kept."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261130_1300"
down_revision = "20261130_1110"
branch_labels = None
depends_on = None

# An answer that is worth one wrong label of full weight gains 50 points, and none as many as 100: what is worth more
# comes first among equals, and nothing jumps over what somebody placed a hundred points higher.
_RANK = """
CREATE FUNCTION concord_rank(
    ageing_per_hour double precision, created_at timestamptz, priority integer, worth double precision
) RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ageing_per_hour * (extract(epoch FROM created_at)::double precision / 3600)
           - priority - 100 * worth / (1 + worth)
$$
"""
_RANK_BEFORE = """
CREATE FUNCTION concord_rank(ageing_per_hour double precision, created_at timestamptz, priority integer)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ageing_per_hour * (extract(epoch FROM created_at)::double precision / 3600) - priority
$$
"""
_PLACE_TASK = """
CREATE OR REPLACE FUNCTION concord_place_task() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    lane review_lanes%ROWTYPE;
BEGIN
    SELECT * INTO lane FROM review_lanes
    WHERE project = NEW.project AND queue = NEW.queue AND kind = NEW.kind AND skill = coalesce(NEW.skill, '')
    FOR SHARE;
    IF NOT FOUND THEN
        INSERT INTO review_lanes (project, queue, kind, skill, ageing_per_hour)
        VALUES (NEW.project, NEW.queue, NEW.kind, coalesce(NEW.skill, ''),
                coalesce((SELECT ageing_per_hour FROM review_queues
                          WHERE project = NEW.project AND name = NEW.queue FOR SHARE), 0))
        ON CONFLICT DO NOTHING;
        SELECT * INTO STRICT lane FROM review_lanes
        WHERE project = NEW.project AND queue = NEW.queue AND kind = NEW.kind AND skill = coalesce(NEW.skill, '')
        FOR SHARE;
    END IF;
    NEW.lane_id := lane.lane_id;
    NEW.rank := concord_rank(lane.ageing_per_hour, NEW.created_at, NEW.priority<worth>);
    RETURN NEW;
END $$
"""
_PLACED_BY = "project, queue, kind, skill, priority, created_at"


def _place(columns: str, worth: str) -> None:
    op.execute("DROP TRIGGER place ON review_tasks")
    op.execute(_PLACE_TASK.replace("<worth>", worth))
    op.execute(
        f"CREATE TRIGGER place BEFORE INSERT OR UPDATE OF {columns} ON review_tasks "
        "FOR EACH ROW EXECUTE FUNCTION concord_place_task()"
    )


def upgrade() -> None:
    op.add_column("review_tasks", sa.Column("worth", sa.Double(), nullable=False, server_default=sa.text("0")))
    op.create_check_constraint(op.f("ck_review_tasks_worth"), "review_tasks", "worth >= 0")
    op.execute(_RANK)
    _place(f"{_PLACED_BY}, worth", ", NEW.worth")
    op.execute("DROP FUNCTION concord_rank(double precision, timestamptz, integer)")
    op.create_table(
        "joined_answers",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("answers", sa.Integer(), nullable=False),
        sa.Column("label_version", sa.Integer(), nullable=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("answers >= 2", name=op.f("ck_joined_answers_answers")),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
            name=op.f("fk_joined_answers_sample_revisions"),
            deferrable=True,
            initially="DEFERRED",
        ),
        sa.PrimaryKeyConstraint("project", "sample_id", "revision", "answers", name=op.f("pk_joined_answers")),
    )
    op.create_index(
        "ix_joined_answers_labels",
        "joined_answers",
        ["project", "joined_at"],
        postgresql_where=sa.text("label_version IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_table("joined_answers")
    op.execute(_RANK_BEFORE)
    _place(_PLACED_BY, "")
    op.execute("DROP FUNCTION concord_rank(double precision, timestamptz, integer, double precision)")
    op.execute(
        "UPDATE review_tasks AS task SET rank = concord_rank(lane.ageing_per_hour, task.created_at, task.priority) "
        "FROM review_lanes AS lane WHERE lane.lane_id = task.lane_id AND task.state IN ('open', 'claimed')"
    )
    op.drop_constraint(op.f("ck_review_tasks_worth"), "review_tasks", type_="check")
    op.drop_column("review_tasks", "worth")

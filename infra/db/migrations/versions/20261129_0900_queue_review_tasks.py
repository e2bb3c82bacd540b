"""Queue review tasks: queues as rows, lanes with a stored order, what a task is about, and tasks on hold."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_0900"
down_revision = "20261129_1500"
branch_labels = None
depends_on = None

_UNFINISHED = "state IN ('open', 'claimed')"

# Place and order follow from the row by whatever statement writes it; a lane's ageing can not change in between.
_PLACE_TASK = """
CREATE FUNCTION concord_place_task() RETURNS trigger LANGUAGE plpgsql AS $$
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
    NEW.rank := concord_rank(lane.ageing_per_hour, NEW.created_at, NEW.priority);
    RETURN NEW;
END $$
"""
_RANK = """
CREATE FUNCTION concord_rank(ageing_per_hour double precision, created_at timestamptz, priority integer)
RETURNS double precision LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT ageing_per_hour * (extract(epoch FROM created_at)::double precision / 3600) - priority
$$
"""
_FACTS_OF_FINDINGS = """
    UPDATE review_tasks AS task SET "check" = finding."check", finding_kind = finding.kind, severity = finding.severity
    FROM (
        SELECT DISTINCT ON (task.task_id) task.task_id, finding."check", finding.kind, finding.severity
        FROM review_tasks AS task JOIN findings AS finding
          ON finding.project = task.project AND finding.sample_id = task.sample_id
         AND finding.revision = task.revision AND finding.finding_id = ANY (task.finding_ids)
        ORDER BY task.task_id, array_position(ARRAY['critical', 'major', 'minor', 'info'], finding.severity),
                 finding.finding_id
    ) AS finding
    WHERE finding.task_id = task.task_id
"""
_FACTS_OF_SAMPLES = """
    UPDATE review_tasks AS task
    SET domain = coalesce(sample.manifest #>> '{context,attributes,domain}', project.domain),
        language = sample.manifest #>> '{context,attributes,language}',
        region = sample.manifest #>> '{context,region}'
    FROM sample_revisions AS sample JOIN projects AS project ON project.id = sample.project
    WHERE sample.project = task.project AND sample.sample_id = task.sample_id AND sample.revision = task.revision
"""


def upgrade() -> None:
    op.create_table(
        "review_queues",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("filter", sa.JSON(), nullable=True),
        sa.Column("skills", sa.JSON(), nullable=False),
        sa.Column("teams", sa.ARRAY(sa.Text()), nullable=False),
        sa.Column("base_priority", sa.Integer(), nullable=True),
        sa.Column("ageing_per_hour", sa.Double(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=True),
        sa.Column("paused", sa.Boolean(), nullable=False),
        sa.CheckConstraint("ageing_per_hour >= 0", name=op.f("ck_review_queues_ageing_per_hour")),
        sa.CheckConstraint("capacity >= 1", name=op.f("ck_review_queues_capacity")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_review_queues_projects")),
        sa.PrimaryKeyConstraint("project", "name", name=op.f("pk_review_queues")),
    )
    op.create_table(
        "review_lanes",
        sa.Column("lane_id", sa.Integer(), sa.Identity(always=True), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("queue", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("skill", sa.Text(), nullable=False),
        sa.Column("ageing_per_hour", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("lane_id", name=op.f("pk_review_lanes")),
        sa.UniqueConstraint("project", "queue", "kind", "skill", name=op.f("uq_review_lanes_project_queue_kind_skill")),
    )
    op.execute(_RANK)
    _give_place()
    op.execute(_PLACE_TASK)
    op.execute(
        "CREATE TRIGGER place BEFORE INSERT OR UPDATE OF project, queue, kind, skill, priority, created_at "
        "ON review_tasks FOR EACH ROW EXECUTE FUNCTION concord_place_task()"
    )
    op.drop_index("ix_review_tasks_best", "review_tasks")
    op.drop_index("ix_review_tasks_best_of_queue", "review_tasks")
    op.create_index(
        "ix_review_tasks_lane",
        "review_tasks",
        ["lane_id", "rank", "created_at", "task_id"],
        postgresql_where=sa.text(f"{_UNFINISHED} AND assignee IS NULL AND NOT on_hold"),
    )
    op.create_index(
        "ix_review_tasks_assigned",
        "review_tasks",
        ["assignee"],
        postgresql_where=sa.text(f"{_UNFINISHED} AND assignee IS NOT NULL AND NOT on_hold"),
    )
    op.create_index(
        "ix_review_tasks_claimed",
        "review_tasks",
        ["project", "queue", "lease_expires_at"],
        postgresql_where=sa.text("state = 'claimed'"),
    )
    op.create_index(
        "ix_review_tasks_held",
        "review_tasks",
        ["held_by", "lease_expires_at"],
        postgresql_where=sa.text("state = 'claimed'"),
    )


def _give_place() -> None:
    for column in (
        sa.Column("lane_id", sa.Integer(), nullable=True),
        sa.Column("rank", sa.Double(), nullable=True),
        sa.Column("on_hold", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column("hold_reason", sa.Text(), nullable=True),
        sa.Column("check", sa.Text(), nullable=True),
        sa.Column("finding_kind", sa.Text(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=True),
        sa.Column("domain", sa.Text(), nullable=True),
        sa.Column("language", sa.Text(), nullable=True),
        sa.Column("region", sa.Text(), nullable=True),
    ):
        op.add_column("review_tasks", column)
    op.execute(
        "INSERT INTO review_lanes (project, queue, kind, skill, ageing_per_hour) "
        "SELECT DISTINCT project, queue, kind, coalesce(skill, ''), 0 FROM review_tasks"
    )
    # Finished tasks get a lane too; their guard forbids any change.
    op.execute("ALTER TABLE review_tasks DISABLE TRIGGER guard")
    op.execute(
        "UPDATE review_tasks AS task SET lane_id = lane.lane_id, rank = -task.priority FROM review_lanes AS lane "
        "WHERE lane.project = task.project AND lane.queue = task.queue AND lane.kind = task.kind "
        "AND lane.skill = coalesce(task.skill, '')"
    )
    op.execute(_FACTS_OF_FINDINGS)
    op.execute(_FACTS_OF_SAMPLES)
    # Rows changed twice wait for the checks of their deferred keys, and no table is altered while they do.
    op.execute("SET CONSTRAINTS ALL IMMEDIATE")
    op.execute("SET CONSTRAINTS ALL DEFERRED")
    op.execute("ALTER TABLE review_tasks ENABLE TRIGGER guard")
    op.alter_column("review_tasks", "lane_id", nullable=False)
    op.alter_column("review_tasks", "rank", nullable=False)
    op.create_foreign_key(
        op.f("fk_review_tasks_review_lanes"), "review_tasks", "review_lanes", ["lane_id"], ["lane_id"]
    )


def downgrade() -> None:
    op.drop_index("ix_review_tasks_held", "review_tasks")
    op.drop_index("ix_review_tasks_claimed", "review_tasks")
    op.drop_index("ix_review_tasks_assigned", "review_tasks")
    op.drop_index("ix_review_tasks_lane", "review_tasks")
    op.execute("DROP TRIGGER place ON review_tasks")
    for column in (
        "lane_id", "rank", "on_hold", "hold_reason", "check", "finding_kind", "severity", "domain", "language",
        "region",
    ):  # fmt: skip
        op.drop_column("review_tasks", column)
    op.create_index(
        "ix_review_tasks_best",
        "review_tasks",
        [sa.literal_column("priority DESC"), "created_at", "task_id"],
        postgresql_where=sa.text(_UNFINISHED),
    )
    op.create_index(
        "ix_review_tasks_best_of_queue",
        "review_tasks",
        ["queue", sa.literal_column("priority DESC"), "created_at", "task_id"],
        postgresql_where=sa.text(_UNFINISHED),
    )
    op.drop_table("review_lanes")
    op.drop_table("review_queues")
    op.execute("DROP FUNCTION concord_place_task, concord_rank")

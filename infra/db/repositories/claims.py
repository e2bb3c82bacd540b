"""The statements by which a review task finds its person."""

from __future__ import annotations

from sqlalchemy import TextClause, text

# The candidate is fixed before anything is changed: as a plain subquery under UPDATE it may run again per row and
# take more than one. Rows that others hold in this moment are passed over, and a row that somebody took between the
# snapshot and the lock is looked at again and passed over too.
_NEXT = """
    WITH best AS MATERIALIZED (
        SELECT task_id FROM review_tasks AS task
        WHERE state IN ('open', 'claimed') AND (state = 'open' OR lease_expires_at <= clock_timestamp())
          AND kind = ANY (CAST(:kinds AS text[]))
          AND (skill IS NULL OR skill = ANY (CAST(:skills AS text[])))
          AND (assignee IS NULL OR assignee = :actor_id)
          AND NOT (:actor_id = ANY (excluded_actors))
          {conditions}
          AND (assignee IS NOT NULL OR NOT EXISTS (
              SELECT FROM review_tasks AS other
              WHERE other.project = task.project AND other.sample_id = task.sample_id
                AND other.revision = task.revision AND other.task_id <> task.task_id
                AND (other.finding_ids && task.finding_ids
                     OR (other.finding_ids = '{{}}' AND task.finding_ids = '{{}}'))
                AND NOT (task.kind = 'rework' AND other.kind = 'rework')
                AND ((other.held_by = :actor_id AND other.lease_expires_at > clock_timestamp())
                     OR EXISTS (SELECT FROM decisions WHERE decisions.task_id = other.task_id
                                AND decisions.actor_id = :actor_id))))
        ORDER BY priority DESC, created_at, task_id
        LIMIT 1 FOR UPDATE SKIP LOCKED
    )
    UPDATE review_tasks AS task
    SET state = 'claimed', held_by = :actor_id, fence = fence + 1,
        lease_expires_at = clock_timestamp() + CAST(:lease AS interval)
    FROM best WHERE task.task_id = best.task_id
    RETURNING task.*, clock_timestamp() AS now
"""


def claim_next_sql(*, queue: bool, project: bool, projects: bool) -> str:
    """Return the statement that claims the best task, with the conditions that are asked for.

    A condition that is absent is left out, so that the plan can use the index that fits.
    """
    conditions = []
    if queue:
        conditions.append("AND queue = :queue")
    if project:
        conditions.append("AND project = :project")
    if projects:
        conditions.append("AND project = ANY (CAST(:projects AS text[]))")
    return _NEXT.format(conditions=" ".join(conditions))


def claim_next(*, queue: bool, project: bool, projects: bool) -> TextClause:
    """Return :func:`claim_next_sql` to run."""
    return text(claim_next_sql(queue=queue, project=project, projects=projects))


# One person's claims one after the other: two at the same time could not see that they take two tasks of which
# the person may have one.
SERIALISE_PERSON = text("SELECT pg_advisory_xact_lock(hashtextextended(:actor_id, 3))")

CLAIM = text("""
    UPDATE review_tasks
    SET fence = CASE WHEN held_by = :actor_id AND lease_expires_at > clock_timestamp() THEN fence ELSE fence + 1 END,
        state = 'claimed', held_by = :actor_id, lease_expires_at = clock_timestamp() + CAST(:lease AS interval)
    WHERE task_id = :task_id
      AND (state = 'open' OR (state = 'claimed' AND (held_by = :actor_id OR lease_expires_at <= clock_timestamp())))
    RETURNING *, clock_timestamp() AS now
""")
_HELD = "task_id = :task_id AND fence = :fence AND state = 'claimed' AND lease_expires_at > clock_timestamp()"
RENEW = text(f"""
    UPDATE review_tasks
    SET lease_expires_at = greatest(lease_expires_at, clock_timestamp() + CAST(:lease AS interval))
    WHERE {_HELD} RETURNING task_id, fence, lease_expires_at
""")  # noqa: S608 - a constant
RELEASE = text(f"""
    UPDATE review_tasks SET state = 'open', held_by = NULL, lease_expires_at = NULL WHERE {_HELD}
""")  # noqa: S608
IS_LIVE = text(f"SELECT 1 FROM review_tasks WHERE {_HELD} AND held_by = :actor_id")  # noqa: S608

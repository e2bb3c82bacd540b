"""The statements by which a review task finds its person.

Tasks wait in lanes (see :class:`infra.db.tables.queues.ReviewLaneRow`). Who may take from a lane is decided before the
claim, for the lane as a whole, so the claim itself walks one index from its beginning and reads the few tasks that
others hold or that this person may not have.
"""

from __future__ import annotations

from functools import cache

from sqlalchemy import TextClause, text

from infra.db.repositories.task_rows import TASK_COLUMNS

_TAKEN = ", ".join(f'"{name}"' for name in (*TASK_COLUMNS, "now"))
# A stable clock where an index shall be used; a lease that ends in mid-statement is seen by the next one.
_FREE = "(state = 'open' OR lease_expires_at <= clock_timestamp())"
_NOT_OWN = "NOT (:actor_id = ANY (excluded_actors))"
# What the person holds or has answered is asked of them and not of the tasks: few rows instead of all that stand beside
# every task that is looked at. OFFSET 0 keeps this a question for each row read; as a join the planner may prepare it
# for all of a person's decisions first.
_BESIDE = """
    other.project = task.project AND other.sample_id = task.sample_id AND other.revision = task.revision
    AND other.task_id <> task.task_id
    AND (other.finding_ids && task.finding_ids OR (other.finding_ids = '{}' AND task.finding_ids = '{}'))
    AND NOT (task.kind = 'rework' AND other.task_kind = 'rework')
"""
_NOT_ANSWERED = f"""
    NOT EXISTS (SELECT FROM holding AS other WHERE {_BESIDE} OFFSET 0)
    AND NOT EXISTS (SELECT FROM decisions AS other WHERE other.actor_id = :actor_id AND {_BESIDE} OFFSET 0)
"""  # noqa: S608 - a constant
_WAITING = f"""
    state IN ('open', 'claimed') AND NOT on_hold AND assignee IS NULL AND {_FREE} AND {_NOT_OWN} AND {_NOT_ANSWERED}
    ORDER BY rank, created_at, task_id LIMIT 1
"""
_EFFECTIVE = "(lane.ageing_per_hour * (extract(epoch FROM statement_timestamp())::float8 / 3600) - task.rank)"
_LANES = """
    lane AS MATERIALIZED (
        SELECT * FROM unnest(CAST(:lanes AS int[]), CAST(:ageing AS float8[]), CAST(:fits AS int[]),
                             CAST(:leases_s AS int[])) AS lane (lane_id, ageing_per_hour, fit, lease_s)
    )
"""
_HOLDING = """
    holding AS MATERIALIZED (
        SELECT task_id, project, sample_id, revision, kind AS task_kind, finding_ids FROM review_tasks
        WHERE state = 'claimed' AND held_by = :actor_id AND lease_expires_at > statement_timestamp()
    )
"""
SAME_ANSWER = """
    other.project = task.project AND other.sample_id = task.sample_id AND other.revision = task.revision
    AND other.task_id <> task.task_id
    AND (task.kind = 'annotate' AND other.task_kind = 'annotate'
         OR task.kind IN ('review', 'adjudicate') AND other.task_kind IN ('review', 'adjudicate')
            AND other.finding_ids && task.finding_ids)
"""
"""Of ``task`` and ``other`` one person may answer one only: both ask for labels of a sample, or judge one finding.

It is what a decision is refused for, so less than keeps what names nobody from a person: rework may follow on
everything, also on their own verdict.
"""
ANSWERS = "(other.task_kind <> 'annotate' OR other.verdict = 'submit')"
"""Whether the decision ``other`` is an answer; a sample that was handed on is not labelled."""

# What names the person comes before everything else; what was made by them and sent back, first of all. A task that
# they could not decide any more is passed over: given first, it would keep everything else from them.
_MINE = f"""
    mine AS MATERIALIZED (
        SELECT task.task_id, lane.lease_s FROM review_tasks AS task JOIN lane ON lane.lane_id = task.lane_id
        WHERE assignee = :actor_id AND state IN ('open', 'claimed') AND NOT on_hold AND {_FREE} AND {_NOT_OWN}
          AND NOT EXISTS (SELECT FROM holding AS other WHERE {SAME_ANSWER} OFFSET 0)
          AND NOT EXISTS (SELECT FROM decisions AS other
                          WHERE other.actor_id = :actor_id AND {ANSWERS} AND {SAME_ANSWER} OFFSET 0)
        ORDER BY (kind = 'rework') DESC, {_EFFECTIVE} DESC, created_at, task_id
        LIMIT 1 FOR NO KEY UPDATE OF task SKIP LOCKED
    )
"""  # noqa: S608 - a constant
# The lanes by the best that each has to give, seen without locks: a lock on the head of a lane that is not chosen
# would hide it from others. Whole points, so that among equals it is the fit that decides, then the age.
_HEADS = f"""
    head AS MATERIALIZED (
        SELECT lane.lane_id, lane.lease_s FROM lane CROSS JOIN LATERAL (
            SELECT rank, created_at, task_id FROM review_tasks AS task WHERE task.lane_id = lane.lane_id AND {_WAITING}
        ) AS task
        WHERE NOT EXISTS (SELECT FROM mine)
        ORDER BY round({_EFFECTIVE}) DESC, lane.fit DESC, task.created_at, task.task_id
    )
"""  # noqa: S608 - a constant
# One after the other, until one has a task that nobody else is just taking. Rows that others hold in this moment are
# passed over, and a row that somebody took between the snapshot and the lock is looked at again and passed over too.
_BEST = f"""
    best AS MATERIALIZED (
        SELECT task.task_id, head.lease_s FROM <heads> AS head CROSS JOIN LATERAL (
            SELECT task_id FROM review_tasks AS task WHERE task.lane_id = head.lane_id AND {_WAITING}
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS task
        WHERE NOT EXISTS (SELECT FROM mine)
        LIMIT 1
    )
"""  # noqa: S608 - a constant
# The candidate is fixed before anything is changed: as a plain subquery under UPDATE it may run again per row and
# take more than one.
_TAKE = """
    UPDATE review_tasks AS task
    SET state = 'claimed', held_by = :actor_id, fence = fence + 1,
        lease_expires_at = clock_timestamp() + make_interval(secs => chosen.lease_s)
    FROM (SELECT * FROM mine UNION ALL SELECT * FROM best) AS chosen WHERE task.task_id = chosen.task_id
    RETURNING task.*, clock_timestamp() AS now
"""
# A last sign of life that is not too old stays: who takes up again at once what they had has not been away.
_BEGIN = """
    INSERT INTO task_activity AS known (task_id, actor_id, active_s, active_at, updated_at)
    SELECT task_id, :actor_id, 0, clock_timestamp(), clock_timestamp() FROM taken
    WHERE CAST(:idle_after AS interval) IS NOT NULL
    ON CONFLICT (task_id, actor_id) DO UPDATE
    SET active_at = CASE WHEN known.active_at > EXCLUDED.active_at - CAST(:idle_after AS interval)
                         THEN known.active_at ELSE EXCLUDED.active_at END,
        updated_at = EXCLUDED.updated_at
"""
_LOOK = """
    SELECT task.*, clock_timestamp() AS now
    FROM (SELECT task_id FROM mine UNION ALL SELECT task_id FROM best) AS chosen
    JOIN review_tasks AS task ON task.task_id = chosen.task_id
"""


@cache
def claim_next_sql(*, one_lane: bool, look: bool = False) -> str:
    """Return the statement that claims the best task of lanes.

    Its parameters are ``actor_id``, ``idle_after`` (for the person's active time, which begins with the claim) and, one
    a lane, ``lanes``, ``ageing`` (points an hour), ``fits`` (how many of the person's skills the lane asks for) and
    ``leases_s``.

    Args:
        one_lane: Whether there is one lane only, which needs no comparison with others.
        look: Whether the task is only locked, so that the same statement without this takes the same one.
    """
    parts = [_LANES, _HOLDING, _MINE] if one_lane else [_LANES, _HOLDING, _MINE, _HEADS]
    parts.append(_BEST.replace("<heads>", "lane" if one_lane else "head"))
    parts += [f"taken AS ({_LOOK})"] if look else [f"taken AS ({_TAKE})", f"begun AS ({_BEGIN})"]
    return f"WITH {', '.join(parts)} SELECT {_TAKEN} FROM taken"  # noqa: S608 - constants


@cache
def claim_next(*, one_lane: bool, look: bool = False) -> TextClause:
    """Return :func:`claim_next_sql` to run."""
    return text(claim_next_sql(one_lane=one_lane, look=look))


_CLAIM = """
    UPDATE review_tasks
    SET fence = CASE WHEN held_by = :actor_id AND lease_expires_at > clock_timestamp() THEN fence ELSE fence + 1 END,
        state = 'claimed', held_by = :actor_id, lease_expires_at = clock_timestamp() + CAST(:lease AS interval)
    WHERE task_id = :task_id
      AND (state = 'open' OR (state = 'claimed' AND (held_by = :actor_id OR lease_expires_at <= clock_timestamp())))
    RETURNING *, clock_timestamp() AS now
"""
CLAIM = text(f"WITH taken AS ({_CLAIM}), begun AS ({_BEGIN}) SELECT * FROM taken")  # noqa: S608 - constants
HOLD = text(_CLAIM)
"""The same without the person's active time."""

_HELD = "task_id = :task_id AND fence = :fence AND state = 'claimed' AND lease_expires_at > clock_timestamp()"
RENEW = text(f"""
    UPDATE review_tasks
    SET lease_expires_at = greatest(lease_expires_at, clock_timestamp() + CAST(:lease AS interval))
    WHERE {_HELD} RETURNING task_id, fence, lease_expires_at
""")  # noqa: S608 - a constant
RELEASE = text(f"""
    UPDATE review_tasks SET state = 'open', held_by = NULL, lease_expires_at = NULL WHERE {_HELD}
""")  # noqa: S608

"""The statement that chooses a finished task and gives it again."""

from __future__ import annotations

from sqlalchemy import TextClause, text

from services.contracts.calibration import ProbePurpose

# Whoever has had anything to do with a sample may remember it.
_UNKNOWN = """
    NOT (:actor_id = ANY (task.excluded_actors))
    AND NOT EXISTS (SELECT FROM probe_seen AS seen
                    WHERE seen.project = task.project AND seen.actor_id = :actor_id AND seen.sample_id = task.sample_id)
    AND NOT EXISTS (SELECT FROM decisions AS own
                    WHERE own.project = task.project AND own.sample_id = task.sample_id AND own.actor_id = :actor_id)
    AND NOT EXISTS (SELECT FROM label_sets AS own
                    WHERE own.project = task.project AND own.sample_id = task.sample_id
                      AND own.author ->> 'id' = :actor_id)
    AND NOT EXISTS (SELECT FROM review_tasks AS had JOIN task_activity AS own ON own.task_id = had.task_id
                    WHERE had.project = task.project AND had.sample_id = task.sample_id AND own.actor_id = :actor_id)
    AND NOT EXISTS (SELECT FROM review_tasks AS had JOIN drafts AS own ON own.task_id = had.task_id
                    WHERE had.project = task.project AND had.sample_id = task.sample_id AND own.actor_id = :actor_id)
    AND NOT EXISTS (SELECT FROM notes AS own
                    WHERE own.project = task.project AND own.sample_id = task.sample_id
                      AND (own.author = :actor_id OR :actor_id = ANY (own.mentions)))
"""
_FITS = """
    task.project = :project AND task.queue = :queue AND task.risk = :risk AND task.state = 'completed'
    AND task.skill IS NOT DISTINCT FROM CAST(:skill AS text)
    AND task.created_at >= coalesce(CAST(:opened_since AS timestamptz), '-infinity')
    AND revision.stage <> 'withdrawn'
"""
_NEWEST = """
    JOIN samples AS sample ON sample.project = task.project AND sample.sample_id = task.sample_id
                          AND sample.current_revision = task.revision
    JOIN sample_revisions AS revision ON revision.project = task.project AND revision.sample_id = task.sample_id
                                     AND revision.revision = task.revision
    JOIN decisions AS decision ON decision.task_id = task.task_id
"""
_TELLS_LABELS = "(json_array_length(gold.answer -> 'labels') > 0 OR gold.answer ->> 'complete' IS NOT NULL)"
# Only what was asked for the first time: nobody had decided anything about it that one would be shown.
_GOLD = f"""
    SELECT task.*, decision.label_version_before, decision.actor_id AS decided_by
    FROM gold_answers AS gold
    JOIN review_tasks AS task ON task.project = gold.project AND task.sample_id = gold.sample_id {_NEWEST}
    WHERE gold.project = :project AND task.kind = :kind AND task.origin_decision_id IS NULL AND {_FITS}
      AND CASE task.kind WHEN 'review' THEN gold.answer ->> 'verdict' IS NOT NULL
                         WHEN 'annotate' THEN decision.verdict = 'submit' AND {_TELLS_LABELS} ELSE false END
      AND NOT EXISTS (SELECT FROM decisions AS earlier
                      WHERE earlier.project = task.project AND earlier.sample_id = task.sample_id
                        AND earlier.revision = task.revision AND earlier.decided_at < decision.decided_at
                        AND earlier.finding_ids && task.finding_ids)
      AND {_UNKNOWN}
    ORDER BY md5(:salt || task.sample_id), task.task_id LIMIT 1
"""  # noqa: S608 - constants
_SECOND = f"""
    SELECT task.*, decision.label_version_before, decision.actor_id AS decided_by
    FROM review_tasks AS task {_NEWEST}
    WHERE task.kind = 'adjudicate' AND {_FITS}
      AND NOT EXISTS (SELECT FROM probe_tasks AS probe
                      WHERE probe.source_task_id = task.task_id AND probe.purpose = 'second_opinion')
      AND ('x' || left(md5(:salt || task.task_id), 8))::bit(32)::bigint < CAST(:share AS float8) * 4294967296
      AND {_UNKNOWN}
    ORDER BY task.completed_at, task.task_id LIMIT 1
"""  # noqa: S608 - constants
# A limit is whole seconds after the moment at which a task began to be opened; it is stored a little later. That little
# is different for every task, but a limit that falls on the begin of somebody's working day is the same for many.
_LIMIT = """
    CASE WHEN line.{limit} = date_trunc('second', line.{limit}) THEN line.{limit} ELSE
        line.opened_at + make_interval(secs => (
            SELECT round(lasts) - (round(lasts) - lasts) * (0.5 + CAST(:place AS float8))
            FROM (SELECT extract(epoch FROM line.{limit} - line.created_at)::float8 AS lasts) AS head))
    END
"""
# The head's place in line: its priority, and an age between it and the task opened before it, or the probe that the
# person was given before it.
_OPEN = """
    WITH source AS MATERIALIZED ({source}),
    line AS MATERIALIZED (
        SELECT head.*, head.created_at - CAST(:place AS float8) * (head.created_at - coalesce(greatest((
            SELECT before.created_at FROM review_tasks AS before
            WHERE before.project = head.project AND before.lane_id = head.lane_id
              AND before.created_at < head.created_at
            ORDER BY before.created_at DESC LIMIT 1
        ), (
            SELECT max(before.created_at) FROM probe_seen AS seen
            JOIN probe_tasks AS before ON before.task_id = seen.task_id
            WHERE seen.project = head.project AND seen.actor_id = :actor_id
              AND before.queue = head.queue AND before.kind = head.kind AND before.created_at < head.created_at
        )), head.created_at - interval '1 hour')) AS opened_at
        FROM review_tasks AS head WHERE head.task_id = :head
    )
    INSERT INTO probe_tasks (task_id, purpose, source_task_id, label_version, shift_s, project, sample_id, revision,
                             kind, queue, skill, risk, priority, state, finding_ids, excluded_actors,
                             origin_decision_id, reason, fence, created_at, start_by_at, due_at,
                             "check", finding_kind, severity, domain, language, region, caused_by)
    SELECT :task_id, '{purpose}', source.task_id, source.label_version_before,
           extract(epoch FROM line.opened_at - source.created_at)::float8,
           source.project, source.sample_id, source.revision, source.kind, source.queue, source.skill, source.risk,
           line.priority, 'open', source.finding_ids,
           ARRAY(SELECT DISTINCT name FROM unnest(source.excluded_actors || source.decided_by || ARRAY(
               SELECT seen.actor_id FROM probe_seen AS seen
               WHERE seen.project = source.project AND seen.sample_id = source.sample_id)) AS name ORDER BY name),
           source.origin_decision_id, source.reason, 0, line.opened_at,
           {start_by_at}, {due_at},
           source."check", source.finding_kind, source.severity, source.domain, source.language, source.region,
           source.caused_by
    FROM source CROSS JOIN line
    ON CONFLICT DO NOTHING
    RETURNING task_id
"""


def _open(source: str, purpose: ProbePurpose) -> TextClause:
    limits = {name: _LIMIT.format(limit=name) for name in ("start_by_at", "due_at")}
    return text(_OPEN.format(source=source, purpose=purpose, **limits))


OPEN: dict[ProbePurpose, TextClause] = {
    "gold": _open(_GOLD, "gold"),
    "second_opinion": _open(_SECOND, "second_opinion"),
}
"""The statement of each purpose; parameters are the fields of a Choice, and ``task_id`` of the new probe."""

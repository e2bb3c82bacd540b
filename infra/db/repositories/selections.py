"""Selections as conditions: one for each field that is set, the same for a number and for its list."""

from __future__ import annotations

from typing import Any

from infra.db.repositories.task_rows import late_at
from services.contracts.active_time import ActivitySelection
from services.contracts.operations import DecisionSelection, SampleSelection, TaskSelection
from services.contracts.review import UPHELD_BY

Condition = tuple[str, dict[str, Any]]

_LIVE = "task.state = 'claimed' AND task.lease_expires_at > statement_timestamp()"
_ORIGIN = "SELECT FROM decisions AS origin WHERE origin.decision_id = task.origin_decision_id AND origin.verdict"
RULE = "task.caused_by ->> 'rule'"
# Tasks older than causes are second looks wherever a person's verdict opened them.
_FOUR_EYES = "coalesce(task.caused_by ->> 'four_eyes', 'true') = 'true'"
CAUSE = f"""
    CASE WHEN task.kind <> 'adjudicate' THEN '' WHEN task.origin_decision_id IS NULL THEN 'by_rule'
         WHEN EXISTS ({_ORIGIN} = 'escalate') THEN 'by_person'
         WHEN {_FOUR_EYES} THEN 'second_look' ELSE 'by_rule' END
"""
_TASK = {
    "queue": "task.queue = :queue",
    "kind": "task.kind = :kind",
    "created_since": "task.created_at >= :created_since",
    "created_before": "task.created_at < :created_before",
    "ended": "task.state = :ended",
    "ended_since": "task.completed_at >= :ended_since",
    "ended_before": "task.completed_at < :ended_before",
    "open_at": "task.created_at < :open_at AND (task.completed_at IS NULL OR task.completed_at >= :open_at)",
    "late_at": late_at("CAST(:late_at AS timestamptz)"),
    "cause": f"{CAUSE} = :cause",
    "rule": f"{RULE} = :rule",
    "held_by": f"{_LIVE} AND task.held_by = :held_by",
}
_ABOUT = """
    EXISTS (SELECT FROM findings AS finding
            WHERE finding.project = task.project AND finding.sample_id = task.sample_id
              AND finding.revision = task.revision AND finding.finding_id = ANY (task.finding_ids) {conditions})
"""
_CHANGE = """
    SELECT FROM stage_changes AS change
    WHERE change.project = revision.project AND change.sample_id = revision.sample_id
      AND change.revision = revision.revision
"""
_NO_LATER = """
    NOT EXISTS (SELECT FROM stage_changes AS later
                WHERE later.project = change.project AND later.sample_id = change.sample_id
                  AND later.revision = change.revision AND later.sequence > change.sequence AND later.at < :at)
"""
_REWORK = """
    SELECT count(*) FROM review_tasks AS task
    WHERE task.project = revision.project AND task.sample_id = revision.sample_id
      AND task.revision = revision.revision AND task.kind = 'rework'
"""
_FIRST = """
    decision.task_kind = 'review' AND NOT EXISTS (
        SELECT FROM decisions AS earlier
        WHERE earlier.project = decision.project AND earlier.sample_id = decision.sample_id
          AND earlier.revision = decision.revision AND earlier.task_kind = 'review'
          AND (earlier.decided_at, earlier.decision_id) < (decision.decided_at, decision.decision_id))
"""
_SECOND = """
    EXISTS (SELECT FROM review_tasks AS task JOIN decisions AS origin
                ON origin.decision_id = task.origin_decision_id
            WHERE task.task_id = decision.task_id AND task.kind = 'adjudicate'
              AND origin.verdict IN (<answers>) AND <four_eyes> {conditions})
""".replace("<four_eyes>", _FOUR_EYES).replace("<answers>", ", ".join(f"'{verdict}'" for verdict in UPHELD_BY))
_PAIRS = ", ".join(f"('{first}', '{later}')" for first, upheld in UPHELD_BY.items() for later in sorted(upheld))
_UPHELD = f"(origin.verdict, decision.verdict) IN ({_PAIRS})"
_DECISION = {
    "actor": "decision.actor_id = :actor",
    "kind": "decision.task_kind = :kind",
    "verdict": "decision.verdict = :verdict",
    "since": "decision.decided_at >= :since",
    "before": "decision.decided_at < :before",
}

_ACTIVITY = {
    "actor": "activity.actor_id = :actor",
    "task_id": "activity.task_id = :task_id",
    "queue": "task.queue = :queue",
    "kind": "task.kind = :kind",
    "since": "activity.updated_at >= :since",
    "before": "activity.updated_at < :before",
    "completed_since": "task.state = 'completed' AND task.completed_at >= :completed_since",
    "completed_before": "task.state = 'completed' AND task.completed_at < :completed_before",
}
_COMMITTED = """
    SELECT FROM stage_changes AS change
    WHERE change.project = task.project AND change.sample_id = task.sample_id AND change.revision = task.revision
      AND change.stage = 'committed'
"""


def tasks_where(selection: TaskSelection) -> Condition:
    """Return the condition on ``review_tasks AS task``, and its parameters."""
    given, parts = _given(selection, _TASK)
    if selection.held is not None:
        parts.append(f"({_LIVE})" if selection.held else f"NOT ({_LIVE})")
    about = []
    if selection.check is not None:
        about.append('AND finding."check" = :check')
    if selection.finding_kind is not None:
        about.append("AND finding.kind = :finding_kind")
    if about:
        parts.append(_ABOUT.format(conditions=" ".join(about)))
    return " AND ".join(["task.project = :project", *parts]), given


def samples_where(selection: SampleSelection) -> Condition:
    """Return the condition on ``sample_revisions AS revision``, and its parameters."""
    given, parts = _given(selection, {"stage": "revision.stage = :stage"})
    window = "".join(
        f" AND {{column}} {sign} :{name}" for name, sign in (("since", ">="), ("before", "<")) if name in given
    )
    if selection.entered is not None:
        parts.append(f"EXISTS ({_CHANGE} AND change.stage = :entered{window.format(column='change.at')})")
    if selection.reworked is not None:
        parts.append(f"({_REWORK}{window.format(column='task.created_at')}) >= :reworked")
    if selection.stage_at is not None:
        parts.append(f"EXISTS ({_CHANGE} AND change.stage = :stage_at AND change.at < :at AND {_NO_LATER})")
    return " AND ".join(["revision.project = :project", *parts]), given


def decisions_where(selection: DecisionSelection) -> Condition:
    """Return the condition on ``decisions AS decision``, and its parameters."""
    given, parts = _given(selection, _DECISION)
    if selection.first is not None:
        parts.append(f"({_FIRST})" if selection.first else f"NOT ({_FIRST})")
    if selection.second_look is not None:
        second = _SECOND.format(conditions="")
        parts.append(second if selection.second_look else f"NOT {second}")
    if selection.agrees is not None:
        upheld = _UPHELD if selection.agrees else f"NOT {_UPHELD}"
        parts.append(_SECOND.format(conditions=f"AND {upheld}"))
    return " AND ".join(["decision.project = :project", *parts]), given


def activity_where(selection: ActivitySelection) -> Condition:
    """Return the condition on ``task_activity AS activity`` and its ``review_tasks AS task``, and its parameters."""
    given, parts = _given(selection, _ACTIVITY)
    committed = "".join(
        f" AND change.at {sign} :{name}"
        for name, sign in (("committed_since", ">="), ("committed_before", "<"))
        if name in given
    )
    if committed:
        parts.append(f"EXISTS ({_COMMITTED}{committed})")
    return " AND ".join(["task.project = :project", *parts]), given


def _given(
    selection: TaskSelection | SampleSelection | DecisionSelection | ActivitySelection, conditions: dict[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Return the fields that are set, as parameters, and the conditions of those that have one."""
    given = selection.model_dump(exclude_none=True)
    parameters = {name: value.value if hasattr(value, "value") else value for name, value in given.items()}
    return parameters, [condition for name, condition in conditions.items() if name in given]

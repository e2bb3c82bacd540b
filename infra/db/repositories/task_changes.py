"""The statements that change many tasks and note what became of each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import TextClause, text

from infra.db.documents import body_text
from infra.db.repositories.claims import ANSWERS, SAME_ANSWER
from services.contracts.task_operations import RELEASE_GRACE, TaskFilter
from services.ports.task_operations import GroupPlace, NewPlace

_LIVE = "task.state = 'claimed' AND task.lease_expires_at > statement_timestamp()"
_UNFINISHED = "task.state IN ('open', 'claimed')"

# Member of the filter, column, and the type of the list.
_LISTS = (
    ("task_ids", "task.task_id", "uuid"),
    ("sample_ids", "task.sample_id", "text"),
    ("queues", "task.queue", "text"),
    ("kinds", "task.kind", "text"),
    ("checks", 'task."check"', "text"),
    ("finding_kinds", "task.finding_kind", "text"),
    ("severities", "task.severity", "text"),
    ("risks", "task.risk", "text"),
    ("domains", "task.domain", "text"),
    ("languages", "task.language", "text"),
    ("regions", "task.region", "text"),
    ("assignees", "task.assignee", "text"),
)
_BOUNDS = (
    ("on_hold", "task.on_hold = :on_hold_is"),
    ("min_priority", "task.priority >= :min_priority"),
    ("max_priority", "task.priority <= :max_priority"),
    ("created_before", "task.created_at < :created_before"),
    ("created_after", "task.created_at > :created_after"),
    ("due_before", "task.due_at < :due_before"),
)

_FACTS = ("kind", "risk", "check", "finding_kind", "severity", "domain", "language", "region")
_FACTS_SQL = ", ".join(f"coalesce({{side}}.\"{name}\", '')" for name in _FACTS)
# Where an escalation rule has sent a task is told member by member, so that how it is written does not matter.
_SENT = ("tier", "queue", "skill")
_SENT_PLACE = ", ".join(f"coalesce(place.\"target\" ->> '{name}', '')" for name in _SENT)
_SENT_TASK = ", ".join(f"coalesce(task.caused_by -> 'to' ->> '{name}', '')" for name in _SENT)
_GROUP_JOIN = f"""
    LEFT JOIN json_to_recordset(CAST(:groups AS json)) AS place (
        {", ".join(f'"{name}" text' for name in _FACTS)}, target json, to_queue text, to_skill text
    ) ON ({_FACTS_SQL.format(side="place")}, {_SENT_PLACE}) = ({_FACTS_SQL.format(side="task")}, {_SENT_TASK})
"""

_NOW = "statement_timestamp()"


def _after_hold(deadline: str) -> str:
    """Return a deadline after the change: what is released has the time it had left, and never less than the grace."""
    return f"""
        CASE WHEN task.on_hold AND NOT judged.on_hold_after AND task.{deadline} IS NOT NULL
             THEN greatest(task.{deadline} + ({_NOW} - coalesce(task.on_hold_since, {_NOW})),
                           {_NOW} + make_interval(secs => {RELEASE_GRACE.total_seconds()}))
             ELSE task.{deadline} END
    """


# What is on record after the change; an expired claim counts as open, and is written so.
_UPDATE = f"""
    done AS (
        UPDATE review_tasks AS task
        SET queue = judged.queue_after, skill = judged.skill_after, priority = judged.priority_after,
            on_hold = judged.on_hold_after, hold_reason = judged.hold_reason_after, assignee = judged.assignee_after,
            on_hold_since = CASE WHEN judged.on_hold_after THEN coalesce(task.on_hold_since, {_NOW}) END,
            start_by_at = {_after_hold("start_by_at")}, due_at = {_after_hold("due_at")},
            state = CASE WHEN {_LIVE} THEN state ELSE 'open' END,
            held_by = CASE WHEN {_LIVE} THEN held_by END,
            lease_expires_at = CASE WHEN {_LIVE} THEN lease_expires_at END
        FROM judged WHERE task.task_id = judged.task_id AND judged.outcome = 'changed'
        RETURNING task.task_id
    ),
    noted AS (
        INSERT INTO task_operation_items (
            operation_id, task_id, outcome, queue_before, queue_after, skill_before, skill_after, priority_before,
            priority_after, on_hold_before, on_hold_after, hold_reason_before, hold_reason_after, assignee_before,
            assignee_after)
        SELECT :operation_id, task_id, outcome, queue, queue_after, skill, skill_after, priority, priority_after,
               on_hold, on_hold_after, hold_reason, hold_reason_after, assignee, assignee_after
        FROM judged
    )
"""  # noqa: S608 - constants
_COUNT = "SELECT outcome, count(*) AS tasks FROM judged GROUP BY outcome"

_RESTORED = {
    name: f"CASE WHEN item.{name}_before IS DISTINCT FROM item.{name}_after THEN item.{name}_before "
    f"ELSE task.{name} END AS {name}_after"
    for name in ("queue", "skill", "priority", "on_hold", "hold_reason", "assignee")
}
_UNTOUCHED = " AND ".join(
    f"(item.{name}_before IS NOT DISTINCT FROM item.{name}_after OR task.{name} IS NOT DISTINCT FROM item.{name}_after)"
    for name in _RESTORED
)
_WAS_MOVED = (
    "(item.queue_before, item.skill_before, item.assignee_before) IS DISTINCT FROM "
    "(item.queue_after, item.skill_after, item.assignee_after)"
)
TAKE_BACK = text(f"""
    WITH judged AS MATERIALIZED (
        SELECT task.task_id, task.queue, task.skill, task.priority, task.on_hold, task.hold_reason, task.assignee,
               {", ".join(_RESTORED.values())},
               CASE WHEN NOT {_UNFINISHED} THEN 'finished'
                    WHEN NOT ({_UNTOUCHED}) THEN 'changed_since'
                    WHEN {_WAS_MOVED} AND {_LIVE} THEN 'held'
                    ELSE 'changed' END AS outcome
        FROM review_tasks AS task JOIN task_operation_items AS item
          ON item.operation_id = :undoes AND item.outcome = 'changed' AND item.task_id = task.task_id
        ORDER BY task.task_id FOR NO KEY UPDATE OF task
    ),
    {_UPDATE}
    {_COUNT}
""")  # noqa: S608


def filter_parameters(wanted: TaskFilter) -> tuple[str, dict[str, Any]]:
    """Return the conditions of a filter, beginning with AND, and their parameters."""
    conditions: list[str] = []
    parameters: dict[str, Any] = {}
    for name, column, kind in _LISTS:
        values = getattr(wanted, name)
        if values:
            conditions.append(f"AND {column} = ANY (CAST(:{name} AS {kind}[]))")
            parameters[name] = list(values) if kind == "uuid" else [str(value) for value in values]
    for name, condition in _BOUNDS:
        value = getattr(wanted, name)
        if value is not None:
            conditions.append(f"AND {condition}")
            parameters["on_hold_is" if name == "on_hold" else name] = value
    return " ".join(conditions), parameters


def count_statement(conditions: str) -> TextClause:
    """Return the statement that counts the tasks of a filter, to one more than ``most``."""
    return text(
        f"SELECT count(*) AS tasks FROM (SELECT FROM review_tasks AS task "  # noqa: S608 - constants
        f"WHERE task.project = :project AND {_UNFINISHED} {conditions} LIMIT CAST(:most AS integer) + 1) AS named"
    )


def change_statement(conditions: str, place: NewPlace, *, dry: bool) -> tuple[TextClause, dict[str, Any]]:
    """Return the statement that changes the tasks of a filter, and its further parameters.

    Args:
        conditions: From :func:`filter_parameters`.
        place: What the tasks shall have.
        dry: Only count.
    """
    values: dict[str, Any] = {}
    after = dict.fromkeys(("queue", "skill", "priority", "on_hold", "hold_reason", "assignee"), "")
    after = {name: f"task.{name}" for name in after}
    join = ""
    if place.queue is not None:
        after["queue"], values["queue"] = "CAST(:queue AS text)", place.queue
    if place.groups is not None:
        join, values["groups"] = _GROUP_JOIN, body_text([_group(group) for group in place.groups])
        after["queue"] = "coalesce(place.to_queue, task.queue)"
        after["skill"] = "CASE WHEN place.to_queue IS NULL THEN task.skill ELSE place.to_skill END"
    if place.priority is not None:
        after["priority"], values["priority"] = "CAST(:priority AS integer)", place.priority
    if place.add_priority is not None:
        after["priority"] = "greatest(least(task.priority + CAST(:add_priority AS bigint), 1000000000), -1000000000)"
        values["add_priority"] = place.add_priority
    if place.on_hold is not None:
        after["on_hold"], values["on_hold"] = "CAST(:on_hold AS boolean)", place.on_hold
        after["hold_reason"], values["hold_reason"] = "CAST(:hold_reason AS text)", place.hold_reason
    cases = [f"WHEN ({_MOVES}) AND {_LIVE} THEN 'held'".replace("<after>", _moves(after))]
    if place.assign:
        after["assignee"], values["assignee"] = "CAST(:assignee AS text)", place.assignee
        cases = [f"WHEN {_LIVE} THEN 'held'"]
    is_named = place.assignee is not None
    if is_named:
        cases += _ASSIGNABLE
        values |= {
            "assignee_kinds": [kind.value for kind in place.assignee_kinds],
            "assignee_skills": list(place.assignee_skills),
            "assignee_from": place.assignee_from,
        }
    columns = ", ".join(f"task.{name}" for name in after)
    compared = "task.project, task.sample_id, task.revision, task.kind, task.finding_ids, " if is_named else ""
    renamed = ", ".join(f"CAST({value} AS {_TYPES[name]}) AS {name}_after" for name, value in after.items())
    statement = f"""
        WITH {"named" if is_named else "judged"} AS MATERIALIZED (
            SELECT task.task_id, {compared}{columns}, {renamed}, CASE {" ".join(cases)} ELSE 'changed' END AS outcome
            FROM review_tasks AS task {join}
            WHERE task.project = :project AND {_UNFINISHED} {conditions}
              AND ({columns}) IS DISTINCT FROM ({", ".join(after.values())})
            ORDER BY task.task_id LIMIT :most {"" if dry else "FOR NO KEY UPDATE OF task"}
        )
        {f", {_ONE_ANSWER}" if is_named else ""}
        {"" if dry else f", {_UPDATE}"}
        {_COUNT}
    """  # noqa: S608 - constants
    return text(statement), values


_TYPES = {
    "queue": "text", "skill": "text", "priority": "integer", "on_hold": "boolean", "hold_reason": "text",
    "assignee": "text",
}  # fmt: skip
_MOVES = "(task.queue, task.skill) IS DISTINCT FROM (<after>)"
_ASSIGNABLE = [
    "WHEN CAST(:assignee AS text) = ANY (task.excluded_actors) THEN 'excluded'",
    """WHEN NOT task.kind = ANY (CAST(:assignee_kinds AS text[]))
       OR (task.skill IS NOT NULL AND NOT task.skill = ANY (CAST(:assignee_skills AS text[]))) THEN 'unfit'""",
    "WHEN task.due_at <= CAST(:assignee_from AS timestamptz) THEN 'away'",
]
# Nobody is asked for two answers to one thing. As joins, so that many tasks are compared by their samples at once; what
# the same operation would assign counts by its order. Of three tasks in a row of which the first and the last do not
# meet, the last is left out too; assigning it again takes it.
_ONE_ANSWER = f"""
    answering AS MATERIALIZED (
        SELECT task.task_id FROM named AS task JOIN (
            SELECT task_id, project, sample_id, revision, kind AS task_kind, finding_ids FROM review_tasks AS task
            WHERE {_UNFINISHED} AND (task.assignee = :assignee OR task.held_by = :assignee AND {_LIVE})
        ) AS other ON {SAME_ANSWER}
        UNION
        SELECT task.task_id FROM named AS task JOIN decisions AS other
          ON other.actor_id = :assignee AND {ANSWERS} AND {SAME_ANSWER}
        UNION
        SELECT task.task_id FROM named AS task JOIN (
            SELECT task_id, project, sample_id, revision, kind AS task_kind, finding_ids FROM named
            WHERE outcome = 'changed'
        ) AS other ON other.task_id < task.task_id AND {SAME_ANSWER}
    ),
    judged AS MATERIALIZED (
        SELECT {", ".join(["task_id", *_TYPES, *(f"{name}_after" for name in _TYPES)])},
               CASE WHEN outcome = 'changed' AND task_id IN (SELECT task_id FROM answering) THEN 'excluded'
                    ELSE outcome END AS outcome
        FROM named
    )
"""  # noqa: S608 - constants


def _moves(after: dict[str, str]) -> str:
    return f"{after['queue']}, {after['skill']}"


def _group(group: GroupPlace) -> dict[str, Any]:
    return {
        "kind": group.kind.value,
        "risk": group.risk,
        **group.facts.model_dump(),
        "target": None if group.to is None else group.to.model_dump(),
        "to_queue": group.queue,
        "to_skill": group.skill,
    }

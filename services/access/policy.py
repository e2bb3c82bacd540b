"""Who may do what: one matrix, deny by default."""

from __future__ import annotations

from enum import StrEnum

from services.contracts.access import Principal, Role
from services.contracts.review import TaskKind
from services.errors import ForbiddenError, NotFoundError


class Permission(StrEnum):
    """What a key may be allowed to do; every route of the API names exactly one."""

    SELF_READ = "self.read"  # who am I
    EVENTS_SEND = "events.send"
    DEAD_LETTERS_READ = "dead_letters.read"
    DEAD_LETTERS_REPLAY = "dead_letters.replay"
    PROJECTS_READ = "projects.read"
    PROJECTS_WRITE = "projects.write"
    RULE_SETS_READ = "rule_sets.read"
    RULE_SETS_WRITE = "rule_sets.write"
    RULE_SETS_TRY = "rule_sets.try"  # on a project's stored samples
    TAXONOMIES_READ = "taxonomies.read"
    TAXONOMIES_WRITE = "taxonomies.write"  # draft and publish
    TAXONOMIES_MIGRATE = "taxonomies.migrate"  # carry a project's samples over
    SAMPLES_READ = "samples.read"  # what was sent, and where it is
    HISTORY_READ = "history.read"  # what was found and who decided what about it
    OPERATIONS_READ = "operations.read"  # throughput, backlog, people's load
    GROUND_TRUTH_READ = "ground_truth.read"
    DATASETS_READ = "datasets.read"
    DATASETS_WRITE = "datasets.write"  # define datasets, make versions
    AUDIT_READ = "audit.read"
    AUDIT_VERIFY = "audit.verify"
    TASKS_READ = "tasks.read"
    TASKS_WORK = "tasks.work"  # claim, draft, decide
    QUEUES_MANAGE = "queues.manage"  # set queues up, move tasks by the thousand
    PEOPLE_MANAGE = "people.manage"  # skills, teams, hours and caps of reviewers
    INCIDENTS_READ = "incidents.read"
    INCIDENTS_MANAGE = "incidents.manage"  # preview, fix, dismiss
    QUALITY_MANAGE = "quality.manage"  # known answers, and how often people are right
    KEYS_MANAGE = "keys.manage"
    ERASURES_MANAGE = "erasures.manage"  # erase, place and release legal holds
    NOTES_READ = "notes.read"
    NOTES_WRITE = "notes.write"
    WEBHOOKS_READ = "webhooks.read"
    WEBHOOKS_WRITE = "webhooks.write"
    WEBHOOKS_SEND = "webhooks.send"  # test an endpoint, send events again


_EVERYBODY = frozenset(
    {
        Permission.SELF_READ,
        Permission.PROJECTS_READ,
        Permission.RULE_SETS_READ,
        Permission.TAXONOMIES_READ,
        Permission.SAMPLES_READ,
    }
)
_HISTORY = frozenset({Permission.HISTORY_READ, Permission.GROUND_TRUTH_READ, Permission.DATASETS_READ})
# People who judge do not get HISTORY_READ: the evidence of their task holds what they may know, and a blind second
# look would not be blind if the first verdict could be read one address further.
_NOTES = frozenset({Permission.NOTES_READ, Permission.NOTES_WRITE})
_AT_WORK = _EVERYBODY | _NOTES | {Permission.TASKS_READ, Permission.TASKS_WORK, Permission.GROUND_TRUTH_READ}
_VIEWER = (
    _EVERYBODY
    | _HISTORY
    | {
        Permission.TASKS_READ,
        Permission.AUDIT_READ,
        Permission.OPERATIONS_READ,
        Permission.INCIDENTS_READ,
        Permission.NOTES_READ,
    }
)
_OPERATIONS = (
    _VIEWER
    | _NOTES
    | {
        Permission.DEAD_LETTERS_READ,
        Permission.DEAD_LETTERS_REPLAY,
        Permission.AUDIT_VERIFY,
        Permission.QUEUES_MANAGE,
        Permission.PEOPLE_MANAGE,
        Permission.WEBHOOKS_READ,
        Permission.WEBHOOKS_SEND,
        Permission.INCIDENTS_MANAGE,
        Permission.RULE_SETS_TRY,
        Permission.QUALITY_MANAGE,
        Permission.DATASETS_WRITE,
        Permission.TAXONOMIES_MIGRATE,
    }
)

ROLE_PERMISSIONS: dict[Role, frozenset[Permission]] = {
    Role.ADMIN: _OPERATIONS
    | {
        Permission.EVENTS_SEND,
        Permission.PROJECTS_WRITE,
        Permission.RULE_SETS_WRITE,
        Permission.TAXONOMIES_WRITE,
        Permission.KEYS_MANAGE,
        Permission.ERASURES_MANAGE,
        Permission.WEBHOOKS_WRITE,
    },
    Role.OPERATIONS: _OPERATIONS,
    Role.ANNOTATOR: _AT_WORK,
    Role.REVIEWER: _AT_WORK,
    Role.EXPERT: _AT_WORK,
    Role.UPSTREAM: _EVERYBODY | _HISTORY | {Permission.EVENTS_SEND},
    Role.VIEWER: _VIEWER,
}
"""What each role may do. What does not stand here is not allowed."""

_TASK_KINDS: dict[Role, tuple[TaskKind, ...]] = {
    Role.ANNOTATOR: (TaskKind.ANNOTATE, TaskKind.REWORK),
    Role.REVIEWER: (TaskKind.REVIEW, TaskKind.ANNOTATE, TaskKind.REWORK),
    Role.EXPERT: (TaskKind.ADJUDICATE, TaskKind.REVIEW),
}


def may(role: Role, permission: Permission) -> bool:
    """Whether a role has a permission."""
    return permission in ROLE_PERMISSIONS.get(role, frozenset())


def task_kinds_of(role: Role) -> tuple[TaskKind, ...]:
    """Return the kinds of task that a role may take; none for roles that do not work on tasks."""
    return _TASK_KINDS.get(role, ())


def ensure_may(principal: Principal, permission: Permission) -> None:
    """Raise ForbiddenError unless the principal's role has ``permission``."""
    if not may(principal.role, permission):
        raise ForbiddenError(f"The role {principal.role} has no permission {permission}; use a key of another role.")


def ensure_sees(principal: Principal, project: str) -> None:
    """Raise NotFoundError, worded as for a project that does not exist, unless the key may touch ``project``."""
    if not principal.sees(project):
        raise project_not_found(project)


def ensure_unscoped(principal: Principal, what: str) -> None:
    """Raise ForbiddenError unless the key may touch every project."""
    if principal.projects is not None:
        raise ForbiddenError(f"{what} concerns every project; this key is limited to some of them.")


def project_not_found(project: str) -> NotFoundError:
    """Return the one answer for a project that is not there and for one that the key must not see."""
    return NotFoundError(f"There is no project {project!r}.")

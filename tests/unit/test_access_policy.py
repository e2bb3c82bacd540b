"""The role matrix, written out a second time: a change of one without the other is seen."""

from __future__ import annotations

import pytest

from services.access.policy import (
    ROLE_PERMISSIONS,
    Permission,
    ensure_may,
    ensure_sees,
    ensure_unscoped,
    may,
    task_kinds_of,
)
from services.contracts.access import Principal, Role
from services.contracts.review import TaskKind
from services.errors import ForbiddenError, NotFoundError

P = Permission
WHO = {
    P.SELF_READ: set(Role),
    P.PROJECTS_READ: set(Role),
    P.RULE_SETS_READ: set(Role),
    P.TAXONOMIES_READ: set(Role),
    P.TAXONOMIES_WRITE: {Role.ADMIN},
    P.TAXONOMIES_MIGRATE: {Role.ADMIN, Role.OPERATIONS},
    P.SAMPLES_READ: set(Role),
    P.GROUND_TRUTH_READ: set(Role),
    P.EVENTS_SEND: {Role.ADMIN, Role.UPSTREAM},
    P.DEAD_LETTERS_READ: {Role.ADMIN, Role.OPERATIONS},
    P.DEAD_LETTERS_REPLAY: {Role.ADMIN, Role.OPERATIONS},
    P.PROJECTS_WRITE: {Role.ADMIN},
    P.RULE_SETS_WRITE: {Role.ADMIN},
    P.RULE_SETS_TRY: {Role.ADMIN, Role.OPERATIONS},
    P.HISTORY_READ: {Role.ADMIN, Role.OPERATIONS, Role.VIEWER, Role.UPSTREAM},
    P.OPERATIONS_READ: {Role.ADMIN, Role.OPERATIONS, Role.VIEWER},
    P.DATASETS_READ: {Role.ADMIN, Role.OPERATIONS, Role.VIEWER, Role.UPSTREAM},
    P.DATASETS_WRITE: {Role.ADMIN, Role.OPERATIONS},
    P.AUDIT_READ: {Role.ADMIN, Role.OPERATIONS, Role.VIEWER},
    P.AUDIT_VERIFY: {Role.ADMIN, Role.OPERATIONS},
    P.TASKS_READ: set(Role) - {Role.UPSTREAM},
    P.TASKS_WORK: {Role.ANNOTATOR, Role.REVIEWER, Role.EXPERT},
    P.QUEUES_MANAGE: {Role.ADMIN, Role.OPERATIONS},
    P.PEOPLE_MANAGE: {Role.ADMIN, Role.OPERATIONS},
    P.INCIDENTS_READ: {Role.ADMIN, Role.OPERATIONS, Role.VIEWER},
    P.INCIDENTS_MANAGE: {Role.ADMIN, Role.OPERATIONS},
    P.QUALITY_MANAGE: {Role.ADMIN, Role.OPERATIONS},
    P.KEYS_MANAGE: {Role.ADMIN},
    P.ERASURES_MANAGE: {Role.ADMIN},
    P.NOTES_READ: set(Role) - {Role.UPSTREAM},
    P.NOTES_WRITE: set(Role) - {Role.UPSTREAM, Role.VIEWER},
    P.WEBHOOKS_READ: {Role.ADMIN, Role.OPERATIONS},
    P.WEBHOOKS_SEND: {Role.ADMIN, Role.OPERATIONS},
    P.WEBHOOKS_WRITE: {Role.ADMIN},
}


@pytest.mark.parametrize("permission", list(Permission))
def test_each_permission_belongs_to_exactly_these_roles(permission: Permission) -> None:
    assert {role for role in Role if may(role, permission)} == WHO[permission]


def test_every_role_stands_in_the_matrix() -> None:
    assert set(ROLE_PERMISSIONS) == set(Role)


def test_only_people_at_work_take_tasks() -> None:
    taking = {role: set(task_kinds_of(role)) for role in Role if task_kinds_of(role)}
    assert taking == {
        Role.ANNOTATOR: {TaskKind.ANNOTATE, TaskKind.REWORK},
        Role.REVIEWER: {TaskKind.REVIEW, TaskKind.ANNOTATE, TaskKind.REWORK},
        Role.EXPERT: {TaskKind.ADJUDICATE, TaskKind.REVIEW},
    }
    assert set(taking) == WHO[P.TASKS_WORK]


def test_who_judges_blind_can_not_read_the_history_elsewhere() -> None:
    assert not {role for role in Role if TaskKind.ADJUDICATE in task_kinds_of(role) and may(role, P.HISTORY_READ)}


def test_a_foreign_project_reads_like_one_that_does_not_exist() -> None:
    scoped = Principal(actor_id="a", key_id="k", role=Role.VIEWER, projects=("mine",))
    ensure_sees(scoped, "mine")
    with pytest.raises(NotFoundError, match="There is no project 'theirs'"):
        ensure_sees(scoped, "theirs")
    with pytest.raises(ForbiddenError):
        ensure_unscoped(scoped, "This")
    with pytest.raises(ForbiddenError, match=r"keys\.manage"):
        ensure_may(scoped, P.KEYS_MANAGE)

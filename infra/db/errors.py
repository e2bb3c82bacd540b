"""What the database's errors mean as business facts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.errors import (
    AlreadyExistsError,
    ConcordError,
    ForbiddenError,
    IntegrityError,
    InvalidInputError,
    NotFoundError,
    SelfReviewError,
    StaleFenceError,
    TaskFinishedError,
    UnavailableError,
)

_TRY_AGAIN = {
    "25P02": "an earlier statement of the transaction failed",
    "25P03": "the transaction was idle for too long",
    "25006": "the database is read-only now",
    "40001": "the transaction collided with another",
    "40P01": "the transaction was caught in a deadlock",
    "55P03": "a row or table stays locked",
    "57014": "a statement took too long",
}
_TRY_AGAIN_CLASSES = {
    "08": "the connection was lost",
    "28": "the database refuses this program's name or password",
    "3D": "there is no such database on the server",
    "53": "the database is out of resources",
    "57": "the database is stopping or starting",
    "58": "the database's storage failed",
}
_UNSTORABLE = frozenset({"22021", "22P05"})

_CONSTRAINTS: dict[str, tuple[type[ConcordError], str]] = {
    "uq_decisions_task_id": (TaskFinishedError, "the task has its decision already"),
    "ck_decisions_not_excluded": (SelfReviewError, "the task excludes this person: they made or judged what is judged"),
    "ck_decisions_current_fence": (StaleFenceError, "the task was claimed again since; claim it to go on"),
    "ck_review_tasks_not_excluded": (SelfReviewError, "the task excludes this person"),
    "ck_review_tasks_assignee": (ForbiddenError, "the task is assigned to somebody else"),
    "pk_ground_truth": (AlreadyExistsError, "the revision has its ground truth already"),
    "pk_datasets": (AlreadyExistsError, "the project has a dataset of this name already"),
    "fk_dataset_members_dataset_groups": (IntegrityError, "a group of a dataset would be in two splits"),
    "ck_dataset_members_before_version": (IntegrityError, "the version is made; nothing is added to it"),
    "fk_samples_projects": (NotFoundError, "there is no such project"),
}


CONNECTION_FAULTS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what asyncpg says when the server ends the session in mid-question
)
"""What the driver raises when the connection is gone."""


# A plan that the connection has kept is of the time before a migration; it is made anew when it is asked for again.
_TABLES_CHANGED = (asyncpg.InvalidCachedStatementError, asyncpg.OutdatedSchemaCacheError)


def sqlstate_of(error: BaseException) -> str | None:
    """Return the SQLSTATE of a driver's error, as raised or as SQLAlchemy wraps it."""
    original = error.orig if isinstance(error, DBAPIError) else error
    state = getattr(original, "sqlstate", None)
    return state if isinstance(state, str) else None


def _constraint_of(error: BaseException) -> str | None:
    name = getattr(error, "constraint_name", None)
    return name if isinstance(name, str) else None


def _as_raised(error: BaseException) -> BaseException:
    """Return the driver's error, which SQLAlchemy may have wrapped."""
    return error if not isinstance(error, DBAPIError) or error.orig is None else error.orig.__cause__ or error.orig


def business_error(error: BaseException) -> ConcordError | None:
    """Return what ``error`` means, or None where it is a mistake of the program.

    Args:
        error: What SQLAlchemy or asyncpg raised.
    """
    if isinstance(error, PoolTimeoutError):
        return UnavailableError("all database connections are in use; try again")
    if isinstance(error, TimeoutError | OSError):
        return UnavailableError("the database does not answer; try again")
    state = sqlstate_of(error)
    reason = _TRY_AGAIN.get(state or "") or _TRY_AGAIN_CLASSES.get((state or "")[:2])
    if reason is not None:
        return UnavailableError(f"{reason}; try again", facts={"sqlstate": state})
    raised = _as_raised(error)
    lost = isinstance(error, DBAPIError) and error.connection_invalidated
    if isinstance(raised, _TABLES_CHANGED):
        return UnavailableError("the tables were changed meanwhile; try again", facts={"sqlstate": state})
    if lost or isinstance(raised, CONNECTION_FAULTS):
        return UnavailableError("the connection to the database was lost; try again")
    return _meaning(raised, state)


def _meaning(error: BaseException, state: str | None) -> ConcordError | None:
    if state in _UNSTORABLE:
        return InvalidInputError("a text contains a character that can not be stored, such as NUL; remove it")
    constraint = _constraint_of(error)
    if constraint in _CONSTRAINTS:
        kind, detail = _CONSTRAINTS[constraint]
        return kind(detail)
    if state is not None and state.startswith("23"):
        return IntegrityError(
            f"the database refuses this: {constraint or 'what is kept is never changed'}",
            facts={"constraint": constraint, "sqlstate": state},
        )
    return None


@contextmanager
def translated() -> Iterator[None]:
    """Raise business facts in place of the database's errors."""
    try:
        yield
    except (DBAPIError, PoolTimeoutError, asyncpg.PostgresError, *CONNECTION_FAULTS) as error:
        meaning = business_error(error)
        if meaning is None:
            raise
        raise meaning from error

"""What people at work see of a project beside their tasks: all of it, or nothing, as the project says."""

from __future__ import annotations

from services.access.policy import Permission, ensure_sees, may
from services.contracts.access import Principal
from services.contracts.records import Project
from services.errors import ForbiddenError
from services.ports.database import Transaction


def is_closed(project: Project, principal: Principal) -> bool:
    """Whether somebody sees no more of a project than their own tasks."""
    return project.config.people_see == "own_tasks" and not may(principal.role, Permission.HISTORY_READ)


async def sees_own_tasks_only(tx: Transaction, principal: Principal, project: str) -> bool:
    """Whether somebody sees no more of a project than their own tasks."""
    if may(principal.role, Permission.HISTORY_READ):
        return False
    known = await tx.projects.get(project)
    return known is not None and is_closed(known, principal)


async def hidden_projects(tx: Transaction, principal: Principal) -> frozenset[str]:
    """Return the projects of which somebody sees their own tasks only."""
    if may(principal.role, Permission.HISTORY_READ):
        return frozenset()
    return frozenset(
        project.id
        for project in await tx.projects.list()
        if principal.sees(project.id) and is_closed(project, principal)
    )


async def ensure_sees_samples(tx: Transaction, principal: Principal, project: str) -> None:
    """Refuse who sees a project's samples by way of their tasks only.

    Raises:
        NotFoundError: The key does not see the project.
        ForbiddenError: The project says so.
    """
    ensure_sees(principal, project)
    if await sees_own_tasks_only(tx, principal, project):
        raise ForbiddenError("In this project people at work see samples by way of their tasks; claim one.")

"""Answers about tasks at an even pace, where the time they take would tell known answers from real tasks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from time import monotonic
from typing import Annotated

from fastapi import Depends

from api.auth import Services, authenticate
from services.access.policy import Permission, may
from services.contracts.access import Principal
from services.ports.database import Database


def wait_s(taken_s: float, pace_s: float) -> float:
    """Return how long to wait after so much time, so that the whole is a multiple of the pace."""
    return 0.0 if pace_s <= 0 else pace_s - taken_s % pace_s


async def steady(services: Services, principal: Annotated[Principal, Depends(authenticate)]) -> AsyncIterator[None]:
    """Hold back answers to people at work who may be given known answers; a dependency of scope ``function``."""
    began = monotonic()
    held_back = may(principal.role, Permission.TASKS_WORK) and await _mixes(services.database, principal)
    try:
        yield
    finally:
        if held_back:
            await asyncio.sleep(wait_s(monotonic() - began, services.pace_s))


async def _mixes(database: Database, principal: Principal) -> bool:
    async with database.transaction() as tx:
        projects = await tx.projects.list()
    return any(
        project.config.gold is not None or project.config.second_opinions is not None
        for project in projects
        if principal.sees(project.id)
    )

"""Samples that have outlived what their project keeps."""

from __future__ import annotations

import asyncpg

from infra.db.engine import PostgresDatabase
from services.contracts.erasure import Retention
from services.contracts.records import ProjectConfig
from tests.committed import committed_sample
from tests.intake_events import PROJECT, add_project


async def set_retention(database: PostgresDatabase, retention: Retention | None, project: str = PROJECT) -> None:
    """Set what a project keeps; the project is made if it is not there."""
    async with database.transaction() as tx:
        known = await tx.projects.get(project)
    if known is None:
        await add_project(database, project, ProjectConfig(retention=retention))
        return
    async with database.transaction() as tx:
        config = known.config.model_copy(update={"retention": retention})
        await tx.projects.update_config(known.model_copy(update={"config": config}))


async def expired_samples(database: PostgresDatabase, database_url: str, names: tuple[str, ...]) -> None:
    """Commit samples that ended 31 days ago."""
    for name in names:
        await committed_sample(database, name)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(
            "UPDATE sample_revisions SET updated_at = now() - interval '31 days' WHERE sample_id = ANY ($1)", [*names]
        )
    finally:
        await connection.close()

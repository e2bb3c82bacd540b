from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, text
from sqlalchemy.pool import NullPool

from infra.db.connect import create_engine
from infra.db.engine import open_database
from infra.db.migrate import alembic_config, migrate
from infra.db.tables import METADATA
from infra.stack.directory import StackUrls
from services.errors import UnavailableError
from tests.databases import cloned_database

_CONSTRAINTS = """
    SELECT conrelid::regclass::text AS on_table, conname, pg_get_constraintdef(oid) AS definition
    FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    ORDER BY 1, 2
"""
_INDEXES = """
    SELECT tablename, indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename <> 'alembic_version' ORDER BY 1, 2
"""
_COLUMNS = """
    SELECT table_name, column_name, data_type, is_nullable, column_default, is_identity
    FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version' ORDER BY 1, 2
"""


def _differences(connection: Connection) -> list[Any]:
    context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
    return list(compare_metadata(context, METADATA))


async def test_migrated_schema_needs_no_further_migration(database_url: str) -> None:
    engine = create_engine(database_url, poolclass=NullPool, statement_timeout_s=60)
    async with engine.connect() as connection:
        assert await connection.run_sync(_differences) == []
    await engine.dispose()


async def test_migrated_schema_equals_tables_in_every_constraint_index_and_column(
    stack_urls: StackUrls, database_url: str
) -> None:
    async with cloned_database(stack_urls.database_url, "template0") as declared_url:
        engine = create_engine(declared_url, poolclass=NullPool, statement_timeout_s=60)
        async with engine.begin() as connection:
            await connection.run_sync(METADATA.create_all)
        await engine.dispose()
        migrated, declared = await asyncpg.connect(database_url), await asyncpg.connect(declared_url)
        try:
            for query in (_CONSTRAINTS, _INDEXES, _COLUMNS):
                assert [tuple(row) for row in await migrated.fetch(query)] == [
                    tuple(row) for row in await declared.fetch(query)
                ]
        finally:
            await migrated.close()
            await declared.close()


async def test_ping_before_migration_is_unavailable_and_after_it_answers(stack_urls: StackUrls) -> None:
    async with (
        cloned_database(stack_urls.database_url, "template0") as url,
        open_database(url, pool_size=2) as database,
    ):
        with pytest.raises(UnavailableError, match="schema"):
            await database.ping()
        await migrate(url)
        await database.ping()
        await migrate(url)  # nothing left to do
        await database.ping()


async def test_processes_that_migrate_at_once_wait_for_each_other(stack_urls: StackUrls) -> None:
    async with cloned_database(stack_urls.database_url, "template0") as url:
        await asyncio.gather(*(migrate(url) for _ in range(3)))
        async with open_database(url, pool_size=1) as database:
            await database.ping()


async def test_migrations_can_be_taken_back_and_made_again(database_url: str) -> None:
    engine = create_engine(database_url, poolclass=NullPool, statement_timeout_s=60)
    async with engine.begin() as connection:
        await connection.run_sync(lambda sync: command.downgrade(alembic_config(sync), "base"))
    async with engine.connect() as connection:
        tables = await connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"))
        assert tables == 1, "only alembic's own is left"
    await engine.dispose()
    await migrate(database_url)

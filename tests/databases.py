"""Fresh databases for tests: cloned from a migrated template, dropped afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg

from infra.db.migrate import migrate


def with_name(url: str, name: str) -> str:
    """The URL of another database on the same server."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


async def administer(url: str, statement: str) -> None:
    """Run a statement that creates or drops a database, outside of every database of the tests."""
    connection = await asyncpg.connect(with_name(url, "postgres"), timeout=30)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@asynccontextmanager
async def migrated_template(server_url: str) -> AsyncIterator[str]:
    """A migrated database that nobody connects to; its name."""
    name = f"concord_template_{uuid4().hex[:12]}"
    await administer(server_url, f'CREATE DATABASE "{name}"')
    try:
        await migrate(with_name(server_url, name))
        yield name
    finally:
        await administer(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def cloned_database(server_url: str, template: str) -> AsyncIterator[str]:
    """A fresh database like ``template``; its URL."""
    name = f"concord_test_{uuid4().hex[:12]}"
    await administer(server_url, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
    try:
        yield with_name(server_url, name)
    finally:
        await administer(server_url, f'DROP DATABASE "{name}" WITH (FORCE)')


@asynccontextmanager
async def unguarded(url: str) -> AsyncIterator[asyncpg.Connection[Any]]:
    """A superuser's connection on which neither triggers nor foreign keys stand in the way."""
    connection = await asyncpg.connect(url)
    try:
        await connection.execute("SET session_replication_role = replica")
        yield connection
    finally:
        await connection.close()

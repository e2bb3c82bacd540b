"""A fresh, migrated database for every test that asks for one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from infra.db.engine import PostgresDatabase, open_database
from infra.stack.directory import StackUrls
from tests.databases import cloned_database, migrated_template


@pytest.fixture(scope="session")
async def database_template(stack_urls: StackUrls) -> AsyncIterator[str]:
    """The name of a migrated database, made once per test process."""
    async with migrated_template(stack_urls.database_url) as name:
        yield name


@pytest.fixture
async def database_url(stack_urls: StackUrls, database_template: str) -> AsyncIterator[str]:
    """The URL of a fresh database."""
    async with cloned_database(stack_urls.database_url, database_template) as url:
        yield url


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[PostgresDatabase]:
    """A fresh database, open."""
    async with open_database(database_url, pool_size=20) as opened:
        yield opened

"""A Postgres of its own for a benchmark, with databases that the migrations have made."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from infra.db.migrate import migrate
from infra.stack.directory import DataDirectory
from infra.stack.events import EventListener
from infra.stack.postgres import EmbeddedPostgres
from infra.stack.supervisor import Supervisor


@asynccontextmanager
async def bench_postgres(data_dir: Path, *, durable: bool, on_event: EventListener) -> AsyncIterator[str]:
    """Run an embedded Postgres while the block does; its URL.

    Args:
        data_dir: A folder of its own.
        durable: Whether what is committed is written through to the disk.
        on_event: Told what happens to the server.
    """
    directory = DataDirectory.open(data_dir)
    try:
        await directory.wait_for_orphans()
        secrets = directory.secrets(has_data=False)
        postgres = EmbeddedPostgres(
            directory.path,
            directory.log_dir,
            port=directory.ports(["postgres"], None)["postgres"],
            password=secrets.postgres_password,
            durable=durable,
            keep_open=(directory.children_lock,),
        )
        supervisor = Supervisor(directory.log_dir, on_event=on_event, keep_open=(directory.children_lock,))
        try:
            await supervisor.start([await postgres.spec()])
            yield postgres.url
        finally:
            await supervisor.stop()
    finally:
        directory.close()


async def migrated_database(server_url: str, name: str) -> str:
    """Make a database on a server, and its tables; return its URL."""
    connection = await asyncpg.connect(server_url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}"')
    finally:
        await connection.close()
    url = urlunsplit(urlsplit(server_url)._replace(path=f"/{name}"))
    await migrate(url)
    return url

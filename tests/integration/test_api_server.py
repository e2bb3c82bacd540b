"""The application behind a real HTTP server: bodies without end, clients that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from infra.db.engine import PostgresDatabase, open_database
from services.contracts.access import Role
from tests.api_server import served
from tests.review_world import OWN, ApiWorld, add_projects, add_sample, open_client, open_task

DEPARTURES = 60


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("rita", Role.REVIEWER)
        yield made


def head(world: ApiWorld, method: str, path: str, *lines: str, who: str = "rita") -> bytes:
    fixed = [f"{method} {path} HTTP/1.1", "Host: concord.test", f"Authorization: Bearer {world.secrets[who]}"]
    return "\r\n".join([*fixed, "Content-Type: application/json", *lines, "", ""]).encode()


@pytest.mark.parametrize("length", ["Transfer-Encoding: chunked", f"Content-Length: {100 * 2**20}"])
@pytest.mark.parametrize(("who", "status"), [("rita", b"413"), ("nobody", b"401")])
async def test_a_hundred_megabytes_are_answered_with_a_problem(
    world: ApiWorld, length: str, who: str, status: bytes
) -> None:
    world.secrets["nobody"] = "ck_unknown"
    chunked = length.startswith("Transfer")
    task = await open_task(world.database, await add_sample(world.database, "s1"))
    chunk = b"x" * 65_536
    async with served(world.database) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(world, "POST", f"/v1/tasks/{task.task_id}/decide", length, "Connection: close", who=who))
        for _ in range(100 * 2**20 // len(chunk)):
            writer.write(b"%x\r\n%s\r\n" % (len(chunk), chunk) if chunked else chunk)
            await writer.drain()
        if chunked:
            writer.write(b"0\r\n\r\n")
        answer = await reader.read()
        writer.close()
    # A stated length is refused unread, whoever asks.
    assert answer.startswith(b"HTTP/1.1 " + (status if chunked else b"413")), answer[:200]
    assert b"urn:concord:problem:" in answer


async def test_clients_that_leave_take_no_connection_with_them(world: ApiWorld, database_url: str) -> None:
    task = await open_task(world.database, await add_sample(world.database, "s1"))
    paths = [
        head(world, "GET", f"/v1/tasks/{task.task_id}"),
        head(world, "POST", "/v1/tasks/claim", "Content-Length: 2", "Idempotency-Key: k") + b"{}",
        head(world, "POST", f"/v1/tasks/{task.task_id}/claim", "Content-Length: 500") + b"{",
        head(world, "GET", f"/v1/projects/{OWN}/samples"),
    ]
    async with open_database(database_url, pool_size=3) as small:
        async with served(small) as port:

            async def leave(number: int) -> None:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.write(paths[number % len(paths)])
                await writer.drain()
                writer.transport.abort()

            for start in range(0, DEPARTURES, 10):
                await asyncio.gather(*(leave(start + number) for number in range(10)))
            # The three connections of the pool are all still there for those who stay.
            statuses = await asyncio.gather(*(_status(world, port) for _ in range(9)))
        assert set(statuses) == {b"200"}
        async with small._engine.connect() as connection:
            idle = await connection.scalar(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND state LIKE 'idle in transaction%'"
                )
            )
    assert idle == 0


async def _status(world: ApiWorld, port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head(world, "GET", "/v1/whoami", "Connection: close"))
    answer = await reader.read()
    writer.close()
    return answer.split(b" ", 2)[1]

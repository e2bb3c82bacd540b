"""One process at a time: a lock that Postgres gives back by itself when its holder's connection ends."""

from __future__ import annotations

import hashlib
from types import TracebackType
from typing import Self

import asyncpg

from infra.db.connect import CONNECT_TIMEOUT_S
from infra.db.errors import CONNECTION_FAULTS


class Leadership:
    """A session-level advisory lock on a connection of its own, for the time of its ``async with`` block.

    Args:
        url: The database.
        name: What is led; one holder for each name and database.
    """

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._key = int.from_bytes(hashlib.sha256(f"concord leadership {name}".encode()).digest()[:8], signed=True)
        self._connection: asyncpg.Connection | None = None
        self._held = False

    async def __aenter__(self) -> Self:
        """Nothing is connected yet."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Give the lock back."""
        self._drop()

    async def acquire(self) -> bool:
        """Whether this process leads now; does not wait for another that leads.

        A lost connection means a lost lock, which is noticed here and asked for again.
        """
        try:
            if self._connection is None or self._connection.is_closed():
                self._drop()
                self._connection = await asyncpg.connect(
                    self._url,
                    timeout=CONNECT_TIMEOUT_S,
                    command_timeout=CONNECT_TIMEOUT_S,
                    server_settings={"application_name": f"concord-leads-{self._name}"},
                )
            if not self._held:
                self._held = bool(await self._connection.fetchval("SELECT pg_try_advisory_lock($1)", self._key))
        except (asyncpg.PostgresError, *CONNECTION_FAULTS):
            self._drop()
        return self._held

    def _drop(self) -> None:
        self._held = False
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

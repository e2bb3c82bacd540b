"""Wakes the relays when a transaction has left messages in the outbox."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Any, Self

import asyncpg

from infra.db.connect import CONNECT_TIMEOUT_S
from infra.db.errors import CONNECTION_FAULTS

OUTBOX_CHANNEL = "concord_outbox"
_RECONNECT_PAUSE_S = 1.0


class OutboxListener:
    """Listens on a connection of its own while its ``async with`` block runs, and connects again when it is lost.

    A notification can be missed; the poll interval is what a message waits at most. The rows are the truth.

    Args:
        url: The database.
        poll_interval_s: :meth:`wait` returns after this time in any case.
    """

    def __init__(self, url: str, *, poll_interval_s: float = 1.0) -> None:
        self._url = url
        self._poll_interval_s = poll_interval_s
        self._woken = asyncio.Event()
        self._lost = asyncio.Event()
        self._listening = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Start to listen, without waiting for the connection."""
        self._task = asyncio.create_task(self._listen(), name="outbox-listener")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close the connection."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait((self._task,))

    async def wait(self) -> bool:
        """Return when the outbox has grown since the last call (True), or after the poll interval (False)."""
        try:
            async with asyncio.timeout(self._poll_interval_s):
                await self._woken.wait()
        except TimeoutError:
            return False
        self._woken.clear()
        return True

    def wake(self) -> None:
        """Let :meth:`wait` return now, such as to stop a relay."""
        self._woken.set()

    async def listening(self) -> None:
        """Return once the connection listens."""
        await self._listening.wait()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (asyncpg.PostgresError, *CONNECTION_FAULTS):
                await asyncio.sleep(_RECONNECT_PAUSE_S)

    async def _listen_once(self) -> None:
        connection = await asyncpg.connect(
            self._url, timeout=CONNECT_TIMEOUT_S, server_settings={"application_name": "concord-listen"}
        )
        try:
            self._lost.clear()
            connection.add_termination_listener(self._on_lost)
            await connection.add_listener(OUTBOX_CHANNEL, self._on_notification)
            self._listening.set()
            # Whatever was notified while nobody listened is in the table.
            self._woken.set()
            await self._lost.wait()
        finally:
            self._listening.clear()
            connection.terminate()

    def _on_lost(self, _connection: Any) -> None:
        self._lost.set()

    def _on_notification(self, *_details: Any) -> None:
        self._woken.set()

"""A tiny HTTP server for tests: they need to send broken answers, which frameworks refuse to do."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

_LENGTH = re.compile(r"^content-length: *([0-9]+)\r$", re.IGNORECASE | re.MULTILINE)
Handler = Callable[[str, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Served:
    """What a server is, and what it was asked.

    Attributes:
        port: Where it listens on 127.0.0.1.
        heads: The head of each request, in the order they came.
        bodies: The body of each request; empty where its length was not stated.
    """

    port: int = 0
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[Served]:
    """Serve on a free port until the block ends; ``handler`` is given the head of a request and writes the answer."""
    served = Served()
    busy: set[asyncio.Task[None]] = set()
    running: set[asyncio.Task[None]] = set()
    closing = False

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = _LENGTH.search(head)
            body = await reader.readexactly(int(length[1])) if length is not None else b""
            served.heads.append(head)
            served.bodies.append(body)
            await handler(head, writer)
            await writer.drain()

    async def cancellable(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if closing:
            writer.transport.abort()
            return
        own = asyncio.current_task()
        assert own is not None
        running.add(own)
        task = asyncio.create_task(connection(reader, writer))
        busy.add(task)
        await asyncio.wait({task})
        writer.close()
        running.discard(own)

    server = await asyncio.start_server(cancellable, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        # What was accepted and has not begun yet is dropped when it begins: left to itself it would wait for ever.
        closing = True
        server.close()
        for task in busy:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await asyncio.gather(*busy, return_exceptions=True)
        await server.wait_closed()


def http(body: bytes = b"", status: str = "200 OK", *headers: str, length: int | None = None) -> bytes:
    """Return a whole answer."""
    size = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status}", f"content-length: {size}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(answer: bytes) -> Handler:
    """Answer every request alike."""

    async def handler(head: str, writer: asyncio.StreamWriter) -> None:
        writer.write(answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if head.startswith("HEAD ") else answer)

    return handler

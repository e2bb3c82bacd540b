"""A receiver of webhooks on this machine: keeps what it is sent, and answers as the test says."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from standardwebhooks import Webhook

from tests.http_server import Served, http, serving

OK = http(b"taken")


@dataclass(frozen=True)
class Received:
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    @property
    def webhook_id(self) -> str:
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> None:
        """Raise unless the library of the specification finds a signature of this secret."""
        Webhook(secret).verify(self.body, self.headers)


Answer = Callable[[Received], Awaitable[bytes | None]]


async def take(_received: Received) -> bytes:
    """Answer 200 to everything."""
    return OK


@dataclass
class Receiver:
    """Where it listens, what it was sent, and how it answers; the answer may be exchanged at any time."""

    served: Served
    answer: Answer = take
    received: list[Received] = field(default_factory=list)

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.served.port}"

    @property
    def url(self) -> str:
        return f"http://{self.host}/hook"

    def sequences(self, sample_id: str) -> list[int]:
        """The numbers of the sample's events, in the order they came."""
        return [
            item.event["data"]["sequence"] for item in self.received if item.event["data"].get("sample_id") == sample_id
        ]


@asynccontextmanager
async def receiving(answer: Answer = take) -> AsyncIterator[Receiver]:
    """Receive until the block ends; an answer of None leaves the sender without one."""
    receiver: Receiver

    async def handler(head: str, writer: asyncio.StreamWriter) -> None:
        request, *lines = head.strip().split("\r\n")
        assert request.startswith("POST ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        received = Received(headers, receiver.served.bodies[-1])
        receiver.received.append(received)
        raw = await receiver.answer(received)
        if raw is None:
            await asyncio.Event().wait()
        else:
            writer.write(raw)

    async with serving(handler) as served:
        receiver = Receiver(served, answer)
        yield receiver

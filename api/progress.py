"""Answers that take long: whoever accepts an event stream hears how far the work is until the answer comes.

The stream holds events named ``progress``, with the newest state a few times a second, comments as signs of life, and
as the last event ``answer`` with the body of the plain answer, or ``problem`` with the problem document. A client that
goes away ends the work; with an ``Idempotency-Key`` it may ask again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic
from typing import Any

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.bodies import json_of
from api.live import EVENT_STREAM
from api.problems import internal_document, problem_document
from services.contracts.canonical import canonical_json
from services.contracts.progress import Progress
from services.errors import ConcordError
from services.progress import Tell, tell_nobody

_SIGN_OF_LIFE_S = 15.0
_EVERY_S = 0.2
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"content": {EVENT_STREAM: {"schema": {"type": "string"}}}, "description": "The answer, or how far it is."}
}
"""What the OpenAPI document says about a route that answers so."""


async def answer_with_progress(request: Request, work: Callable[[Tell], Awaitable[Response]]) -> Response:
    """Return what ``work`` answers, as a stream with its progress where the request accepts one.

    Args:
        request: The request.
        work: Does it, and tells how far it is.
    """
    if EVENT_STREAM not in request.headers.get("Accept", ""):
        return await work(tell_nobody)
    return StreamingResponse(_events(work), media_type=EVENT_STREAM)


class _News:
    """The newest state, for one reader."""

    def __init__(self) -> None:
        self._newest: Progress | None = None
        self._event = asyncio.Event()

    def tell(self, progress: Progress) -> None:
        """Keep a state in the place of the one before."""
        self._newest = progress
        self._event.set()

    def wake(self, _: object) -> None:
        """Have the reader look, whether there is news or not."""
        self._event.set()

    async def wait(self, seconds: float) -> Progress | None:
        """Return the newest state; None if there is none, or not so soon."""
        try:
            await asyncio.wait_for(self._event.wait(), seconds)
        except TimeoutError:
            return None
        return self.take()

    def take(self) -> Progress | None:
        """Return the newest state, if it was not returned before."""
        self._event.clear()
        newest, self._newest = self._newest, None
        return newest


async def _events(work: Callable[[Tell], Awaitable[Response]]) -> AsyncIterator[bytes]:
    news = _News()
    task = asyncio.ensure_future(work(news.tell))
    task.add_done_callback(news.wake)
    spoken = 0.0
    try:
        while not task.done():
            newest = await news.wait(_SIGN_OF_LIFE_S)
            if newest is not None:
                yield _event("progress", json_of(newest))
                spoken = monotonic()
            elif not task.done():
                yield b": still here\n\n"
            # What comes meanwhile is told as one.
            await asyncio.wait({task}, timeout=max(0.0, spoken + _EVERY_S - monotonic()))
        newest = news.take()
        if newest is not None:
            yield _event("progress", json_of(newest))
        try:
            answer = await task
        except ConcordError as error:
            yield _event("problem", canonical_json(problem_document(error)))
        except Exception:
            yield _event("problem", canonical_json(internal_document()))
            # The log is to have it; the reader has been told.
            raise
        else:
            yield _event("answer", bytes(answer.body))
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _event(name: str, data: bytes) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + data + b"\n\n"

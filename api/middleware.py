"""What surrounds every request, as plain ASGI: id, headers, log line, metrics, the cap on bodies.

Plain ASGI because Starlette's BaseHTTPMiddleware runs the application in a task of its own and leaks it, with its
database connection, when a client goes away.
"""

from __future__ import annotations

import re
import time
import traceback
import uuid

import structlog
from anyio import move_on_after
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.metrics import RequestMetrics
from api.problems import internal_problem, problem_of
from services.errors import PayloadTooLargeError

REQUEST_ID = "X-Request-Id"
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,100}")
_NO_ROUTE = "(none)"
CLIENT_GONE = 499
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_LOGGED_IDS = ("project", "sample_id", "task_id")
_FRAMES_LOGGED = 6
_THROW_AWAY_S = 30.0


class RequestFrame:
    """The outermost frame: nothing gets past it without an answer, a log line and a count.

    The log line holds the request id, the route's template, ids, status and time: never a body, a query or a header.
    """

    def __init__(self, app: ASGIApp, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics
        self._log = structlog.stdlib.get_logger("concord.api")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["request_id"] = _request_id(scope)
        started = time.perf_counter()
        status = 0

        async def send_framed(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = state["request_id"]
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self._app(scope, receive, send_framed)
        except ClientDisconnect:
            status = status or CLIENT_GONE
        except Exception as error:
            self._log_fault(state["request_id"], error)
            if status:
                # The answer has begun; only a broken connection tells the client that it is not whole.
                raise
            await internal_problem(scope)(scope, receive, send_framed)
        finally:
            self._finish(scope, status or CLIENT_GONE, time.perf_counter() - started)

    def _finish(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", _NO_ROUTE)
        method = str(scope["method"])[:20]
        self._metrics.observe(route, method, status, seconds)
        state = scope["state"]
        facts = {name: value for name, value in scope.get("path_params", {}).items() if name in _LOGGED_IDS}
        facts |= state.get("sample", {})
        facts |= {name: state[name] for name in ("actor_id", "key_id", "problem") if name in state}
        self._log.info(
            "request",
            request_id=state["request_id"],
            route=route,
            method=method,
            status=status,
            ms=round(seconds * 1_000, 1),
            **{name: str(value)[:200] for name, value in facts.items()},
        )

    def _log_fault(self, request_id: str, error: Exception) -> None:
        # An exception's text may quote what was sent; its type and place do not.
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES_LOGGED:]
        self._log.error(
            "request_failed",
            request_id=request_id,
            error=type(error).__name__,
            where=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
        )


class BodyCap:
    """Refuses a request body over a size while it comes in; at most the cap is ever held.

    Before an answer goes out, what is left of the body is read and thrown away, for a while: a client that sends its
    whole body before it reads would otherwise meet a reset connection in place of the answer.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        stated = headers.get("content-length", "")
        if stated in ("", "0") and "transfer-encoding" not in headers:
            await self._app(scope, receive, send)
            return
        body = _IncomingBody(receive, self._max_bytes, waits="expect" in headers)

        async def send_after_body(message: Message) -> None:
            if message["type"] == "http.response.start":
                await body.throw_away_rest()
            await send(message)

        if stated.isdecimal() and int(stated[:20]) > self._max_bytes:
            await problem_of(scope, body.too_large())(scope, receive, send_after_body)
        else:
            await self._app(scope, body.receive, send_after_body)


class _IncomingBody:
    def __init__(self, receive: Receive, max_bytes: int, *, waits: bool) -> None:
        self._receive = receive
        self._max_bytes = max_bytes
        self._received = 0
        # A client that asked with "Expect: 100-continue" sends nothing before the body is asked for.
        self._more = not waits

    async def receive(self) -> Message:
        message = await self._receive()
        self._more = message["type"] == "http.request" and message.get("more_body", False)
        self._received += len(message.get("body", b""))
        if self._received > self._max_bytes:
            raise self.too_large()
        return message

    async def throw_away_rest(self) -> None:
        with move_on_after(_THROW_AWAY_S):
            while self._more:
                message = await self._receive()
                self._more = message["type"] == "http.request" and message.get("more_body", False)

    def too_large(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(f"The body is larger than {self._max_bytes} bytes; send less at once.")


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())

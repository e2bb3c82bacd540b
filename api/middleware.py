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
    """Refuses a request body over a size while it comes in; at most the cap is ever held."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stated = Headers(scope=scope).get("content-length", "")
        if stated.isdecimal() and int(stated[:20]) > self._max_bytes:
            await problem_of(scope, self._too_large())(scope, receive, send)
            return
        received = 0

        async def receive_capped() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self._max_bytes:
                    raise self._too_large()
            return message

        await self._app(scope, receive_capped, send)

    def _too_large(self) -> PayloadTooLargeError:
        return PayloadTooLargeError(f"The body is larger than {self._max_bytes} bytes; send less at once.")


def _request_id(scope: Scope) -> str:
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _REQUEST_ID.fullmatch(given) else str(uuid.uuid4())

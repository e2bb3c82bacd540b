"""How calls to the HTTP API are made: bytes, keys, retries, and problems as exceptions."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

import httpx

from services.contracts.canonical import canonical_json, parse_json
from services.contracts.progress import Progress

_TRY_AGAIN = frozenset({429, 502, 503, 504})
# The service gives a sign of life more often than that.
_STREAM_TIMEOUT = httpx.Timeout(60.0)
_EVENT_STREAM = "text/event-stream"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 3.0


class ApiProblem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """What the API says when it does not do what was asked (RFC 9457).

    Attributes:
        type: ``urn:concord:problem:<code>``, stable.
        title: The kind of problem, for people.
        status: HTTP status; 0 when no answer came.
        detail: One sentence with the values that matter and what to change.
        places: (JSON pointer, sentence) pairs into what was sent.
    """

    def __init__(
        self,
        type: str,  # noqa: A002 - the member's name in RFC 9457
        title: str,
        status: int,
        detail: str,
        places: tuple[tuple[str, str], ...] = (),
    ) -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.type = type
        self.title = title
        self.status = status
        self.detail = detail
        self.places = places

    @property
    def code(self) -> str:
        """The last part of the type, such as ``stale-fence``."""
        return self.type.rpartition(":")[2]


class ApiCaller:
    """Calls one Concord with one key. Use as an async context manager, or close it in the end.

    A call that finds the service away (no connection, 429, 502, 503, 504) is made again with growing pauses until
    ``retry_for_s`` is over. That is safe for every call: unsafe ones carry an ``Idempotency-Key``, so that the second
    one gets the reply of the first.

    Args:
        url: Base address, such as ``http://127.0.0.1:8080``.
        key: The secret of an API key; None for the open routes only.
        timeout_s: Of one attempt.
        retry_for_s: How long to try again; 0 tries once.
        transport: Another way to send requests, such as straight into an application.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        timeout_s: float = 60.0,
        retry_for_s: float = 20.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        headers = {"Accept": "application/json, application/problem+json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        # The environment's proxies are for the outside; they would see the key.
        self._http = httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=timeout_s, transport=transport, trust_env=False
        )
        self._retry_for_s = retry_for_s

    async def __aenter__(self) -> Self:
        """Open the connection pool."""
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Close all connections."""
        await self._http.__aexit__(kind, error, traceback)

    async def close(self) -> None:
        """Close all connections, for whoever does not use ``async with``."""
        await self._http.aclose()

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        query: Mapping[str, Any] | None = None,
        media_type: str = "application/json",
        if_match: str | None = None,
        timeout_s: float | None = None,
    ) -> Any:
        """Make a call and return its JSON, None where there is none.

        Args:
            method: Such as GET.
            path: Below the base address.
            body: A contract model or JSON values.
            query: Members that are None are left out; those that are tuples are given once for each item.
            media_type: Of the body.
            if_match: What the change was made from; the answer is an error if it is no longer so.
            timeout_s: Of one attempt, where the caller knows that it takes longer than others.

        Raises:
            ApiProblem: The answer is an error, or none came.
        """
        headers: dict[str, str] = {}
        if method != "GET":
            headers["Idempotency-Key"] = str(uuid4())
        content = None
        if body is not None:
            content = canonical_json(body)
            headers["Content-Type"] = media_type
        if if_match is not None:
            headers["If-Match"] = f'"{if_match}"'
        request = self._http.build_request(
            method,
            path,
            content=content,
            params=_params_of(query),
            headers=headers,
            timeout=httpx.USE_CLIENT_DEFAULT if timeout_s is None else timeout_s,
        )
        response = await self._send(request)
        if response.is_error:
            raise problem_of(response)
        return response.json() if response.content else None

    async def call_with_progress(
        self, method: str, path: str, body: Any = None, *, tell: Callable[[Progress], None]
    ) -> Any:
        """Make a call that takes long and return its JSON; ``tell`` hears how far the work is.

        A connection that is lost, or a service that is away, is tried again until ``retry_for_s`` is over without any
        sign of life; with one ``Idempotency-Key``, so that what was done meanwhile is not done twice.

        Raises:
            ApiProblem: The answer is an error, or none came.
        """
        headers = {"Accept": _EVENT_STREAM, "Idempotency-Key": str(uuid4())}
        content = None if body is None else canonical_json(body)
        if content is not None:
            headers["Content-Type"] = "application/json"
        pauses = _Pauses(self._retry_for_s)
        while True:
            request = self._http.build_request(method, path, content=content, headers=headers, timeout=_STREAM_TIMEOUT)
            try:
                response = await self._http.send(request, stream=True)
                try:
                    if response.status_code not in _TRY_AGAIN:
                        return await _streamed(response, tell, pauses)
                    await response.aread()
                    failed: Exception = problem_of(response)
                    asked_s = _retry_after_s(response)
                finally:
                    await response.aclose()
            except ApiProblem as problem:
                # Said while the work was under way, where it is too late for a status.
                if problem.status not in _TRY_AGAIN:
                    raise
                failed, asked_s = problem, 0.0
            except (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError) as error:
                failed, asked_s = _unreachable(self.url, error), 0.0
            except httpx.TransportError as error:
                raise _unreachable(self.url, error) from error
            if not await pauses.wait(asked_s):
                raise failed

    async def events(self, path: str, *, query: Mapping[str, Any] | None = None) -> AsyncIterator[str]:
        """Yield the data of server-sent events until the stream ends.

        Raises:
            ApiProblem: The answer is an error, or the connection is lost.
        """
        async for line in self.lines(path, query=query):
            if line.startswith("data: "):
                yield line.removeprefix("data: ")

    async def lines(self, path: str, *, query: Mapping[str, Any] | None = None) -> AsyncIterator[str]:
        """Yield the whole lines of an answer while it comes.

        Raises:
            ApiProblem: The answer is an error, or the connection is lost: then its status is 0.
        """
        try:
            async with self._http.stream("GET", path, params=_params_of(query), timeout=_STREAM_TIMEOUT) as response:
                if response.is_error:
                    await response.aread()
                    raise problem_of(response)
                rest = b""
                # Not what Python takes for the end of a line: texts may hold others of these.
                async for chunk in response.aiter_bytes():
                    *whole, rest = (rest + chunk).split(b"\n")
                    for line in whole:
                        yield line.decode()
        except httpx.TransportError as error:
            raise _unreachable(self.url, error) from error

    async def _send(self, request: httpx.Request) -> httpx.Response:
        pauses = _Pauses(self._retry_for_s)
        while True:
            failure: httpx.TransportError | None = None
            response: httpx.Response | None = None
            asked_s = 0.0
            try:
                response = await self._http.send(request)
            except (httpx.NetworkError, httpx.TimeoutException, httpx.RemoteProtocolError) as error:
                failure = error
            except httpx.TransportError as error:
                raise _unreachable(self.url, error) from error
            if response is not None:
                if response.status_code not in _TRY_AGAIN:
                    return response
                asked_s = _retry_after_s(response)
            if not await pauses.wait(asked_s):
                if response is not None:
                    return response
                raise _unreachable(self.url, failure) from failure


class _Pauses:
    """Growing pauses between attempts, until they have been in vain for so long."""

    def __init__(self, retry_for_s: float) -> None:
        self._retry_for_s = retry_for_s
        self.begin()

    def begin(self) -> None:
        """Begin anew: the service has given a sign of life."""
        self._deadline = asyncio.get_running_loop().time() + self._retry_for_s
        self._pause_s = _FIRST_PAUSE_S

    async def wait(self, asked_s: float) -> bool:
        """Wait before the next attempt, at least as long as was asked for; False if there is to be none."""
        spread_s = self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - spreads callers, guards nothing
        wait_s = max(asked_s, spread_s)
        if asyncio.get_running_loop().time() + wait_s > self._deadline:
            return False
        await asyncio.sleep(wait_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_PAUSE_S)
        return True


async def _streamed(response: httpx.Response, tell: Callable[[Progress], None], pauses: _Pauses) -> Any:
    """Read an answer that may come as a stream of events, the last of which is the answer."""
    if response.is_error:
        await response.aread()
        raise problem_of(response)
    if not response.headers.get("Content-Type", "").startswith(_EVENT_STREAM):
        return parse_json(await response.aread())
    name = ""
    async for line in response.aiter_lines():
        field, _, value = line.partition(": ")
        if field == "event":
            name = value
        elif field == "data" and name == "answer":
            return parse_json(value.encode())
        elif field == "data" and name == "problem":
            raise problem_from(parse_json(value.encode()))
        elif field == "data":
            pauses.begin()
            tell(Progress.model_validate_json(value))
    raise httpx.RemoteProtocolError("the stream ended before the answer")


def problem_of(response: httpx.Response) -> ApiProblem:
    """Return what an error answer says, whatever answered it."""
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        title = f"HTTP {response.status_code} {response.reason_phrase}".strip()
        return ApiProblem("about:blank", title, response.status_code, response.text[:500])
    return problem_from(document, response.status_code)


def problem_from(document: Mapping[str, Any], status: int = 0) -> ApiProblem:
    """Return a problem-details document as an exception."""
    return ApiProblem(
        type=str(document.get("type", "about:blank")),
        title=str(document.get("title", f"HTTP {status}")),
        status=int(document.get("status", status)),
        detail=str(document.get("detail", "")),
        places=tuple(_place(item) for item in document.get("places") or document.get("errors") or ()),
    )


def _place(item: Any) -> tuple[str, str]:
    if isinstance(item, Mapping):
        return str(item.get("pointer", "")), str(item.get("detail", item.get("message", "")))
    pointer, sentence = item
    return str(pointer), str(sentence)


def _retry_after_s(response: httpx.Response) -> float:
    value = response.headers.get("Retry-After", "")
    return min(float(value), 60.0) if value.isdecimal() else 0.0


def _unreachable(url: str, failure: Exception | None) -> ApiProblem:
    reason = f"{type(failure).__name__}: {failure}".rstrip(": ")
    return ApiProblem(
        "urn:concord:problem:unreachable",
        "No answer",
        0,
        f"{url} does not answer ({reason}); is Concord running there?",
    )


def _params_of(query: Mapping[str, Any] | None) -> dict[str, str | list[str]]:
    given = {name: value for name, value in (query or {}).items() if value is not None}
    return {
        name: [str(one) for one in value] if isinstance(value, tuple) else str(value) for name, value in given.items()
    }

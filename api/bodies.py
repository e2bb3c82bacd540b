"""Bodies in and out: read strictly by the contract, written from it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from anyio import to_thread
from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from services.contracts.canonical import canonical_json, parse_json
from services.contracts.validation import validate
from services.errors import UnsupportedMediaTypeError

Model = TypeVar("Model", bound=BaseModel)
JSON_TYPE = "application/json"
_IN_A_THREAD_FROM = 64 * 1024
_BODY = "concord_body"


@dataclass(frozen=True, slots=True)
class BodyDocumentation:
    """What the OpenAPI document says about a body."""

    model: type[BaseModel]
    optional: bool
    example: Mapping[str, Any] | None


def json_body(
    model: type[Model], *, what: str, optional: bool = False, example: Mapping[str, Any] | None = None
) -> Callable[[Request], Awaitable[Model]]:
    """Return the dependency that reads the request body as ``model``.

    Args:
        model: A contract model.
        what: How errors name the body.
        optional: An empty body means the model's defaults.
        example: A body for the documentation.

    The dependency raises MalformedJsonError, InvalidInputError, UnsupportedMediaTypeError or PayloadTooLargeError.
    """

    async def read(request: Request) -> Model:
        raw = await request.body()
        if optional and not raw:
            return model()
        media_type = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        if media_type != JSON_TYPE:
            raise UnsupportedMediaTypeError(f"Send the body as {JSON_TYPE}, not {media_type[:100]!r}.")
        if len(raw) < _IN_A_THREAD_FROM:
            return _read(model, what, raw)
        # A large document takes a second to validate; other requests go on meanwhile.
        return await to_thread.run_sync(partial(_read, model, what, raw))

    setattr(read, _BODY, BodyDocumentation(model, optional, example))
    return read


def body_of(call: Callable[..., Any] | None) -> BodyDocumentation | None:
    """Return what a dependency of :func:`json_body` reads; None for any other."""
    body: BodyDocumentation | None = getattr(call, _BODY, None)
    return body


def _read(model: type[Model], what: str, raw: bytes) -> Model:
    return validate(model, parse_json(raw), what=what)


def json_of(value: BaseModel | Mapping[str, Any]) -> bytes:
    """Return the body of an answer; members without a value are left out of models."""
    if isinstance(value, BaseModel):
        return value.model_dump_json(exclude_none=True).encode()
    return canonical_json(dict(value))


def reply(
    value: BaseModel | Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """Return an answer with a JSON body."""
    return Response(json_of(value), status, dict(headers or {}), JSON_TYPE)


def page_reply(items: Iterable[BaseModel | Mapping[str, Any]], next_cursor: str | None = None) -> Response:
    """Return a page of a list."""
    cursor = canonical_json(next_cursor)
    body = b'{"items":[' + b",".join(json_of(item) for item in items) + b'],"next_cursor":' + cursor + b"}"
    return Response(body, 200, media_type=JSON_TYPE)

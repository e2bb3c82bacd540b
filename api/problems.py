"""Every error as RFC 9457 problem details with a stable type, and nothing of the inside."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import Scope

from services.contracts.canonical import canonical_json
from services.errors import Category, ConcordError, InvalidInputError, NotFoundError

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:concord:problem:"

STATUS_OF: Mapping[Category, int] = {
    Category.INVALID: 422,
    Category.MALFORMED: 400,
    Category.UNAUTHENTICATED: 401,
    Category.FORBIDDEN: 403,
    Category.NOT_FOUND: 404,
    Category.CONFLICT: 409,
    Category.PRECONDITION: 412,
    Category.TOO_LARGE: 413,
    Category.UNSUPPORTED: 415,
    Category.UNAVAILABLE: 503,
    Category.INTEGRITY: 500,
}
_HEADERS_OF: Mapping[int, dict[str, str]] = {
    401: {"WWW-Authenticate": 'Bearer realm="concord"'},
    # The rest of an oversized body is not worth reading.
    413: {"Connection": "close"},
    503: {"Retry-After": "1"},
}
_CODE_OF_STATUS = {404: "not-found", 405: "method-not-allowed"}
_MAX_PLACES = 50
_MAX_VALUE = 80


class Place(BaseModel):
    """Where in the input something is wrong."""

    model_config = ConfigDict(extra="forbid")

    pointer: str = Field(description="JSON pointer into the body; /query/… and /header/… for the rest.")
    detail: str = Field(description="What to change there.")


class Problem(BaseModel):
    """What went wrong, whose turn it is and what to change (RFC 9457)."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:concord:problem:stale-fence",
                    "title": "The lease on this task is over",
                    "status": 409,
                    "detail": "The lease of fence 3 has run out; claim the task again. "
                    "What you sent is kept as your draft.",
                    "instance": "urn:concord:request:0b8e7c0e-7b0a-4c55-9c3e-0a7c1d9d1f7e",
                    "draft_kept": True,
                }
            ]
        },
    )

    type: str = Field(description="Stable; urn:concord:problem:<code>.", pattern="^urn:concord:problem:[a-z-]+$")
    title: str
    status: int
    detail: str
    instance: str | None = Field(
        default=None, description="Names this one request, as the log does; a problem inside a batch has none."
    )
    places: list[Place] = Field(default_factory=list)


def problem_document(error: ConcordError) -> dict[str, Any]:
    """Return an error as a problem without its instance: what is told of one event of a batch."""
    return _document(
        code=error.code,
        title=error.title,
        status=STATUS_OF[error.category],
        # Facts that contradict each other are the operators' business; the log has them.
        detail=error.detail if error.category is not Category.INTEGRITY else "An operator must look into this.",
        places=error.places,
        facts=error.facts,
    )


def problem_of(scope: Scope, error: ConcordError, *, headers: Mapping[str, str] | None = None) -> Response:
    """Return the answer for an error."""
    return _response(scope, problem_document(error), headers)


def internal_problem(scope: Scope) -> Response:
    """Return the answer for a fault of ours; what it was stands in the log under the same request id."""
    return _response(scope, internal_document(), None)


def internal_document() -> dict[str, Any]:
    """Return what is told of a fault of ours."""
    return _document(
        code="internal",
        title="Something went wrong in Concord",
        status=500,
        detail="This is a fault of the service, not of the request. Nothing was half done; try again.",
    )


def _document(
    *,
    code: str,
    title: str,
    status: int,
    detail: str,
    places: tuple[tuple[str, str], ...] = (),
    facts: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    document: dict[str, Any] = dict(facts or {})
    document |= {"type": f"{TYPE_PREFIX}{code}", "title": title, "status": status, "detail": detail}
    if places:
        document["places"] = [{"pointer": pointer, "detail": text} for pointer, text in places[:_MAX_PLACES]]
    return document


def _response(scope: Scope, document: dict[str, Any], headers: Mapping[str, str] | None) -> Response:
    status = int(document["status"])
    scope.setdefault("state", {})["problem"] = str(document["type"]).removeprefix(TYPE_PREFIX)
    request_id = scope["state"].get("request_id", "unknown")
    body = canonical_json(document | {"instance": f"urn:concord:request:{request_id}"})
    return Response(body, status, {**_HEADERS_OF.get(status, {}), **(headers or {})}, MEDIA_TYPE)


def register_problem_handlers(app: FastAPI) -> None:
    """Make every error of the application a problem; what is unexpected is caught by the outermost middleware."""

    async def on_concord_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, ConcordError)  # noqa: S101 - registered for this class only
        return problem_of(request.scope, error)

    async def on_validation_error(request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
        return problem_of(request.scope, _as_concord_error(error))

    async def on_http_exception(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
        phrase = HTTPStatus(error.status_code).phrase
        details = {
            404: "There is nothing at this address.",
            405: f"{request.method[:20]} is not a method of this address.",
        }
        document = _document(
            code=_CODE_OF_STATUS.get(error.status_code, phrase.lower().replace(" ", "-")),
            title=phrase,
            status=error.status_code,
            detail=details.get(error.status_code, phrase),
        )
        return _response(request.scope, document, error.headers)

    app.add_exception_handler(ConcordError, on_concord_error)
    app.add_exception_handler(RequestValidationError, on_validation_error)
    app.add_exception_handler(HTTPException, on_http_exception)


def _as_concord_error(error: RequestValidationError) -> ConcordError:
    places = []
    for item in error.errors():
        location = [str(part) for part in item["loc"]]
        if location[0] == "path":
            # What can not be an id names nothing; it reads like any other unknown id.
            return NotFoundError("There is nothing at this address.")
        pointer = "/" + "/".join(part.replace("~", "~0").replace("/", "~1") for part in location)
        given = item.get("input")
        shown = f" (got {given[:_MAX_VALUE]!r})" if isinstance(given, str) else ""
        places.append((pointer, f"{str(item['msg']).removeprefix('Value error, ')}{shown}"))
    first = f"{places[0][0]}: {places[0][1]}" if places else "it does not match"
    return InvalidInputError(f"The request is not valid: {first}", places=tuple(places[:_MAX_PLACES]))

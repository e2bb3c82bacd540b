"""CloudEvents over HTTP: one event in structured or binary mode, or a batch, by the HTTP protocol binding."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.problems import Problem
from services.contracts.events import AnyReceipt, EventType
from services.errors import MalformedJsonError, UnsupportedMediaTypeError
from services.intake.cloud_events import (
    ATTRIBUTE_PREFIX,
    BATCH_TYPE,
    MAX_BATCH,
    STRUCTURED_TYPE,
    EventMessage,
    media_type_of,
    read_batch,
)


class RefusedEvent(BaseModel):
    """An event of a batch that was refused; source and id stand only where they could be read."""

    model_config = ConfigDict(extra="forbid")

    source: str | None = None
    id: str | None = None
    outcome: Literal["refused"] = "refused"
    problem: Problem


class BatchReply(BaseModel):
    """What became of each event of a batch, in the batch's order."""

    model_config = ConfigDict(extra="forbid")

    results: list[AnyReceipt | RefusedEvent] = Field(max_length=MAX_BATCH)


async def read_request(request: Request) -> EventMessage | tuple[EventMessage, ...]:
    """Return the event of a request, or the events of a batch.

    Raises:
        PayloadTooLargeError: The body is over its limit, or the batch has too many events.
        MalformedJsonError, InvalidInputError: A batch can not be read as an array; a header stands twice.
        UnsupportedMediaTypeError: The body is compressed, or its content type was sent twice.
    """
    message = message_of_http(request.headers.raw, await request.body())
    if media_type_of(message.content_type) == BATCH_TYPE:
        return await run_in_threadpool(read_batch, message.body)
    return message


def message_of_http(headers: Iterable[tuple[bytes, bytes]], body: bytes) -> EventMessage:
    """Return the message that a request's headers and body are.

    Args:
        headers: Names and values as they came.
        body: The bytes.

    Raises:
        MalformedJsonError: An attribute's header stands twice.
        UnsupportedMediaTypeError: The body is compressed, or its content type was sent twice.
    """
    content_types: list[str] = []
    attributes: dict[str, str] = {}
    for raw_name, raw_value in headers:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("latin-1").strip()
        if name == "content-type":
            content_types.append(value)
        elif name == "content-encoding" and value.lower() != "identity":
            raise UnsupportedMediaTypeError(f"The body is compressed ({value[:40]}); send it as it is.")
        elif name.startswith(ATTRIBUTE_PREFIX):
            attribute = name.removeprefix(ATTRIBUTE_PREFIX)
            if attribute in attributes:
                raise MalformedJsonError(
                    f"The header {name[:80]} stands twice; send it once.", places=((f"/{attribute}", "stands twice"),)
                )
            attributes[attribute] = value
    if len(content_types) > 1:
        raise UnsupportedMediaTypeError("The request has more than one Content-Type; send one.")
    content_type = content_types[0] if content_types else None
    if media_type_of(content_type).startswith("application/cloudevents"):
        # In structured mode a sender may repeat attributes as headers; what counts is the body.
        attributes = {}
    return EventMessage(content_type=content_type, attributes=attributes, body=body)


def _attribute_header(name: str, description: str) -> dict[str, Any]:
    return {
        "name": f"{ATTRIBUTE_PREFIX}{name}",
        "in": "header",
        "required": False,
        "description": f"Binary mode only: {description}",
        "schema": {"type": "string"},
    }


def _event_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {"type": "string", "minLength": 1, "maxLength": 500},
            "source": {"type": "string", "format": "uri-reference", "minLength": 1, "maxLength": 1_000},
            "type": {"enum": [event_type.value for event_type in EventType]},
            "subject": {"type": "string", "minLength": 1, "maxLength": 2_000},
            "time": {"type": "string", "format": "date-time"},
            "datacontenttype": {"const": "application/json"},
            "data": {"type": "object", "description": "By type; see /v1/schemas."},
        },
    }


REQUEST_DOCUMENTATION: dict[str, Any] = {
    "parameters": [
        _attribute_header("specversion", "1.0."),
        _attribute_header("id", "The event's id; with source the key of deduplication."),
        _attribute_header("source", "Who sends it, a URI reference."),
        _attribute_header("type", "What happened."),
        _attribute_header("time", "When, RFC 3339."),
        _attribute_header("subject", "About what."),
    ],
    "requestBody": {
        "required": True,
        "content": {
            STRUCTURED_TYPE: {"schema": _event_schema()},
            BATCH_TYPE: {"schema": {"type": "array", "maxItems": MAX_BATCH, "items": _event_schema()}},
            "application/json": {"schema": {"type": "object", "description": "Binary mode: the event's data."}},
        },
    },
}
"""What OpenAPI says about the request, which is read from its bytes and not through a model."""

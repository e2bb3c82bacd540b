"""CloudEvents over NATS: headers and payload to the message that the intake reads, by the NATS protocol binding.

A content type ``application/cloudevents…`` means structured mode. Anything else with ``ce-`` headers is binary
mode, where ``ce-datacontenttype`` names the data's type. A message without either comes from a sender that follows
version 1.0.2 of the binding, which knew no headers: its payload is a structured event.
"""

from __future__ import annotations

from collections.abc import Mapping

from services.intake.cloud_events import ATTRIBUTE_PREFIX, STRUCTURED_TYPE, EventMessage, media_type_of

CONTENT_TYPE = "content-type"


def message_of_nats(headers: Mapping[str, str] | None, payload: bytes) -> EventMessage:
    """Return the message; names of headers are taken without regard to case, and the last of several counts."""
    content_type: str | None = None
    attributes: dict[str, str] = {}
    for name, value in (headers or {}).items():
        lower = name.lower()
        if lower == CONTENT_TYPE:
            content_type = value
        elif lower.startswith(ATTRIBUTE_PREFIX):
            attributes[lower.removeprefix(ATTRIBUTE_PREFIX)] = value
    if media_type_of(content_type).startswith("application/cloudevents"):
        return EventMessage(content_type=content_type, body=payload)
    if attributes:
        return EventMessage(content_type=content_type, attributes=attributes, body=payload)
    return EventMessage(content_type=STRUCTURED_TYPE, body=payload)

"""CloudEvents 1.0, whatever they travelled on: an envelope read strictly, then data read by its type.

A transport hands over an :class:`EventMessage`: the content type, the ``ce-`` headers and the body. How those
become one event is the same for HTTP and NATS and is written here once.

Source: CloudEvents 1.0.2, the core specification, its JSON format, and its HTTP and NATS protocol bindings.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.exceptions import CloudEventValidationError
from cloudevents.core.v1.event import CloudEvent

from services.contracts.base import Contract
from services.contracts.canonical import canonical_json, content_sha256, parse_json
from services.contracts.events import EventType, IncomingEvent, LabelsSubmitted, SampleWithdrawn
from services.contracts.manifest import SampleManifest
from services.contracts.validation import validate
from services.errors import (
    InvalidInputError,
    MalformedJsonError,
    PayloadTooLargeError,
    UnknownEventTypeError,
    UnsupportedMediaTypeError,
)
from services.taxonomy.taxonomy import Taxonomy

STRUCTURED_TYPE = "application/cloudevents+json"
BATCH_TYPE = "application/cloudevents-batch+json"
ATTRIBUTE_PREFIX = "ce-"
MAX_BATCH = 1_000

EventData = SampleManifest | SampleWithdrawn | LabelsSubmitted | Taxonomy

DATA_MODELS: Mapping[EventType, type[EventData]] = {
    EventType.SAMPLE_CREATED: SampleManifest,
    EventType.SAMPLE_UPDATED: SampleManifest,
    EventType.SAMPLE_WITHDRAWN: SampleWithdrawn,
    EventType.LABELS_SUBMITTED: LabelsSubmitted,
    EventType.TAXONOMY_PUBLISHED: Taxonomy,
}
_DATA_NAMES: Mapping[EventType, str] = {
    EventType.SAMPLE_CREATED: "sample manifest",
    EventType.SAMPLE_UPDATED: "sample manifest",
    EventType.SAMPLE_WITHDRAWN: "withdrawal",
    EventType.LABELS_SUBMITTED: "submission of labels",
    EventType.TAXONOMY_PUBLISHED: "taxonomy",
}

_REQUIRED = ("id", "source", "specversion", "type")
_RFC_3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)")
_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]{1,60}")
_NOT_IN_A_STRING = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef\ufffe\uffff]")
_NOT_IN_A_URI = re.compile(r"[\s\"<>\\^`{|}]")
_JSON_TYPE = re.compile(r"(application|text)/([a-z0-9!#$&^_.+-]+\+)?json")
_CHARSET = re.compile(r';\s*charset\s*=\s*"?([^\s;"]+)', re.IGNORECASE)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})?")


@dataclass(frozen=True, slots=True)
class EventMessage:
    """One event as it came.

    Attributes:
        content_type: The media type with its parameters, or None.
        attributes: ``ce-`` headers without the prefix, lower-case names, still percent-encoded.
        body: The bytes.
    """

    content_type: str | None
    attributes: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    def to_bytes(self) -> bytes:
        """Return header lines, an empty line and the body: what a dead letter keeps."""
        lines = [f"content-type: {self.content_type}"] if self.content_type is not None else []
        lines += [f"{ATTRIBUTE_PREFIX}{name}: {value}" for name, value in sorted(self.attributes.items())]
        head = "".join(f"{line}\r\n" for line in lines)
        return head.encode("utf-8", "surrogateescape") + b"\r\n" + self.body

    @classmethod
    def from_bytes(cls, raw: bytes) -> EventMessage:
        """Return what :meth:`to_bytes` wrote."""
        content_type = None
        attributes: dict[str, str] = {}
        while True:
            line, _, raw = raw.partition(b"\r\n")
            if not line:
                return cls(content_type=content_type, attributes=attributes, body=raw)
            name, _, value = line.decode("utf-8", "surrogateescape").partition(": ")
            if name == "content-type":
                content_type = value
            else:
                attributes[name.removeprefix(ATTRIBUTE_PREFIX)] = value


@dataclass(frozen=True, slots=True)
class Envelope:
    """The attributes of an event that were readable, and its data, which may not be yet.

    Attributes:
        source: Who sent it.
        id: Its id; with ``source`` the key of deduplication.
        type: What happened.
        subject: About what, if said.
        time: When, if said.
        data: The data as JSON values; only of structured events.
        body: The data as bytes, to be read as JSON; only where ``data`` was not part of a JSON document.
    """

    source: str
    id: str
    type: str
    subject: str | None
    time: datetime | None
    data: Any
    body: bytes | None


def media_type_of(content_type: str | None) -> str:
    """Return the media type in lower case, without parameters; empty if there is none."""
    return (content_type or "").partition(";")[0].strip().lower()


def read_batch(body: bytes) -> tuple[EventMessage, ...]:
    """Return the events of a batch as messages of their own, in order.

    Raises:
        MalformedJsonError: The body is not readable JSON.
        InvalidInputError: It is not an array.
        PayloadTooLargeError: It has more than 1,000 events.
    """
    document = parse_json(body)
    if not isinstance(document, list):
        raise InvalidInputError("A batch is a JSON array of events.", places=(("/", "must be an array of events"),))
    if len(document) > MAX_BATCH:
        raise PayloadTooLargeError(f"The batch has {len(document)} events; send at most {MAX_BATCH} at once.")
    return tuple(EventMessage(content_type=STRUCTURED_TYPE, body=canonical_json(item)) for item in document)


def read_envelope(message: EventMessage) -> Envelope:
    """Read who sent which event; the data of a binary message is left as bytes.

    Raises:
        MalformedJsonError: A structured message is not readable JSON, or a header is wrongly encoded.
        InvalidInputError: An attribute is missing or wrong; ``places`` names each.
        UnsupportedMediaTypeError: The message is no CloudEvent, or its data is not JSON.
    """
    media_type = media_type_of(message.content_type)
    charset = _CHARSET.search(message.content_type or "")
    if charset is not None and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedMediaTypeError(f"The body is {charset[1][:40]}; encode it as UTF-8.")
    if media_type in (STRUCTURED_TYPE, "application/cloudevents"):
        return _structured(message.body)
    if media_type.startswith("application/cloudevents"):
        raise UnsupportedMediaTypeError(f"{media_type} is not read here; send {STRUCTURED_TYPE}.")
    if message.attributes:
        return _binary(message)
    raise UnsupportedMediaTypeError(
        f"This is no CloudEvent: send {STRUCTURED_TYPE}, {BATCH_TYPE}, or the attributes as ce- headers "
        "with a JSON body."
    )


def event_of(envelope: Envelope) -> IncomingEvent:
    """Return the event with its data as JSON values, and the hash of what it says.

    The hash covers type, subject and data: an event sent again with a new ``time`` says the same.

    Raises:
        MalformedJsonError: The data is not readable JSON.
    """
    data = envelope.data if envelope.body is None else (parse_json(envelope.body) if envelope.body else None)
    content = {"type": envelope.type, "subject": envelope.subject, "data": data}
    return IncomingEvent(
        source=envelope.source,
        id=envelope.id,
        type=envelope.type,
        subject=envelope.subject,
        time=envelope.time,
        data=data,
        content_sha256=content_sha256(content),
    )


def data_of(event: IncomingEvent) -> EventData:
    """Return the data of an event, validated by its type; places begin with ``/data``.

    Raises:
        UnknownEventTypeError: Concord does not handle the type.
        InvalidInputError: The data does not match the type's contract.
    """
    try:
        event_type = EventType(event.type)
    except ValueError:
        known = ", ".join(EventType)
        raise UnknownEventTypeError(
            f"the type {event.type[:200]!r} is not handled; send one of {known}",
            places=(("/type", "is not a known event type"),),
        ) from None
    return validate(DATA_MODELS[event_type], event.data, what=_DATA_NAMES[event_type], at="/data")


def decode_header(value: str, attribute: str) -> str:
    """Return an attribute's text from its header: a quoted string is unquoted, then percent-decoded once.

    Raises:
        MalformedJsonError: The escapes are not hexadecimal, or not UTF-8.
    """
    place = f"/{attribute}"
    if len(value) >= 2 and value[0] == value[-1] == '"':
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if not value.isascii():
        raise _bad_header(place, "holds characters outside ASCII; percent-encode them as UTF-8")
    if any(match[1] is None for match in _ESCAPE.finditer(value)):
        raise _bad_header(place, "holds a % that no two hexadecimal digits follow; write %25")
    raw = re.sub(rb"%([0-9A-Fa-f]{2})", lambda match: bytes.fromhex(match[1].decode()), value.encode("ascii"))
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise _bad_header(place, "is not UTF-8 once it is percent-decoded") from None


def encode_header(value: str) -> str:
    """Return an attribute's text as its header carries it, the inverse of :func:`decode_header`."""
    return "".join(
        character
        if "!" <= character <= "~" and character not in '"%'
        else "".join(f"%{byte:02X}" for byte in character.encode("utf-8"))
        for character in value
    )


def _bad_header(place: str, fault: str) -> MalformedJsonError:
    return MalformedJsonError(f"The header of the attribute {place[1:]!r} {fault}.", places=((place, fault),))


def _structured(body: bytes) -> Envelope:
    document = parse_json(body)
    if not isinstance(document, dict):
        raise InvalidInputError("An event is a JSON object.", places=(("/", "must be a JSON object"),))
    attributes = dict(document)
    if "data" in attributes and "data_base64" in attributes:
        raise InvalidInputError(
            "An event has data or data_base64, not both.", places=(("/data_base64", "remove it, or remove data"),)
        )
    encoded = attributes.pop("data_base64", None)
    data = attributes.pop("data", None)
    # The JSON format lets a producer write null for an attribute it leaves out.
    present = {name: value for name, value in attributes.items() if value is not None}
    return _envelope(present, data=data, body=None if encoded is None else _from_base64(encoded))


def _from_base64(encoded: Any) -> bytes:
    try:
        return base64.b64decode(encoded, validate=True)
    except (TypeError, ValueError, binascii.Error):
        raise InvalidInputError(
            "data_base64 is not base64.", places=(("/data_base64", "must be a string in base64"),)
        ) from None


def _binary(message: EventMessage) -> Envelope:
    attributes: dict[str, Any] = {name: decode_header(value, name) for name, value in message.attributes.items()}
    if "datacontenttype" not in attributes and message.content_type:
        attributes["datacontenttype"] = message.content_type
    return _envelope(attributes, data=None, body=message.body)


def _envelope(attributes: dict[str, Any], *, data: Any, body: bytes | None) -> Envelope:
    places: list[tuple[str, str]] = [
        (f"/{name}", "is required; add it") for name in _REQUIRED if attributes.get(name) in (None, "")
    ]
    for name, value in attributes.items():
        places.extend((f"/{name[:80]}", fault) for fault in _attribute_faults(name, value))
    time, fault = _time_of(attributes.get("time"))
    if fault:
        places.append(("/time", fault))
    if not places:
        places.extend(_faults_by_the_library(attributes, time))
    if places:
        raise InvalidInputError(
            f"The event's envelope is not valid: {places[0][0]} {places[0][1]}", places=tuple(places[:50])
        )
    content_type = media_type_of(attributes.get("datacontenttype"))
    if content_type and not _JSON_TYPE.fullmatch(content_type):
        raise UnsupportedMediaTypeError(
            f"the data is {content_type[:200]}; send JSON (application/json)",
            places=(("/datacontenttype", "must be a JSON media type"),),
        )
    return Envelope(
        source=attributes["source"],
        id=attributes["id"],
        type=attributes["type"],
        subject=attributes.get("subject"),
        time=time,
        data=data,
        body=body,
    )


_MAX_LENGTH = {"id": 500, "source": 1_000, "type": 200, "subject": 2_000}


def _attribute_faults(name: str, value: Any) -> list[str]:
    faults = []
    if not _ATTRIBUTE_NAME.fullmatch(name):
        faults.append("is no attribute's name: lower-case letters and digits only")
    if isinstance(value, str):
        if _NOT_IN_A_STRING.search(value):
            faults.append("holds control characters; remove them")
        if len(value) > _MAX_LENGTH.get(name, 4_000):
            faults.append(f"is longer than {_MAX_LENGTH.get(name, 4_000)} characters; shorten it")
        if name == "source" and _NOT_IN_A_URI.search(value):
            faults.append("must be a URI reference; percent-encode what a URI can not hold")
    elif name in (*_REQUIRED, "subject", "time", "datacontenttype", "dataschema"):
        faults.append("must be a string")
    elif not isinstance(value, bool | int):
        faults.append("must be a string, an integer or a boolean")
    return faults


def _time_of(value: Any) -> tuple[datetime | None, str]:
    if value is None or not isinstance(value, str):
        return None, ""
    fault = "must be an RFC 3339 time with an offset, such as 2024-05-01T12:00:00Z"
    if not _RFC_3339.fullmatch(value):
        return None, fault
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC), ""
    except (ValueError, OverflowError):
        return None, fault


def _faults_by_the_library(attributes: dict[str, Any], time: datetime | None) -> list[tuple[str, str]]:
    checked = {name: value for name, value in attributes.items() if name != "time"}
    # Without a time the library would take the clock's; what is checked here is thrown away, so any will do.
    checked["time"] = time or datetime.fromtimestamp(0, UTC)
    try:
        CloudEvent(checked)
    except CloudEventValidationError as error:
        return [(f"/{name}", str(fault)) for name, faults in error.errors.items() for fault in faults]
    return []


def structured_event(
    *,
    event_id: str,
    source: str,
    event_type: str,
    subject: str,
    time: datetime,
    data: Contract,
    extensions: Mapping[str, str],
) -> bytes:
    """Return an outgoing event in structured JSON.

    Args:
        event_id: Unique in ``source``.
        source: Who says it.
        event_type: What happened.
        subject: About what.
        time: When, aware.
        data: The data.
        extensions: Further attributes.
    """
    return canonical_json(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": event_type,
            "subject": subject,
            "time": time.isoformat().replace("+00:00", "Z"),
            "datacontenttype": "application/json",
            **extensions,
            "data": data.model_dump(mode="json", exclude_none=True),
        }
    )

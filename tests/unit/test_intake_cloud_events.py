from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from api.cloud_events import message_of_http
from infra.messaging.cloud_events import message_of_nats
from services.contracts.events import EventType, IncomingEvent, SampleWithdrawn
from services.errors import (
    ConcordError,
    InvalidInputError,
    MalformedJsonError,
    PayloadTooLargeError,
    UnknownEventTypeError,
    UnsupportedMediaTypeError,
)
from services.intake.cloud_events import (
    STRUCTURED_TYPE,
    EventMessage,
    data_of,
    decode_header,
    encode_header,
    event_of,
    read_batch,
    read_envelope,
)

DATA = {"project": "p", "sample_id": "s", "reason": "the speaker objects"}
ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/a", "type": EventType.SAMPLE_WITHDRAWN.value}


def read(message: EventMessage) -> IncomingEvent:
    return event_of(read_envelope(message))


def structured(**changes: Any) -> EventMessage:
    document = {**ATTRIBUTES, "data": DATA, **changes}
    return EventMessage(content_type=STRUCTURED_TYPE, body=json.dumps(document).encode())


def binary(
    body: bytes = json.dumps(DATA).encode(), content_type: str | None = "application/json", **changes: str
) -> EventMessage:
    return EventMessage(content_type=content_type, attributes={**ATTRIBUTES, **changes}, body=body)


def places_of(error: ConcordError) -> list[str]:
    return [pointer for pointer, _ in error.places]


def test_the_three_ways_to_send_an_event_say_the_same() -> None:
    encoded = base64.b64encode(json.dumps(DATA).encode()).decode()
    base64_form = EventMessage(
        content_type=STRUCTURED_TYPE, body=json.dumps({**ATTRIBUTES, "data_base64": encoded}).encode()
    )
    [batched] = read_batch(json.dumps([{**ATTRIBUTES, "data": DATA}]).encode())
    events = [read(message) for message in (structured(), binary(), base64_form, batched)]
    assert all(event == events[0] for event in events)
    assert data_of(events[0]) == SampleWithdrawn(**DATA)


def test_http_headers_become_a_message() -> None:
    headers = [
        (b"Content-Type", b"application/json"),
        *((f"CE-{k.title()}".encode(), v.encode()) for k, v in ATTRIBUTES.items()),
    ]
    message = message_of_http([*headers, (b"authorization", b"Bearer x")], json.dumps(DATA).encode())
    assert message == binary()
    assert message_of_http([(b"content-type", STRUCTURED_TYPE.encode()), (b"ce-id", b"other")], b"{}").attributes == {}


@pytest.mark.parametrize(
    ("headers", "error"),
    [
        ([(b"ce-id", b"1"), (b"Ce-Id", b"2")], MalformedJsonError),
        ([(b"content-encoding", b"gzip"), (b"ce-id", b"1")], UnsupportedMediaTypeError),
        ([(b"content-type", b"application/json"), (b"content-type", b"text/plain")], UnsupportedMediaTypeError),
    ],
)
def test_http_headers_that_say_two_things_are_refused(
    headers: list[tuple[bytes, bytes]], error: type[ConcordError]
) -> None:
    with pytest.raises(error):
        message_of_http(headers, b"{}")


def test_nats_chooses_the_mode_by_the_content_type() -> None:
    ce = {f"ce-{name}": value for name, value in ATTRIBUTES.items()}
    body = json.dumps(DATA).encode()
    assert (
        message_of_nats({**ce, "ce-datacontenttype": "application/json"}, body).attributes["type"] == ATTRIBUTES["type"]
    )
    assert message_of_nats({**ce, "Content-Type": STRUCTURED_TYPE}, body).attributes == {}
    assert message_of_nats({"Content-Type": "application/CloudEvents"}, b"{}").content_type == "application/CloudEvents"
    # Version 1.0.2 of the binding knew no headers.
    assert message_of_nats(None, b"{}").content_type == STRUCTURED_TYPE
    assert message_of_nats({"Nats-Msg-Id": "7"}, b"{}").content_type == STRUCTURED_TYPE


@pytest.mark.parametrize(
    "content_type",
    [None, "application/json", "text/plain", "application/cloudevents+xml", "application/cloudevents-batch+json"],
)
def test_what_is_no_cloud_event_is_refused_with_what_to_send(content_type: str | None) -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="cloudevents"):
        read_envelope(EventMessage(content_type=content_type, body=b"{}"))


@pytest.mark.parametrize("charset", ["utf-8", "UTF-8", '"utf-8"'])
def test_utf_8_may_be_named(charset: str) -> None:
    message = structured()
    assert read(EventMessage(content_type=f"{STRUCTURED_TYPE}; charset={charset}", body=message.body)) == read(message)


def test_another_charset_is_refused() -> None:
    with pytest.raises(UnsupportedMediaTypeError, match="latin-1"):
        read(EventMessage(content_type=f"{STRUCTURED_TYPE}; charset=latin-1", body=b"{}"))


@pytest.mark.parametrize("name", ["id", "source", "type", "specversion"])
@pytest.mark.parametrize("value", [None, "", 7, [], "a\u0007b"])
def test_a_required_attribute_that_is_missing_or_wrong_is_named(name: str, value: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(structured(**{name: value}))
    assert f"/{name}" in places_of(refused.value)


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"specversion": "0.3"}, "/specversion"),
        ({"source": "no uri"}, "/source"),
        ({"source": "/" + "a" * 1_000}, "/source"),
        ({"id": "a" * 501}, "/id"),
        ({"subject": ""}, "/subject"),
        ({"subject": 5}, "/subject"),
        ({"time": "yesterday"}, "/time"),
        ({"time": "2024-01-01T00:00:00"}, "/time"),
        ({"time": "2024-02-30T00:00:00Z"}, "/time"),
        ({"time": "0001-01-01T00:00:00+23:59"}, "/time"),
        ({"time": 1700000000}, "/time"),
        ({"Upper": "x"}, "/Upper"),
        ({"with-dash": "x"}, "/with-dash"),
        ({"newline\n": "x"}, "/newline\n"),
        ({"extension": 1.5}, "/extension"),
        ({"extension": {"a": 1}}, "/extension"),
        ({"data_base64": "e30="}, "/data_base64"),
    ],
)
def test_a_wrong_envelope_names_the_place(changes: dict[str, Any], place: str) -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(structured(**changes))
    assert place in places_of(refused.value)


@pytest.mark.parametrize(
    "changes", [{"time": "2024-01-01t00:00:00.123456789z"}, {"ext1": True}, {"ext2": 5}, {"dataschema": None}]
)
def test_what_the_specification_allows_is_read(changes: dict[str, Any]) -> None:
    assert read(structured(**changes)).id == "1"


def test_many_faults_are_all_named() -> None:
    with pytest.raises(InvalidInputError) as refused:
        read(structured(id="", source=None, time="x"))
    assert {"/id", "/source", "/time"} <= set(places_of(refused.value))


@pytest.mark.parametrize("encoded", ["***", "e30", 5])
def test_data_that_is_no_base64_is_refused(encoded: Any) -> None:
    body = json.dumps({**ATTRIBUTES, "data_base64": encoded}).encode()
    with pytest.raises(InvalidInputError):
        read(EventMessage(content_type=STRUCTURED_TYPE, body=body))


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "application/octet-stream"])
def test_data_that_is_not_json_is_refused(content_type: str) -> None:
    with pytest.raises(UnsupportedMediaTypeError):
        read(structured(datacontenttype=content_type))
    with pytest.raises(UnsupportedMediaTypeError):
        read(binary(content_type=content_type))


@pytest.mark.parametrize(
    "body", [b"{", b'{"a": NaN}', b"\xff", b'{"a": 1, "a": 2}', b'"\\u0000"', b'"\\ud800"', b"[" * 50, b"1e999"]
)
def test_binary_data_is_read_as_strictly_as_a_whole_document(body: bytes) -> None:
    envelope = read_envelope(binary(body=body))
    assert envelope.id == "1"
    with pytest.raises(MalformedJsonError):
        event_of(envelope)


@pytest.mark.parametrize("document", [b"[]", b"1", b"null", b'"x"'])
def test_an_event_is_an_object(document: bytes) -> None:
    with pytest.raises(InvalidInputError):
        read_envelope(EventMessage(content_type=STRUCTURED_TYPE, body=document))


def test_a_batch_is_an_array_of_bounded_length() -> None:
    with pytest.raises(InvalidInputError):
        read_batch(b"{}")
    with pytest.raises(PayloadTooLargeError, match="1000"):
        read_batch(json.dumps([{}] * 1_001).encode())
    assert len(read_batch(json.dumps([{}] * 1_000).encode())) == 1_000
    assert read_batch(b"[]") == ()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro € 😀"),
        ("%65%66", "ef"),
        ('"quoted \\"text\\" \\\\"', 'quoted "text" \\'),
        ('"%41"', "A"),
        ("a%2525", "a%25"),
        ('"', '"'),
    ],
)
def test_a_header_is_unquoted_and_percent_decoded_once(value: str, text: str) -> None:
    assert decode_header(value, "subject") == text


@pytest.mark.parametrize("value", ["%C0%A0", "%", "%2", "%zz", "%u0041", "é", "%ff", "%ED%A0%80"])
def test_a_header_with_a_broken_escape_is_refused(value: str) -> None:
    with pytest.raises(MalformedJsonError) as refused:
        decode_header(value, "subject")
    assert places_of(refused.value) == ["/subject"]


@pytest.mark.parametrize("text", ["a b", '"', "%", "€😀", "\x7f", "plain/uri?x=1"])
def test_a_header_survives_encoding(text: str) -> None:
    assert encode_header(text).isascii()
    assert " " not in encode_header(text)
    assert decode_header(encode_header(text), "x") == text


def test_the_hash_covers_type_subject_and_data_only() -> None:
    plain = read(structured())
    assert (
        read(structured(time="2024-01-01T00:00:00Z", id="2", source="/b", ext="x")).content_sha256
        == plain.content_sha256
    )
    assert read(structured(subject="s")).content_sha256 != plain.content_sha256
    assert read(structured(data={**DATA, "reason": "x"})).content_sha256 != plain.content_sha256
    assert read(structured(type=EventType.LABELS_SUBMITTED.value)).content_sha256 != plain.content_sha256


def test_an_unknown_type_is_told_the_known_ones() -> None:
    with pytest.raises(UnknownEventTypeError, match=r"concord\.sample\.created\.v1"):
        data_of(read(structured(type="concord.sample.created.v2")))


@pytest.mark.parametrize(
    "data", [None, [], "x", 5, {}, {**DATA, "extra": 1}, {**DATA, "reason": 5}, {**DATA, "project": "UPPER"}]
)
def test_data_that_does_not_match_its_type_is_refused_below_data(data: Any) -> None:
    with pytest.raises(InvalidInputError) as refused:
        data_of(read(structured(data=data)))
    assert all(place.startswith("/data") for place in places_of(refused.value))


@pytest.mark.parametrize(
    "message",
    [
        structured(),
        binary(),
        binary(subject="%0D%0Ax"),
        EventMessage(content_type=None, body=b"\r\n\r\n\xff"),
        EventMessage(content_type="a: b", attributes={"x": ": y"}, body=b""),
    ],
)
def test_a_kept_message_is_read_back_as_it_was(message: EventMessage) -> None:
    assert EventMessage.from_bytes(message.to_bytes()) == message

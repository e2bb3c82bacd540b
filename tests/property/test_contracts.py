from __future__ import annotations

import contextlib
import copy
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from services.contracts.canonical import MAX_DEPTH, canonical_json, content_sha256, parse_json
from services.contracts.manifest import SampleManifest
from services.contracts.validation import validate
from services.errors import ConcordError, InvalidInputError, MalformedJsonError
from services.intake.cloud_events import (
    STRUCTURED_TYPE,
    EventMessage,
    decode_header,
    encode_header,
    event_of,
    read_batch,
    read_envelope,
)
from tests.label_examples import LABEL_EXAMPLES, MANIFEST_EXAMPLE

SCHEMA = Draft202012Validator(SampleManifest.model_json_schema())
DOCUMENTS = [{**MANIFEST_EXAMPLE, "annotations": [example]} for example in LABEL_EXAMPLES.values()]

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
scalars = (
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | st.floats(allow_nan=False, allow_infinity=False) | text
)
json_values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4), max_leaves=20
)


def same(left: Any, right: Any) -> bool:
    """Equal, with integers and floats and flags told apart."""
    if isinstance(left, dict):
        return isinstance(right, dict) and left.keys() == right.keys() and all(same(left[k], right[k]) for k in left)
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


@given(json_values)
def test_strict_reading_gives_back_what_was_written(value: Any) -> None:
    for ascii_only in (True, False):
        assert same(parse_json(json.dumps(value, ensure_ascii=ascii_only).encode()), value)


@given(json_values)
def test_the_canonical_form_is_read_back_and_is_its_own_canonical_form(value: Any) -> None:
    form = canonical_json(value)
    assert same(parse_json(form), value)
    assert canonical_json(parse_json(form)) == form


@given(st.dictionaries(text, scalars, min_size=2, max_size=6), st.randoms())
def test_the_order_of_keys_does_not_change_the_hash(value: dict[str, Any], chance: Any) -> None:
    keys = list(value)
    chance.shuffle(keys)
    assert content_sha256({key: value[key] for key in keys}) == content_sha256(value)


@given(json_values, json_values)
def test_equal_hashes_mean_equal_values(left: Any, right: Any) -> None:
    assert (content_sha256(left) == content_sha256(right)) == same(left, right)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u0d8e-+.1NaIfinty \x00', max_size=60).map(str.encode))
def test_any_bytes_are_read_or_refused_as_malformed(raw: bytes) -> None:
    try:
        value = parse_json(raw)
    except MalformedJsonError:
        return
    assert same(value, json.loads(raw))
    assert canonical_json(value)


@given(st.integers(0, 3 * MAX_DEPTH), st.booleans())
def test_depth_is_bounded_exactly(depth: int, objects: bool) -> None:
    raw = (b'{"a":' * depth + b"1" + b"}" * depth) if objects else (b"[" * depth + b"]" * depth or b"1")
    if depth <= MAX_DEPTH:
        parse_json(raw)
    else:
        with pytest.raises(MalformedJsonError, match="deeper"):
            parse_json(raw)


@given(st.sampled_from(["nan", "inf", "-inf"]).map(float), st.lists(st.sampled_from(["list", "dict"]), max_size=5))
def test_a_number_that_is_not_finite_is_refused_anywhere(number: float, wrappings: list[str]) -> None:
    value: Any = number
    for wrapping in wrappings:
        value = [value] if wrapping == "list" else {"a": value}
    with pytest.raises(MalformedJsonError):
        parse_json(json.dumps(value).encode())
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


@given(st.text(max_size=40))
def test_a_header_gives_back_its_text(value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        return
    assert decode_header(encode_header(value), "x") == value


@given(st.text(st.characters(max_codepoint=255), max_size=40))
def test_any_header_is_decoded_or_refused_as_malformed(value: str) -> None:
    with contextlib.suppress(MalformedJsonError):
        decode_header(value, "x")


@given(
    st.none() | text | st.sampled_from([STRUCTURED_TYPE, "application/json", "application/cloudevents-batch+json"]),
    st.dictionaries(st.sampled_from(["id", "source", "type", "specversion", "time", "subject", "x", ""]), text),
    st.binary(max_size=50) | json_values.map(lambda value: json.dumps(value).encode()),
)
def test_any_message_is_read_or_refused_for_a_reason(
    content_type: str | None, attributes: dict[str, str], body: bytes
) -> None:
    message = EventMessage(content_type=content_type, attributes=attributes, body=body)
    with contextlib.suppress(ConcordError):
        event_of(read_envelope(message))
    with contextlib.suppress(ConcordError):
        read_batch(body)


def places_in(document: Any) -> list[tuple[str | int, ...]]:
    found: list[tuple[str | int, ...]] = [()]
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    for key, item in items:
        found += [(key, *rest) for rest in places_in(item)]
    return found


PLACES = [(document, place) for document in DOCUMENTS for place in places_in(document) if place]
strange = json_values | st.sampled_from(
    [math.nan, math.inf, -math.inf, 10**400, "\x00", "\ud800", -1, 0, 2**63, 1e300, "9" * 40, [[]], {"a": {}}]
)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PLACES), strange, st.booleans())
def test_a_changed_manifest_is_accepted_by_contract_and_schema_or_refused_with_a_place_in_it(
    changed: tuple[dict[str, Any], tuple[str | int, ...]], value: Any, remove: bool
) -> None:
    document: Any = copy.deepcopy(changed[0])
    place = changed[1]
    here = document
    for part in place[:-1]:
        here = here[part]
    if remove:
        del here[place[-1]]
    else:
        here[place[-1]] = value
    try:
        manifest = validate(SampleManifest, document, what="sample manifest")
    except InvalidInputError as error:
        for pointer, sentence in error.places:
            assert sentence
            assert_points_into(document, pointer)
        return
    SCHEMA.validate(document)
    written = parse_json(canonical_json(manifest))
    assert validate(SampleManifest, written, what="sample manifest") == manifest


def assert_points_into(document: Any, pointer: str) -> None:
    """The pointer names something in the document, or something that is missing in it."""
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    if parts == [""]:
        return
    here = document
    for index, part in enumerate(parts):
        if isinstance(here, dict):
            assert part in here or index == len(parts) - 1, pointer
            here = here.get(part)
        else:
            assert isinstance(here, list), pointer
            at = int(part)
            assert at < len(here) or index == len(parts) - 1, pointer
            here = here[at] if at < len(here) else None

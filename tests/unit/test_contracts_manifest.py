from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from services.contracts.canonical import canonical_json, content_sha256, parse_json
from services.contracts.manifest import Calibration, Extrinsics, SampleManifest, check_annotations
from services.contracts.validation import MAX_PLACES, validate
from services.errors import InvalidInputError, MalformedJsonError
from tests.label_examples import BASE, LABEL_EXAMPLES, MANIFEST_EXAMPLE
from tests.unit.test_contracts_labels import FREE_FORM, float_places, leaves, put

SCHEMA = Draft202012Validator(SampleManifest.model_json_schema())


def read(document: Any) -> SampleManifest:
    return validate(SampleManifest, document, what="sample manifest")


def places_of(document: Any) -> list[str]:
    with pytest.raises(InvalidInputError) as refused:
        read(document)
    return [place for place, _ in refused.value.places]


def test_a_manifest_with_every_field_round_trips_and_matches_its_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)
    SCHEMA.validate(MANIFEST_EXAMPLE)
    manifest = read(MANIFEST_EXAMPLE)
    written = json.loads(manifest.model_dump_json(exclude_none=True))
    SCHEMA.validate(written)
    assert read(written) == manifest
    assert content_sha256(read(written)) == content_sha256(manifest)


def test_no_float_of_a_manifest_takes_what_is_not_finite() -> None:
    assert len(float_places(MANIFEST_EXAMPLE)) > 30
    for path in float_places(MANIFEST_EXAMPLE):
        for number in (float("nan"), float("inf")):
            assert places_of(put(MANIFEST_EXAMPLE, path, number)), path


def test_no_object_of_a_manifest_takes_a_field_that_it_has_not() -> None:
    for path, value in leaves(MANIFEST_EXAMPLE):
        if isinstance(value, dict) and not {*path} & {*FREE_FORM}:
            broken = put(MANIFEST_EXAMPLE, (*path, "surprise"), 1)
            assert "".join(f"/{part}" for part in (*path, "surprise")) in places_of(broken)
            assert not SCHEMA.is_valid(broken)


def test_every_label_kind_in_one_manifest() -> None:
    labels = [{**example, "id": f"a{index}"} for index, example in enumerate(LABEL_EXAMPLES.values())]
    manifest = read({**MANIFEST_EXAMPLE, "annotations": labels})
    assert len(manifest.annotations) == len(LABEL_EXAMPLES)
    written = json.loads(canonical_json(manifest))
    SCHEMA.validate(written)
    assert read(written) == manifest


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"format": "concord.sample/2"}, "/format"),
        ({"project": "AV"}, "/project"),
        ({"sample_id": "a/b"}, "/sample_id"),
        ({"sample_id": "a b"}, "/sample_id"),
        ({"sample_id": ""}, "/sample_id"),
        ({"streams": []}, "/streams"),
        ({"captured_at": "2024-01-01T00:00:00"}, "/captured_at"),
        ({"captured_at": 1700000000}, "/captured_at"),
        ({"captured_at": "0001-01-01T00:00:00+10:00"}, "/captured_at"),
        ({"streams": [{"id": "s", "modality": "image"}, {"id": "s", "modality": "text"}]}, "/streams/1/id"),
        ({"streams": [{"id": "s", "modality": "smell"}]}, "/streams/0/modality"),
        ({"streams": [{"id": "s", "modality": "text", "uri": "a", "inline": "b"}]}, "/streams/0"),
        ({"streams": [{"id": "s", "modality": "text", "clock": {"rate_hz": 0}}]}, "/streams/0/clock/rate_hz"),
        ({"streams": [{"id": "s", "modality": "text", "sha256": "ABC"}]}, "/streams/0/sha256"),
        ({"annotations": [LABEL_EXAMPLES["box"], LABEL_EXAMPLES["box"]]}, "/annotations/1/id"),
        ({"annotations": [{**LABEL_EXAMPLES["box"], "stream": "x"}]}, "/annotations/0/stream"),
        ({"annotations": [{**LABEL_EXAMPLES["relation"], "id": "r", "from_id": "r"}]}, "/annotations/0/to_id"),
        (
            {"annotations": [LABEL_EXAMPLES["box"], {**LABEL_EXAMPLES["relation"], "id": "r", "from_id": "x"}]},
            "/annotations/1/from_id",
        ),
        ({"annotations": {}}, "/annotations"),
        ({"annotations": None}, "/annotations"),
    ],
)
def test_a_fault_is_found_at_its_place(changes: dict[str, Any], place: str) -> None:
    assert place in places_of({**MANIFEST_EXAMPLE, "label_files": [], **changes})


def test_a_relation_may_lead_to_a_label_of_a_label_file() -> None:
    relation = {**LABEL_EXAMPLES["relation"], "id": "r", "to_id": "in-a-file"}
    labels = [LABEL_EXAMPLES["box"], relation]
    stream = MANIFEST_EXAMPLE["streams"][0]["id"]
    file = {"format": "stm", "uri": "labels.stm", "stream": stream}
    assert read({**MANIFEST_EXAMPLE, "annotations": labels, "label_files": [file]}).annotations[1].id == "r"
    only_predictions = [{**file, "role": "prediction"}]
    assert places_of({**MANIFEST_EXAMPLE, "annotations": labels, "label_files": only_predictions}) == [
        "/annotations/1/to_id"
    ]
    streams = frozenset({BASE["stream"]})
    annotations = read({**MANIFEST_EXAMPLE, "annotations": labels, "label_files": [file]}).annotations
    check_annotations(annotations, streams, beside=("in-a-file",))
    with pytest.raises(ValueError, match=r"^annotations/1/to_id: there is no label 'in-a-file'"):
        check_annotations(annotations, streams)


@pytest.mark.parametrize("document", [None, 1, "x", [], True])
def test_what_is_no_object_is_refused(document: Any) -> None:
    assert places_of(document) == ["/"]


def test_a_list_with_a_wrong_item_is_not_called_short_as_well() -> None:
    with pytest.raises(InvalidInputError) as refused:
        read({**MANIFEST_EXAMPLE, "streams": [{"id": "s", "modality": "smell"}], "annotations": [], "label_files": []})
    ((place, sentence),) = refused.value.places
    assert place == "/streams/0/modality"
    assert sentence.startswith("must be 'image', 'video', ")
    assert "more" not in refused.value.detail


def test_errors_speak_of_documents_and_not_of_python() -> None:
    document = {
        **MANIFEST_EXAMPLE,
        "streams": [],
        "annotations": [{"id": "a1", "stream": "s", "label": "x", "type": "sphere"}],
    }
    with pytest.raises(InvalidInputError) as refused:
        read(document)
    said = dict(refused.value.places)
    assert said["/streams"] == "has 0 items; it must have at least 1"
    assert said["/annotations/0/type"].startswith("must be one of 'box', ")
    assert said["/annotations/0/type"].endswith("(got 'sphere')")


@pytest.mark.parametrize(
    ("intrinsics", "says"),
    [
        ([[0.0, 0, 600], [0, 700, 180], [0, 0, 1]], "focal lengths .* must be positive pixels, got 0.0 and 700.0"),
        ([[700, 0, 600], [0, -700.0, 180], [0, 0, 1]], "focal lengths .* must be positive pixels"),
        ([[700, 0, 600], [0, 700, 180], [0, 0, 0]], "divide them by their last number"),
        ([[700, 0, 600], [3, 700, 180], [0, 0, 1]], "intrinsics must be"),
    ],
)
def test_intrinsics_that_do_not_project_are_refused(intrinsics: list[list[float]], says: str) -> None:
    with pytest.raises(InvalidInputError, match=says):
        validate(Calibration, {"model": "pinhole", "intrinsics": intrinsics}, what="calibration")


def test_extrinsics_that_mirror_are_refused() -> None:
    mirror = [[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    with pytest.raises(InvalidInputError, match="mirrors"):
        validate(Extrinsics, {"to": "lidar", "matrix": mirror}, what="extrinsics")


def test_at_most_fifty_places_are_named_and_all_are_counted() -> None:
    labels = [{"id": f"a{index}", "type": "intent", "stream": "s"} for index in range(200)]
    with pytest.raises(InvalidInputError, match="199 more") as refused:
        read({**MANIFEST_EXAMPLE, "annotations": labels})
    assert len(refused.value.places) == MAX_PLACES


@pytest.mark.parametrize(
    "raw",
    [
        b"", b" ", b"{", b"{]", b"[1,]", b"{'a': 1}", b"nul", b"01", b"+1", b".5", b"1.", b"\xef\xbb\xbf{}", b"\xff",
        b"\xc0\x80", b'"\x00"', b'"\\u0000"', b'{"\\u0000": 1}', b'"\\ud800"', b'"\\udc00\\ud800"', b'{"a": "\\ud83d"}',
        b"NaN", b"Infinity", b"-Infinity", b"1e999", b"-1e999", b'{"a": [NaN]}', b"1" * 21, b"-" + b"1" * 20,
        b'{"a": 1, "a": 1}', b'{"b": {"a": 1, "\\u0061": 2}}', b"[" * 33 + b"]" * 33, b"[" * 1_000_000,
        b'{"a":' * 40 + b"1" + b"}" * 40, b"[" * 100_000 + b"]" * 100_000, b'"' + b"[" * 50, b"{} {}", b"/* */ {}",
    ],
)  # fmt: skip
def test_what_is_not_strict_json_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedJsonError):
        parse_json(raw)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"[" * 32 + b"]" * 32, None),
        (b'"' + b"[" * 100 + b'"', "[" * 100),
        (
            b'["\\"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", "\\\\"]',
            ['"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[', "\\"],
        ),
        (b'"\\ud83d\\ude00"', "😀"),
        (b'"\\\\ud800"', "\\ud800"),
        (b'"\\\\u0000"', "\\u0000"),
        (b"1e308", 1e308),
        (b"-9223372036854775808", -(2**63)),
        (b" [1, 2.5, null, true] ", [1, 2.5, None, True]),
        (b"[" + b"[]," * 100 + b"[]]", [[]] * 101),
    ],
)
def test_what_is_strict_json_is_read(raw: bytes, value: Any) -> None:
    assert parse_json(raw) == value or value is None


def test_the_place_of_an_unstorable_character_is_named() -> None:
    with pytest.raises(MalformedJsonError) as refused:
        parse_json(b'{"a": [1, {"b/c": "x\\u0000"}]}')
    assert refused.value.places[0][0] == "/a/1/b~1c"


def test_the_canonical_form_is_one_for_one_value() -> None:
    assert canonical_json({"b": 1, "a": [1.0, -0.0, 1e22, "é\n"]}) == '{"a":[1.0,0.0,1e+22,"é\\n"],"b":1}'.encode()

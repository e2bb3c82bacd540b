from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from pydantic import TypeAdapter

from services.contracts.annotations import LABEL_KINDS, Annotation
from services.contracts.canonical import canonical_json, parse_json
from services.contracts.manifest import SampleManifest
from services.contracts.validation import validate
from services.errors import InvalidInputError, MalformedJsonError
from tests.label_examples import BASE, LABEL_EXAMPLES, MANIFEST_EXAMPLE

ADAPTER: TypeAdapter[Annotation] = TypeAdapter(Annotation)
LABEL_SCHEMA = Draft202012Validator(ADAPTER.json_schema())
MANIFEST_SCHEMA = Draft202012Validator(SampleManifest.model_json_schema())
FREE_FORM = ("attributes", "facts", "inline")

Path = tuple[str | int, ...]
EXAMPLES = pytest.mark.parametrize("example", LABEL_EXAMPLES.values(), ids=LABEL_EXAMPLES.keys())


def leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, (*path, index))


def put(document: Any, path: Path, value: Any) -> Any:
    changed = copy.deepcopy(document)
    if not path:
        return value
    here = changed
    for part in path[:-1]:
        here = here[part]
    here[path[-1]] = value
    return changed


def label(document: Any) -> Annotation:
    return validate(Annotation, document, what="label")  # type: ignore[arg-type]


def float_places(document: Any) -> list[Path]:
    return [path for path, value in leaves(document) if isinstance(value, float)]


def test_there_are_27_kinds_and_an_example_of_each() -> None:
    kinds = {kind.model_fields["type"].default for kind in LABEL_KINDS}
    assert len(kinds) == len(LABEL_KINDS) == 27
    assert {example["type"] for example in LABEL_EXAMPLES.values()} == kinds


def test_the_examples_set_every_field_of_every_kind() -> None:
    for kind in LABEL_KINDS:
        name = kind.model_fields["type"].default
        used = set().union(*(example for example in LABEL_EXAMPLES.values() if example["type"] == name))
        assert used == set(kind.model_fields), name


@EXAMPLES
def test_a_label_round_trips_without_loss(example: dict[str, Any]) -> None:
    read = label(example)
    written = json.loads(ADAPTER.dump_json(read, exclude_none=True))
    assert label(written) == read
    for path, value in leaves(example):
        if not isinstance(value, dict | list):
            here = written
            for part in path:
                here = here[part]
            assert here == value


@EXAMPLES
def test_a_label_matches_the_published_schema(example: dict[str, Any]) -> None:
    LABEL_SCHEMA.validate(example)
    LABEL_SCHEMA.validate(json.loads(ADAPTER.dump_json(label(example), exclude_none=True)))
    named = [example[end] for end in ("from_id", "to_id") if end in example and example[end] != example["id"]]
    others = [{**LABEL_EXAMPLES["text_classification"], "id": other} for other in named]
    manifest = {**MANIFEST_EXAMPLE, "annotations": [example, *others]}
    MANIFEST_SCHEMA.validate(manifest)
    assert validate(SampleManifest, manifest, what="sample manifest").annotations[0] == label(example)


@EXAMPLES
@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_no_float_takes_what_is_not_finite(example: dict[str, Any], number: float) -> None:
    for path in float_places(example):
        broken = put(example, path, number)
        with pytest.raises(InvalidInputError) as refused:
            label(broken)
        pointer = "".join(f"/{part}" for part in path)
        assert pointer in [place for place, _ in refused.value.places], path
        with pytest.raises(MalformedJsonError):
            parse_json(json.dumps(broken).encode())
        with pytest.raises(ValueError, match="not JSON compliant"):
            canonical_json(broken)


@EXAMPLES
def test_no_float_takes_text_a_flag_or_nothing_at_all(example: dict[str, Any]) -> None:
    wrongs: tuple[Any, ...] = ("1.5", True, [], {})
    for path in float_places(example):
        if "attributes" in path or "facts" in path:
            continue
        for wrong in wrongs:
            with pytest.raises(InvalidInputError):
                label(put(example, path, wrong))


@EXAMPLES
def test_no_object_takes_a_field_that_it_has_not(example: dict[str, Any]) -> None:
    for path, value in leaves(example):
        if isinstance(value, dict) and not {*path} & {*FREE_FORM}:
            broken = put(example, (*path, "surprise"), 1)
            with pytest.raises(InvalidInputError) as refused:
                label(broken)
            pointer = "".join(f"/{part}" for part in (*path, "surprise"))
            assert (pointer, "is not a field of the contract; remove it or correct its name") in refused.value.places
            assert not LABEL_SCHEMA.is_valid(broken)


@EXAMPLES
def test_a_required_field_that_is_missing_is_named(example: dict[str, Any]) -> None:
    kind = next(kind for kind in LABEL_KINDS if kind.model_fields["type"].default == example["type"])
    for name, field in kind.model_fields.items():
        if field.is_required():
            broken = {key: value for key, value in example.items() if key != name}
            with pytest.raises(InvalidInputError) as refused:
                label(broken)
            assert f"/{name}" in [place for place, _ in refused.value.places]
            assert not LABEL_SCHEMA.is_valid(broken)


@EXAMPLES
def test_no_text_takes_nul(example: dict[str, Any]) -> None:
    for path, value in leaves(example):
        if isinstance(value, str):
            broken = put(example, path, value + "\x00")
            with pytest.raises(InvalidInputError):
                label(broken)


def test_a_label_is_frozen() -> None:
    with pytest.raises(ValueError, match="frozen"):
        label(LABEL_EXAMPLES["box"]).label = "van"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"type": "box", "box": [5, 5, 1, 9]}, "/box"),
        ({"type": "point_segmentation", "cloud_size": 5, "runs": [[0, 6]]}, ""),
        ({"type": "point_segmentation", "cloud_size": 50, "runs": [[5, 2], [6, 2]]}, ""),
        ({"type": "entity_span", "start_char": 5, "end_char": 5}, ""),
        ({"type": "mask", "rle": {"size": [2, 2], "counts": [1, 1]}}, "/rle"),
        ({"type": "cuboid", "center_m": [0, 0, 0], "size_m": [1, 1, 0]}, "/size_m/2"),
        ({"type": "cuboid", "center_m": [0, 0, 0], "size_m": [1, 1, 1], "rotation_wxyz": [1, 1, 0, 0]}, ""),
        ({"type": "sphere"}, "/type"),
        ({}, "/type"),
    ],
)
def test_a_label_that_contradicts_itself_names_the_place(changes: dict[str, Any], pointer: str) -> None:
    document = {**MANIFEST_EXAMPLE, "annotations": [{**BASE, **changes}]}
    with pytest.raises(InvalidInputError) as refused:
        validate(SampleManifest, document, what="sample manifest", at="/data")
    assert f"/data/annotations/0{pointer}" in [place for place, _ in refused.value.places]


def test_a_polygon_is_bounded() -> None:
    points = [[float(index), 0.0] for index in range(20_001)]
    with pytest.raises(InvalidInputError):
        label({**BASE, "type": "polygon", "points_px": points})
    assert label({**BASE, "type": "polygon", "points_px": points[:-1]}).type == "polygon"

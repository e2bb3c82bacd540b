"""Changed manifests, rule sets and taxonomies: checked, or refused by a sentence that names file and place."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from infra.checks.batch import CheckedSample, find_batch
from infra.checks.child import check_sample
from infra.checks.plug_ins import installed_checks
from infra.cli.check_report import CheckResult, as_json, as_junit, as_sarif
from infra.storage.rule_files import read_rules
from services.contracts.annotations import Annotations
from services.contracts.canonical import parse_json
from services.contracts.findings import CheckReport
from services.contracts.validation import validate
from services.errors import ConcordError, MalformedJsonError
from services.rules.rule_set import DEFAULT_RULE_SET
from services.taxonomy.taxonomy import Taxonomy
from tests.format_documents import MANIFEST, labels
from tests.label_examples import MANIFEST_EXAMPLE
from tests.mutations import examples, exchanged, json_bytes

_RULES = DEFAULT_RULE_SET.model_dump_json(exclude_none=True).encode()
_TEXTS = ("entity_span", "intent", "sentiment", "text_classification", "summary")
_NUMBERS = (0, -0.0, 1, -1, 0.5, 3, 1e-300, 1e-6, -1e-9, 1e6, 1e7, 1e10, 1e12, -1e12, 65_536, 10**8, 2**53, -(2**53))


def _whole() -> dict[str, Any]:
    """A manifest with every kind of label, on streams of every modality."""
    document: dict[str, Any] = MANIFEST.model_dump(mode="json", exclude_none=True)
    for stream in document["streams"]:
        del stream["uri"]
    document["streams"] += [
        {"id": "note", "modality": "text", "inline": "two red cars and a bus near a tree"},
        {"id": "record", "modality": "record", "inline": {"subject": "p1", "count": 3, "weight_kg": 3.5}},
        {"id": "radar", "modality": "radar", "clock": {"timestamps": [0.5, 1.5]}},
        {"id": "meta", "modality": "metadata"},
    ]
    document |= {key: MANIFEST_EXAMPLE[key] for key in ("context", "captured_at")}
    document["annotations"] = [label.model_dump(mode="json", exclude_none=True) for label in labels()]
    for label in document["annotations"]:
        if label["type"] == "metadata_field":
            label["stream"] = "meta"
        if label["type"] in _TEXTS:
            label["stream"] = "note"
    return document


WHOLE = _whole()
TAXONOMY: dict[str, Any] = {
    "id": "av",
    "version": 3,
    "classes": [
        {
            "id": "vehicle",
            "attributes": [{"name": "colour", "values": ["red", "blue"], "synonyms": {"red": ["rosso"]}}],
        },
        {"id": "car", "parents": ["vehicle"], "synonyms": ["auto"], "label_kinds": ["box"], "modalities": ["image"]},
        {"id": "cab", "parents": ["car"], "deprecated": True, "replaced_by": "car"},
    ],
    "attributes": [{"name": "doors", "type": "integer"}],
    "crosswalks": [{"source": "av@2", "classes": {"automobile": "car"}}],
}


def _numbers_in(value: Any) -> list[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found: list[tuple[Any, Any]] = []
    for key, item in items:
        if isinstance(item, dict | list):
            found += _numbers_in(item)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            found.append((value, key))
    return found


_NUMBER_COUNT = len(_numbers_in(WHOLE))


@st.composite
def odd(draw: st.DrawFn) -> dict[str, Any]:
    """The manifest with some numbers that the contract allows, or just does not, and that nobody measures."""
    document = copy.deepcopy(WHOLE)
    slots = _numbers_in(document)
    for place in draw(st.lists(st.integers(0, _NUMBER_COUNT - 1), min_size=1, max_size=4)):
        here, key = slots[place]
        here[key] = draw(st.sampled_from(_NUMBERS))
    return document


def checked(document: Any, folder: Path) -> CheckResult:
    """Read, check and tell a manifest as ``concord check`` does, in this thread."""
    path = folder / "sample.json"
    path.write_bytes(json_bytes(document))
    batch = find_batch([path], "local")
    samples = []
    for found in batch.found:
        written = found.manifest.model_dump_json(exclude_none=True).encode()
        annotations = TypeAdapter(Annotations).dump_json(found.manifest.annotations, exclude_none=True)
        report = CheckReport.model_validate_json(check_sample(batch.config, written, annotations, _RULES))
        samples.append(CheckedSample(found, found.manifest.annotations, report))
    result = CheckResult(samples, batch.errors, "minor", sorted(installed_checks()), "1")
    json.dumps([as_json(result), as_sarif(result)], allow_nan=False)
    assert as_junit(result).startswith("<?xml")
    return result


def assert_told(error: ConcordError, name: str) -> None:
    assert name in error.detail
    assert 20 < len(error.detail) < 2_000
    for pointer, sentence in error.places:
        assert pointer.startswith("/")
        assert sentence


def test_the_whole_manifest_is_checked(tmp_path: Path) -> None:
    (sample,) = checked(WHOLE, tmp_path).samples
    assert len(sample.annotations) == len(WHOLE["annotations"])


@examples(60)
@given(document=exchanged(WHOLE))
def test_a_changed_manifest_is_checked_or_refused_with_file_and_place(document: Any, tmp_path: Path) -> None:
    result = checked(document, tmp_path)
    assert len(result.samples) + len(result.errors) == 1
    for _, error in result.errors:
        assert_told(error, "sample.json")


@examples(40)
@given(document=odd())
def test_a_manifest_of_numbers_that_nobody_measures_is_checked_or_refused(document: Any, tmp_path: Path) -> None:
    result = checked(document, tmp_path)
    assert len(result.samples) + len(result.errors) == 1


@examples(60)
@given(document=exchanged(TAXONOMY))
def test_a_changed_taxonomy_is_read_or_refused_with_its_place(document: Any) -> None:
    try:
        validate(Taxonomy, parse_json(json_bytes(document)), what="taxonomy")
    except MalformedJsonError:
        return  # the file that holds it is named by who reads it
    except ConcordError as error:
        assert_told(error, "taxonomy")


@examples(40)
@given(document=exchanged(DEFAULT_RULE_SET.model_dump(mode="json")))
def test_a_changed_rule_set_is_read_or_refused_with_file_and_place(document: Any, tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    path.write_bytes(json_bytes(document))
    try:
        read_rules(path)
    except ConcordError as error:
        assert_told(error, "rules.json")


@pytest.mark.parametrize(
    ("parents", "says"),
    [
        ({"a": ["a"]}, "parents form a cycle: a → a; remove one of these links"),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, "parents form a cycle: a → b → c → a; remove one of these links"),
        ({"a": ["b"], "b": []}, ""),
    ],
)
def test_a_taxonomy_that_leads_back_to_itself_is_refused(parents: dict[str, list[str]], says: str) -> None:
    classes = [{"id": name, "parents": above} for name, above in parents.items()]
    document = {"id": "t", "version": 1, "classes": classes}
    if not says:
        assert validate(Taxonomy, document, what="taxonomy").reference == "t@1"
        return
    with pytest.raises(ConcordError, match=says):
        validate(Taxonomy, document, what="taxonomy")


def test_classes_that_replace_each_other_are_refused() -> None:
    classes = [{"id": one, "deprecated": True, "replaced_by": other} for one, other in (("a", "b"), ("b", "a"))]
    with pytest.raises(ConcordError, match="replaced_by form a cycle: a → b → a; remove one of these links"):
        validate(Taxonomy, {"id": "t", "version": 1, "classes": classes}, what="taxonomy")


def test_rule_sets_that_stand_on_each_other_are_refused(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "c"), ("c", "a"), ("self", "self")):
        (tmp_path / f"{name}.json").write_text(json.dumps({"id": name, "version": 1, "extends": f"{base}.json"}))
    for name in ("a", "self"):
        with pytest.raises(ConcordError, match="the rule sets extend each other in a circle: "):
            read_rules(tmp_path / f"{name}.json")


def test_poses_in_a_circle_end(tmp_path: Path) -> None:
    document = copy.deepcopy(WHOLE)
    camera, lidar = document["streams"][0], document["streams"][1]
    still = [[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    lidar["calibration"] = {"extrinsics": {"to": "ego", "matrix": still}}
    document["streams"][5]["calibration"] = {"extrinsics": {"to": "cam", "matrix": still}}
    lidar["coordinate_frame"], document["streams"][5]["coordinate_frame"] = "lidar", "ego"
    assert camera["calibration"]["extrinsics"]["to"] == "lidar"
    (sample,) = checked(document, tmp_path).samples
    assert "contradictory_calibration" in {finding.kind for finding in sample.report.findings}


def test_a_frame_far_beyond_every_recording_is_not_compared_and_takes_no_memory(tmp_path: Path) -> None:
    document = copy.deepcopy(WHOLE)
    for label in document["annotations"]:
        if label["type"] in ("box", "cuboid") and label["id"].endswith("-1"):
            label["frame"] = 100_000_000
    (sample,) = checked(document, tmp_path).samples
    reasons = " ".join(one.reason for one in sample.report.not_applicable)
    assert "streams cam and lidar have a label at frame 100000000; frames up to 2000000 are compared" in reasons
    assert "stream cam has a label at frame 100000000; ids are followed up to 2000000" in reasons

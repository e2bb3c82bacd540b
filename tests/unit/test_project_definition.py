"""Projects as documents: what a definition is compiled to, how it is read, and the templates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from typer.testing import CliRunner

from infra.cli.main import app
from infra.storage.project_files import definition_yaml, read_definition, rules_from
from infra.storage.rule_files import BUILT_IN, built_in_rules
from infra.templates import FILES, TEMPLATES, write_template
from services.alignment.coverage import check_coverage
from services.alignment.sample import CheckSample
from services.contracts.definition import ProjectDefinition, RequiredContext
from services.contracts.manifest import Calibration, Clock, Extrinsics, Modality, SampleManifest, Stream
from services.contracts.queues import ReviewQueue
from services.contracts.records import ProjectConfig
from services.errors import ConcordError, InvalidInputError
from services.projects.definition import ProjectState, changes, compiled, definition_of, state_sha256
from services.rules.coverage import CoverageRules, RequiredStream, SampleRequirement
from services.rules.inheritance import changes_between, merge
from services.rules.rule_set import DEFAULT_RULE_SET

IDENTITY = ((1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def definition(**changed: Any) -> ProjectDefinition:
    return ProjectDefinition.model_validate({"id": "av", "name": "Urban"} | changed)


def made(wanted: ProjectDefinition, now: ProjectState | None = None, newest: int = 0) -> ProjectState:
    return compiled(wanted, now, newest)


def test_a_definition_that_asks_for_nothing_goes_by_the_default_rules() -> None:
    state = made(definition())
    assert state.rules == DEFAULT_RULE_SET
    assert state.project.config == ProjectConfig()


def test_new_rules_are_the_next_version_and_the_same_rules_keep_theirs() -> None:
    wanted = definition(streams=[{"modality": "lidar"}])
    state = made(wanted, newest=4)
    assert (state.rules.id, state.rules.version) == ("av", 5)
    assert state.project.config.rule_set == state.rules.reference
    assert made(wanted, state, newest=5) == state
    assert changes(state, made(wanted, state, newest=5)) == ()


def test_streams_and_context_are_asked_for_by_the_checks() -> None:
    rules = built_in_rules("vehicles")
    wanted = definition(
        rules=rules.model_dump(mode="json"), streams=[{"modality": "lidar"}], context={"required": ["region", "risk"]}
    )
    got = made(wanted).rules
    assert got.context_gate.required == ("region", "product", "policy", "risk")
    assert got.coverage is not None
    assert got.coverage.requirements[0].streams == (RequiredStream(modality="lidar"),)


@pytest.mark.parametrize("name", BUILT_IN)
def test_what_a_project_is_and_its_definition_are_the_same(name: str) -> None:
    rules = built_in_rules(name)
    first = made(
        definition(
            rules=rules.model_dump(mode="json"),
            streams=[{"id": "top", "modality": "lidar", "clock": True}],
            context={"required": ["region"], "allowed": {"region": ["DE"]}},
            settings={"lease_s": 60},
            queues=[{"name": "b", "position": 2}, {"name": "a", "position": 2}],
        )
    )
    again = definition_of(first)
    assert [queue.name for queue in again.queues] == ["a", "b"]
    assert compiled(again, first, 1) == first
    assert made(again) == first


def test_a_requirement_that_somebody_changed_by_hand_stays_in_the_rules() -> None:
    mine = SampleRequirement(name="use case", modalities=("audio",), streams=(RequiredStream(modality="lidar"),))
    rules = DEFAULT_RULE_SET.model_copy(update={"coverage": CoverageRules(requirements=(mine,)), "id": "x"})
    state = ProjectState(made(definition()).project, rules, ())
    back = definition_of(state)
    assert back.streams == ()
    assert back.rules is not None
    assert back.rules.coverage is not None
    assert back.rules.coverage.requirements == (mine,)


def test_changes_name_every_place_once() -> None:
    before = made(definition(queues=[{"name": "a"}, {"name": "b"}]))
    after = made(
        definition(
            purpose="Brake.", queues=[{"name": "b", "position": 3}, {"name": "c/d"[:1]}], settings={"lease_s": 5}
        ),
        before,
    )
    found = {change.path: (change.action, change.before, change.after) for change in changes(before, after)}
    assert found.keys() == {"/purpose", "/queues/a", "/queues/b/position", "/queues/c", "/settings/lease_s"}
    assert found["/queues/a"][0] == "remove"
    assert found["/queues/b/position"] == ("change", 100, 3)
    assert state_sha256(before) != state_sha256(after)


@pytest.mark.parametrize(
    ("changed", "place"),
    [
        ({"settings": {"rule_set": {"id": "x", "version": 1}}}, "rule_set"),
        ({"queues": [{"name": "a"}, {"name": "a"}]}, "queues/1/name"),
        ({"streams": [{"modality": "smell"}]}, "modality"),
        ({"format": "concord.project/2"}, "format"),
    ],
)
def test_a_definition_that_can_not_be_is_refused_with_the_place(changed: dict[str, Any], place: str) -> None:
    with pytest.raises(ValidationError, match=place):
        definition(**changed)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("ab", max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("xyz", min_size=1, max_size=2), inner, max_size=4)
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text("xyz", min_size=1, max_size=2), JSON, max_size=5)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


@given(OBJECTS, OBJECTS)
def test_changes_between_are_what_merging_needs(base: dict[str, Any], wanted: dict[str, Any]) -> None:
    assert without_nulls(merge(base, changes_between(base, wanted))) == without_nulls(wanted)


# Streams that are required

CAMERA = Calibration(
    model="pinhole",
    intrinsics=((900.0, 0.0, 400.0), (0.0, 900.0, 300.0), (0.0, 0.0, 1.0)),
    extrinsics=Extrinsics(to="top", matrix=IDENTITY),
)


def lacks(wanted: RequiredStream, *streams: Stream) -> list[tuple[str, str]]:
    manifest = SampleManifest(format="concord.sample/1", sample_id="s", project="p", streams=streams)
    rules = DEFAULT_RULE_SET.model_copy(
        update={"coverage": CoverageRules(requirements=(SampleRequirement(name="rig", streams=(wanted,)),))}
    )
    return [(found.kind, found.message) for found in check_coverage(CheckSample(manifest, ()), rules).findings]


def a_stream(modality: Modality = "image", **more: Any) -> Stream:
    return Stream.model_validate({"id": "cam", "modality": modality} | more)


def test_a_required_stream_is_found_by_its_id_or_its_sensor() -> None:
    wanted = RequiredStream(id="front", modality="image")
    assert lacks(wanted, a_stream(sensor="front")) == []
    assert lacks(wanted, a_stream(id="front")) == []
    ((kind, message),) = lacks(wanted, a_stream(sensor="rear"))
    assert kind == "missing_stream"
    assert "image stream front" in message
    assert [kind for kind, _ in lacks(wanted, a_stream("lidar", id="front"))] == ["missing_stream"]


@pytest.mark.parametrize(
    ("wanted", "good", "bad", "word"),
    [
        ({"clock": True}, {"clock": Clock(rate_hz=10)}, {}, "neither a rate nor timestamps"),
        ({"clock": True}, {"clock": Clock(timestamps=(0.0, 1.0))}, {"clock": Clock()}, "neither a rate nor timestamps"),
        ({"rate_hz": 10}, {"clock": Clock(rate_hz=10.05)}, {"clock": Clock(rate_hz=12)}, "12 Hz"),
        ({"coordinate_frame": "ego"}, {"coordinate_frame": "ego"}, {"coordinate_frame": "map"}, "states map"),
        ({"calibrated_to": "top"}, {"calibration": CAMERA}, {}, "no extrinsics"),
        ({"calibrated_to": "ego"}, {"calibration": Calibration(extrinsics=Extrinsics(to="ego", matrix=IDENTITY),
          model="pinhole", intrinsics=CAMERA.intrinsics)}, {"calibration": CAMERA}, "leads to top"),
        ({"calibrated_to": "top"}, {"calibration": CAMERA},
         {"calibration": Calibration(extrinsics=CAMERA.extrinsics)}, "camera model"),
    ],
)  # fmt: skip
def test_a_stream_that_lacks_what_must_be_known_of_it_is_incomplete(
    wanted: dict[str, Any], good: dict[str, Any], bad: dict[str, Any], word: str
) -> None:
    required = RequiredStream.model_validate({"modality": "image"} | wanted)
    assert lacks(required, a_stream(**good)) == []
    ((kind, message),) = lacks(required, a_stream(**bad))
    assert kind == "incomplete_stream"
    assert word in message


# Files


def written(folder: Path, text: str) -> Path:
    path = folder / "project.yaml"
    path.write_text(text, encoding="utf-8")
    return path


HEAD = "format: concord.project/1\nid: av\nname: Urban\n"


def test_yaml_words_that_look_like_other_values_are_words(tmp_path: Path) -> None:
    path = written(tmp_path, HEAD + "domain: NO\npurpose: 2026-05-04\ncontext: {allowed: {region: [NO, on]}}\n")
    read = read_definition(path)
    assert (read.domain, read.purpose) == ("NO", "2026-05-04")
    assert read.context == RequiredContext(allowed={"region": ("NO", "on")})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [", "line"),
        ("- a\n- b\n", "is a mapping"),
        (HEAD + "name: Twice\n", "duplicate key"),
        (HEAD + "purpose: &a x\ndomain: *a\n", "line 5: aliases are not taken"),
        (HEAD + "rules: {version: 3}\n", "/rules/version follows from the project"),
        (HEAD + "rules: {extends: nothing-there}\n", "nothing-there"),
        (HEAD + "rules: {clock: {tolerance_s: -1}}\n", "/clock/tolerance_s"),
        (HEAD + "colour: red\n", "/colour"),
        (HEAD + "taxonomy: missing.yaml\n", "missing.yaml can not be read"),
        (HEAD + "taxonomy: {id: t, version: 1, classes: [{id: a, parents: [b]}]}\n", "'b', which is no class here"),
        ("\x00", "project.yaml"),
        ("[" * 50_000, "project.yaml"),
    ],
)
def test_a_bad_file_is_refused_with_what_to_change(tmp_path: Path, text: str, says: str) -> None:
    with pytest.raises(ConcordError) as caught:
        read_definition(written(tmp_path, text))
    assert says in caught.value.detail


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="can not be read"):
        read_definition(tmp_path / "none.yaml")


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_definition_written_as_yaml_is_read_again_as_it_was(tmp_path: Path, template: str) -> None:
    write_template(template, tmp_path, "mine")
    state = made(read_definition(tmp_path / "project.yaml"))
    exported = definition_of(state)
    assert made(read_definition(written(tmp_path, definition_yaml(exported)))) == state


# Templates

FOUND = {
    "vehicles": ("lidar_camera", "low_overlap"),
    "healthcare": ("record_agreement", "field_mismatch"),
    "retail": ("text_visual", "count_mismatch"),
    "support": ("affect_agreement", "valence_conflict"),
    "industrial": ("event_structure", "order_violation"),
}


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_example_of_a_template_has_the_one_disagreement(tmp_path: Path, template: str) -> None:
    runner = CliRunner()
    begun = runner.invoke(app, ["project", "init", template, str(tmp_path / "new"), "--project", "mine"])
    assert begun.exit_code == 0
    assert begun.stdout.split() == [str(tmp_path / "new" / name) for name in FILES]
    checked = runner.invoke(
        app,
        [
            "check",
            str(tmp_path / "new" / "example"),
            "--rules",
            str(tmp_path / "new" / "project.yaml"),
            "--format",
            "json",
        ],
    )
    assert checked.exit_code == 1
    samples = json.loads(checked.stdout)["samples"]
    found = [(item["check"], item["kind"]) for sample in samples for item in sample["findings"]]
    assert found == [FOUND[template]]
    assert {sample["project"] for sample in samples} == {"mine"}
    queues = read_definition(tmp_path / "new" / "project.yaml").queues
    assert queues
    assert all(isinstance(queue, ReviewQueue) for queue in queues)


@pytest.mark.parametrize("template", TEMPLATES)
def test_the_taxonomy_of_a_template_can_be_published_as_it_is_written(tmp_path: Path, template: str) -> None:
    write_template(template, tmp_path, "mine")
    checked = CliRunner().invoke(app, ["taxonomy", "validate", str(tmp_path / "taxonomy.yaml"), "--json"])
    assert checked.exit_code == 0, checked.output
    assert json.loads(checked.stdout)["reference"] == f"{template}@1"


def test_a_template_overwrites_nothing(tmp_path: Path) -> None:
    write_template("retail", tmp_path, "retail")
    with pytest.raises(InvalidInputError, match="is there already"):
        write_template("retail", tmp_path, "retail")
    with pytest.raises(InvalidInputError, match="there is no template"):
        write_template("farms", tmp_path / "b", "x")
    with pytest.raises(InvalidInputError, match="a project id"):
        write_template("retail", tmp_path / "b", "No Good")
    assert not (tmp_path / "b").exists()


def test_rules_may_come_from_a_definition_or_a_rule_set(tmp_path: Path) -> None:
    assert rules_from("default") == DEFAULT_RULE_SET
    assert rules_from(written(tmp_path, HEAD + "rules: {clock: {tolerance_s: 0.5}}\n")).id == "av"

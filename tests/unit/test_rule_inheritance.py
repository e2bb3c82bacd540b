import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app
from infra.storage.rule_files import BUILT_IN, built_in_rules, read_rules
from services.errors import ConcordError, InvalidInputError
from services.rules.domains import DOMAINS
from services.rules.inheritance import merge
from services.rules.reference import rules_reference
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from tests.unit.cli.test_check import manifest, write

MARK = "<!-- made by `concord rules reference` -->\n"


def rules(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["rules", *(str(arg) for arg in args)])


def file(folder: Path, name: str = "my.json", **content: Any) -> Path:
    """A rule set; ``more`` stands for ``+routing``."""
    named = {"+routing" if key == "more" else key: value for key, value in content.items()}
    return write(folder / name, {"id": "mine", "version": 1, **named})


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_built_in_rule_set_is_whole_and_named_as_its_file(name: str) -> None:
    found = built_in_rules(name)
    assert found.id == name
    assert found.description
    shown = json.loads(rules("show", name).stdout)
    assert RuleSet.model_validate_json(json.dumps(shown)) == found
    assert found.accept_reason_codes
    assert found.default_queue == DEFAULT_RULE_SET.default_queue


def test_domains_differ_where_they_should() -> None:
    assert set(BUILT_IN) == {"default", *DOMAINS}
    healthcare = built_in_rules("healthcare")
    assert healthcare.audio_transcript.severity_of("text_mismatch") == "critical"
    assert healthcare.audio_transcript.alignment == DEFAULT_RULE_SET.audio_transcript.alignment
    assert healthcare.routing[1:] == DEFAULT_RULE_SET.routing
    assert not built_in_rules("retail").audio_transcript.enabled


def test_objects_merge_lists_are_replaced_or_go_before_and_null_takes_back(tmp_path: Path) -> None:
    base = file(
        tmp_path, "base.json", extends="default", audio_transcript={"max_wer": 0.3, "severities": {"drift": "minor"}}
    )
    found = read_rules(
        file(
            tmp_path,
            extends="base.json",
            audio_transcript={"severities": {"offset": "critical", "drift": None}, "speech": {"window_s": 20}},
            accept_reason_codes=["only_this"],
            four_eyes_risks=None,
            record_agreement=None,
            more=[{"queue": "first"}],
        )
    )
    assert read_rules(base).audio_transcript.severity_of("drift") == "minor"
    assert found.audio_transcript.max_wer == 0.3
    assert found.audio_transcript.severities == {"offset": "critical"}
    assert found.audio_transcript.speech.window_s == 20
    assert found.audio_transcript.speech.min_snr_db == 5
    assert found.accept_reason_codes == ("only_this",)
    assert found.four_eyes_risks == ("high",)
    assert found.record_agreement is None
    assert [rule.queue for rule in found.routing] == ["first", *(rule.queue for rule in DEFAULT_RULE_SET.routing)]
    assert found.description == ""


def test_merging_alters_neither_document() -> None:
    base, changes = {"a": {"b": [1]}, "c": 1}, {"a": {"b": None, "+x": 2}, "+c": [1]}
    assert merge(base, changes) == {"a": {"+x": 2}, "c": 1, "+c": [1]}
    assert base == {"a": {"b": [1]}, "c": 1}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ({"extends": "default", "lidar_cam": {}}, "/lidar_cam"),
        ({"extends": "default", "lidar_cam": None}, "/lidar_cam"),
        ({"extends": "default", "audio_transcript": {"max_werr": 1}}, "/audio_transcript/max_werr"),
        ({"extends": "default", "audio_transcript": {"max_wer": 99}}, "/audio_transcript/max_wer"),
        ({"extends": "default", "+max": [1]}, "/+max"),
        ({"extends": "default", "version": None}, "/version"),
        ({"extends": 7}, "/extends"),
        ({"extends": "nobody"}, "/extends"),
        ({"extends": "my.json"}, "/extends"),
        ({"audio_transcript": {"extends": "default"}}, "/audio_transcript/extends"),
    ],
)
def test_what_is_wrong_is_refused_with_file_and_place(tmp_path: Path, content: dict[str, Any], place: str) -> None:
    path = file(tmp_path, **content)
    with pytest.raises(InvalidInputError) as caught:
        read_rules(path)
    assert caught.value.places[0][0] == place
    assert str(path) in caught.value.detail
    result = rules("validate", path)
    assert result.exit_code == 2
    assert place in result.stderr


def test_a_circle_is_refused_and_named(tmp_path: Path) -> None:
    for name, base in (("a.json", "b.json"), ("b.json", "c.json"), ("c.json", "a.json")):
        file(tmp_path, name, extends=base)
    with pytest.raises(InvalidInputError, match=r"circle: .*a\.json -> .*b\.json -> .*c\.json -> .*a\.json"):
        read_rules(tmp_path / "a.json")


def test_a_fault_of_the_base_is_told_of_the_base(tmp_path: Path) -> None:
    file(tmp_path, "base.json", surprise=1)
    with pytest.raises(InvalidInputError, match=r"base\.json.*surprise"):
        read_rules(file(tmp_path, extends="base.json"))


def test_a_chain_without_end_and_a_document_that_is_none_are_refused(tmp_path: Path) -> None:
    for number in range(30):
        file(tmp_path, f"{number}.json", extends=f"{number + 1}.json")
    with pytest.raises(InvalidInputError, match="stand on each other"):
        read_rules(tmp_path / "0.json")
    for content in (b"[]", b"{", b"\xff"):
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(ConcordError):
            read_rules(tmp_path / "bad.json")


def test_a_trial_tells_what_is_found_and_no_longer_found(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    write(folder / "a.json", manifest())
    write(folder / "b.json", manifest("s-2", policy="approved"))
    changed = file(tmp_path, extends="default", context_gate={"policy_statuses": ["draft"], "required": ["region"]})
    told = json.loads(rules("try", changed, folder, "--json").stdout)
    assert told["summary"]["found"] == {"context_gate/missing": 2, "context_gate/policy_not_approved": 1}
    assert told["summary"]["no_longer_found"] == {"context_gate/policy_not_approved": 1}
    text = rules("try", changed, folder)
    assert text.exit_code == 0
    assert "2 of 2 samples differ" in text.stdout
    assert "mine@1 against default@1" in text.stdout


def test_a_trial_of_the_same_rules_differs_nowhere_and_severity_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", manifest())
    same = json.loads(rules("try", "default", path, "--json").stdout)["summary"]
    assert (same["samples_that_differ"], same["same"]) == (0, 1)
    milder = file(tmp_path, extends="default", context_gate={"severity": "minor"})
    (sample,) = json.loads(rules("try", milder, path, "--json").stdout)["samples"]
    assert [(item["from"], item["to"]) for item in sample["severity_changed"]] == [("critical", "minor")]


def test_the_page_of_all_fields_is_current() -> None:
    page = Path(__file__).resolve().parents[2] / "docs" / "rules.md"
    _, _, tables = page.read_text(encoding="utf-8").partition(MARK)
    # The order of fields means nothing, so changing it makes no page outdated.
    assert sorted(tables.split("\n")) == sorted(f"\n{rules_reference()}\n".split("\n")), (
        "put what `concord rules reference` prints after the mark in docs/rules.md"
    )


def test_the_example_of_the_page_is_valid(tmp_path: Path) -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "rules.md").read_text(encoding="utf-8")
    example = json.loads(page.split("```json\n")[1].split("```")[0])
    found = read_rules(write(tmp_path / "example.json", example))
    assert found.audio_transcript.max_wer == 0.3
    assert found.routing[0].queue == "urgent"

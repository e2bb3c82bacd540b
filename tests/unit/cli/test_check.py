import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app


def manifest(sample_id: str = "s-1", *, policy: str = "draft", **changes: Any) -> dict[str, Any]:
    return {
        "format": "concord.sample/1",
        "sample_id": sample_id,
        "project": "p",
        "context": {"policy": {"id": "privacy", "version": "1", "status": policy}},
        "streams": [{"id": "note", "modality": "text", "inline": "good morning"}],
        "annotations": [{"id": "a1", "type": "intent", "stream": "note", "label": "greeting"}],
        **changes,
    }


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document), encoding="utf-8")
    return path


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *(str(arg) for arg in args)])


def test_a_clean_sample_exits_0(tmp_path: Path) -> None:
    result = run(write(tmp_path / "a.json", manifest(policy="approved")))
    assert result.exit_code == 0
    assert "clean" in result.stdout


def test_a_finding_exits_1_and_the_severity_decides(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", manifest())
    rules = json.loads(CliRunner().invoke(app, ["rules", "show"]).stdout)
    lenient = write(tmp_path / "rules.json", {**rules, "id": "mine", "context_gate": {"severity": "minor"}})
    assert run(path).exit_code == 1
    assert run(path, "--rules", lenient).exit_code == 1
    assert run(path, "--rules", lenient, "--fail-on", "major").exit_code == 0


def test_json_has_the_fixed_shape(tmp_path: Path) -> None:
    result = run(write(tmp_path / "a.json", manifest()), "--format", "json")
    document = json.loads(result.stdout)
    (sample,) = document["samples"]
    assert sample["sample_id"] == "s-1"
    assert {"findings", "not_applicable"} <= sample.keys()
    assert sample["findings"][0]["kind"] == "policy_not_approved"
    assert {item["check"] for item in sample["not_applicable"]} >= {"lidar_camera", "audio_transcript"}
    assert document["summary"]["findings"] == document["summary"]["failed"] == 1
    assert document["summary"]["by_check"] == {"context_gate": {"policy_not_approved": 1}}


def test_sarif_names_rule_level_place_and_fingerprint(tmp_path: Path) -> None:
    document = json.loads(run(write(tmp_path / "a b.json", manifest()), "--format", "sarif").stdout)
    assert document["version"] == "2.1.0"
    (log,) = document["runs"]
    rules = log["tool"]["driver"]["rules"]
    results = log["results"]
    assert all(rules[result["ruleIndex"]]["id"] == result["ruleId"] for result in results)
    (failure,) = [result for result in results if result["kind"] == "fail"]
    assert failure["ruleId"] == "context_gate/policy_not_approved"
    assert failure["level"] == "error"
    assert failure["partialFingerprints"]["concordFindingId/v1"].startswith("p/s-1/f-")
    assert failure["locations"][0]["physicalLocation"]["artifactLocation"]["uri"].endswith("a%20b.json")
    assert all(result["level"] == "none" for result in results if result["kind"] == "notApplicable")
    assert log["invocations"][0]["executionSuccessful"] is True


def test_junit_counts_what_it_holds(tmp_path: Path) -> None:
    write(tmp_path / "a.json", manifest("s-1"))
    write(tmp_path / "b.json", manifest("s-2", policy="approved"))
    write(tmp_path / "c.json", {**manifest("s-3"), "streams": []})
    result = run(tmp_path, "--format", "junit")
    assert result.exit_code == 2
    root = ET.fromstring(result.stdout)  # noqa: S314 - our own output
    assert [suite.get("name") for suite in root] == ["p/s-1", "p/s-2", "input"]
    cases = list(root.iter("testcase"))
    counted = {
        "tests": len(cases),
        "failures": len(list(root.iter("failure"))),
        "errors": len(list(root.iter("error"))),
        "skipped": len(list(root.iter("skipped"))),
    }
    assert {name: int(root.get(name, "-1")) for name in counted} == counted
    assert counted["failures"] == counted["errors"] == 1


def test_several_processes_give_the_same_result(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.json", manifest(f"s-{number}"))
    assert run(tmp_path, "--json").stdout == run(tmp_path, "--json", "--jobs", "2").stdout


def test_a_missing_asset_is_a_finding_and_one_outside_is_not_read(tmp_path: Path) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(b"x")
    streams = [
        {"id": "cam", "modality": "image", "uri": "missing.png"},
        {"id": "out", "modality": "image", "uri": (tmp_path / "secret.png").as_uri()},
    ]
    write(folder / "a.json", manifest(policy="approved", streams=streams, annotations=[]))
    document = json.loads(run(folder, "--json").stdout)
    findings = {tuple(f["streams"]): f["kind"] for f in document["samples"][0]["findings"]}
    assert findings == {("cam",): "asset_missing", ("out",): "asset_unreadable"}


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", "line 1"),
        ('{"format": "other/1"}', "/format"),
        ('{"format": "concord.sample/1", "x": NaN}', "NaN"),
        ('{"format": "concord.sample/1", "sample_id": "a\\u0000b"}', "NUL"),
        (json.dumps(manifest(surprise=1)), "/surprise"),
    ],
)
def test_a_bad_manifest_exits_2_and_names_the_place(tmp_path: Path, content: str, named: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(content, encoding="utf-8")
    result = run(path)
    assert result.exit_code == 2
    assert named in result.stderr
    assert "Traceback" not in result.stderr


def test_nothing_there_exits_2(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nobody"):
        result = run(path)
        assert result.exit_code == 2
        assert result.stderr.startswith("error: ")


def test_bad_rules_exit_2_and_name_the_place(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", manifest())
    rules = write(tmp_path / "rules.json", {"id": "mine", "version": 0})
    result = run(path, "--rules", rules)
    assert result.exit_code == 2
    assert "/version" in result.stderr

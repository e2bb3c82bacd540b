"""``concord check`` over several samples: what only they show together."""

import hashlib
import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from infra.cli.main import app


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *(str(arg) for arg in args)])


def write(folder: Path, sample_id: str, streams: list[dict[str, Any]], labels: list[dict[str, Any]]) -> None:
    document = {
        "format": "concord.sample/1", "sample_id": sample_id, "project": "p", "streams": streams, "annotations": labels,
    }  # fmt: skip
    (folder / f"{sample_id}.json").write_text(json.dumps(document), encoding="utf-8")


def exchanged(folder: Path) -> None:
    """Two notes whose addresses were exchanged, and one that is right."""
    for name in "abc":
        (folder / f"{name}.txt").write_text(f"the note of {name}", encoding="utf-8")
    for name, points_to in (("a", "b"), ("b", "a"), ("c", "c")):
        digest = hashlib.sha256((folder / f"{name}.txt").read_bytes()).hexdigest()
        stream = {"id": "note", "modality": "text", "uri": f"{points_to}.txt", "sha256": digest}
        label = {"id": "l", "type": "intent", "stream": "note", "label": "greeting"}
        write(folder, f"sample-{name}", [stream], [label])


def drifting(folder: Path) -> None:
    """Forty notes that two teams judge, one of which calls every refund a complaint."""
    for number in range(40):
        truth = "refund" if number % 2 else "praise"
        labels = [
            {
                "id": f"l-{team}", "type": "intent", "stream": "note",
                "label": "complaint" if team == "red" and truth == "refund" else truth,
                "author": {"kind": "human", "id": f"u-{team}", "team": team},
            }
            for team in ("blue", "red")
        ]  # fmt: skip
        write(folder, f"n-{number:02d}", [{"id": "note", "modality": "text", "inline": "a note"}], labels)


def test_two_samples_whose_files_were_exchanged_are_one_finding_that_names_both(tmp_path: Path) -> None:
    exchanged(tmp_path)
    document = json.loads(run(tmp_path, "--json").stdout)
    (swap,) = document["dataset"]["findings"]
    assert swap["kind"] == "swapped_with"
    assert swap["samples"] == ["sample-a", "sample-b"]
    of = {sample["sample_id"]: sample for sample in document["samples"]}
    for name in swap["samples"]:
        assert "hash_mismatch" not in {finding["kind"] for finding in of[name]["findings"]}
        assert {finding["finding_id"] for finding in of[name]["folded"]} <= set(swap["explains"])
        assert of[name]["folded"]
    assert document["summary"]["by_check"]["metadata_source"] == {"swapped_with": 1}


def test_every_format_tells_what_several_samples_show(tmp_path: Path) -> None:
    exchanged(tmp_path)
    text = run(tmp_path)
    assert text.exit_code == 1
    assert "all samples together" in text.stdout
    assert "swapped_with" in text.stdout
    (result,) = [
        one
        for one in json.loads(run(tmp_path, "--format", "sarif").stdout)["runs"][0]["results"]
        if one["ruleId"] == "metadata_source/swapped_with"
    ]
    assert len(result["locations"]) == 2
    assert 'testsuite name="all samples"' in run(tmp_path, "--format", "junit").stdout


def test_a_finding_about_several_samples_can_be_explained(tmp_path: Path) -> None:
    exchanged(tmp_path)
    (swap,) = json.loads(run(tmp_path, "--json").stdout)["dataset"]["findings"]
    told = json.loads(run(tmp_path, "--explain", swap["finding_id"], "--json").stdout)["explanations"]
    assert [one["sample_id"] for one in told] == ["sample-a", "sample-b"]


def test_teams_that_drift_apart_over_many_samples_are_found_though_no_sample_shows_it(tmp_path: Path) -> None:
    drifting(tmp_path)
    document = json.loads(run(tmp_path, "--json").stdout)
    kinds = {finding["kind"] for finding in document["dataset"]["findings"]}
    assert "class_confusion" in kinds
    (confusion,) = [one for one in document["dataset"]["findings"] if one["kind"] == "class_confusion"]
    assert "refund" in confusion["message"]
    assert "complaint" in confusion["message"]


def test_samples_that_agree_have_nothing_to_say_together(tmp_path: Path) -> None:
    exchanged(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"sample-{name}.json").unlink()
    write(tmp_path, "other", [{"id": "note", "modality": "text", "inline": "x"}], [])
    assert json.loads(run(tmp_path, "--json").stdout)["dataset"] == {"findings": []}

"""``concord agreement`` over files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner, Result

from infra.cli.main import app
from services.contracts.agreement import AgreementReport


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["agreement", *(str(arg) for arg in args)])


def manifest(path: Path, sample_id: str, labels: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    streams = [{"id": "cam", "modality": "image"}]
    document = {"format": "concord.sample/1", "sample_id": sample_id, "project": "p", "streams": streams}
    path.write_text(json.dumps({**document, "annotations": labels}), encoding="utf-8")


def box(name: str, x: float, label: str = "car", author: str | None = None) -> dict[str, Any]:
    found: dict[str, Any] = {"type": "box", "id": name, "stream": "cam", "label": label, "box": [x, 0, x + 100, 100]}
    return found if author is None else {**found, "author": {"kind": "human", "id": author, "team": "blue"}}


def test_authors_of_one_manifest_are_compared(tmp_path: Path) -> None:
    for index in range(3):
        labels = [box("a", 0, author="anna"), box("b", 10, "van" if index else "car", author="ben"), box("c", 0)]
        manifest(tmp_path / f"s{index}.json", f"s{index}", labels)
    told = run(tmp_path, "--json")
    assert told.exit_code == 0, told.output
    report = AgreementReport.model_validate_json(told.stdout)
    assert (report.samples, report.people, report.unnamed) == (3, ("anna", "ben"), 3)
    (confusion,) = report.confusions
    assert (confusion.class_a, confusion.class_b, confusion.times) == ("car", "van", 2)
    text = run(tmp_path)
    assert text.exit_code == 0
    assert "anna / ben" in text.stdout
    assert "anna car, ben van." in text.stdout
    only = json.loads(run(tmp_path, "--json", "--view", "pair").stdout)
    assert {one["view"] for one in only["measures"]} == {"pair"}


def test_each_path_may_be_one_persons_labels(tmp_path: Path) -> None:
    manifest(tmp_path / "anna" / "s.json", "s", [box("a", 0)])
    manifest(tmp_path / "ben" / "s.json", "s", [box("b", 20)])
    told = run(tmp_path / "anna", tmp_path / "ben", "--by", "path", "--json")
    assert told.exit_code == 0, told.output
    report = AgreementReport.model_validate_json(told.stdout)
    assert report.people == ("anna", "ben")
    (overlap,) = [one for one in report.measures if one.metric == "mean_iou" and one.view == "all"]
    assert overlap.value is not None
    assert round(overlap.value, 4) == round(80 / 120, 4)


def test_bad_input_is_one_sentence(tmp_path: Path) -> None:
    manifest(tmp_path / "a" / "s.json", "s", [box("a", 0)])
    manifest(tmp_path / "b" / "a" / "s.json", "s", [box("a", 0)])
    for args, said in (
        ((), "give paths, or a project"),
        ((tmp_path, "--project", "p"), "give paths, or a project"),
        (("--project", "p", "--rules", "default"), "--rules is for files"),
        ((tmp_path / "a", "--by", "path"), "at least two paths"),
        ((tmp_path / "a", tmp_path / "b" / "a", "--by", "path"), "two paths are named 'a'"),
        ((tmp_path / "nothing",), "nothing"),
    ):
        result = run(*args)
        assert (result.exit_code, said in result.output) == (2, True), result.output


def test_what_can_not_be_read_is_in_no_number_and_exits_2(tmp_path: Path) -> None:
    manifest(tmp_path / "s.json", "s", [box("a", 0, author="anna"), box("b", 0, author="ben")])
    (tmp_path / "broken.json").write_text('{"format": "concord.sample/1", "sample_id": 7}', encoding="utf-8")
    result = run(tmp_path, "--json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["unreadable"] == 1
    assert "broken.json" in result.stderr

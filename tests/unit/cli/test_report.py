"""``concord report`` over folders."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app
from services.contracts.dataset_report import DatasetReport
from tests.unit.cli.test_check_dataset import exchanged


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["report", *(str(arg) for arg in args)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "data"
    made.mkdir()
    exchanged(made)
    return made


def test_every_form_tells_the_same_numbers(folder: Path, tmp_path: Path) -> None:
    told = run(folder, "--format", "json")
    assert told.exit_code == 0, told.output
    report = DatasetReport.model_validate_json(told.stdout)
    assert (report.samples, len(report.scores)) == (3, 9)
    aligned = report.scores[1]
    assert "metadata_source/swapped_with" in aligned.by_reason
    text = run(folder)
    assert text.exit_code == 0, text.output
    page = tmp_path / "report.html"
    assert run(folder, "--format", "html", "--out", page).exit_code == 0
    html = page.read_text(encoding="utf-8")
    for score in report.scores:
        assert score.title in text.stdout
        assert score.title in html
    whole = tmp_path / "report.txt"
    assert run(folder, "--out", whole).exit_code == 0
    for score in report.scores:
        assert f"{score.title}: {score.failing} of {score.population}" in whole.read_text(encoding="utf-8")
        for entry in score.entries:
            assert entry.sentence in whole.read_text(encoding="utf-8")


def test_a_limit_shortens_lists_and_not_numbers(folder: Path) -> None:
    whole = json.loads(run(folder, "--format", "json").stdout)
    cut = json.loads(run(folder, "--format", "json", "--max-listed", "0").stdout)
    assert [score["failing"] for score in cut["scores"]] == [score["failing"] for score in whole["scores"]]
    assert sum(score["failing"] for score in whole["scores"]) > 0
    assert not any(score.get("entries") for score in cut["scores"])


def test_what_can_not_be_read_is_in_no_number_and_exits_2(folder: Path) -> None:
    (folder / "broken.json").write_text('{"format": "concord.sample/1", "sample_id": 7}', encoding="utf-8")
    result = run(folder, "--format", "json")
    assert result.exit_code == 2
    assert json.loads(result.stdout)["unreadable"] == 1
    assert "broken.json" in result.stderr


def test_paths_or_a_project(folder: Path, tmp_path: Path) -> None:
    for args in ((), (folder, "--project", "p")):
        result = run(*args)
        assert (result.exit_code, "give paths, or a project" in result.output) == (2, True)
    result = run("--project", "p", "--rules", "default")
    assert (result.exit_code, "--rules is for files" in result.output) == (2, True)
    result = run(folder, "--out", tmp_path)
    assert (result.exit_code, "is a folder" in result.output) == (2, True)

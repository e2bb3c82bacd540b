import json
from pathlib import Path

import pytest

from tests.unit.cli.test_check import manifest, run, write


def segment(name: str, start_s: float, end_s: float) -> dict[str, object]:
    return {
        "id": name, "type": "transcript_segment", "stream": "note", "start_s": start_s, "end_s": end_s,
        "text": "good morning", "speaker": "anna",
    }  # fmt: skip


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    return write(
        tmp_path / "a.json",
        manifest(policy="approved", annotations=[segment("s1", 0.0, 2.0), segment("s2", 5.0, 4.0)]),
    )


def test_an_explanation_has_numbers_rule_method_and_suggestion(faulty: Path) -> None:
    (finding,) = json.loads(run(faulty, "--json").stdout)["samples"][0]["findings"]
    result = run(faulty, "--explain", finding["finding_id"][:10])
    assert result.exit_code == 0
    assert finding["message"] in result.stdout
    assert "audio_transcript/negative_duration" in result.stdout
    assert "default@1" in result.stdout
    assert "min_untranscribed_s = 0.4" in result.stdout
    assert "labels: s2" in result.stdout
    assert "speech activity" in result.stdout.lower() or "hears where somebody speaks" in result.stdout
    assert "Suggestion" in result.stdout


def test_an_explanation_as_json_says_the_same(faulty: Path) -> None:
    (finding,) = json.loads(run(faulty, "--json").stdout)["samples"][0]["findings"]
    (told,) = json.loads(run(faulty, "--json", "--explain", finding["finding_id"]).stdout)["explanations"]
    assert told["finding"] == finding
    assert told["folded"] == []
    names = {item["name"]: item for item in told["rule"]["thresholds"]}
    assert names["alignment.min_offset_s"]["meaning"].startswith("Smaller shifts")
    assert not any(item["changed"] for item in names.values())
    assert told["method"]


def test_an_unknown_finding_exits_2_and_names_what_to_do(faulty: Path) -> None:
    result = run(faulty, "--explain", "f-nobody")
    assert result.exit_code == 2
    assert "f-nobody" in result.stderr
    assert run(faulty, "--explain", "f-nobody", "--format", "sarif").exit_code == 2


def test_progress_stays_off_a_pipe(faulty: Path) -> None:
    result = run(faulty)
    assert "checking" not in result.stderr
    assert "reading" not in result.stderr

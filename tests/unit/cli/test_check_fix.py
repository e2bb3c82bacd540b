import json
from pathlib import Path

import pytest
import soundfile

from infra.checks.batch import Batch, CheckedSample, Failure
from infra.checks.fix import fix_samples
from infra.storage.found import FoundSample
from services.alignment.engine import run_checks
from services.alignment.sample import CheckSample
from services.alignment.suggestions import apply_suggestion, changed_labels
from services.contracts.annotations import Annotation
from services.contracts.findings import (
    CheckReport,
    Finding,
    LabelPatch,
    RuleReference,
    Severity,
    Suggestion,
    TimeShift,
)
from services.contracts.labels_language import TranscriptSegment
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.cli.test_check import manifest, run, write
from tests.unit.spoken_calls import Call, made_call, manifest_of, moved, segment, turn


@pytest.fixture(scope="module")
def call() -> Call:
    return made_call(3)


def late_call(folder: Path, call: Call, *, file: str = "calls/late.json") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / "call.wav", call.audio.samples, call.audio.rate_hz)
    labels = [*moved(call.segments, 1.5), *call.turns]
    document = call.manifest.model_copy(update={"annotations": tuple(labels)}).model_dump(mode="json")
    document["streams"][0]["uri"] = "call.wav"
    place = folder / file
    place.parent.mkdir(parents=True, exist_ok=True)
    if place.parent != folder:
        document["streams"][0]["uri"] = (folder / "call.wav").as_uri()
    return write(place, document)


def test_a_shift_is_fixed_in_the_copy_and_nothing_else_is_touched(tmp_path: Path, call: Call) -> None:
    source = late_call(tmp_path / "in", call)
    before = source.read_bytes()
    result = run(tmp_path / "in", "--fix", tmp_path / "out", "--json")
    document = json.loads(result.stdout)
    assert result.exit_code == 0, document["samples"][0]["findings"]
    (fixed,) = document["fixed"]["samples"]
    assert [item["kind"] for item in fixed["applied"]] == ["offset"]
    assert fixed["applied"][0]["solved"]
    assert fixed["labels_changed"] == sorted(label.id for label in call.segments)
    assert source.read_bytes() == before
    copy = tmp_path / "out" / "calls" / "late.json"
    assert str(copy) == fixed["path"]
    labels = {label["id"]: label for label in json.loads(copy.read_text())["annotations"]}
    assert all(abs(labels[label.id]["start_s"] - label.start_s) < 0.1 for label in call.segments)
    assert all(labels[label.id]["start_s"] == label.start_s for label in call.turns)
    assert run(copy, "--assets", tmp_path / "in").exit_code == 0


def test_a_person_reads_what_changed_and_what_remains(tmp_path: Path, call: Call) -> None:
    late_call(tmp_path / "in", call)
    write(tmp_path / "in" / "note.json", manifest())
    result = run(tmp_path / "in", "--fix", tmp_path / "out")
    assert result.exit_code == 1
    assert "fixed    audio_transcript/offset" in result.stdout
    assert "1 of 2 samples" in result.stdout
    assert "context_gate/policy_not_approved" in result.stdout
    junit = run(tmp_path / "in", "--fix", tmp_path / "again", "--format", "junit")
    assert junit.stdout.startswith("<?xml")
    assert "1 of 2 samples" in junit.stderr


def test_the_input_is_never_written_to(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    path = write(source / "a.json", manifest())
    (tmp_path / "full").mkdir()
    write(tmp_path / "full" / "b.json", {})
    for target in (source, source / "below", tmp_path, tmp_path / "full", path):
        result = run(path if target == path else source, "--fix", target)
        assert result.exit_code == 2, target
        assert result.stderr.startswith("error: ")
    assert sorted(item.name for item in source.iterdir()) == ["a.json"]


def test_samples_of_one_name_do_not_overwrite_each_other(tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / "a.json", manifest(folder))
    run(tmp_path / "x" / "a.json", tmp_path / "y" / "a.json", "--fix", tmp_path / "out")
    ids = {file.name: json.loads(file.read_text())["sample_id"] for file in (tmp_path / "out").iterdir()}
    assert ids == {"a.json": "x", "a-2.json": "y"}


def test_a_movement_keeps_to_its_types() -> None:
    labels: tuple[Annotation, ...] = (segment("s", 1, 2, "hello"), turn("t", 1, 2, "anna"))
    shift = TimeShift(stream="audio", types=("transcript_segment",), offset_s=0.5)
    after = apply_suggestion(labels, Suggestion(summary="move", time_shift=shift))
    assert changed_labels(labels, after) == ("s",)


def test_a_patch_replaces_in_place_adds_and_removes() -> None:
    labels = tuple(segment(name, 1, 2, "hello") for name in "abc")
    patch = LabelPatch(upsert=(segment("b", 3, 4, "new"), segment("d", 5, 6, "more")), remove=("a", "nobody"))
    after = apply_suggestion(labels, Suggestion(summary="patch", patch=patch))
    assert [label.id for label in after] == ["b", "c", "d"]
    assert changed_labels(labels, after) == ("a", "b", "d")


def suggested(name: str, label: TranscriptSegment, severity: Severity = "major") -> Finding:
    return Finding(
        finding_id=name,
        check="audio_transcript",
        kind="overlap",
        severity=severity,
        message="made up",
        rule=RuleReference(id="default", version=1),
        suggestion=Suggestion(summary="put it there", patch=LabelPatch(upsert=(label,))),
    )


def recheck(batch: Batch) -> tuple[list[CheckedSample], list[Failure]]:
    checked = []
    for item in batch.found:
        sample = CheckSample(item.manifest, item.manifest.annotations)
        checked.append(CheckedSample(item, sample.annotations, run_checks(sample, DEFAULT_RULE_SET)))
    return checked, []


def test_what_helps_is_kept_and_what_fits_no_sample_is_named() -> None:
    labels = (segment("a", 0.0, 2.0, "one two"), segment("b", 5.0, 4.0, "three"))
    good = suggested("f-good", segment("b", 4.0, 5.0, "three"))
    odd = suggested("f-odd", segment("e", 1.0, 2.0, "x").model_copy(update={"stream": "nobody"}))
    same = suggested("f-same", labels[0])
    whole = manifest_of().model_copy(update={"annotations": labels})
    report = CheckReport(rule=DEFAULT_RULE_SET.reference, findings=(good, odd, same))
    (sample,) = fix_samples([CheckedSample(FoundSample(whole, Path("x")), labels, report)], Batch(), recheck)
    assert [finding.finding_id for finding in sample.applied] == ["f-good"]
    assert {finding.finding_id for finding, _ in sample.refused} == {"f-odd", "f-same"}
    assert sample.changed == ("b",)
    assert not [item for item in sample.report.findings if item.kind == "negative_duration"]


def test_a_single_suggestion_that_makes_it_worse_is_refused() -> None:
    labels = (segment("a", 0.0, 2.0, "one two"),)
    worse = suggested("f-worse", segment("a", 3.0, 1.0, "one two"), severity="minor")
    whole = manifest_of().model_copy(update={"annotations": labels})
    report = CheckReport(rule=DEFAULT_RULE_SET.reference, findings=(worse,))
    (sample,) = fix_samples([CheckedSample(FoundSample(whole, Path("x")), labels, report)], Batch(), recheck)
    assert sample.applied == []
    assert [reason for _, reason in sample.refused] == ["with it the labels disagree more than before"]
    assert sample.manifest.annotations == labels

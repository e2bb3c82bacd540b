"""``concord check`` on label files without a manifest."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from typer.testing import CliRunner, Result

from infra.cli.main import app
from infra.storage.found import BadFile, FoundSample
from infra.storage.manifest_files import find_samples
from tests.unit.formats.samples import DATA, needs_data, only_concord_errors

VTT = "WEBVTT\n\nNOTE made by hand\n\n00:01.000 --> 00:02.000\n<v anna>good morning</v>\n"
RTTM = "SPKR-INFO talk 1 <NA> <NA> <NA> unknown anna <NA>\nSPEAKER talk 1 1.0 1.0 <NA> <NA> anna <NA> <NA>\n"
STM = "talk 1 anna 1.0 2.0 good morning\n"
GRID = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0 4 <exists> 1\n"IntervalTier" "anna" 0 4 1 1 2 "good"\n'
COCO: dict[str, Any] = {
    "info": {"year": 2024},
    "images": [
        {"id": 5, "file_name": "train/a.png", "width": 40, "height": 30},
        {"id": 9, "file_name": "b.png", "width": 40, "height": 30},
    ],
    "categories": [{"id": 3, "name": "cat"}],
    "annotations": [
        {"id": 1, "image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 9, "category_id": 3, "bbox": [1, 2, 0, 4]},
        {"id": 3, "image_id": 9, "category_id": 3, "bbox": [2, 2, 5, 4]},
    ],
}


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["check", *(str(arg) for arg in args)])


def samples(*args: str | Path) -> dict[str, Any]:
    result = run(*args, "--format", "json")
    assert result.exit_code in (0, 1), result.output
    return {sample["sample_id"]: sample for sample in json.loads(result.stdout)["samples"]}


def found(*paths: Path, **more: Any) -> dict[str, FoundSample]:
    items = list(find_samples(*paths, project="p", **more))
    assert not [item for item in items if isinstance(item, BadFile)]
    return {item.manifest.sample_id: item for item in items if isinstance(item, FoundSample)}


def sound(path: Path) -> Path:
    soundfile.write(path, np.zeros(32_000), 8_000)
    return path


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 30)).save(path)
    return path


def test_label_files_of_one_recording_are_one_sample_with_the_recording(tmp_path: Path) -> None:
    wav = sound(tmp_path / "talk.wav")
    for name, text in (("talk.vtt", VTT), ("talk.rttm", RTTM), ("talk.TextGrid", GRID), ("talk.stm", STM)):
        (tmp_path / name).write_text(text)
    (sample,) = found(tmp_path).values()
    (stream,) = sample.manifest.streams
    assert sample.manifest.sample_id == "talk"
    assert (stream.uri, stream.modality, stream.duration_s) == (wav.resolve().as_uri(), "audio", 4.0)
    authors = {label.author.id for label in sample.manifest.annotations if label.author is not None}
    assert authors == {"webvtt", "rttm", "textgrid", "stm"}
    assert [losses.file for losses in sample.losses] == ["talk.rttm", "talk.vtt"]


def test_label_files_that_disagree_about_their_recording_are_found(tmp_path: Path) -> None:
    (tmp_path / "talk.stm").write_text(STM)
    (tmp_path / "talk.vtt").write_text(VTT)
    (sample,) = samples(tmp_path).values()
    assert sample["findings"] == []
    (tmp_path / "talk.vtt").write_text(VTT.replace("good morning", "see you later then"))
    (sample,) = samples(tmp_path).values()
    assert {finding["kind"] for finding in sample["findings"]} == {"text_mismatch"}


def test_files_that_are_named_together_are_one_sample_and_alone_two(tmp_path: Path) -> None:
    (tmp_path / "talk.rttm").write_text(RTTM)
    (tmp_path / "talk.vtt").write_text(VTT)
    assert len(found(tmp_path / "talk.rttm", tmp_path / "talk.vtt")["talk"].manifest.annotations) == 2
    assert len(found(tmp_path / "talk.rttm")["talk"].manifest.annotations) == 1


def test_a_translation_is_a_sample_of_its_own_on_the_same_recording(tmp_path: Path) -> None:
    wav = sound(tmp_path / "talk.wav")
    (tmp_path / "talk.en.vtt").write_text(VTT)
    (tmp_path / "talk.de.vtt").write_text(VTT.replace("good morning", "guten Morgen"))
    read = found(tmp_path)
    assert list(read) == ["talk.de", "talk.en"]
    assert {sample.manifest.streams[0].uri for sample in read.values()} == {wav.resolve().as_uri()}


def test_the_name_of_a_file_does_not_matter(tmp_path: Path) -> None:
    (tmp_path / "captions.txt").write_text(VTT)
    (tmp_path / "labels.dat").write_text(RTTM)
    assert list(found(tmp_path)) == ["captions"]
    assert list(found(tmp_path / "labels.dat")) == ["labels"]


def test_each_picture_of_a_document_is_a_sample_with_its_own_losses(tmp_path: Path) -> None:
    near, far = picture(tmp_path / "images/train/a.png"), picture(tmp_path / "elsewhere/deep/b.png")
    (tmp_path / "annotations").mkdir()
    path = tmp_path / "annotations/cats.json"
    path.write_text(json.dumps(COCO))
    read = found(tmp_path)
    assert list(read) == ["annotations-cats-a", "annotations-cats-b"]
    streams = [sample.manifest.streams[0] for sample in read.values()]
    assert [stream.uri for stream in streams] == [near.resolve().as_uri(), far.resolve().as_uri()]
    assert [len(sample.manifest.annotations) for sample in read.values()] == [1, 1]
    told = samples(tmp_path)
    assert told["annotations-cats-a"]["dropped"] == [
        {"file": "cats.json", "place": "/info", "what": "info", "why": "it is no label"}
    ]
    (box,) = told["annotations-cats-b"]["dropped"]
    assert box["place"] == "/annotations/1"


def test_pictures_of_a_named_file_are_found_beside_it_and_below_assets_only(tmp_path: Path) -> None:
    picture(tmp_path / "out/of/sight/b.png")
    path = tmp_path / "in/cats.json"
    path.parent.mkdir()
    path.write_text(json.dumps(COCO))
    picture(path.parent / "a.png")
    assert [item.manifest.streams[0].uri is not None for item in found(path).values()] == [True, False]
    with_assets = found(path, assets=[tmp_path / "out"])
    assert [item.manifest.streams[0].uri is not None for item in with_assets.values()] == [True, True]


def test_a_document_can_not_reach_outside_its_folder(tmp_path: Path) -> None:
    picture(tmp_path / "secret.png")
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("../secret.png", str(tmp_path / "secret.png"), "..\\secret.png", "a/../../secret.png"):
        (folder / "x.json").write_text(json.dumps({**COCO, "images": [{"id": 5, "file_name": name}]}))
        assert [item.manifest.streams[0].uri for item in found(folder).values()] == [None]
    (folder / "secret.png").symlink_to(tmp_path / "secret.png")
    assert [item.manifest.streams[0].uri for item in found(folder).values()] == [None]


def test_an_ambiguous_picture_is_no_picture(tmp_path: Path) -> None:
    for side in ("left", "right"):
        picture(tmp_path / side / "b.png")
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/x.json").write_text(json.dumps({**COCO, "images": COCO["images"][1:]}))
    (sample,) = found(tmp_path).values()
    assert sample.manifest.streams[0].uri is None


def test_a_sequence_with_tracks_is_one_sample_a_folder(tmp_path: Path) -> None:
    names = ["s1/0.png", "s2/0.png", "s1/1.png"]
    images = [{"id": number, "file_name": name} for number, name in enumerate(names)]
    boxes = [
        {"id": number, "image_id": number, "category_id": 3, "track_id": 7, "bbox": [1, 2, 3, 4]} for number in range(3)
    ]
    (tmp_path / "x.json").write_text(json.dumps({**COCO, "images": images, "annotations": boxes}))
    read = found(tmp_path)
    assert list(read) == ["x-s1", "x-s2"]
    assert [label.frame for label in read["x-s1"].manifest.annotations] == [0, 1]
    assert [item.manifest.streams[0].modality for item in read.values()] == ["video", "image"]


def test_text_that_a_task_holds_is_the_stream(tmp_path: Path) -> None:
    region = {
        "id": "r", "type": "labels", "from_name": "l", "to_name": "text",
        "value": {"start": 0, "end": 4, "text": "good", "labels": ["mood"]},
    }  # fmt: skip
    task = {"id": 1, "data": {"text": "good morning"}, "annotations": [{"id": 1, "result": [region]}]}
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    (sample,) = found(tmp_path).values()
    (stream,) = sample.manifest.streams
    assert (stream.modality, stream.inline) == ("text", "good morning")
    assert [label.stream for label in sample.manifest.annotations] == ["text"]


def test_text_output_tells_how_much_was_not_taken_over_and_what_first(tmp_path: Path) -> None:
    path = tmp_path / "talk.rttm"
    path.write_text("".join(RTTM.splitlines(keepends=True)[0] for _ in range(5)) + RTTM)
    result = run(path)
    assert result.exit_code == 0
    assert "dropped  6 things of talk.rttm not taken over: line 1 SPKR-INFO" in result.stdout
    assert "and 3 more" in result.stdout


def test_losses_of_a_manifests_label_files_are_told_too_and_the_file_is_no_second_sample(tmp_path: Path) -> None:
    (tmp_path / "talk.rttm").write_text(RTTM)
    manifest = {
        "format": "concord.sample/1", "sample_id": "m", "project": "p",
        "streams": [{"id": "a", "modality": "audio"}],
        "label_files": [{"format": "rttm", "uri": "talk.rttm", "stream": "a"}],
    }  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    (sample,) = samples(tmp_path).values()
    assert sample["sample_id"] == "m"
    assert [lost["place"] for lost in sample["dropped"]] == ["line 1"]


def test_json_that_is_no_label_file_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text('{"name": "x", "version": "1"}')
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "numbers.txt").write_text("0 0.5 0.5 0.1 0.1 0.2 0.3\n")
    (tmp_path / "talk.vtt").write_text(VTT)
    assert list(found(tmp_path)) == ["talk"]
    (tmp_path / "talk.vtt").unlink()
    result = run(tmp_path)
    assert result.exit_code == 2
    assert "holds no sample" in result.stderr


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.vtt", "WEBVTT\n\n00:01 --> x\nhi\n", "line 3"),
        ("a.rttm", RTTM + "SPEAKER talk 1 x 1.0 <NA> <NA> anna <NA> <NA>\n", "line 3"),
        ("a.json", '{"openlabel": {"metadata": {}}}', "schema_version"),
        ("a.xml", "<annotations><image>", "line 1"),
        ("a.txt", "1,1,0,0,5,5,1,-1,-1,-1\n0,1,0,0,5,5,1,-1,-1,-1\n", "frames count from 1"),
        ("a.txt", "Car 0.00 0 -0.20 712.40 143.00 810.73 307.92 1.89 0.48 1.20 1.84 1.47 8.41 0.01\n", "calib/"),
        ("a.json", '[{"token": "a", "sample_token": "b"}]', "folder of all its tables"),
        ("a.json", '{"name": "x"}', "concord.sample/1"),
    ],
)
def test_a_file_that_can_not_be_read_exits_2_with_the_place(tmp_path: Path, name: str, text: str, told: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    result = run(path)
    assert result.exit_code == 2
    assert told in result.stderr
    assert str(path) in result.stderr


def test_a_bad_file_does_not_take_the_others_of_its_recording_with_it(tmp_path: Path) -> None:
    (tmp_path / "talk.rttm").write_text("SPEAKER talk 1 x 1.0 <NA> <NA> anna <NA> <NA>\n")
    (tmp_path / "talk.vtt").write_text(VTT)
    result = run(tmp_path, "--format", "json")
    assert result.exit_code == 2
    document = json.loads(result.stdout)
    assert [sample["sample_id"] for sample in document["samples"]] == ["talk"]
    assert [error["path"] for error in document["errors"]] == [str(tmp_path / "talk.rttm")]


def test_kitti_labels_without_calibration_are_one_error_a_folder(tmp_path: Path) -> None:
    line = "Car 0.00 0 -0.20 712.40 143.00 810.73 307.92 1.89 0.48 1.20 1.84 1.47 8.41 0.01\n"
    for number in range(3):
        (tmp_path / f"{number}.txt").write_text(line)
    (bad,) = find_samples(tmp_path, project="p")
    assert isinstance(bad, BadFile)
    assert "0.txt and 2 more files" in bad.error.detail
    assert "calib/" in bad.error.detail


def test_a_fix_never_takes_the_name_of_a_label_file(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/talk.vtt").write_text(VTT)
    result = run(tmp_path / "in", "--fix", tmp_path / "fixed")
    assert result.exit_code == 0
    (copy,) = (tmp_path / "fixed").iterdir()
    assert copy.name == "talk.json"
    assert json.loads(copy.read_text())["format"] == "concord.sample/1"


@needs_data
def test_real_recordings_have_their_sound_and_no_false_alarm() -> None:
    read = samples(DATA / "praatio/examples/files")
    assert set(read) == {"bobby_phones", "bobby_words", "damon_set_test", "mary", "mary_misaligned"}
    heard = {name: {item["check"] for item in sample["not_applicable"]} for name, sample in read.items()}
    assert "audio_transcript" not in heard["mary"]
    assert not [sample for sample in read.values() if sample["findings"]]
    (call,) = samples(DATA / "pyannote_call").values()
    assert (call["sample_id"], call["findings"]) == ("sample", [])


@needs_data
def test_real_pictures_are_found_by_name() -> None:
    read = found(DATA / "coco_mmpose/tests/data/coco")
    pictured = [name for name, item in read.items() if item.manifest.streams[0].uri is not None]
    assert pictured == [f"test_coco-{number:012d}" for number in (785, 40083, 196141, 197388)]


@needs_data
@pytest.mark.parametrize(
    ("folder", "count"), [("labelstudio_converter", 11), ("openlabel_vcd", 3), ("mot_motmetrics", 2)]
)
def test_real_folders_are_read_whole(folder: str, count: int) -> None:
    assert len(found(DATA / folder)) == count


@needs_data
def test_a_real_scene_is_checked_across_its_sensors() -> None:
    path = DATA / "openlabel_vcd/tests/etc/openlabel100_kitti_tracking_0003.json"
    (sample,) = samples(path).values()
    assert "lidar_camera" not in {item["check"] for item in sample["not_applicable"]}


@needs_data
def test_a_real_trackers_output_is_checked_where_the_ground_truth_is_clean(tmp_path: Path) -> None:
    shutil.copytree(DATA / "mot_motmetrics/TUD-Campus", tmp_path / "TUD")
    read = samples(tmp_path)
    assert read["TUD-gt"]["findings"] == []
    assert {finding["check"] for finding in read["TUD-test"]["findings"]} == {"track_identity"}


@needs_data
@pytest.mark.parametrize(
    "name",
    [
        "coco_mmpose/tests/data/posetrack18/annotations/val/003418_mpii_test.json",
        "labelstudio_converter/tests/data/test_export_csv/csv_test.json",
        "openlabel_vcd/tests/etc/openlabel100_test_VCD420_to_OpenLABEL100_dmd.json",
        "praatio/examples/files/bobby_words.TextGrid",
        "pyannote_call/sample.rttm",
        "mot_motmetrics/TUD-Campus/gt.txt",
    ],
)
def test_a_damaged_document_is_samples_or_an_error_with_a_sentence(tmp_path: Path, name: str) -> None:
    path = tmp_path / Path(name).name

    def read(data: bytes) -> None:
        path.write_bytes(data)
        for item in find_samples(path, project="p"):
            if isinstance(item, BadFile):
                raise item.error

    assert only_concord_errors((DATA / name).read_bytes(), read, cuts=20, flips=40) > 0

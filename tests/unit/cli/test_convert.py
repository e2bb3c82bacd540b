from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from infra.cli.main import app
from infra.storage.found import FoundSample
from infra.storage.label_documents import label_format
from infra.storage.manifest_files import find_samples
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.manifest import LabelFormat
from services.formats.bare import read_bare
from services.formats.exporters import EXPORTERS
from tests.unit.cli.test_label_documents import COCO, RTTM, STM, VTT
from tests.unit.formats.samples import DATA, needs_data, without_ids

REAL: dict[str, LabelFormat] = {
    "openlabel_vcd/tests/etc/openlabel100_kitti_tracking_0003.json": "openlabel",
    "openlabel_vcd/tests/etc/openlabel100_test_scene_KITTI_Tracking_3.json": "openlabel",
    "coco_mmpose/tests/data/coco/test_coco.json": "coco",
    "coco_mmpose/tests/data/posetrack18/annotations/test_posetrack18_val.json": "coco",
    "labelstudio_converter/tests/data/test_export_yolo/data.json": "label_studio",
    "labelstudio_converter/tests/data/test_export_yolo/data_obb.json": "label_studio",
    "praatio/examples/files/mary.TextGrid": "textgrid",
    "praatio/examples/files/bobby_words.TextGrid": "textgrid",
    "mot_motmetrics/TUD-Campus/gt.txt": "mot",
    "pyannote_call/sample.rttm": "rttm",
}


def run(*args: str | Path) -> Result:
    return CliRunner().invoke(app, ["convert", *(str(arg) for arg in args)])


def told(*args: str | Path) -> dict[str, Any]:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.output
    (document,) = json.loads(result.stdout)["documents"]
    assert isinstance(document, dict)
    return document


def labels_of(path: Path, form: LabelFormat) -> tuple[Annotation, ...]:
    assert label_format(path) == form
    return read_bare(form, path.read_bytes(), name=path.name, carry_cuboids=False).annotations


@needs_data
@pytest.mark.parametrize(("name", "form"), REAL.items())
def test_real_files_survive_being_written_in_their_own_format(tmp_path: Path, name: str, form: LabelFormat) -> None:
    out = tmp_path / f"again{EXPORTERS[form].ending}"
    document = told(DATA / name, "--to", form, "--out", out)
    before, after = labels_of(DATA / name, form), labels_of(out, form)
    assert len(before) == document["labels"] > 0
    kept = {label.id for label in before} - {lost["place"] for lost in document["dropped_on_write"]}
    assert len(after) == document["written"]
    # Where every label is kept whole the second reading is the first; else those that are kept are among it.
    lossless = set(without_ids(label for label in before if label.id in kept))
    assert lossless
    assert lossless <= set(without_ids(after))
    if not document["dropped_on_write"]:
        assert sorted(without_ids(before)) == sorted(without_ids(after))


@needs_data
@pytest.mark.parametrize("form", sorted(set(EXPORTERS) - {"kitti", "kitti_tracking"}))
@pytest.mark.parametrize("name", REAL)
def test_whatever_is_written_is_known_and_read_again(tmp_path: Path, name: str, form: LabelFormat) -> None:
    out = tmp_path / f"other{EXPORTERS[form].ending}"
    document = told(DATA / name, "--to", form, "--out", out)
    lost = {(item["place"], item["what"]) for item in document["dropped_on_write"]}
    assert document["labels"] - document["written"] == len({place for place, what in lost if what in KINDS})
    if document["written"]:
        assert len(labels_of(out, form)) >= document["written"]


KINDS = {
    "box", "rotated_box", "polygon", "mask", "keypoints", "image_classification", "frame_label", "track", "event",
    "cuboid", "transcript_segment", "speaker_turn", "sound_event", "summary", "text_classification", "relation",
}  # fmt: skip


@needs_data
def test_a_kitti_folder_goes_to_openlabel_and_back(tmp_path: Path) -> None:
    result = run(DATA / "kitti_object", "--to", "openlabel", "--out", tmp_path / "scenes")
    assert result.exit_code == 0
    files = sorted((tmp_path / "scenes").iterdir())
    assert [file.name for file in files] == ["kitti-object-000000.json", "kitti-object-000001.json"]
    document = told(files[0], "--to", "kitti", "--out", tmp_path / "000000.txt")
    assert (document["labels"], document["written"]) == (2, 2)
    want = (DATA / "kitti_object/training/label_2/000000.txt").read_text().split()
    got = (tmp_path / "000000.txt").read_text().split()
    assert got[0] == want[0]
    assert [float(word) for word in got[1:]] == pytest.approx([float(word) for word in want[1:]], abs=0.02)


@needs_data
def test_kitti_tracking_is_written_from_a_scene_with_a_calibration(tmp_path: Path) -> None:
    source = DATA / "openlabel_vcd/tests/etc/openlabel100_kitti_tracking_0003.json"
    told(source, "--to", "kitti_tracking", "--out", tmp_path / "0003.txt")
    lines = (tmp_path / "0003.txt").read_text().splitlines()
    cars = [line.split() for line in lines if "DontCare" not in line]
    assert len(cars) == 388
    assert sum(float(words[10]) > 0 for words in cars) == 388  # every one with its cuboid


def test_the_document_is_printed_and_the_losses_stand_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "talk.vtt"
    path.write_text(VTT)
    result = run(path, "--to", "srt")
    assert result.exit_code == 0
    assert result.stdout == "1\n00:00:01,000 --> 00:00:02,000\ngood morning\n"
    assert "1 of 1 labels written as srt" in result.stderr
    assert "NOTE made by hand (a block that is no label)" in result.stderr
    assert "without speaker" in result.stderr


def test_json_tells_everything_that_was_lost_on_both_ways(tmp_path: Path) -> None:
    path = tmp_path / "talk.vtt"
    path.write_text(VTT)
    document = told(path, "--to", "srt")
    assert document["document"].startswith("1\n")
    assert [lost["place"] for lost in document["dropped_on_read"]] == ["line 3"]
    (lost,) = document["dropped_on_write"]
    assert (lost["what"], lost["why"]) == ("speaker", "SRT has no place for it")


def test_a_label_that_is_not_written_at_all_is_counted(tmp_path: Path) -> None:
    (tmp_path / "talk.rttm").write_text(RTTM)
    (tmp_path / "talk.stm").write_text(STM)
    document = told(tmp_path, "--to", "rttm", "--out", tmp_path / "out.rttm")
    assert (document["labels"], document["written"]) == (2, 1)
    assert [lost["what"] for lost in document["dropped_on_write"]] == ["transcript_segment"]
    assert (tmp_path / "out.rttm").read_text().startswith("SPEAKER talk 1 1.000 1.000 <NA> <NA> anna")


def test_labels_of_a_manifest_and_its_label_files_are_converted(tmp_path: Path) -> None:
    (tmp_path / "talk.rttm").write_text(RTTM)
    manifest = {
        "format": "concord.sample/1", "sample_id": "m", "project": "p",
        "streams": [{"id": "a", "modality": "audio"}, {"id": "b", "modality": "audio"}],
        "annotations": [{"id": "x", "type": "speaker_turn", "stream": "b", "speaker": "bo", "start_s": 1, "end_s": 2}],
        "label_files": [{"format": "rttm", "uri": "talk.rttm", "stream": "a"}],
    }  # fmt: skip
    (tmp_path / "m.json").write_text(json.dumps(manifest))
    one = told(tmp_path / "m.json", "--to", "rttm", "--stream", "a")
    other = told(tmp_path / "m.json", "--to", "rttm", "--stream", "b")
    assert ("anna" in one["document"], "bo" in one["document"]) == (True, False)
    assert ("anna" in other["document"], "bo" in other["document"]) == (False, True)
    assert [lost["place"] for lost in one["dropped_on_read"]] == ["line 1"]
    assert "it is on the stream b; a is written" in {lost["why"] for lost in one["dropped_on_write"]}
    result = run(tmp_path / "m.json", "--to", "rttm", "--stream", "c")
    assert (result.exit_code, "streams are a, b" in result.stderr) == (2, True)


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "talk.vtt").write_text(VTT)
    out = tmp_path / "talk.srt"
    out.write_text("mine")
    for place in (out, tmp_path):
        result = run(tmp_path / "talk.vtt", "--to", "srt", "--out", place)
        assert result.exit_code == 2
        assert "nothing is overwritten" in result.stderr
    assert out.read_text() == "mine"


def test_several_documents_need_a_folder_and_one_that_is_there_stops_all(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    (source / "a.vtt").write_text(VTT)
    (source / "b.vtt").write_text(VTT)
    assert "folder" in run(source, "--to", "srt").stderr
    out = tmp_path / "out"
    out.mkdir()
    (out / "b.srt").write_text("mine")
    assert run(source, "--to", "srt", "--out", out).exit_code == 2
    assert [file.name for file in out.iterdir()] == ["b.srt"]
    assert run(source, "--to", "srt", "--out", tmp_path / "new").exit_code == 0
    assert sorted(file.name for file in (tmp_path / "new").iterdir()) == ["a.srt", "b.srt"]


def test_a_document_of_many_pictures_stays_one(tmp_path: Path) -> None:
    (tmp_path / "cats.json").write_text(json.dumps(COCO))
    told(tmp_path / "cats.json", "--to", "cvat", "--out", tmp_path / "cats.xml")
    written = (tmp_path / "cats.xml").read_text()
    assert [name in written for name in ("train/a.png", "b.png", 'width="40"')] == [True] * 3
    back = told(tmp_path / "cats.xml", "--to", "coco")
    images = json.loads(back["document"])["images"]
    assert [(image["file_name"], image["width"]) for image in images] == [("train/a.png", 40), ("b.png", 40)]


@pytest.mark.parametrize(
    ("text", "form", "reason"),
    [
        (VTT, "avi", "formats are coco, cvat"),
        ("WEBVTT\n\n00:01 --> x\nhi\n", "srt", "line 3"),
        (json.dumps(COCO), "kitti", "intrinsics and extrinsics"),
        ("no labels here", "srt", "concord.sample/1"),
    ],
)
def test_bad_input_exits_2_and_writes_nothing(tmp_path: Path, text: str, form: str, reason: str) -> None:
    (tmp_path / "source").write_text(text)
    result = run(tmp_path / "source", "--to", form, "--out", tmp_path / "out")
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not (tmp_path / "out").exists()


def test_what_is_not_there_exits_2(tmp_path: Path) -> None:
    result = run(tmp_path / "gone", "--to", "srt")
    assert (result.exit_code, "there is nothing at" in result.stderr) == (2, True)


@needs_data
def test_samples_become_tables_that_are_read_again(tmp_path: Path) -> None:
    result = run(DATA / "kitti_object", "--to", "nuscenes", "--out", tmp_path / "tables", "--json")
    assert result.exit_code == 0, result.output
    documents = {document["name"]: document for document in json.loads(result.stdout)["documents"]}
    found = [item for item in find_samples(tmp_path / "tables", project="p") if isinstance(item, FoundSample)]
    read = {item.manifest.sample_id.removeprefix("nuscenes-"): item.manifest for item in found}
    scenes = {name: manifest for name, manifest in read.items() if name in documents}
    assert scenes.keys() == documents.keys()
    before = {item.manifest.sample_id: item.manifest for item in find_samples(DATA / "kitti_object", project="p")
              if isinstance(item, FoundSample)}  # fmt: skip
    for name, scene in scenes.items():
        # A scene has the cuboids; its one keyframe has the boxes on the image as well.
        assert documents[name]["written"] == len(read[f"{name}-0000"].annotations) > len(scene.annotations)
        cuboids = {label.id: label for label in scene.annotations if isinstance(label, Cuboid)}
        assert cuboids
        for label in before[name].annotations:
            if isinstance(label, Cuboid):
                assert cuboids[label.id].center_m == pytest.approx(label.center_m, abs=1e-6)
                assert cuboids[label.id].size_m == label.size_m


def test_tables_need_a_folder_and_a_lidar(tmp_path: Path) -> None:
    (tmp_path / "call.vtt").write_text(VTT)
    result = run(tmp_path / "call.vtt", "--to", "nuscenes")
    assert (result.exit_code, "name a new folder for them with --out" in result.output) == (2, True)
    result = run(tmp_path / "call.vtt", "--to", "nuscenes", "--out", tmp_path / "tables")
    assert (result.exit_code, "has no LiDAR stream" in result.output) == (2, True)
    assert not (tmp_path / "tables").exists()

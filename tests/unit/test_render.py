import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from infra.render.canvas import BLUE, CYCLE, INK, ORANGE, PAPER, SKY, readable_on
from infra.render.evidence import evidence_pictures
from infra.render.spatial import best_frame
from services.alignment.engine import run_checks
from services.alignment.lidar_camera_scene import box_rows
from services.alignment.sample import AudioData, CheckSample
from services.contracts.findings import Finding
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.cli.test_check import run
from tests.unit.cli.test_check_fix import late_call
from tests.unit.lidar_camera_scenes import SIZE_PX, driving, edited, labels, sample_of
from tests.unit.spoken_calls import made_call, moved, segment


def pictures(sample: CheckSample, finding: Finding, **images: Image.Image) -> dict[str, Image.Image]:
    return dict(evidence_pictures(sample, finding, DEFAULT_RULE_SET, images))


def findings(sample: CheckSample) -> list[Finding]:
    return list(run_checks(sample, DEFAULT_RULE_SET).findings)


def has(picture: Image.Image, colour: tuple[int, int, int]) -> bool:
    return bool((np.array(picture) == colour).all(axis=2).sum() > 50)


def test_a_misplaced_cuboid_is_shown_in_the_image_and_from_above() -> None:
    cloud = np.random.default_rng(1).uniform(-30, 30, (500, 3)).astype(np.float32)
    scene = edited(labels(), "c-car-1", center_m=(15.0, 1.0, -0.9))
    sample = sample_of(scene, clouds_m={"lidar": cloud})
    finding = next(
        item for item in findings(sample) if item.check == "lidar_camera" and "c-car-1-0" in item.annotations
    )
    photo = Image.new("RGB", SIZE_PX, (90, 90, 90))
    drawn = pictures(sample, finding, cam=photo)
    assert {"camera-cam", "above-lidar"} <= drawn.keys()
    assert all(has(drawn["camera-cam"], colour) for colour in (BLUE, SKY, ORANGE, (90, 90, 90)))
    assert has(drawn["above-lidar"], ORANGE)
    assert not has(pictures(sample, finding)["camera-cam"], (90, 90, 90))


def test_a_sequence_has_a_timeline_and_a_frame_that_shows_most() -> None:
    annotations = tuple(
        label.model_copy(update={"label": "truck"}) if label.id in ("b-car-1-7", "b-car-1-8", "b-car-1-9") else label
        for label in driving(12)
    )
    sample = sample_of(annotations)
    finding = next(item for item in findings(sample) if "b-car-1-7" in item.annotations)
    drawn = pictures(sample, finding)
    assert "timeline" in drawn
    assert has(drawn["timeline"], CYCLE[0])
    assert best_frame(finding, [box_rows(annotations, "cam")]) == 7


def test_a_late_transcript_is_shown_with_what_is_heard_and_after_the_fix() -> None:
    call = made_call(3)
    sample = call.sample([*moved(call.segments, 1.5), *call.turns])
    (finding,) = (item for item in findings(sample) if item.kind == "offset")
    (picture,) = pictures(sample, finding).values()
    assert has(picture, BLUE)
    assert has(picture, (213, 94, 0))
    assert has(picture, (0, 158, 115))


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.5])
def test_recordings_of_any_length_are_drawn_or_left_out(seconds: float) -> None:
    call = made_call(1)
    audio = AudioData(np.zeros(int(seconds * 8_000), dtype=np.float32), 8_000)
    sample = CheckSample(call.manifest, (segment("s1", 5.0, 2.0, "x" * 500),), {"audio": audio})
    for finding in findings(sample):
        pictures(sample, finding)


def test_labels_far_outside_and_of_no_size_are_drawn() -> None:
    scene = edited(labels(), "b-car-1", box=(-1e9, -1e9, 1e9, 1e9))
    scene = edited(scene, "c-car-1", center_m=(1e6, 1e6, 0.0), size_m=(1e-6, 1e-6, 1e-6))
    sample = sample_of(scene)
    for finding in findings(sample):
        for picture in pictures(sample, finding).values():
            assert max(picture.size) < 4_000


def test_words_are_readable_on_every_colour() -> None:
    assert readable_on(PAPER) == INK
    assert readable_on(INK) == PAPER


def test_the_command_writes_png_files_and_names_them(tmp_path: Path) -> None:
    late_call(tmp_path / "in", made_call(3), file="late.json")
    document = json.loads(run(tmp_path / "in", "--json", "--render", tmp_path / "out").stdout)
    (file,) = document["pictures"]
    assert Path(file).is_relative_to(tmp_path / "out" / "calls" / "call")
    with Image.open(file) as picture:
        assert picture.format == "PNG"
    assert "1 picture in" in run(tmp_path / "in", "--render", tmp_path / "out").stdout

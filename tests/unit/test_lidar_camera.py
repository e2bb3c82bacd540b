"""The check on a synthetic scene in which every answer is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from services.alignment.lidar_camera import check_lidar_camera
from services.alignment.sample import CheckOutcome, CheckSample
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.label_base import Author
from services.contracts.labels_spatial import Cuboid, SpatialTrack, TrackCuboid
from services.contracts.labels_visual import Box, Track, TrackBox
from services.contracts.manifest import SampleManifest
from services.rules.lidar_camera import LidarCameraRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from tests.unit.lidar_camera_scenes import (
    INTRINSICS,
    LIDAR_FROM_CAMERA,
    box_of,
    cuboid,
    driving,
    edited,
    labels,
    manifest,
    sample_of,
)


def check(sample: CheckSample, **rules: Any) -> CheckOutcome:
    section = LidarCameraRules(**rules)
    return check_lidar_camera(sample, DEFAULT_RULE_SET.model_copy(update={"lidar_camera": section}))


def kinds(outcome: CheckOutcome) -> list[tuple[str, str]]:
    return sorted((finding.kind, finding.severity) for finding in outcome.findings)


def only(outcome: CheckOutcome) -> Finding:
    assert len(outcome.findings) == 1, kinds(outcome)
    return outcome.findings[0]


def test_labels_that_agree_exactly_give_no_finding() -> None:
    outcome = check(sample_of(labels()))
    assert outcome == CheckOutcome()


def test_cuboid_three_metres_aside_is_one_major_finding_on_its_labels() -> None:
    found = labels()
    finding = only(check(sample_of(edited(found, "c-car-2", center_m=(25.0, -3.0, -0.9)))))
    assert (finding.kind, finding.severity) == ("low_overlap", "major")
    assert finding.annotations == ("c-car-2-0", "b-car-2-0")
    assert finding.measured is not None
    assert finding.measured.value < 0.3
    assert "IoU" in finding.message


def test_without_ids_the_moved_cuboid_and_its_box_lack_a_partner() -> None:
    found = edited(labels(), "c-car-2", center_m=(25.0, -10.0, -0.9))
    nameless = {key: label.model_copy(update={"object_id": None}) for key, label in found.items()}
    assert kinds(check(sample_of(nameless))) == [("unmatched_box", "major"), ("unmatched_cuboid", "major")]


def test_cuboid_moved_out_of_the_image_is_found_by_its_box() -> None:
    finding = only(check(sample_of(edited(labels(), "c-car-1", center_m=(-15.0, 4.0, -0.9)))))
    assert (finding.kind, finding.severity) == ("low_overlap", "major")


@pytest.mark.parametrize(("key", "kind"), [("b-car-1", "unmatched_cuboid"), ("c-car-1", "unmatched_box")])
def test_removed_label_leaves_its_partner_alone(key: str, kind: str) -> None:
    found = labels()
    del found[key]
    finding = only(check(sample_of(found)))
    assert (finding.kind, finding.severity) == (kind, "major")


def test_class_mismatch_proposes_the_class_that_fits_the_cuboids_size() -> None:
    finding = only(check(sample_of(edited(labels(), "b-person-1", label="truck"))))
    assert (finding.kind, finding.severity) == ("class_mismatch", "major")
    assert finding.suggestion is not None
    assert finding.suggestion.patch is not None
    (fixed,) = finding.suggestion.patch.upsert
    assert (fixed.id, fixed.label) == ("b-person-1-0", "pedestrian")
    repaired = labels()
    repaired["b-person-1"] = fixed
    assert check(sample_of(repaired)).findings == ()


@pytest.mark.parametrize("name", ["van", "Car", "vehicle.car"])
def test_equivalent_class_names_agree(name: str) -> None:
    assert check(sample_of(edited(labels(), "b-car-1", label=name))).findings == ()


def test_changed_object_id_is_named_with_its_fix() -> None:
    finding = only(check(sample_of(edited(labels(), "b-car-1", object_id="car-99"))))
    assert finding.kind == "object_id_mismatch"
    assert finding.suggestion is not None
    assert finding.suggestion.patch is not None
    assert finding.suggestion.patch.upsert[0].object_id == "car-1"


def test_swapped_ids_are_two_mismatches_and_not_two_bad_places() -> None:
    found = edited(edited(labels(), "b-car-1", object_id="car-2"), "b-car-2", object_id="car-1")
    assert kinds(check(sample_of(found))) == [("object_id_mismatch", "major")] * 2


def test_streams_that_number_their_objects_apart_have_no_id_faults() -> None:
    renamed = {
        key: label.model_copy(update={"object_id": f"box{i}"}) if isinstance(label, Box) else label
        for i, (key, label) in enumerate(labels().items())
    }
    assert check(sample_of(renamed)).findings == ()


def test_ids_that_mean_nothing_across_streams_give_way_to_overlap() -> None:
    found = labels()
    names = ["car-2", "car-3", "person-1", "truck-1", "car-1"]
    boxes = [key for key in found if key.startswith("b-")]
    for key, name in zip(boxes, names, strict=True):
        found = edited(found, key, object_id=name)
    assert check(sample_of(found)).findings == ()


def test_cuboid_without_a_height_on_the_image_has_no_depth_to_judge() -> None:
    flat = manifest()
    camera = flat.streams[0]
    assert camera.calibration is not None
    # No manifest may say so; the check must not divide by the height even then.
    lens = camera.calibration.model_copy(update={"intrinsics": ((720.0, 0.0, 610.0), (0.0, 0.0, 175.0), (0, 0, 1.0))})
    streams = (camera.model_copy(update={"calibration": lens}), *flat.streams[1:])
    outcome = check(sample_of(labels(), manifest=flat.model_copy(update={"streams": streams})))
    assert "depth_implausible" not in {kind for kind, _ in kinds(outcome)}


def test_cuboid_moved_along_its_ray_has_an_implausible_depth() -> None:
    x, y, z = 25.0, -6.0, -0.9
    moved = tuple(1.7 * (value - origin) + origin for value, origin in zip((x, y, z), (0.3, 0, -0.1), strict=True))
    finding = only(check(sample_of(edited(labels(), "c-car-2", center_m=moved))))
    assert (finding.kind, finding.severity) == ("depth_implausible", "major")
    assert finding.measured is not None
    assert finding.measured.value > 1.4 * (finding.measured.threshold or 0)


def test_cuboid_scaled_with_its_distance_has_an_impossible_height() -> None:
    origin = np.array([0.3, 0, -0.1])
    moved = tuple((2.5 * (np.array([12.0, -3.0, -0.8]) - origin) + origin).tolist())
    size = tuple(2.5 * value for value in (0.7, 0.6, 1.75))
    finding = only(check(sample_of(edited(labels(), "c-person-1", center_m=moved, size_m=size))))
    assert (finding.kind, finding.severity) == ("depth_implausible", "major")
    assert "4.38 m high" in finding.message


@pytest.mark.parametrize(
    ("key", "change"),
    [
        ("b-car-2", {"truncation": 0.6}),
        ("c-car-2", {"truncation": 0.6}),
        ("b-car-2", {"occlusion": 2}),
        ("c-car-2", {"occlusion": 2}),
        ("b-car-2", {"ignore": True}),
        ("c-car-2", {"ignore": True}),
    ],
)
def test_truncated_occluded_and_ignored_labels_are_exempt(key: str, change: dict[str, Any]) -> None:
    found = edited(edited(labels(), "c-car-2", center_m=(25.0, -3.0, -0.9)), key, **change)
    if "ignore" in change:
        found = {k: label for k, label in found.items() if k == key or not k.endswith("car-2")}
    assert check(sample_of(found)).findings == ()


def test_unknown_occlusion_exempts_nothing() -> None:
    found = edited(labels(), "c-car-2", center_m=(25.0, -3.0, -0.9), occlusion=3)
    assert kinds(check(sample_of(found))) == [("low_overlap", "major")]


@pytest.mark.parametrize("place", [(-12.0, 3.0, -0.9), (10.0, 60.0, -0.9), (95.0, 2.0, -0.9), (30.0, 0.0, 40.0)])
def test_cuboids_behind_beside_above_and_too_far_need_no_box(place: tuple[float, float, float]) -> None:
    found = {**labels(), "extra": cuboid("extra", "car", place, 0.0)}
    assert check(sample_of(found)).findings == ()


def test_cuboid_behind_a_nearer_one_needs_no_box() -> None:
    hidden = cuboid("hidden", "pedestrian", (27.0, 7.2, -0.9), 0.0)
    assert check(sample_of({**labels(), "hidden": hidden})).findings == ()
    visible = {**labels(), "hidden": hidden.model_copy(update={"center_m": (30.0, 0.0, -0.8)})}
    assert kinds(check(sample_of(visible))) == [("unmatched_cuboid", "major")]


def test_labels_inside_an_ignore_region_need_no_partner() -> None:
    lonely = cuboid("lonely", "car", (30.0, 1.0, -0.9), 0.0)
    seen = box_of(lonely)
    assert seen is not None
    x0, y0, x1, y1 = seen.box
    region = Box(id="dc", stream="cam", label="dontcare", ignore=True, frame=0, box=(x0 - 5, y0 - 5, x1 + 5, y1 + 5))
    assert kinds(check(sample_of({**labels(), "c": lonely}))) == [("unmatched_cuboid", "major")]
    assert check(sample_of({**labels(), "c": lonely, "r": region})).findings == ()
    assert check(sample_of({**labels(), "b": seen, "r": region})).findings == ()


def test_small_boxes_without_cuboid_are_minor_or_not_judged() -> None:
    def lone(height: float) -> Box:
        return Box(id="b", stream="cam", label="car", frame=0, box=(700, 170, 700 + 2 * height, 170 + height))

    assert kinds(check(sample_of({**labels(), "b": lone(40)}))) == [("unmatched_box", "major")]
    assert kinds(check(sample_of({**labels(), "b": lone(17)}))) == [("unmatched_box", "minor")]
    assert kinds(check(sample_of({**labels(), "b": lone(9)}))) == []


def cloud_of(annotations: dict[str, Annotation], *, without: str = "") -> np.ndarray:
    rng = np.random.default_rng(3)
    parts = [rng.uniform(-0.3, 0.3, (30, 3)) + a.center_m for k, a in annotations.items()
             if isinstance(a, Cuboid) and k != without]  # fmt: skip
    return np.concatenate(parts).astype(np.float32)


def test_cuboid_without_points_is_found_only_where_the_cloud_is_given() -> None:
    found = labels()
    sample = sample_of(found, clouds_m={"lidar": cloud_of(found, without="c-car-1")})
    finding = only(check(sample))
    assert (finding.kind, finding.severity, finding.annotations) == ("no_points_inside", "major", ("c-car-1-0",))
    assert check(replace(sample, clouds_m={})).findings == ()


def test_cuboid_hidden_behind_something_may_hold_no_points() -> None:
    found = labels()
    cloud = cloud_of(found, without="c-car-3")
    rng = np.random.default_rng(4)
    wall = np.column_stack([np.full(400, 19.0), 4.5 + rng.uniform(-2, 2, 400), rng.uniform(-1.5, 0.5, 400)])
    blocked = np.concatenate([cloud, wall.astype(np.float32)])
    assert check(sample_of(found, clouds_m={"lidar": blocked})).findings == ()


def test_cuboid_stated_to_be_empty_is_no_fault() -> None:
    found = edited(labels(), "c-car-1", point_count=0)
    assert check(sample_of(found, clouds_m={"lidar": cloud_of(found, without="c-car-1")})).findings == ()


def test_misplaced_cuboid_without_points_is_one_finding_with_both_reasons() -> None:
    found = labels()
    cloud = cloud_of(found)
    outcome = check(sample_of(edited(found, "c-car-1", center_m=(15.0, 0.5, -0.9)), clouds_m={"lidar": cloud}))
    finding = only(outcome)
    assert finding.kind == "low_overlap"
    assert "no LiDAR point" in finding.message
    assert [f.kind for f in outcome.folded] == ["no_points_inside"]
    assert finding.explains == (outcome.folded[0].finding_id,)


def test_box_where_the_lidar_sees_nothing_needs_no_cuboid() -> None:
    found = labels()
    lone = Box(id="b", stream="cam", label="car", frame=0, box=(100, 100, 200, 150))
    assert check(sample_of({**found, "b": lone}, clouds_m={"lidar": cloud_of(found)})).findings == ()
    assert kinds(check(sample_of({**found, "b": lone}))) == [("unmatched_box", "major")]


def test_rule_version_changes_no_finding_id() -> None:
    sample = sample_of(edited(labels(), "c-car-2", center_m=(25.0, -3.0, -0.9)))
    first = check_lidar_camera(sample, DEFAULT_RULE_SET)
    second = check_lidar_camera(sample, RuleSet(id=DEFAULT_RULE_SET.id, version=2))
    assert [f.finding_id for f in first.findings] == [f.finding_id for f in second.findings]
    assert second.findings[0].rule.version == 2


def test_tracks_are_judged_like_single_labels() -> None:
    annotations = driving(6)
    tracks: list[Annotation] = []
    for object_id in ("car-1", "car-2", "car-3"):
        mine = [a for a in annotations if a.object_id == object_id]
        boxes = tuple(TrackBox(frame=a.frame or 0, box=a.box) for a in mine if isinstance(a, Box))
        cuboids = tuple(
            TrackCuboid(frame=a.frame or 0, center_m=a.center_m, size_m=a.size_m, yaw_rad=a.yaw_rad)
            for a in mine
            if isinstance(a, Cuboid)
        )
        tracks.append(Track(id=f"t-{object_id}", stream="cam", label="car", object_id=object_id, boxes=boxes))
        tracks.append(
            SpatialTrack(id=f"s-{object_id}", stream="lidar", label="car", object_id=object_id, cuboids=cuboids)
        )
    assert check(sample_of(tuple(tracks))).findings == ()
    wrong = tracks[0].model_copy(update={"label": "pedestrian"})
    finding = only(check(sample_of((wrong, *tracks[1:]))))
    assert finding.kind == "class_mismatch"
    assert set(finding.annotations) == {"t-car-1", "s-car-1"}


def test_prediction_of_a_labelled_thing_is_not_judged_twice() -> None:
    author = Author(kind="model", id="m")
    again = {
        f"p-{key}": a.model_copy(update={"id": f"p-{a.id}", "author": author, "object_id": f"p-{a.object_id}"})
        for key, a in labels().items()
    }
    assert check(sample_of({**labels(), **again})).findings == ()
    assert check(sample_of(again)).findings == ()


@pytest.mark.parametrize(
    ("calibration", "says"),
    [
        ({"model": None, "intrinsics": None}, "has no intrinsics"),
        ({"extrinsics": None}, "no extrinsics lead from lidar to camera cam"),
        ({"extrinsics": {"to": "elsewhere", "matrix": LIDAR_FROM_CAMERA.tolist()}}, "no extrinsics lead"),
    ],
)
def test_missing_calibration_is_not_applicable(calibration: dict[str, Any], says: str) -> None:
    outcome = check(sample_of(labels(), manifest=manifest(**calibration)))
    assert outcome.findings == ()
    assert says in outcome.not_applicable[0].reason


@pytest.mark.parametrize(("kind", "says"), [("box", "has no boxes"), ("cuboid", "has no cuboids")])
def test_stream_without_labels_is_not_applicable_unless_the_rules_judge_it(kind: str, says: str) -> None:
    found = {key: label for key, label in labels().items() if label.type != kind}
    outcome = check(sample_of(found))
    assert outcome.findings == ()
    assert says in outcome.not_applicable[0].reason
    assert len(check(sample_of(found), judge_unlabelled_streams=True).findings) >= len(found) - 1


def test_labels_taken_away_since_the_sample_came_are_missed() -> None:
    whole = manifest().model_copy(update={"annotations": tuple(labels().values())})
    left = {key: label for key, label in labels().items() if label.type != "box"}
    assert {f.kind for f in check(sample_of(left, manifest=whole)).findings} == {"unmatched_cuboid"}


def test_sample_of_other_modalities_is_not_applicable() -> None:
    document = {"format": "concord.sample/1", "sample_id": "t", "project": "p",
                "streams": [{"id": "note", "modality": "text", "inline": "hello"}]}  # fmt: skip
    outcome = check(CheckSample(SampleManifest.model_validate(document), ()))
    assert outcome.findings == ()
    assert {item.check for item in outcome.not_applicable} == {"lidar_camera"}


def test_image_size_may_be_missing() -> None:
    bare = manifest()
    camera = bare.streams[0].model_copy(update={"image_size_px": None})
    nameless = bare.model_copy(update={"streams": (camera, bare.streams[1])})
    assert INTRINSICS[0][2] == 610
    assert check(sample_of(labels(), manifest=nameless)).findings == ()


def test_key_frame_labels_of_the_camera_do_not_accuse_the_frames_between() -> None:
    annotations = tuple(a for a in driving(20) if isinstance(a, Cuboid) or (a.frame or 0) % 5 == 0)
    assert check(sample_of(annotations)).findings == ()


def test_box_needs_its_cuboid_in_one_of_two_lidars_only() -> None:
    base = manifest()
    rear = base.streams[1].model_copy(update={"id": "rear", "coordinate_frame": "lidar"})
    front = base.streams[1].model_copy(update={"coordinate_frame": "lidar"})
    both = base.model_copy(update={"streams": (base.streams[0], front, rear)})
    found = edited(edited(labels(), "c-car-1", stream="rear"), "c-car-3", stream="rear")
    assert check(sample_of(found, manifest=both)).findings == ()
    del found["c-car-3"]
    finding = only(check(sample_of(found, manifest=both)))
    assert (finding.kind, finding.annotations) == ("unmatched_box", ("b-car-3-0",))

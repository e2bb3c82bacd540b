from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from services.alignment.sample import CheckSample
from services.alignment.track_identity import check_track_identity
from services.contracts.annotations import Annotation
from services.contracts.findings import Finding
from services.contracts.label_base import Author
from services.contracts.labels_spatial import Cuboid, SpatialTrack, TrackCuboid
from services.contracts.labels_visual import Box, Track, TrackBox
from services.contracts.manifest import SampleManifest
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from services.rules.track_identity import TrackIdentityRules

RULES = DEFAULT_RULE_SET.model_copy(update={"track_identity": TrackIdentityRules()})
LANES = {"a": 100.0, "b": 240.0, "c": 380.0}
FRAMES = 30


def sample(labels: Iterable[Annotation]) -> CheckSample:
    streams = [{"id": name, "modality": "video", "image_size_px": (1000, 600)} for name in ("video", "other")]
    streams.append({"id": "lidar", "modality": "lidar"})
    manifest = SampleManifest.model_validate(
        {"format": "concord.sample/1", "sample_id": "s", "project": "p", "streams": streams}
    )
    return CheckSample(manifest, tuple(labels))


def box(name: str, frame: int, *, lane: str | None = None, label: str = "car", shift: float = 0.0) -> Box:
    x, y = 100.0 + 6.0 * frame + shift, LANES[lane or name[0]]
    return Box(
        id=f"{lane or name}-{frame}", stream="video", label=label, object_id=name, frame=frame,
        box=(x, y, x + 80, y + 60),
    )  # fmt: skip


def cuboid(name: str, frame: int, *, lane: str | None = None) -> Cuboid:
    y = (LANES[lane or name[0]] - 240) / 20
    return Cuboid(
        id=f"{lane or name}-{frame}-3d", stream="lidar", label="car", object_id=name, frame=frame,
        center_m=(10 + 0.5 * frame, y, 0), size_m=(4.2, 1.8, 1.6),
    )  # fmt: skip


def run(
    named: Callable[[str, int], str | None], make: Callable[..., Annotation] = box, lanes: Sequence[str] = "abc"
) -> list[Annotation]:
    """Labels of one object a lane, with the id that ``named`` gives it in each frame, or none at all."""
    return [
        make(name, frame, lane=lane)
        for lane in lanes
        for frame in range(FRAMES)
        if (name := named(lane, frame)) is not None
    ]


def found(labels: Iterable[Annotation], rules: RuleSet = RULES) -> tuple[Finding, ...]:
    return check_track_identity(sample(labels), rules).findings


def only(labels: Iterable[Annotation]) -> Finding:
    (finding,) = found(labels)
    return finding


def repaired(labels: Sequence[Annotation], finding: Finding) -> list[Annotation]:
    assert finding.suggestion is not None
    patch = finding.suggestion.patch
    assert patch is not None
    new = {label.id: label for label in patch.upsert}
    kept = [new.pop(label.id, label) for label in labels if label.id not in patch.remove]
    return [*kept, *new.values()]


CASES: dict[str, tuple[str, Callable[[str, int], str | None], set[int]]] = {
    "new id for good": ("switch", lambda lane, frame: "z" if lane == "b" and frame >= 12 else lane, {12}),
    "new id and back": ("switch", lambda lane, frame: "z" if lane == "b" and 12 <= frame < 15 else lane, {12, 15}),
    "exchanged for good": (
        "swap", lambda lane, frame: {"a": "b", "b": "a"}.get(lane, lane) if frame >= 12 else lane, {12},
    ),
    "exchanged for a while": (
        "swap", lambda lane, frame: {"a": "b", "b": "a"}.get(lane, lane) if 12 <= frame < 17 else lane, {12, 17},
    ),
    "three exchanged": (
        "swap", lambda lane, frame: {"a": "b", "b": "c", "c": "a"}[lane] if frame >= 12 else lane, {12},
    ),
    "new id after a gap": (
        "split",
        lambda lane, frame: lane if lane != "b" or frame < 12 else None if frame < 16 else "z", {16},
    ),
    "two tracks with one id": ("merge", lambda lane, _: "a" if lane == "b" else lane, set(range(FRAMES))),
    "another's id in one frame": (
        "duplicate_in_frame", lambda lane, frame: "a" if lane == "b" and frame == 12 else lane, {12},
    ),
    "an old id for a later object": (
        "reuse",
        lambda lane, frame: {"a": "a" if frame < 10 else None, "c": "a" if frame >= 15 else None}.get(lane, lane),
        {9, 15},
    ),
    "gone too long": ("gap", lambda lane, frame: None if lane == "b" and 10 <= frame < 22 else lane, {9, 22}),
}  # fmt: skip


@pytest.mark.parametrize("make", [box, cuboid])
@pytest.mark.parametrize("case", list(CASES))
def test_each_fault_of_ids_is_one_finding_of_its_kind(case: str, make: Callable[..., Annotation]) -> None:
    kind, named, frames = CASES[case]
    labels = run(named, make)
    finding = only(labels)
    assert finding.kind == kind
    assert set(finding.frames) == frames
    assert finding.annotations
    if finding.suggestion is not None:
        assert found(repaired(labels, finding)) == ()
    else:
        assert kind in ("gap", "jump")


def test_a_swap_names_both_and_gives_both_their_ids_back() -> None:
    labels = run(CASES["exchanged for good"][1])
    finding = only(labels)
    assert "a and b" in finding.message
    for label in repaired(labels, finding):
        assert label.object_id == label.id[0]


def test_clean_tracks_have_no_finding() -> None:
    assert found(run(lambda lane, _: lane)) == ()
    assert found(run(lambda lane, _: lane, cuboid)) == ()


def test_objects_that_pass_each_other_keep_their_ids() -> None:
    labels = [
        Box(
            id=f"{name}-{frame}", stream="video", label="person", object_id=name, frame=frame,
            box=(x, 100, x + 40, 220),
        )
        for frame in range(FRAMES)
        for name, x in (("left", 100.0 + 10 * frame), ("right", 400.0 - 10 * frame))
    ]  # fmt: skip
    assert found(labels) == ()


def test_a_gap_inside_the_rule_is_no_fault_unless_the_object_was_stated_to_be_visible() -> None:
    labels = run(lambda lane, frame: None if lane == "b" and 10 <= frame < 15 else lane)
    assert found(labels) == ()
    visible = [label.model_copy(update={"occlusion": 0}) for label in labels]
    assert [finding.kind for finding in found(visible)] == ["gap"]


def test_one_class_for_a_while_is_a_flip_and_an_equivalent_one_is_not() -> None:
    labels = [
        label.model_copy(update={"label": "truck"}) if label.id in ("b-12", "b-13") else label
        for label in run(lambda lane, _: lane)
    ]
    finding = only(labels)
    assert (finding.kind, finding.frames, finding.annotations) == ("class_flip", (12, 13), ("b-12", "b-13"))
    assert found(repaired(labels, finding)) == ()
    assert found([label.model_copy(update={"label": "van"}) if label.id == "b-12" else label for label in labels
                  if label.id != "b-13"]) == ()  # fmt: skip


def test_a_box_off_its_path_is_a_jump() -> None:
    labels = [box("a", frame, shift=120.0 if frame == 12 else 0.0) for frame in range(FRAMES)]
    finding = only(labels)
    assert (finding.kind, finding.frames) == ("jump", (12,))
    for_good = [box("a", frame, shift=200.0 if frame >= 12 else 0.0) for frame in range(FRAMES)]
    assert only(for_good).kind == "jump"


def test_one_label_twice_is_removed_once() -> None:
    labels = run(lambda lane, _: lane)
    copy = labels[40].model_copy(update={"id": "copy"})
    finding = only([*labels, copy])
    assert finding.kind == "duplicate_in_frame"
    assert set(finding.annotations) == {labels[40].id, "copy"}
    assert found(repaired([*labels, copy], finding)) == ()


def test_a_camera_that_is_moved_is_no_fault_of_its_objects() -> None:
    lanes = {"a": 100.0, "b": 200.0, "c": 300.0, "d": 400.0}
    labels = [
        Box(
            id=f"{name}-{frame}", stream="video", label="car", object_id=name, frame=frame,
            box=(x := 100 + 5 * frame + (150 if frame >= 12 else 0), y, x + 80, y + 60),
        )
        for name, y in lanes.items()
        for frame in range(FRAMES)
    ]  # fmt: skip
    assert found(labels) == ()


def test_one_event_in_two_streams_is_one_finding() -> None:
    named = CASES["exchanged for good"][1]
    finding = only([*run(named), *run(named, cuboid)])
    assert set(finding.streams) == {"video", "lidar"}
    assert found(repaired([*run(named), *run(named, cuboid)], finding)) == ()


@pytest.mark.parametrize("space", ["image", "space"])
def test_tracks_are_parted_and_given_back(space: str) -> None:
    named = CASES["exchanged for good"][1]
    pieces: dict[str, list[TrackBox | TrackCuboid]] = {}
    for label in run(named, box if space == "image" else cuboid):
        place: TrackBox | TrackCuboid
        if isinstance(label, Box):
            place = TrackBox(frame=label.frame or 0, box=label.box)
        else:
            assert isinstance(label, Cuboid)
            place = TrackCuboid(frame=label.frame or 0, center_m=label.center_m, size_m=label.size_m)
        pieces.setdefault(label.object_id or "", []).append(place)
    tracks: list[Annotation] = []
    for name, places in pieces.items():
        ordered = sorted(places, key=lambda place: place.frame)
        common: dict[str, object] = {"id": f"track-{name}", "label": "car", "object_id": name}
        if space == "image":
            tracks.append(Track.model_validate({**common, "stream": "video", "boxes": ordered}))
        else:
            tracks.append(SpatialTrack.model_validate({**common, "stream": "lidar", "cuboids": ordered}))
    finding = only(tracks)
    assert finding.kind == "swap"
    fixed = repaired(tracks, finding)
    assert {label.id for label in fixed} == {label.id for label in tracks}
    assert found(fixed) == ()
    switched = [label.model_copy(update={"object_id": "z"}) if label.id == "track-c" else label for label in fixed]
    assert found(switched) == ()


def test_key_frames_have_a_rhythm_of_their_own() -> None:
    labels = [*run(lambda lane, _: lane, lanes="a"), *(box("b", frame) for frame in range(0, FRAMES, 5))]
    assert found([label.model_copy(update={"occlusion": 0}) for label in labels]) == ()


def test_ids_that_number_detections_are_not_judged() -> None:
    labels = [label.model_copy(update={"object_id": f"n{i}"}) for i, label in enumerate(run(lambda lane, _: lane))]
    outcome = check_track_identity(sample(labels), RULES)
    assert outcome.findings == ()
    assert "number detections" in outcome.not_applicable[0].reason


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "object_id"),
        ([box("a", 3)], "one frame"),
        ([box("a", 3).model_copy(update={"object_id": None})], "object_id"),
        ([box("a", frame).model_copy(update={"ignore": True}) for frame in range(5)], "object_id"),
    ],
)
def test_too_little_to_judge_is_not_applicable(labels: list[Annotation], reason: str) -> None:
    outcome = check_track_identity(sample(labels), RULES)
    assert outcome.findings == ()
    assert reason in outcome.not_applicable[0].reason


def test_two_opinions_and_predictions_are_judged_apart() -> None:
    def by(author: Author) -> list[Annotation]:
        return [
            label.model_copy(update={"id": f"{author.id}-{label.id}", "author": author})
            for label in run(lambda lane, _: lane)
        ]

    people = [*by(Author(kind="human", id="u1")), *by(Author(kind="human", id="u2"))]
    assert found(people) == ()
    assert found([*people, *by(Author(kind="model", id="m"))]) == ()


def test_a_stored_rule_set_can_lower_a_severity() -> None:
    labels = run(CASES["new id for good"][1])
    lenient = TrackIdentityRules(severities={"switch": "info"})
    assert found(labels, RULES.model_copy(update={"track_identity": lenient}))[0].severity == "info"


# Two cameras that look the same way, two metres apart, and a LiDAR between them.


def two_cameras(labels: Iterable[Annotation]) -> CheckSample:
    def camera(name: str, x: float) -> dict[str, object]:
        axes = [[1.0, 0, 0, x], [0, 1.0, 0, 0], [0, 0, 1.0, 0], [0, 0, 0, 1.0]]
        intrinsics = [[800.0, 0, 500], [0, 800.0, 300], [0, 0, 1]]
        return {
            "id": name, "modality": "video", "image_size_px": (1000, 600),
            "calibration": {
                "model": "pinhole", "intrinsics": intrinsics, "extrinsics": {"to": "lidar", "matrix": axes},
            },
        }  # fmt: skip

    streams = [camera("left", -1.0), camera("right", 1.0), {"id": "lidar", "modality": "lidar"}]
    manifest = SampleManifest.model_validate(
        {"format": "concord.sample/1", "sample_id": "s", "project": "p", "streams": streams}
    )
    return CheckSample(manifest, tuple(labels))


PLACES = {"p": (-3.0, 15.0), "q": (3.0, 15.0), "r": (0.0, 25.0), "s": (6.0, 30.0)}


def seen(*, with_cuboids: bool, right: dict[str, str]) -> list[Annotation]:
    labels: list[Annotation] = []
    for frame in range(6):
        for name, (x, z) in PLACES.items():
            x_here = x + 0.1 * frame
            if with_cuboids:
                labels.append(
                    Cuboid(
                        id=f"c-{name}-{frame}", stream="lidar", label="car", object_id=name, frame=frame,
                        center_m=(x_here, 0, z), size_m=(1.6, 1.6, 1.6),
                    )
                )  # fmt: skip
            for stream, offset in (("left", -1.0), ("right", 1.0)):
                low, high = (x_here - offset - 0.8) / (z - 0.8), (x_here - offset + 0.8) / (z - 0.8)
                half = 800 * 0.8 / (z - 0.8)
                labels.append(
                    Box(
                        id=f"{stream}-{name}-{frame}", stream=stream, label="car", frame=frame,
                        object_id=right.get(name, name) if stream == "right" else name,
                        box=(500 + 800 * low, 300 - half, 500 + 800 * high, 300 + half),
                    )
                )  # fmt: skip
    return labels


@pytest.mark.parametrize("with_cuboids", [True, False])
def test_cameras_that_agree_have_no_finding(with_cuboids: bool) -> None:
    assert check_track_identity(two_cameras(seen(with_cuboids=with_cuboids, right={})), RULES).findings == ()


@pytest.mark.parametrize("with_cuboids", [True, False])
def test_ids_exchanged_in_one_camera_are_one_finding_with_a_fix(with_cuboids: bool) -> None:
    labels = seen(with_cuboids=with_cuboids, right={"p": "q", "q": "p"})
    (finding,) = check_track_identity(two_cameras(labels), RULES).findings
    assert finding.kind == "cross_camera_mismatch"
    assert set(finding.streams) == {"left", "right"}
    assert check_track_identity(two_cameras(repaired(labels, finding)), RULES).findings == ()


def test_one_object_with_another_id_in_one_camera_is_found_by_its_cuboid() -> None:
    labels = seen(with_cuboids=True, right={"p": "other"})
    (finding,) = check_track_identity(two_cameras(labels), RULES).findings
    assert finding.kind == "cross_camera_mismatch"
    assert check_track_identity(two_cameras(repaired(labels, finding)), RULES).findings == ()


def test_cameras_that_number_for_themselves_are_not_compared() -> None:
    for with_cuboids in (True, False):
        labels = seen(with_cuboids=with_cuboids, right={"p": "q", "q": "r", "r": "s", "s": "p"})
        assert check_track_identity(two_cameras(labels), RULES).findings == ()


def test_the_order_of_labels_and_their_ids_play_no_role() -> None:
    labels = run(CASES["exchanged for a while"][1])
    order = np.random.default_rng(3).permutation(len(labels))
    before = found(labels)
    after = found([labels[i] for i in order.tolist()])
    assert before == after
    renamed = [label.model_copy(update={"id": f"x{i}"}) for i, label in enumerate(labels)]
    assert [f.finding_id for f in found(renamed)] == [f.finding_id for f in before]


def test_labels_of_unknown_streams_are_followed_too() -> None:
    stray = [label.model_copy(update={"stream": "nowhere"}) for label in run(CASES["new id for good"][1])]
    outcome = check_track_identity(replace(sample([]), annotations=tuple(stray)), RULES)
    assert [finding.kind for finding in outcome.findings] == ["switch"]

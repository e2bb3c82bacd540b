"""Labels that an importer read in another convention: one cause, and a fix that makes them agree."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from services.alignment.lidar_camera import check_lidar_camera
from services.alignment.suggestions import apply_suggestion
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.lidar_camera_scenes import SIZE_PX, driving, sample_of

Change = Callable[[Annotation], Annotation]


def box(change: Callable[[float, float, float, float], tuple[float, ...]]) -> Change:
    return lambda label: label.model_copy(update={"box": change(*label.box)}) if isinstance(label, Box) else label


def cuboid(change: Callable[[Cuboid], dict[str, object]]) -> Change:
    return lambda label: label.model_copy(update=change(label)) if isinstance(label, Cuboid) else label


def height(label: Cuboid, share: float) -> dict[str, object]:
    x, y, z = label.center_m
    return {"center_m": (x, y, z + share * label.size_m[2])}


MISTAKES: dict[str, Change] = {
    "center_as_corner": box(lambda a, b, c, d: ((a + c) / 2, (b + d) / 2, c + (c - a) / 2, d + (d - b) / 2)),
    "axes_exchanged": box(lambda a, b, c, d: (b, a, d, c)),
    "mirrored": box(lambda a, b, c, d: (SIZE_PX[0] - c, b, SIZE_PX[0] - a, d)),
    "upside_down": box(lambda a, b, c, d: (a, SIZE_PX[1] - d, c, SIZE_PX[1] - b)),
    "scaled": box(lambda a, b, c, d: (a / 2, b / 3, c / 2, d / 3)),
    "bottom_as_center": cuboid(lambda label: height(label, -0.5)),
    "top_as_center": cuboid(lambda label: height(label, 0.5)),
    "length_width_exchanged": cuboid(lambda label: {"size_m": (label.size_m[1], label.size_m[0], label.size_m[2])}),
    "y_reversed": cuboid(
        lambda label: {
            "center_m": (label.center_m[0], -label.center_m[1], label.center_m[2]),
            "yaw_rad": -(label.yaw_rad or 0.0),
        }
    ),
}


def without_id(label: Annotation) -> Annotation:
    return label.model_copy(update={"object_id": None})


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_of_the_importer_is_one_finding_and_its_fix_makes_the_labels_agree(name: str) -> None:
    read = tuple(MISTAKES[name](label) for label in driving())
    outcome = check_lidar_camera(sample_of(read), DEFAULT_RULE_SET)
    (finding,) = outcome.findings
    assert (finding.kind, finding.severity) == ("importer_error", "critical")
    assert finding.cause is not None
    assert finding.cause.estimate["conversion"] == name
    assert float(finding.cause.estimate["iou_after"]) > 0.95
    assert set(finding.explains) == {one.finding_id for one in outcome.folded}
    assert finding.suggestion is not None
    mended = apply_suggestion(read, finding.suggestion)
    assert check_lidar_camera(sample_of(mended), DEFAULT_RULE_SET).findings == ()
    for one, other in zip(mended, driving(), strict=True):
        if isinstance(one, Box) and isinstance(other, Box):
            assert one.box == pytest.approx(other.box, abs=1e-3)
        elif isinstance(one, Cuboid) and isinstance(other, Cuboid):
            assert one.center_m == pytest.approx(other.center_m, abs=1e-5)
            assert one.size_m == other.size_m


@pytest.mark.parametrize("name", ["center_as_corner", "bottom_as_center", "length_width_exchanged"])
def test_a_mistake_is_found_without_any_object_id(name: str) -> None:
    read = tuple(without_id(MISTAKES[name](label)) for label in driving())
    kinds = {finding.kind for finding in check_lidar_camera(sample_of(read), DEFAULT_RULE_SET).findings}
    assert kinds == {"importer_error"}


def test_an_error_of_one_label_beside_the_importers_stays_a_finding_of_its_own() -> None:
    read = []
    for label in driving():
        changed = MISTAKES["center_as_corner"](label)
        if changed.id == "c-car-1-3" and isinstance(changed, Cuboid):
            x, y, z = changed.center_m
            changed = changed.model_copy(update={"center_m": (x, y + 4.0, z)})
        read.append(changed)
    findings = check_lidar_camera(sample_of(tuple(read)), DEFAULT_RULE_SET).findings
    assert {finding.kind for finding in findings} >= {"importer_error"}
    assert any("c-car-1-3" in finding.annotations for finding in findings if finding.kind != "importer_error")


def test_two_objects_are_too_few_to_blame_the_importer() -> None:
    few = tuple(label for label in driving() if label.object_id in ("car-1", "car-2"))
    read = tuple(MISTAKES["bottom_as_center"](label) for label in few)
    kinds = {finding.kind for finding in check_lidar_camera(sample_of(read), DEFAULT_RULE_SET).findings}
    assert kinds
    assert "importer_error" not in kinds


def test_labels_that_agree_have_no_importer_to_blame() -> None:
    assert check_lidar_camera(sample_of(driving()), DEFAULT_RULE_SET).findings == ()
    assert check_lidar_camera(sample_of(tuple(map(without_id, driving()))), DEFAULT_RULE_SET).findings == ()

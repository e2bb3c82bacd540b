from __future__ import annotations

from typing import Any

import pytest

from services.contracts.findings import Cause, Finding, RuleReference
from services.contracts.label_base import Author
from services.contracts.labels_language import Intent
from services.contracts.manifest import SampleManifest
from services.incidents.causes import SharedFinding, shared_finding
from services.rules.incidents import IncidentRules, SharedCause

RULE = RuleReference(id="default", version=1)
SHIFT: dict[str, Any] = {"yaw_deg": 1.2, "yaw_deg_std": 0.05, "pitch_deg": 0, "axis": "yaw", "pairs": 40}


def manifest(**sensors: str) -> SampleManifest:
    streams = [
        {"id": stream, "modality": modality, **({"sensor": sensors[stream]} if stream in sensors else {})}
        for stream, modality in (("cam", "video"), ("lidar", "lidar"), ("note", "text"))
    ]
    return SampleManifest.model_validate(
        {"format": "concord.sample/1", "sample_id": "s-1", "project": "p", "streams": streams}
    )


def finding(
    check: str = "lidar_camera", kind: str = "calibration_shift", *, group: str = "g", **estimate: Any
) -> Finding:
    return Finding(
        finding_id="f-1",
        check=check,
        kind=kind,
        severity="major",
        message="One cause.",
        streams=("cam", "lidar"),
        annotations=("a1",),
        cause=Cause(kind=kind, group=group, estimate=estimate),
        rule=RULE,
    )


def shared(found: Finding, at: SampleManifest | None = None, *labels: Intent, **given: Any) -> SharedFinding:
    result = shared_finding(found, at or manifest(), labels, given.pop("rules", IncidentRules()), **given)
    assert result is not None
    return result


def test_samples_of_the_same_sensors_have_one_key_whatever_they_estimate() -> None:
    one = shared(finding(**SHIFT), manifest(cam="front-7"))
    other = shared(finding(**SHIFT | {"yaw_deg": 9.0}), manifest(cam="front-7"))
    assert one.key == other.key
    assert one.sources == ("sensor:front-7", "sensor:lidar")
    assert [(item.name, item.value, item.std) for item in one.values] == [
        ("yaw_deg", 1.2, 0.05),
        ("pitch_deg", 0.0, None),
    ]


def test_another_sensor_check_or_kind_is_another_cause() -> None:
    keys = {
        shared(finding(**SHIFT), manifest(cam="front-7")).key,
        shared(finding(**SHIFT), manifest(cam="front-8")).key,
        shared(finding(kind="time_offset", offset_s=0.2), manifest(cam="front-7")).key,
    }
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("author", "expected"),
    [
        (Author(kind="human", id="ann", team="blue"), "team:blue"),
        (Author(kind="human", id="ann"), "human:ann"),
        (Author(kind="importer", id="source:fleet"), "importer:source:fleet"),
        (Author(kind="model", id="net", version="3"), "model:net@3"),
        (None, "maker:unknown"),
    ],
)
def test_an_importer_error_belongs_to_who_made_the_labels(author: Author | None, expected: str) -> None:
    label = Intent(id="a1", type="intent", stream="cam", label="x", author=author)
    found = finding(kind="importer_error", group="importer_error:half", conversion="half")
    assert shared(found, None, label).sources == ("group:importer_error:half", expected)
    if author is not None:
        bare = label.model_copy(update={"author": None})
        assert shared(found, None, bare, default_author=author).sources[-1] == expected


def test_what_must_be_equal_is_a_part_of_the_key() -> None:
    days = [shared(finding("metadata_source", "camera_clock", days=n, utc_offset_h=1.0)).key for n in (30, 30, 31)]
    assert days[0] == days[1] != days[2]


def test_a_cause_of_the_sample_alone_is_not_shared() -> None:
    at = manifest()
    assert shared_finding(finding(kind="cuboid_misplaced"), at, (), IncidentRules()) is None
    assert shared_finding(finding().model_copy(update={"cause": None}), at, (), IncidentRules()) is None
    assert shared_finding(finding(**SHIFT), at, (), IncidentRules(enabled=False)) is None
    only = IncidentRules(causes=(SharedCause(check="mine", kind="tilt"),))
    assert shared_finding(finding(**SHIFT), at, (), only) is None
    assert shared_finding(finding("mine", "tilt"), at, (), only) is not None

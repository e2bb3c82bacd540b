"""Samples of three kinds for datasets: a drive, a picture with a note, a call."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter

from services.contracts.annotations import Annotation
from tests.format_documents import MANIFEST

_LABEL: TypeAdapter[Annotation] = TypeAdapter(Annotation)
SENSORS = [stream.model_dump(mode="json", exclude_none=True) for stream in MANIFEST.streams[:2]]
MICROPHONE = MANIFEST.streams[2].model_dump(mode="json", exclude_none=True)
PICTURE = {"id": "pic", "modality": "image", "uri": "pictures/7.png", "image_size_px": [640, 480]}
NOTE = {"id": "note", "modality": "text", "inline": "good morning, Berlin"}


def drive_labels(index: int) -> list[dict[str, Any]]:
    """A car in both sensors, and a bystander of which only the box is there."""
    cuboid = {
        "id": "k1", "type": "cuboid", "stream": "lidar", "label": "Car", "frame": 0, "object_id": "kitti-0",
        "center_m": [12.0 + index, 1.0, 0.5], "size_m": [4.5, 1.8, 1.5], "yaw_rad": 0.25,
    }  # fmt: skip
    box = {"type": "box", "stream": "cam", "frame": 0}
    return [
        {**box, "id": "b1", "label": "Car", "object_id": "kitti-0", "box": [250.0, 180.0, 330.0, 260.0]},
        {**box, "id": "b2", "label": "Pedestrian", "box": [20.5, 30.25, 60.0, 140.0]},
        cuboid,
    ]


def picture_labels(index: int) -> list[dict[str, Any]]:
    shape = {"stream": "pic", "label": "sign"}
    return [
        {**shape, "id": "p1", "type": "box", "box": [10.0 + index, 20.0, 60.0, 90.0]},
        {**shape, "id": "p2", "type": "polygon", "points_px": [[1.0, 1.0], [50.0, 1.0], [50.0, 40.0]]},
        {"id": "p3", "type": "image_classification", "stream": "pic", "label": "street"},
        {"id": "t1", "type": "entity_span", "stream": "note", "label": "city", "start_char": 14, "end_char": 20,
         "text": "Berlin", "attributes": {"known": True}},
    ]  # fmt: skip


def call_labels(index: int) -> list[dict[str, Any]]:
    spoken = {"stream": "mic", "label": "speech", "start_s": 1.0 + index, "end_s": 2.5 + index}
    return [
        {**spoken, "id": "m1", "type": "transcript_segment", "text": "good morning", "speaker": "A"},
        {**spoken, "id": "m2", "type": "speaker_turn", "speaker": "A"},
        {**spoken, "id": "m3", "type": "sound_event", "label": "door", "confidence": 0.5},
    ]


def body(sample_id: str, streams: list[dict[str, Any]], labels: list[dict[str, Any]]) -> dict[str, Any]:
    """The body of a record."""
    full = [_LABEL.validate_python(label).model_dump(mode="json", exclude_none=True) for label in labels]
    return {
        "format": "concord.ground_truth/1", "project": "own", "sample_id": sample_id, "revision": 1,
        "context": {"risk": "low", "attributes": {}}, "streams": streams, "annotations": full,
    }  # fmt: skip


def bodies() -> list[dict[str, Any]]:
    """Seven records, of which one has no labels."""
    made = [
        record
        for index in range(2)
        for record in (
            body(f"drive.{index}", SENSORS, drive_labels(index)),
            body(f"picture:{index}", [PICTURE, NOTE], picture_labels(index)),
            body(f"call@{index}", [MICROPHONE], call_labels(index)),
        )
    ]
    return [*made, body("empty", [PICTURE], [])]

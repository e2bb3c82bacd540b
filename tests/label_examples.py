"""One example of each label kind, with every field set that can be set together; JSON values."""

from __future__ import annotations

from typing import Any

BASE: dict[str, Any] = {
    "id": "a1",
    "stream": "s",
    "label": "car",
    "object_id": "car-3",
    "frame": 4,
    "confidence": 0.97,
    "taxonomy_version": "av@3",
    "author": {"kind": "human", "id": "u17", "team": "blue", "version": "2"},
    "attributes": {"colour": "red", "parked": True, "doors": 4, "length_m": 4.5},
}
_SEEN = {"truncation": 0.25, "occlusion": 1, "ignore": False}
_TIMED = {"start_s": 1.5, "end_s": 2.75}
_POINT = [1.5, -2.25, 0.125]


def _label(kind: str, **fields: Any) -> dict[str, Any]:
    return {**BASE, "type": kind, **fields}


def _metadata(**value: Any) -> dict[str, Any]:
    return _label("metadata_field", value=value)


LABEL_EXAMPLES: dict[str, dict[str, Any]] = {
    "box": _label("box", box=[1.5, 2.5, 30.25, 40.75], **_SEEN),
    "rotated_box": _label("rotated_box", center_px=[10.5, 20.5], size_px=[4.5, 2.5], angle_deg=-33.3, **_SEEN),
    "polygon": _label(
        "polygon",
        points_px=[[0.5, 0.5], [9.5, 0.5], [9.5, 9.5]],
        holes_px=[[[2.5, 2.5], [3.5, 2.5], [3.5, 3.5]]],
        **_SEEN,
    ),
    "mask": _label("mask", rle={"size": [2, 3], "counts": [1, 2, 3]}, **_SEEN),
    "mask in text": _label("mask", rle={"size": [2, 3], "counts": "12"}, **_SEEN),
    "keypoints": _label("keypoints", keypoints=[{"name": "nose", "x_px": 1.5, "y_px": 2.5, "visibility": 1}], **_SEEN),
    "image_classification": _label("image_classification"),
    "frame_label": _label("frame_label", last_frame=9),
    "track": _label("track", boxes=[{"frame": 0, "box": [1.5, 2.5, 3.5, 4.5], "keyframe": False, **_SEEN}]),
    "action": _label("action", actor_object_id="person-1", **_TIMED),
    "event": _label("event", phase="start", **_TIMED),
    "entity_span": _label("entity_span", start_char=3, end_char=9, text="Berlin"),
    "intent": _label("intent"),
    "sentiment": _label("sentiment", score=-0.5),
    "text_classification": _label("text_classification"),
    "relation": _label("relation", from_id="a1", to_id="a2"),
    "summary": _label("summary", text="All went well."),
    "transcript_segment": _label(
        "transcript_segment",
        text="good morning",
        speaker="A",
        language="en-GB",
        words=[{"text": "good", "start_s": 1.5, "end_s": 1.75}],
        **_TIMED,
    ),
    "speaker_turn": _label("speaker_turn", speaker="A", **_TIMED),
    "sound_event": _label("sound_event", **_TIMED),
    "emotion": _label("emotion", valence=-0.25, arousal=0.5, **_TIMED),
    "acoustic_event": _label("acoustic_event", level_db=-33.5, **_TIMED),
    "cuboid": _label("cuboid", center_m=_POINT, size_m=[4.5, 1.8, 1.5], yaw_rad=0.5, point_count=120, **_SEEN),
    "cuboid by quaternion": _label(
        "cuboid", center_m=_POINT, size_m=[4.5, 1.8, 1.5], rotation_wxyz=[0.6, 0.0, 0.0, 0.8], **_SEEN
    ),
    "point_segmentation": _label("point_segmentation", cloud_size=100, runs=[[0, 10], [50, 50]]),
    "spatial_track": _label(
        "spatial_track", cuboids=[{"frame": 0, "center_m": _POINT, "size_m": [4.5, 1.8, 1.5], "yaw_rad": 0.5, **_SEEN}]
    ),
    "lane_marking": _label("lane_marking", points_m=[_POINT, [2.5, 3.5, 0.5]], closed=True),
    "spatial_label": _label("spatial_label", center_m=_POINT, radius_m=12.5, outline_m=[_POINT]),
    "metadata_field timestamp": _metadata(kind="timestamp", at="2024-05-01T12:00:00Z"),
    "metadata_field location": _metadata(kind="location", latitude_deg=52.52, longitude_deg=13.405, accuracy_m=4.5),
    "metadata_field device": _metadata(kind="device", make="M", model="X", serial="1"),
    "metadata_field sensor": _metadata(kind="sensor", sensor="cam_left"),
    "metadata_field user_role": _metadata(kind="user_role", role="driver"),
    "metadata_field confidence": _metadata(kind="confidence", value=0.5),
    "metadata_field context": _metadata(kind="context", facts={"weather": "rain", "visibility_m": 80.5}),
    "metadata_field quantity": _metadata(kind="quantity", value=3.5, unit="kg"),
    "metadata_field text": _metadata(kind="text", text="as found"),
    "metadata_field flag": _metadata(kind="flag", value=True),
}

MANIFEST_EXAMPLE: dict[str, Any] = {
    "format": "concord.sample/1",
    "sample_id": "kitti-000008",
    "project": "av-urban",
    "captured_at": "2011-09-26T13:02:25.964389Z",
    "context": {
        "region": "DE",
        "product": "urban-pilot",
        "risk": "high",
        "policy": {
            "id": "privacy-eu",
            "version": "3",
            "status": "approved",
            "effective_from": "2024-01-01T00:00:00Z",
            "effective_to": "2034-01-01T00:00:00Z",
            "regions": ["DE"],
        },
        "attributes": {"weather": "rain"},
    },
    "streams": [
        {
            "id": "s",
            "modality": "image",
            "uri": "image_2/000008.png",
            "sha256": "0" * 64,
            "media_type": "image/png",
            "sensor": "cam_left",
            "coordinate_frame": "cam_left",
            "clock": {"start": "2011-09-26T13:02:25Z", "rate_hz": 10.5},
            "calibration": {
                "model": "pinhole",
                "intrinsics": [[721.5, 0.0, 609.5], [0.0, 721.5, 172.5], [0.0, 0.0, 1.0]],
                "distortion": [0.5, 0.25, 0.125, 0.0625],
                "extrinsics": {
                    "to": "lidar_top",
                    "matrix": [[1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.5], [0.0, 0.0, 1.0, 0.5], [0.0, 0.0, 0.0, 1.0]],
                },
            },
            "image_size_px": [1242, 375],
            "duration_s": 0.5,
        },
        {"id": "t", "modality": "text", "inline": "hello", "clock": {"timestamps": [0.5, 1.5]}},
        {
            "id": "r",
            "modality": "record",
            "inline": {"weight_kg": 3.5},
            "clock": {"timestamps": ["2024-05-01T12:00:00Z"]},
        },
    ],
    "annotations": [],
    "label_files": [
        {
            "format": "kitti",
            "uri": "label_2/000008.txt",
            "stream": "s",
            "role": "prediction",
            "spatial_stream": "s",
            "frames": [0, 5],
            "sha256": "1" * 64,
            "author": {"kind": "tool", "id": "kitti"},
        }
    ],
}

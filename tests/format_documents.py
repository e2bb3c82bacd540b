"""One small valid document or more of every label format, as our writers write them and as others do."""

from __future__ import annotations

import json
from typing import Any

from pydantic import TypeAdapter

from services.contracts.annotations import Annotation, Annotations
from services.contracts.manifest import LabelFile, SampleManifest
from services.formats.exporters import Outgoing, export_labels
from services.formats.result import StreamFacts, StreamItem
from tests.label_examples import LABEL_EXAMPLES
from tests.unit.formats.nuscenes_scenes import Maker, encoded

_FROM_LIDAR = [[0.0, 0.0, 1.0, 0.5], [-1.0, 0.0, 0.0, 0.25], [0.0, -1.0, 0.0, 0.125], [0.0, 0.0, 0.0, 1.0]]

MANIFEST = SampleManifest.model_validate(
    {
        "format": "concord.sample/1",
        "sample_id": "drive",
        "project": "p",
        "streams": [
            {
                "id": "cam",
                "modality": "video",
                "uri": "cam.mp4",
                "image_size_px": [640, 480],
                "clock": {"rate_hz": 10.0},
                "calibration": {
                    "model": "pinhole",
                    "intrinsics": [[700.0, 0.0, 320.0], [0.0, 700.0, 240.0], [0.0, 0.0, 1.0]],
                    "extrinsics": {"to": "lidar", "matrix": _FROM_LIDAR},
                },
            },
            {"id": "lidar", "modality": "lidar", "uri": "lidar.bin"},
            {"id": "mic", "modality": "audio", "uri": "mic.wav", "duration_s": 9.0},
        ],
    }
)

_STREAM_OF = {"cuboid": "lidar", "transcript_segment": "mic", "speaker_turn": "mic", "sound_event": "mic"}
_IMAGES = tuple(StreamItem(frame, f"{frame:06d}.png", (640, 480)) for frame in range(6))
_STREAMS = (
    StreamFacts(
        "cam",
        modality="video",
        size_px=(640, 480),
        rate_hz=10.0,
        coordinate_frame="cam",
        calibration=MANIFEST.stream("cam").calibration,
        items=_IMAGES,
    ),
    StreamFacts("lidar", modality="lidar", coordinate_frame="lidar"),
    StreamFacts("mic", modality="audio", duration_s=9.0),
)


def labels() -> tuple[Annotation, ...]:
    """Every kind of label twice, on the streams of :data:`MANIFEST`."""
    found: list[dict[str, Any]] = []
    for number, example in enumerate(LABEL_EXAMPLES.values()):
        stream = _STREAM_OF.get(example["type"], "cam")
        for turn in range(2):
            timed = {"start_s": 1.5 + turn, "end_s": 2.25 + turn} if "start_s" in example else {}
            words: dict[str, Any] = {"words": []} if "words" in example and turn else {}
            found.append({**example, "id": f"a{number}-{turn}", "stream": stream, "frame": 4 + turn, **timed, **words})
    for label in found:
        if label["type"] == "cuboid":
            label["center_m"] = [12.5, 1.25, 0.5]
        if label["type"] == "relation":
            label |= {"from_id": "a0-0", "to_id": "a0-1"}
    return TypeAdapter(Annotations).validate_python(found)


def _exported(form: str, stream: str | None = None) -> bytes:
    return export_labels(form, Outgoing("drive", labels(), _STREAMS), stream=stream).data


_DETECTIONS = (
    "0,2,500,150,620,220,9.5,1.5,1.8,4.2,2,1.7,20,-1.57,-1.4\n1,1,10,15,62,220,-3,1.7,0.8,0.6,-2,1.7,12,0.1,0.2\n"
)
_LONG_TEXTGRID = """\
File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 9.0
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "A - words"
        xmin = 0
        xmax = 9.0
        intervals: size = 2
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = "good ""morning"" sir"
        intervals [2]:
            xmin = 1.5
            xmax = 9.0
            text = ""
    item [2]:
        class = "TextTier"
        name = "events"
        xmin = 0
        xmax = 9.0
        points: size = 1
        points [1]:
            number = 2.5
            mark = "click"
"""
_VTT = """\
WEBVTT - a call

NOTE made by hand

STYLE
::cue { color: red }

one
00:00:01.000 --> 00:00:02.500 align:start line:0
<v Ann Lee><lang en-GB>Good <00:00:01.500>morning</lang></v> <v.loud Bob>you &amp; <i>me</i>

01:02:03.000 --> 01:02:04.000
- 1
- 2
"""
_SRT = """\
1
00:00:01,000 --> 00:00:02,500 X1:40 X2:600 Y1:20 Y2:50
<i>Good</i> {\\an8}morning

2
00:00:03.000 --> 00:00:04.000
and

again
"""
_RTTM = """\
;; a meeting
SPKR-INFO call 1 <NA> <NA> <NA> unknown Ann <NA> <NA>
SPEAKER call 1 0.250 1.500 <NA> <NA> Ann 0.75 <NA>
SPEAKER call 1 1.000 2.125 <NA> <NA> Bob <NA> <NA>
"""
_STM = """\
;; CATEGORY "0" "" ""
call 1 Ann 0.25 1.75 <o,f0,female> good morning
call 1 Bob 1.00 3.10 <o,f0,male> ignore_time_segment_in_scoring
call 1 Bob 3.10 4.00 yes
"""
_MOT_TRUTH = "1,1,912,484,97,109,0,7,1\n2,1,912.5,484,97,109,1,1,0.5\n2,2,1,2,3,4,1,2,1\n"
_MOT_TRACKED = "1,-1,912,484,97,109,0.6,-1,-1,-1\n2,3,10,20,30,40,55.5,-1,-1,-1\n"
_COCO_DETECTIONS = [
    {"image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4], "score": 0.5, "id": 1},
    {
        "image_id": "b",
        "category_id": 3,
        "score": 0.25,
        "segmentation": {"size": [33, 17], "counts": "b34j06L2N20N3Lm7"},
    },
]
_DATUMARO_MORE = {
    "dm_format_version": "1.0",
    "info": {},
    "categories": {"label": {"labels": [{"name": "cat", "parent": "", "attributes": []}], "attributes": []}},
    "items": [
        {
            "id": "a",
            "image": {"path": "a.jpg", "size": [33, 17]},
            "annotations": [
                {"id": 0, "type": "mask", "label_id": 0, "group": 1, "z_order": 1, "attributes": {"x": 1},
                 "rle": {"size": [33, 17], "counts": "b34j06L2N20N3Lm7"}},
                {"id": 1, "type": "polygon", "label_id": 0, "group": 1, "points": [0, 0, 4, 0, 4, 4]},
                {"id": 2, "type": "caption", "caption": "a cat"},
                {"id": 3, "type": "points", "label_id": 0, "points": [1, 2]},
            ],
        },
        {"id": "b", "annotations": []},
    ],
}  # fmt: skip
_LABEL_STUDIO_MORE = [
    {
        "id": 1,
        "data": {"image": "/data/a.jpg", "text": "Berlin is big", "audio": "a.wav"},
        "annotations": [
            {
                "id": 1,
                "completed_by": {"id": 3, "email": "x@y"},
                "was_cancelled": False,
                "reviews": [{"accepted": False}],
                "result": [
                    {"id": "r1", "type": "keypointlabels", "from_name": "k", "to_name": "image", "original_width": 200,
                     "original_height": 100, "value": {"x": 1, "y": 2, "width": 1, "keypointlabels": ["nose"]}},
                    {"id": "r2", "type": "brushlabels", "from_name": "b", "to_name": "image", "original_width": 8,
                     "original_height": 8, "value": {"format": "rle", "rle": [0, 0, 0, 1], "brushlabels": ["x"]}},
                    {"id": "r3", "type": "labels", "from_name": "n", "to_name": "text",
                     "value": {"start": 0, "end": 6, "text": "Berlin", "labels": ["city"]}},
                    {"id": "r4", "type": "choices", "from_name": "c", "to_name": "text", "value": {"choices": ["a"]}},
                    {"id": "r5", "type": "textarea", "from_name": "t", "to_name": "audio", "value": {"text": ["a"]}},
                    {"from_id": "r1", "to_id": "r3", "type": "relation", "direction": "right", "labels": ["of"]},
                    {"id": "r6", "type": "videorectangle", "from_name": "v", "to_name": "video", "value": {
                        "framesCount": 9, "duration": 3, "labels": ["car"], "sequence": [
                            {"frame": 1, "enabled": True, "x": 1, "y": 2, "width": 3, "height": 4, "time": 0.1},
                            {"frame": 5, "enabled": False, "x": 2, "y": 2, "width": 3, "height": 4, "time": 0.5},
                        ]}, "original_width": 8, "original_height": 8},
                    {"id": "r7", "type": "ellipselabels", "from_name": "e", "to_name": "image", "original_width": 8,
                     "original_height": 8, "value": {"x": 5, "y": 5, "radiusX": 1, "radiusY": 2, "ellipselabels": []}},
                ],
            },
            7,
        ],
        "predictions": [{"model_version": "m", "score": 0.5, "result": []}],
    },
]  # fmt: skip
_OPENLABEL_MORE = {
    "openlabel": {
        "metadata": {"schema_version": "1.0.0"},
        "streams": {
            "cam": {"type": "camera", "uri": "cam.mp4", "stream_properties": {"intrinsics_pinhole": {
                "camera_matrix_3x4": [700, 0, 320, 1, 0, 700, 240, 0, 0, 0, 1, 0], "width_px": 640, "height_px": 480,
                "distortion_coeffs_1xN": [0, 0, 0, 0]}}},
            "lidar": {"type": "lidar"},
        },
        "coordinate_systems": {
            "base": {"type": "local_cs", "parent": "", "children": ["cam", "lidar"]},
            "cam": {"type": "sensor_cs", "parent": "base", "pose_wrt_parent": {
                "quaternion": [0.5, -0.5, 0.5, -0.5], "translation": [1, 0, 1.5]}},
            "lidar": {"type": "sensor_cs", "parent": "base", "pose_wrt_parent": {
                "matrix4x4": [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 1.75, 0, 0, 0, 1]}},
        },
        "objects": {"1": {"name": "a", "type": "car", "object_data": {"text": [{"name": "colour", "val": "red"}]}}},
        "actions": {"5": {"name": "b", "type": "walking", "frame_intervals": [{"frame_start": 0, "frame_end": 3}]}},
        "events": {"6": {"name": "c", "type": "stop", "frame_intervals": [{"frame_start": 2, "frame_end": 2}]}},
        "relations": {"0": {"name": "r", "type": "near"}},
        "frame_intervals": [{"frame_start": 0, "frame_end": 3}],
        "frames": {
            "0": {"frame_properties": {"timestamp": "2020-04-11 12:00:01"}, "objects": {"1": {"object_data": {
                "bbox": [{"name": "b", "val": [10, 20, 4, 6], "coordinate_system": "cam", "attributes": {
                    "num": [{"name": "occluded", "val": 1}]}}],
                "cuboid": [{"name": "c", "val": [1, 2, 9, 0, 0, 0.5, 4, 2, 1.5], "coordinate_system": "lidar"}],
            }}}},
            "3": {"objects": {"1": {"object_data": {
                "rbbox": [{"name": "r", "val": [10, 20, 4, 6, 0.5]}],
                "poly2d": [{"name": "p", "val": [0, 0, 4, 0, 4, 4], "mode": "MODE_POLY2D_ABSOLUTE", "closed": True}],
                "cuboid": [{"name": "q", "val": [1, 2, 3, 0, 0, 0, 1, 4, 2, 1.5], "coordinate_system": "cam"}],
            }}}},
        },
    }
}  # fmt: skip
_CVAT_IMAGES = b"""<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta><task><name>t</name><labels><label><name>car</name></label></labels></task></meta>
  <image id="0" name="a/000000.png" width="640" height="480">
    <box label="car" occluded="1" xtl="1.5" ytl="2" xbr="30" ybr="40" z_order="0" source="manual">
      <attribute name="colour">red &amp; blue</attribute>
    </box>
    <box label="car" occluded="0" xtl="1" ytl="2" xbr="30" ybr="40" rotation="33.3" group_id="1"/>
    <polygon label="road" points="0,0;4,0;4,4"/>
    <points label="nose" points="1,2"/>
    <polyline label="lane" points="1,2;3,4"/>
    <tag label="night" source="manual"/>
    <mask label="car" rle="1,2" left="0" top="0" width="2" height="2"/>
  </image>
  <image id="1" name="a/000001.png" width="640" height="480"/>
</annotations>
"""
_CVAT_VIDEO = b"""<annotations>
  <track id="0" label="car" source="manual">
    <box frame="0" outside="0" occluded="0" keyframe="1" xtl="1" ytl="2" xbr="30" ybr="40"/>
    <box frame="1" outside="0" occluded="1" keyframe="0" xtl="2" ytl="2" xbr="31" ybr="40">
      <attribute name="colour">red</attribute>
    </box>
    <box frame="2" outside="1" occluded="0" keyframe="1" xtl="2" ytl="2" xbr="31" ybr="40"/>
  </track>
  <track id="1" label="lane"><polygon frame="0" points="0,0;4,0;4,4"/></track>
</annotations>
"""


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


NUSCENES: dict[str, bytes] = encoded(Maker(boxes=True).build())
"""The tables of a small nuScenes data set."""

DOCUMENTS: dict[str, tuple[bytes, ...]] = {
    "ab3dmot": (_DETECTIONS.encode(),),
    "coco": (_exported("coco", "cam"), _json(_COCO_DETECTIONS)),
    "cvat": (_exported("cvat", "cam"), _CVAT_IMAGES, _CVAT_VIDEO),
    "datumaro": (_exported("datumaro", "cam"), _json(_DATUMARO_MORE)),
    "kitti": (_exported("kitti"),),
    "kitti_tracking": (_exported("kitti_tracking"),),
    "label_studio": (
        _exported("label_studio", "cam"), _exported("label_studio", "mic"), _json(_LABEL_STUDIO_MORE),
    ),
    "mot": (_exported("mot", "cam"), _MOT_TRUTH.encode(), _MOT_TRACKED.encode()),
    "nuscenes": (NUSCENES["image_annotations"],),
    "openlabel": (_exported("openlabel"), _json(_OPENLABEL_MORE)),
    "rttm": (_exported("rttm", "mic"), _RTTM.encode()),
    "srt": (_exported("srt", "mic"), _SRT.encode()),
    "stm": (_STM.encode(),),
    "textgrid": (_exported("textgrid", "mic"), _LONG_TEXTGRID.encode()),
    "webvtt": (_exported("webvtt", "mic"), _VTT.encode()),
}  # fmt: skip
"""Documents by format."""

SPOKEN = frozenset({"rttm", "srt", "stm", "textgrid", "webvtt"})
_LETTERS = {
    "coco": "labels.json", "cvat": "labels.xml", "datumaro": "labels.json", "label_studio": "labels.json",
    "nuscenes": "image_annotations.json", "openlabel": "labels.json", "rttm": "labels.rttm", "srt": "labels.srt",
    "stm": "labels.stm", "textgrid": "labels.TextGrid", "webvtt": "labels.vtt",
}  # fmt: skip


def label_file(form: str, **more: Any) -> LabelFile:
    """How a manifest names a document of a format on a stream of :data:`MANIFEST`."""
    stream = "mic" if form in SPOKEN else "cam"
    spatial = {"spatial_stream": "lidar"} if form in ("ab3dmot", "kitti", "kitti_tracking") else {}
    return LabelFile.model_validate(
        {"format": form, "uri": _LETTERS.get(form, "labels.txt"), "stream": stream, **spatial, **more}
    )

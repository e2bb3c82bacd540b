"""From a sample to the scenes that ``lidar_camera`` judges, and the reasons why it can not judge the others."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from services.alignment.extrinsics import transform_between
from services.alignment.frame_pairing import MAX_FRAME, frame_period_s, nearest_frames
from services.alignment.geometry import Bools, Floats, Ints, transform_points
from services.alignment.lidar_camera_scene import (
    BoxRows,
    CuboidRows,
    Rows,
    Scene,
    box_rows,
    cuboid_rows,
    rows_of_frame,
    take_rows,
    thresholds_of,
)
from services.alignment.matching import iou_matrix
from services.alignment.projection import Camera, project_points
from services.alignment.sample import CheckSample
from services.contracts.findings import NotApplicable
from services.contracts.manifest import Stream
from services.rules.lidar_camera import LidarCameraRules

CHECK = "lidar_camera"
_SAME_THING_IOU = 0.5
_SAME_THING_M = 1.0


def collect_scenes(sample: CheckSample, rules: LidarCameraRules) -> tuple[tuple[Scene, ...], tuple[NotApplicable, ...]]:
    """Return one scene for each camera with boxes and stream with cuboids that are tied together.

    Args:
        sample: The sample.
        rules: Thresholds.
    """
    streams = sample.manifest.streams
    cameras = [stream for stream in streams if stream.modality in ("image", "video")]
    cuboids = {stream.id: cuboid_rows(sample.annotations, stream.id) for stream in streams}
    arrived = _labelled_on_arrival(sample)
    spatial = [
        stream
        for stream in streams
        if len(cuboids[stream.id])
        or (stream.id, "spatial") in arrived
        or (rules.judge_unlabelled_streams and stream.modality == "lidar")
    ]
    missing = []
    if not cameras:
        missing.append(_missing("the sample has no camera stream; add an image or video stream"))
    if not spatial:
        lidars = tuple(stream.id for stream in streams if stream.modality in ("lidar", "radar"))
        what = f"{', '.join(lidars)} has no cuboids" if lidars else "the sample has no LiDAR stream and no cuboids"
        missing.append(_missing(f"{what}; there is nothing to compare with the camera's boxes", *lidars))
    scenes: list[Scene] = []
    if not missing:
        for camera in cameras:
            boxes = box_rows(sample.annotations, camera.id)
            if not len(boxes) and (camera.id, "image") not in arrived and not rules.judge_unlabelled_streams:
                reason = f"camera {camera.id} has no boxes to compare with the cuboids"
                missing.append(_missing(reason, camera.id))
                continue
            for result in _scenes_of(sample, rules, camera, boxes, [(s, cuboids[s.id]) for s in spatial]):
                if isinstance(result, Scene):
                    scenes.append(result)
                else:
                    missing.append(result)
    return tuple(scenes), tuple(missing)


def _labelled_on_arrival(sample: CheckSample) -> frozenset[tuple[str, str]]:
    """Return the streams that had labels when the sample came: if they have none now, these were taken away."""
    kinds = {"box": "image", "track": "image", "cuboid": "spatial", "spatial_track": "spatial"}
    return frozenset((a.stream, kinds[a.type]) for a in sample.manifest.annotations if a.type in kinds)


def _missing(reason: str, *streams: str) -> NotApplicable:
    return NotApplicable(check=CHECK, reason=reason, streams=streams)


def _scenes_of(
    sample: CheckSample,
    rules: LidarCameraRules,
    stream: Stream,
    boxes: BoxRows,
    spatial: list[tuple[Stream, CuboidRows]],
) -> Iterator[Scene | NotApplicable]:
    camera = _camera(sample, stream, boxes)
    if camera is None:
        yield _missing(
            f"camera {stream.id} has no intrinsics; add calibration.model and calibration.intrinsics", stream.id
        )
        return
    for other, rows in spatial:
        transform = transform_between(sample.manifest, dst_stream=stream.id, src_stream=other.id)
        if transform is None:
            yield _missing(
                f"no extrinsics lead from {other.id} to camera {stream.id}; add calibration.extrinsics to one of them",
                stream.id,
                other.id,
            )
            continue
        last_frame = int(max(boxes.frames.max(initial=0), rows.frames.max(initial=0)))
        if last_frame > MAX_FRAME:
            reason = f"streams {stream.id} and {other.id} have a label at frame {last_frame}; frames up to {MAX_FRAME}"
            yield _missing(f"{reason} are compared, so correct the frame", stream.id, other.id)
            continue
        yield _scene(sample, rules, (stream, camera, boxes), (other, rows), transform)


def _camera(sample: CheckSample, stream: Stream, boxes: BoxRows) -> Camera | None:
    calibration = stream.calibration
    if calibration is None or calibration.model is None or calibration.intrinsics is None:
        return None
    intrinsics = np.array(calibration.intrinsics, dtype=np.float64)
    size = sample.image_sizes_px.get(stream.id) or stream.image_size_px
    if size is None:
        # A principal point is within a few per cent of the middle, and no box reaches beyond the image.
        reach = boxes.boxes_px[:, 2:].max(axis=0, initial=0.0) if len(boxes) else np.zeros(2)
        width, height = np.maximum(np.ceil(2 * intrinsics[:2, 2]), reach).tolist()
    else:
        width, height = float(size[0]), float(size[1])
    return Camera(calibration.model, intrinsics, calibration.distortion, width, height)


def _scene(
    sample: CheckSample,
    rules: LidarCameraRules,
    seen: tuple[Stream, Camera, BoxRows],
    spatial: tuple[Stream, CuboidRows],
    camera_from_spatial: Floats,
) -> Scene:
    (stream, camera, boxes), (other, cuboids) = seen, spatial
    boxes, cuboids = _human_first(boxes, cuboids)
    last_frame = int(max(boxes.frames.max(initial=0), cuboids.frames.max(initial=0)))
    partner = nearest_frames(other.clock, stream.clock, last_frame)
    cloud_frames = np.unique(cuboids.frames)
    paired = partner[cuboids.frames]
    cuboids = take_rows(cuboids, np.flatnonzero(paired >= 0), frames=paired[paired >= 0])
    points = np.full(len(boxes), -1, dtype=np.intp)
    cloud = sample.clouds_m.get(other.id)
    if cloud is not None and len(cloud_frames) == 1 and partner[cloud_frames[0]] >= 0:
        same_frame = boxes.frames == partner[cloud_frames[0]]
        points[same_frame] = _points_behind(
            camera, transform_points(camera_from_spatial, cloud), boxes.boxes_px[same_frame], rules
        )
    find = thresholds_of(rules)
    return Scene(
        camera_id=stream.id,
        spatial_id=other.id,
        camera=camera,
        camera_from_spatial=camera_from_spatial,
        boxes=boxes,
        cuboids=cuboids,
        thresholds=tuple(find(label) for label in cuboids.labels),
        box_thresholds=tuple(find(label) for label in boxes.labels),
        seen_points=points,
        period_s=frame_period_s(stream.clock) or frame_period_s(other.clock),
        judged_frames=_judged_frames(boxes.frames, cuboids.frames, partner),
    )


def _judged_frames(boxes: Ints, cuboids: Ints, partner: Ints) -> frozenset[int]:
    """Return the frames in which a missing partner is a fault.

    Where one stream is labelled only now and then (key frames), a frame without labels was not labelled at all, and
    only frames labelled in both count. Frames that have no partner in the other stream never count.
    """
    both, either = np.intersect1d(boxes, cuboids), np.union1d(boxes, cuboids)
    chosen = either if len(both) >= 0.5 * len(either) or len(either) == 1 else both
    return frozenset(np.intersect1d(chosen, partner[partner >= 0]).tolist())


def _points_behind(camera: Camera, points_m: Floats, boxes_px: Floats, rules: LidarCameraRules) -> Ints:
    """Count the points in the range of the rules that fall into each box of (m, 4): shape (m,)."""
    if camera.model == "pinhole":
        points_m = points_m[points_m[:, 2] > rules.near_plane_m]
    points_m = points_m[np.linalg.norm(points_m, axis=1) <= rules.max_range_m]
    pixels = project_points(camera, points_m)
    inside = (pixels >= 0).all(axis=1) & (pixels <= (camera.width_px, camera.height_px)).all(axis=1)
    x, y = pixels[inside].T
    return np.array(
        [np.count_nonzero((x >= b[0]) & (x <= b[2]) & (y >= b[1]) & (y <= b[3])) for b in boxes_px],
        dtype=np.intp,
    )


def _human_first(boxes: BoxRows, cuboids: CuboidRows) -> tuple[BoxRows, CuboidRows]:
    """Leave out predictions of things that somebody has labelled in the same frame: two labels, one thing.

    A prediction's box and cuboid go together, even where only one of them lies on a person's label.
    """
    dropped = _predicted_again(boxes), _predicted_again(cuboids)
    if not any(marks.any() for marks in dropped):
        return boxes, cuboids
    gone = {
        (int(rows.frames[i]), rows.object_ids[i])
        for rows, marks in zip((boxes, cuboids), dropped, strict=True)
        for i in np.flatnonzero(marks).tolist()
        if rows.object_ids[i] is not None
    }
    kept = [
        [
            i
            for i in np.flatnonzero(~marks).tolist()
            if not (_is_prediction(rows, i) and (int(rows.frames[i]), rows.object_ids[i]) in gone)
        ]
        for rows, marks in zip((boxes, cuboids), dropped, strict=True)
    ]
    return (
        take_rows(boxes, np.array(kept[0], dtype=np.intp)),
        take_rows(cuboids, np.array(kept[1], dtype=np.intp)),
    )


def _is_prediction(rows: Rows, row: int) -> bool:
    author = rows.annotations[row].author
    return author is not None and author.kind == "model"


def _predicted_again(rows: BoxRows | CuboidRows) -> Bools:
    by_model = np.array([_is_prediction(rows, i) for i in range(len(rows))], dtype=np.bool_)
    dropped = np.zeros(len(rows), dtype=np.bool_)
    if by_model.all() or not by_model.any():
        return dropped
    for frame in np.unique(rows.frames[by_model]).tolist():
        here = rows_of_frame(rows.frames, frame)
        models = here.start + np.flatnonzero(by_model[here])
        people = here.start + np.flatnonzero(~by_model[here] & ~rows.ignore[here])
        if len(people):
            dropped[models] = (_same_thing(rows, models, people) | _same_id(rows, models, people)).any(axis=1)
    return dropped


def _same_thing(rows: BoxRows | CuboidRows, a: Ints, b: Ints) -> Bools:
    if isinstance(rows, BoxRows):
        return np.asarray(iou_matrix(rows.boxes_px[a], rows.boxes_px[b]) >= _SAME_THING_IOU)
    apart = np.linalg.norm(rows.centers_m[a][:, None] - rows.centers_m[b][None], axis=2)
    return np.asarray(apart <= _SAME_THING_M)


def _same_id(rows: Rows, a: Ints, b: Ints) -> Bools:
    return np.array(
        [
            [rows.object_ids[i] is not None and rows.object_ids[i] == rows.object_ids[j] for j in b.tolist()]
            for i in a.tolist()
        ],
        dtype=np.bool_,
    )

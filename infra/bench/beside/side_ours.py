"""Ours: the kernels and the check that the product runs."""

from __future__ import annotations

import sys

import numpy as np

from infra.bench.beside.serve import Arrays, Done, Work, serve
from services.alignment.geometry import cuboid_corners, matrices_from_quaternions, transform_points
from services.alignment.lidar_camera_pairs import associate
from services.alignment.lidar_camera_scene import BoxRows, CuboidRows, Scene
from services.alignment.matching import iou_matrix
from services.alignment.projection import Camera, ProjectedCuboids, project_cuboids
from services.alignment.sample import CheckSample
from services.alignment.track_identity import check_track_identity
from services.alignment.track_identity_links import Tracklets, find_tracklets
from services.alignment.track_identity_rows import UNSTATED, TrackTable, split_duplicates
from services.contracts.labels_visual import Box
from services.contracts.manifest import SampleManifest, Stream
from services.rules.lidar_camera import OTHER_CLASS, LidarCameraRules
from services.rules.rule_set import DEFAULT_RULE_SET
from services.rules.track_identity import TrackIdentityRules

_STREAM = "camera"


def _camera(arrays: Arrays) -> Camera:
    return Camera("pinhole", arrays["intrinsics"], (), *arrays["size_px"].tolist())


def _projected(arrays: Arrays, camera: Camera) -> ProjectedCuboids:
    rotations = matrices_from_quaternions(arrays["rotations_wxyz"])
    corners = cuboid_corners(arrays["centers_m"], arrays["sizes_m"], rotations)
    return project_cuboids(camera, transform_points(arrays["camera_from_lidar"], corners))


def project(arrays: Arrays) -> Work:
    """Return the work: numbers of cuboids to boxes in the image."""
    camera = _camera(arrays)
    return lambda: {"boxes_px": _projected(arrays, camera).boxes_px}


def match(arrays: Arrays) -> Work:
    """Return the work: the same, and the check's own pairing with the camera's boxes."""
    scene = _scene(arrays)
    rules = LidarCameraRules(min_match_iou=float(arrays["min_iou"]))

    def work() -> Done:
        pairs = associate(scene, _projected(arrays, scene.camera).boxes_px, rules)
        return {"pairs": np.stack([pairs.cuboids, pairs.boxes], axis=1)}

    return work


def _scene(arrays: Arrays) -> Scene:
    n, m = len(arrays["frames"]), len(arrays["box_frames"])
    boxes = BoxRows(
        ("",) * m,
        arrays["box_frames"],
        ("car",) * m,
        (None,) * m,
        np.zeros(m),
        np.zeros(m, np.intp),
        np.zeros(m, np.bool_),
        (),
        arrays["boxes_px"],
    )
    cuboids = CuboidRows(
        ("",) * n,
        arrays["frames"],
        ("car",) * n,
        (None,) * n,
        np.zeros(n),
        np.zeros(n, np.intp),
        np.zeros(n, np.bool_),
        (),
        arrays["centers_m"],
        arrays["sizes_m"],
        matrices_from_quaternions(arrays["rotations_wxyz"]),
        np.full(n, -1),
    )
    return Scene(
        camera_id=_STREAM,
        spatial_id="lidar",
        camera=_camera(arrays),
        camera_from_spatial=arrays["camera_from_lidar"],
        boxes=boxes,
        cuboids=cuboids,
        thresholds=(OTHER_CLASS,) * n,
        box_thresholds=(OTHER_CLASS,) * m,
        seen_points=np.full(m, -1),
        period_s=None,
        judged_frames=frozenset(),
    )


def iou_table(arrays: Arrays) -> Work:
    """Return the work: one table of many boxes with many boxes."""
    return lambda: {"iou": iou_matrix(arrays["iou_a_px"], arrays["iou_b_px"])}


def iou_frames(arrays: Arrays) -> Work:
    """Return the work: a small table for each frame, all at once."""
    return lambda: {"iou": iou_matrix(arrays["frames_a_px"], arrays["frames_b_px"])}


def identity(arrays: Arrays) -> Work:
    """Return the work: from rows of tracks to where an object goes on under another id."""
    rules = TrackIdentityRules()

    def work() -> Done:
        table = _table(arrays)
        return {"switches": np.array(_changes(table, find_tracklets(table, rules)))}

    return work


def _table(arrays: Arrays) -> TrackTable:
    names, objects = np.unique(arrays["label_ids"], return_inverse=True)
    order = np.lexsort((arrays["label_frames"], objects))
    objects, frames, boxes = objects[order], arrays["label_frames"][order], arrays["label_px"][order]
    frame_of_rank = np.unique(frames)
    sides = boxes[:, 2:] - boxes[:, :2]
    centers, scales = (boxes[:, :2] + boxes[:, 2:]) / 2, np.sqrt(sides.prod(axis=1))
    ranks = np.searchsorted(frame_of_rank, frames)
    extra = split_duplicates(objects, ranks, centers, scales)
    if extra.any():
        raise ValueError("the benchmark's ids stand once in a frame")
    changed = np.diff(objects) != 0
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1, [len(objects)]])
    return TrackTable(
        stream=_STREAM,
        space="image",
        by_model=False,
        sources=(),
        places=(),
        frames=frames,
        ranks=ranks,
        frame_of_rank=frame_of_rank,
        objects=objects,
        names=tuple(map(str, names.tolist())),
        chains=np.concatenate([[0], np.cumsum(changed)]),
        starts=starts,
        extra=np.zeros(len(starts) - 1, np.bool_),
        classes=np.zeros(len(objects), np.intp),
        centers=centers,
        log_sizes=np.log(sides),
        scales=scales,
        occlusion=np.full(len(objects), UNSTATED),
        cut_off=np.asarray((boxes[:, :2] <= 2.0).any(axis=1)),
    )


def _changes(table: TrackTable, found: Tracklets) -> int:
    going_on = np.flatnonzero(found.onward >= 0)
    before, after = found.last[going_on], found.first[found.onward[going_on]]
    return int((table.objects[before] != table.objects[after]).sum())


def identity_check(arrays: Arrays) -> Work:
    """Return the work: the whole check on labels, with findings and the patches they suggest."""
    labels = tuple(
        Box(id=f"b{row}", stream=_STREAM, label="car", frame=frame, object_id=str(number), box=tuple(box))
        for row, (frame, number, box) in enumerate(
            zip(
                arrays["label_frames"].tolist(),
                arrays["label_ids"].tolist(),
                arrays["label_px"].tolist(),
                strict=True,
            )
        )
    )
    stream = Stream(id=_STREAM, modality="video")
    manifest = SampleManifest(format="concord.sample/1", sample_id="tracks", project="bench", streams=(stream,))
    sample = CheckSample(manifest, labels)

    def work() -> Done:
        findings = check_track_identity(sample, DEFAULT_RULE_SET).findings
        # Two objects that swap their ids are one finding and two switches.
        return {"switches": np.array(sum({"switch": 1, "swap": 2}.get(one.kind, 0) for one in findings))}

    return work


WORKS = {
    "project": project,
    "match": match,
    "iou_table": iou_table,
    "iou_frames": iou_frames,
    "identity": identity,
    "identity_check": identity_check,
}

if __name__ == "__main__":
    serve(WORKS, ("numpy", "scipy"), sys.argv[1:])

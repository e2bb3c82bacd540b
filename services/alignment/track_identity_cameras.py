"""One id in several calibrated streams must be one object.

Three ways to know: cuboids projected into two cameras say which of their boxes show one object; lines of sight through
the boxes of one id must meet (R. Hartley and A. Zisserman, *Multiple View Geometry in Computer Vision*, 2nd ed.,
chapter 12); and cuboids of one id in two streams must be in one place. Metres and pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from services.alignment.extrinsics import transform_between
from services.alignment.frame_pairing import nearest_frames
from services.alignment.geometry import (
    Floats,
    Ints,
    cuboid_corners,
    matrices_from_quaternions,
    matrices_from_yaw,
    transform_points,
)
from services.alignment.matching import iou_pairs
from services.alignment.projection import Camera, project_cuboids, project_points
from services.alignment.sample import CheckSample
from services.alignment.track_identity_rows import TrackTable
from services.contracts.labels_spatial import Cuboid, TrackCuboid
from services.rules.track_identity import TrackIdentityRules

NEAREST_M = 0.5
FARTHEST_M = 1_000.0
MOST_EXCHANGED = 50
"""Ids tried for an exchange: all pairs are."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """Two ids that two streams use for one object, or one id that they use for two.

    Attributes:
        first: The table of the one stream.
        second: The table of the other.
        names: The ids concerned.
        rows: (row of first, row of second), one pair a frame and object.
        message: One sentence.
        value: The number behind it.
        unit: Its unit.
        threshold: What it was compared with.
        renames: Rows of ``second`` and the ids they should have.
    """

    first: TrackTable
    second: TrackTable
    names: tuple[str, ...]
    rows: tuple[tuple[int, int], ...]
    message: str
    value: float
    unit: str
    threshold: float
    renames: dict[int, str]


@dataclass(frozen=True, slots=True)
class _Camera:
    table: TrackTable
    camera: Camera


def find_mismatches(sample: CheckSample, tables: Sequence[TrackTable], rules: TrackIdentityRules) -> list[Mismatch]:
    """Compare the ids of every two streams that are tied together and labelled by the same kind of author."""
    known = {stream.id for stream in sample.manifest.streams}
    tables = [table for table in tables if table.stream in known]
    cameras = [camera for table in tables if (camera := _camera(sample, table)) is not None]
    spatial = [table for table in tables if table.space == "space"]
    result: list[Mismatch] = []
    for one, other in combinations(cameras, 2):
        if one.table.stream == other.table.stream or one.table.by_model != other.table.by_model:
            continue
        seen = _by_cuboids(sample, one, other, spatial, rules)
        if seen is None:
            continue
        told = {name for mismatch in seen for name in mismatch.names}
        result += seen
        result += [m for m in _by_rays(sample, one, other, rules) if not told & set(m.names)]
    for first, second in combinations(spatial, 2):
        if first.stream != second.stream and first.by_model == second.by_model:
            result += _by_place(sample, first, second, rules)
    return result


def _camera(sample: CheckSample, table: TrackTable) -> _Camera | None:
    stream = sample.manifest.stream(table.stream)
    calibration = stream.calibration
    if table.space != "image" or calibration is None or calibration.model is None or calibration.intrinsics is None:
        return None
    intrinsics = np.array(calibration.intrinsics, dtype=np.float64)
    if abs(np.linalg.det(intrinsics)) < 1e-9:
        return None
    size = sample.image_sizes_px.get(stream.id) or stream.image_size_px
    width, height = size or np.maximum(2 * intrinsics[:2, 2], table.boxes()[:, 2:].max(axis=0)).tolist()
    camera = Camera(calibration.model, intrinsics, calibration.distortion, float(width), float(height))
    return _Camera(table, camera)


def _partners(sample: CheckSample, src: TrackTable, dst: TrackTable) -> Ints:
    """Return the frame of ``dst`` for each row of ``src``, or -1."""
    last = int(max(src.frames.max(), dst.frames.max()))
    clocks = (sample.manifest.stream(src.stream).clock, sample.manifest.stream(dst.stream).clock)
    return np.asarray(nearest_frames(*clocks, last)[src.frames])


def _by_cuboids(
    sample: CheckSample, one: _Camera, other: _Camera, spatial: Sequence[TrackTable], rules: TrackIdentityRules
) -> list[Mismatch] | None:
    """Return boxes of one cuboid with different ids; None where each camera numbers its objects for itself."""
    votes: dict[tuple[str, str], list[tuple[int, int, str]]] = defaultdict(list)
    agreed: set[str] = set()
    for table in spatial:
        hits = [_shown(sample, table, camera, rules) for camera in (one, other)]
        for cuboid in sorted(hits[0].keys() & hits[1].keys()):
            a, b = hits[0][cuboid], hits[1][cuboid]
            names = one.table.name(a), other.table.name(b)
            if names[0] == names[1]:
                agreed.add(names[0])
            else:
                votes[names].append((a, b, table.name(cuboid)))
    if len(votes) > max(len(agreed), 2):
        return None
    result: list[Mismatch] = []
    for names in sorted(votes):
        a_name, b_name = names
        if b_name < a_name and (b_name, a_name) in votes:
            continue  # told with its mirror image
        mirrored = votes.get((b_name, a_name), [])
        members = [*votes[names], *mirrored]
        # The cuboid's id says which camera is wrong; where it has neither, the first camera counts.
        wrong_first = sum(cuboid == other.table.name(b) for _, b, cuboid in members)
        wrong_second = sum(cuboid == one.table.name(a) for a, _, cuboid in members)
        first, second = (other, one) if wrong_first > wrong_second else (one, other)
        rows = tuple((b, a) if first is other else (a, b) for a, b, _ in members)
        renames = {row: first.table.name(fixed) for fixed, row in rows}
        frames = sorted({int(first.table.frames[a]) for a, _ in rows})
        how = "exchanged for" if mirrored else "called"
        message = (
            f"{first.table.name(rows[0][0])} in {first.table.stream} is {how} {second.table.name(rows[0][1])} in "
            f"{second.table.stream} in {len(frames)} frames from {frames[0]} on: one cuboid lies on both boxes."
        )
        result.append(
            Mismatch(
                first.table, second.table, (a_name, b_name), rows, message, float(len(frames)), "frames", 0.0, renames
            )
        )
    return result


def _shown(sample: CheckSample, table: TrackTable, camera: _Camera, rules: TrackIdentityRules) -> dict[int, int]:
    """Return the box that shows each cuboid: the best of both for each other, with enough overlap."""
    transform = transform_between(sample.manifest, dst_stream=camera.table.stream, src_stream=table.stream)
    if transform is None:
        return {}
    corners = transform_points(transform, cuboid_corners(table.centers, np.exp(table.log_sizes), _rotations(table)))
    projected = project_cuboids(camera.camera, corners)
    i, j = _same_frame(_partners(sample, table, camera.table), camera.table.frames)
    keep = projected.visible[i]
    i, j = i[keep], j[keep]
    overlap = iou_pairs(projected.boxes_px[i], camera.table.boxes()[j])
    good = overlap >= rules.camera_overlap
    i, j, overlap = i[good], j[good], overlap[good]
    best_box: dict[int, tuple[float, int]] = {}
    best_cuboid: dict[int, tuple[float, int]] = {}
    for a, b, value in zip(i.tolist(), j.tolist(), overlap.tolist(), strict=True):
        best_box[a] = max(best_box.get(a, (0.0, -1)), (value, b))
        best_cuboid[b] = max(best_cuboid.get(b, (0.0, -1)), (value, a))
    return {a: b for a, (_, b) in best_box.items() if best_cuboid[b][1] == a}


def _same_frame(a_frames: Ints, b_frames: Ints) -> tuple[Ints, Ints]:
    """Return all pairs of rows of one frame."""
    order = np.argsort(b_frames, kind="stable")
    low = np.searchsorted(b_frames[order], a_frames, side="left")
    high = np.searchsorted(b_frames[order], a_frames, side="right")
    counts = np.where(a_frames >= 0, high - low, 0)
    i = np.repeat(np.arange(len(a_frames)), counts)
    offset = np.arange(len(i)) - np.repeat(np.cumsum(counts) - counts, counts)
    return i, order[np.repeat(low, counts) + offset]


def _rotations(table: TrackTable) -> Floats:
    places = [place for place in table.places if isinstance(place, Cuboid | TrackCuboid)]
    by_yaw = matrices_from_yaw(np.array([place.yaw_rad or 0.0 for place in places]))
    identity = (1.0, 0.0, 0.0, 0.0)
    turned = matrices_from_quaternions(np.array([place.rotation_wxyz or identity for place in places]))
    stated = np.array([place.rotation_wxyz is not None for place in places])
    return np.where(stated[:, None, None], turned, by_yaw)


def _same_id(sample: CheckSample, one: TrackTable, other: TrackTable) -> tuple[Ints, Ints]:
    """Return pairs of rows with one id at one time; ids that stand twice in a frame are left out."""
    code = {name: index for index, name in enumerate(other.names)}
    names = np.array([code.get(name, -1) for name in one.names], dtype=np.intp)[one.objects]
    partner = _partners(sample, one, other)
    usable = np.flatnonzero((names >= 0) & (partner >= 0) & ~one.extra[one.chains])
    there = np.flatnonzero(~other.extra[other.chains])
    span = int(max(partner.max(initial=0), other.frames.max())) + 1
    keys, found = names[usable] * span + partner[usable], other.objects[there] * span + other.frames[there]
    i, j = _common(keys, found)
    return usable[i], there[j]


def _common(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    """Return the places in ``a`` and ``b`` of the values that both hold."""
    values = np.intersect1d(a, b)
    order_a, order_b = np.argsort(a, kind="stable"), np.argsort(b, kind="stable")
    return order_a[np.searchsorted(a[order_a], values)], order_b[np.searchsorted(b[order_b], values)]


def _by_rays(sample: CheckSample, one: _Camera, other: _Camera, rules: TrackIdentityRules) -> Iterator[Mismatch]:
    transform = transform_between(sample.manifest, dst_stream=one.table.stream, src_stream=other.table.stream)
    if transform is None:
        return
    i, j = _same_id(sample, one.table, other.table)
    keep = ~(one.table.cut_off[i] | other.table.cut_off[j])
    i, j = i[keep], j[keep]
    if not len(i):
        return
    apart = _ray_misses(one, i, other, j, transform)
    wrong = apart > rules.max_ray_sizes
    names = one.table.objects[i]
    failing = [n for n in np.unique(names[wrong]).tolist() if np.median(apart[names == n]) > rules.max_ray_sizes]
    common = np.unique(names).tolist()
    partner = _exchanged(sample, one, other, (failing, common), transform, rules)
    if set(failing) - set(partner) and 2 * len(failing) >= len(common) > 2:
        return  # each camera numbers its objects for itself
    for name in failing:
        mate = partner.get(name)
        if mate is not None and mate < name and mate in failing:
            continue
        concerned = np.isin(names, [name] if mate is None else [name, mate])
        rows = tuple(zip(i[concerned].tolist(), j[concerned].tolist(), strict=True))
        value = float(np.median(apart[concerned]))
        who = one.table.names[name]
        told = "" if mate is None else f"; exchanged with {one.table.names[mate]} it meets"
        message = (
            f"{who} in {one.table.stream} and in {other.table.stream} are two objects: their lines of sight pass each "
            f"other by {value:.1f} object sizes in {len(rows)} places{told}."
        )
        other_name = "" if mate is None else one.table.names[mate]
        ids = (who, other_name) if other_name else (who,)
        swap = {who: other_name, other_name: who} if other_name else {}
        renames = {b: swap[other.table.name(b)] for _, b in rows if swap}
        yield Mismatch(
            one.table, other.table, ids, rows, message, value, "object_sizes", rules.max_ray_sizes, renames
        )  # fmt: skip


def _exchanged(
    sample: CheckSample,
    one: _Camera,
    other: _Camera,
    candidates: tuple[list[int], list[int]],
    transform: Floats,
    rules: TrackIdentityRules,
) -> dict[int, int]:
    """Return ids that fail as they are and fit when exchanged for exactly one other."""
    failing, common = candidates
    partner = _partners(sample, one.table, other.table)

    def miss(mine: int, theirs: int) -> float:
        rows = np.flatnonzero(one.table.objects == mine)
        there = np.flatnonzero(other.table.objects == other.table.names.index(one.table.names[theirs]))
        i, j = _common(partner[rows], other.table.frames[there])
        apart = _ray_misses(one, rows[i], other, there[j], transform)
        return float(np.median(apart)) if len(apart) else np.inf

    result: dict[int, int] = {}
    for a in failing[:MOST_EXCHANGED]:
        fits = [b for b in common[:MOST_EXCHANGED] if b != a and max(miss(a, b), miss(b, a)) <= rules.max_ray_sizes / 2]
        if len(fits) == 1 and a not in result and fits[0] not in result:
            result[a], result[fits[0]] = fits[0], a
    return result


def _ray_misses(one: _Camera, i: Ints, other: _Camera, j: Ints, one_from_other: Floats) -> Floats:
    """Return how far lines of sight pass each other, in sizes of the smaller object they see; shape (n,)."""
    a = _directions(one.camera, one.table.centers[i])
    b = _directions(other.camera, other.table.centers[j]) @ one_from_other[:3, :3].T
    origin = one_from_other[:3, 3]
    # Nearest points of the two lines, kept in front of both cameras.
    ab = (a * b).sum(axis=1)
    ao, bo = a @ origin, b @ origin
    free = np.maximum(1 - ab * ab, 1e-9)
    s = np.clip((ao - ab * bo) / free, NEAREST_M, FARTHEST_M)
    t = np.clip(ab * s - bo, NEAREST_M, FARTHEST_M)
    s = np.clip(ab * t + ao, NEAREST_M, FARTHEST_M)
    apart = np.linalg.norm(a * s[:, None] - (origin + b * t[:, None]), axis=1)
    sizes = np.minimum(s * one.table.scales[i] / one.camera.focal_px, t * other.table.scales[j] / other.camera.focal_px)
    return np.asarray(apart / np.maximum(sizes, 1e-6))


def _directions(camera: Camera, pixels: Floats) -> Floats:
    """Return unit lines of sight, (n, 3); distortion is undone by iterating the projection."""
    inverse = np.linalg.inv(camera.intrinsics)
    target = np.column_stack([pixels, np.ones(len(pixels))]) @ inverse.T
    plane = target[:, :2].copy()
    if camera.is_curved:
        for _ in range(20):
            seen = project_points(camera, np.column_stack([plane, np.ones(len(plane))]))
            plane += target[:, :2] - (np.column_stack([seen, np.ones(len(seen))]) @ inverse.T)[:, :2]
            plane = np.clip(np.nan_to_num(plane), -50.0, 50.0)
    rays = np.column_stack([plane, np.ones(len(plane))])
    return np.asarray(rays / np.linalg.norm(rays, axis=1, keepdims=True))


def _by_place(
    sample: CheckSample, first: TrackTable, second: TrackTable, rules: TrackIdentityRules
) -> Iterator[Mismatch]:
    transform = transform_between(sample.manifest, dst_stream=first.stream, src_stream=second.stream)
    if transform is None:
        return
    i, j = _same_id(sample, first, second)
    if not len(i):
        return
    apart = np.linalg.norm(first.centers[i] - transform_points(transform, second.centers[j]), axis=1)
    apart /= np.minimum(first.scales[i], second.scales[j])
    names = first.objects[i]
    for name in np.unique(names[apart > rules.max_ray_sizes]).tolist():
        here = names == name
        value = float(np.median(apart[here]))
        if value <= rules.max_ray_sizes:
            continue
        rows = tuple(zip(i[here].tolist(), j[here].tolist(), strict=True))
        message = (
            f"{first.names[name]} is {value:.1f} object sizes apart in {first.stream} and {second.stream}: "
            f"two objects with one id."
        )
        yield Mismatch(
            first, second, (first.names[name],), rows, message, value, "object_sizes", rules.max_ray_sizes, {}
        )

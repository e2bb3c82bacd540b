"""Which cuboid belongs to which camera box: by identity where both carry one, else by overlap.

The rest is assigned one to one so that the total overlap is greatest, frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.alignment.frame_matching import Boxes, assign_in_frames
from services.alignment.geometry import Bools, Floats, Ints
from services.alignment.lidar_camera_scene import Scene
from services.alignment.matching import iou_matrix, iou_pairs
from services.rules.lidar_camera import LidarCameraRules

MIN_SHARED_IDS = 0.5
"""At least this share of the identities of the stream with fewer must also be in the other."""

_UNRELATED_PAIRS = 4


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of rows of a scene.

    Attributes:
        cuboids: Shape (k,): rows of the cuboids.
        boxes: Shape (k,): rows of the boxes.
        by_id: Shape (k,): paired because they carry the same object_id.
        ids_shared: Whether the two streams name their objects alike, so that a differing id is a fault.
    """

    cuboids: Ints
    boxes: Ints
    by_id: Bools
    ids_shared: bool


def share_ids(scene: Scene) -> bool:
    """Say whether the two streams use one name space for their object ids."""
    boxes = {i for i, ignored in zip(scene.boxes.object_ids, scene.boxes.ignore, strict=True) if i and not ignored}
    cuboids = {i for i in scene.cuboids.object_ids if i}
    fewer = min(len(boxes), len(cuboids))
    return fewer > 0 and len(boxes & cuboids) >= MIN_SHARED_IDS * fewer


def frame_groups(scene: Scene) -> Iterator[tuple[Ints, Ints]]:
    """Yield, for each frame with any, the rows of its cuboids and of its boxes, without ignore regions."""
    cuboid_rows = np.flatnonzero(~scene.cuboids.ignore)
    box_rows = np.flatnonzero(~scene.boxes.ignore)
    cuboid_frames, box_frames = scene.cuboids.frames[cuboid_rows], scene.boxes.frames[box_rows]
    for frame in np.union1d(cuboid_frames, box_frames):
        c0, c1 = np.searchsorted(cuboid_frames, [frame, frame + 1])
        b0, b1 = np.searchsorted(box_frames, [frame, frame + 1])
        yield cuboid_rows[c0:c1], box_rows[b0:b1]


@dataclass(frozen=True, slots=True)
class IdentityIndex:
    """Which object_id stands once in which frame, of both streams, as sorted numbers.

    A key is ``frame * names + number of the object_id``, so that a delay is a difference of keys.

    Attributes:
        names: How many object ids there are.
        cuboid_keys: Shape (a,), ascending.
        cuboids: Shape (a,): the row of each key.
        box_keys: Shape (b,), ascending.
        boxes: Shape (b,): the row of each key.
    """

    names: int
    cuboid_keys: Ints
    cuboids: Ints
    box_keys: Ints
    boxes: Ints

    def pairs(self, delay_frames: int = 0) -> tuple[Ints, Ints]:
        """Return the rows of cuboids and boxes with one object_id in one frame, cuboids ascending.

        Args:
            delay_frames: How late the cuboids are; their frames are lowered by it first.
        """
        keys = self.cuboid_keys - delay_frames * self.names
        place = np.minimum(np.searchsorted(self.box_keys, keys), max(len(self.box_keys) - 1, 0))
        if not len(self.box_keys) or not len(keys):
            return np.empty(0, np.intp), np.empty(0, np.intp)
        found = self.box_keys[place] == keys
        cuboids, boxes = self.cuboids[found], self.boxes[place[found]]
        order = np.argsort(cuboids, kind="stable")
        return cuboids[order], boxes[order]


def object_numbers(scene: Scene) -> tuple[Ints, Ints]:
    """Return a number for the object_id of every cuboid, (n,), and of every box, (m,); -1 where there is none."""
    codes: dict[str, int] = {}
    cuboids, boxes = (
        np.array([-1 if name is None else codes.setdefault(name, len(codes)) for name in rows.object_ids], np.intp)
        for rows in (scene.cuboids, scene.boxes)
    )
    return cuboids, boxes


def identity_index(scene: Scene) -> IdentityIndex:
    """Return the index of a scene; labels without an id, in ignore regions, or twice in a frame are left out."""
    numbers = object_numbers(scene)
    names = max(int(max(column.max(initial=-1) for column in numbers)) + 1, 1)
    found: list[Ints] = []
    for rows, number in zip((scene.cuboids, scene.boxes), numbers, strict=True):
        usable = np.flatnonzero((number >= 0) & ~rows.ignore)
        keys, first, count = np.unique(
            rows.frames[usable] * names + number[usable], return_index=True, return_counts=True
        )
        found += [keys[count == 1], usable[first[count == 1]]]
    return IdentityIndex(names, *found)


def pair_by_id(scene: Scene) -> tuple[Ints, Ints]:
    """Return the rows of cuboids and boxes with one object_id in one frame; an id used twice there pairs nothing."""
    return identity_index(scene).pairs()


def associate(
    scene: Scene, projected_px: Floats, rules: LidarCameraRules, *, shift_px: tuple[float, float] = (0.0, 0.0)
) -> Pairs:
    """Pair cuboids with boxes.

    Args:
        scene: The labels.
        projected_px: Shape (n, 4): the cuboids' boxes in the image.
        rules: Thresholds.
        shift_px: Added to every projected box first; how a coarse search undoes a calibration error.
    """
    moved = projected_px + np.array([*shift_px, *shift_px])
    if share_ids(scene):
        cuboids, boxes = pair_by_id(scene)
        by_overlap = _pair_rest(scene, moved, np.empty(0, np.intp), np.empty(0, np.intp), rules.min_match_iou)
        if not _ids_are_unrelated(moved, scene, (cuboids, boxes), by_overlap):
            return _with_ids(scene, moved, rules, cuboids, boxes)
    else:
        nothing = np.empty(0, np.intp)
        by_overlap = _pair_rest(scene, moved, nothing, nothing, rules.min_match_iou)
    return Pairs(*by_overlap, np.zeros(len(by_overlap[0]), dtype=np.bool_), ids_shared=False)


def _with_ids(scene: Scene, moved: Floats, rules: LidarCameraRules, cuboids: Ints, boxes: Ints) -> Pairs:
    # A pair that agrees by id but not by place gives way where both have a better partner elsewhere: ids were swapped.
    iou = iou_pairs(moved[cuboids], scene.boxes.boxes_px[boxes])
    floor = np.array([scene.thresholds[row].min_iou_major for row in cuboids.tolist()])
    firm = iou >= floor
    loose_cuboids, loose_boxes = _pair_rest(scene, moved, cuboids[firm], boxes[firm], rules.id_conflict_iou)
    conflict = np.array(
        [
            scene.cuboids.object_ids[c] is not None and scene.boxes.object_ids[b] is not None
            for c, b in zip(loose_cuboids.tolist(), loose_boxes.tolist(), strict=True)
        ],
        dtype=np.bool_,
    )
    taken_c, taken_b = loose_cuboids[conflict], loose_boxes[conflict]
    kept = firm | ~(np.isin(cuboids, taken_c) | np.isin(boxes, taken_b))
    fixed_c = np.concatenate([cuboids[kept], taken_c])
    fixed_b = np.concatenate([boxes[kept], taken_b])
    rest_c, rest_b = _pair_rest(scene, moved, fixed_c, fixed_b, rules.min_match_iou, without_conflict=True)
    all_c, all_b = np.concatenate([fixed_c, rest_c]), np.concatenate([fixed_b, rest_b])
    by_id = np.zeros(len(all_c), dtype=np.bool_)
    by_id[: int(kept.sum())] = True
    order = np.argsort(all_c, kind="stable")
    return Pairs(all_c[order], all_b[order], by_id[order], ids_shared=True)


def _pair_rest(
    scene: Scene,
    moved: Floats,
    taken_cuboids: Ints,
    taken_boxes: Ints,
    minimum: float,
    *,
    without_conflict: bool = False,
) -> tuple[Ints, Ints]:
    free_cuboids = np.ones(len(scene.cuboids), dtype=np.bool_)
    free_cuboids[taken_cuboids] = False
    free_boxes = np.ones(len(scene.boxes), dtype=np.bool_)
    free_boxes[taken_boxes] = False
    c, b = np.flatnonzero(free_cuboids & ~scene.cuboids.ignore), np.flatnonzero(free_boxes & ~scene.boxes.ignore)
    names_c, names_b = object_numbers(scene) if without_conflict else (None, None)
    rows, columns = assign_in_frames(
        Boxes(scene.cuboids.frames[c], moved[c], None if names_c is None else names_c[c]),
        Boxes(scene.boxes.frames[b], scene.boxes.boxes_px[b], None if names_b is None else names_b[b]),
        minimum=minimum,
    )
    return c[rows], b[columns]


def _ids_are_unrelated(moved: Floats, scene: Scene, by_id: tuple[Ints, Ints], by_overlap: tuple[Ints, Ints]) -> bool:
    # Two streams that both count their objects from 1 share names without meaning: then overlap finds good
    # partners for most objects, and the ids find hardly any.
    if len(by_id[0]) < _UNRELATED_PAIRS:
        return False
    boxes = scene.boxes.boxes_px
    good_ids = int((iou_pairs(moved[by_id[0]], boxes[by_id[1]]) >= 0.3).sum())
    good_overlap = int((iou_pairs(moved[by_overlap[0]], boxes[by_overlap[1]]) >= 0.3).sum())
    return good_ids < 0.3 * len(by_id[0]) and good_overlap > 2 * good_ids and good_overlap > 0.5 * len(by_id[0])


def coarse_shift(scene: Scene, projected_px: Floats, max_deg: float) -> tuple[float, float]:
    """Return the shift (x, y), pixels, of all projected boxes that makes them overlap the camera's boxes best.

    Every box takes its best partner; the sum of these overlaps is searched over a grid of ±``max_deg`` horizontally
    and half of it vertically. The shift is zero unless another is clearly better, as it stays for clean labels.
    """
    step_px = scene.camera.focal_px * np.tan(np.radians(0.5))
    reach = int(max_deg / 0.5)
    dx, dy = np.meshgrid(np.arange(-reach, reach + 1), np.arange(-(reach // 2), reach // 2 + 1), indexing="ij")
    shifts = np.stack([dx.ravel(), dy.ravel()], axis=1) * step_px
    total = np.zeros(len(shifts))
    for c, b in frame_groups(scene):
        if len(c) and len(b):
            shifted = projected_px[c][None] + np.concatenate([shifts, shifts], axis=1)[:, None, :]
            total += iou_matrix(scene.boxes.boxes_px[b][None], shifted).max(axis=2).sum(axis=1)
    still = total[int(np.flatnonzero((shifts == 0).all(axis=1))[0])]
    best = int(np.argmax(total))
    if total[best] <= 1.2 * still + 0.5:
        return 0.0, 0.0
    return float(shifts[best, 0]), float(shifts[best, 1])

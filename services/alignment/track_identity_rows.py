"""Labels with identities as arrays: one table for each stream, kind of geometry and author."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from services.alignment.geometry import Bools, Floats, Ints
from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.labels_spatial import Cuboid, SpatialTrack, TrackCuboid
from services.contracts.labels_visual import Box, Track, TrackBox
from services.rules.track_identity import TrackIdentityRules

Space = Literal["image", "space"]
Place = Box | TrackBox | Cuboid | TrackCuboid
UNSTATED = -1


@dataclass(frozen=True, slots=True)
class TrackTable:
    """Appearances of objects in one stream, ordered by chain and rank; a chain is what one id stands for.

    An id that stands twice in a frame has several chains. ``d`` is 2 in an image (pixels) and 3 in space (metres).

    Attributes:
        stream: The stream's id.
        space: Where the geometry lives.
        by_model: The labels are predictions.
        sources: The label of each row; a track has many rows with its label.
        places: The geometry of each row as it was given.
        frames: Shape (n,).
        ranks: Shape (n,): the ordinal of the frame among the frames labelled in the stream.
        frame_of_rank: Shape (r,): the inverse.
        objects: Shape (n,): index into ``names``.
        names: Object ids, sorted.
        chains: Shape (n,): ordinal of the chain.
        starts: Shape (c + 1,): first row of each chain, and n.
        extra: Shape (c,): the chain is a second object of its id.
        classes: Shape (n,): classes that count as one have one number.
        centers: Shape (n, d).
        log_sizes: Shape (n, d).
        scales: Shape (n,): the size that distances are measured in.
        occlusion: Shape (n,): 0 to 3, or -1 where it is not stated.
        cut_off: Shape (n,): partly outside the image.
    """

    stream: str
    space: Space
    by_model: bool
    sources: tuple[Annotation, ...]
    places: tuple[Place, ...]
    frames: Ints
    ranks: Ints
    frame_of_rank: Ints
    objects: Ints
    names: tuple[str, ...]
    chains: Ints
    starts: Ints
    extra: Bools
    classes: Ints
    centers: Floats
    log_sizes: Floats
    scales: Floats
    occlusion: Ints
    cut_off: Bools

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.frames)

    def name(self, row: int) -> str:
        """Return the object id of a row."""
        return self.names[int(self.objects[row])]

    def boxes(self) -> Floats:
        """Return shape (n, 4): boxes in the image, or footprints along the axes seen from above."""
        half = np.exp(self.log_sizes[:, :2]) / 2
        if self.space == "space":
            half = np.repeat(self.scales[:, None] / 2, 2, axis=1)
        return np.hstack([self.centers[:, :2] - half, self.centers[:, :2] + half])


def class_codes(labels: Sequence[str], rules: TrackIdentityRules) -> Ints:
    """Return a number for each class name, one for names that the rules call equivalent; case does not count."""
    family = {name.casefold(): group[0].casefold() for group in rules.equivalent_labels for name in group}
    names = {label: family.get(label.casefold(), label.casefold()) for label in set(labels)}
    codes = {name: code for code, name in enumerate(sorted(set(names.values())))}
    return np.array([codes[names[label]] for label in labels], dtype=np.intp)


def collect_tables(sample: CheckSample, rules: TrackIdentityRules) -> Iterator[TrackTable]:
    """Yield a table for every stream, kind of geometry and author group that has ids; people before models."""
    groups: dict[tuple[str, Space, bool], _Rows] = defaultdict(_Rows)
    for label in sample.annotations:
        space: Space = "image" if isinstance(label, Box | Track) else "space"
        by_model = label.author is not None and label.author.kind == "model"
        if isinstance(label, Box | Cuboid):
            groups[label.stream, space, by_model].add(label, (label,))
        elif isinstance(label, Track):
            groups[label.stream, space, by_model].add(label, label.boxes)
        elif isinstance(label, SpatialTrack):
            groups[label.stream, space, by_model].add(label, label.cuboids)
    sizes = {stream.id: stream.image_size_px for stream in sample.manifest.streams}
    for key in sorted(groups):
        stream, space, _ = key
        rows = groups.pop(key)
        size = sample.image_sizes_px.get(stream) or sizes.get(stream)
        for part in _by_author(rows):
            table = _table(stream, space, part, size, rules)
            if table is not None:
                yield table


@dataclass(slots=True)
class _Rows:
    """Labels and the place of each of their appearances, side by side: a pair object for each row would cost more."""

    labels: list[Annotation] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.labels)

    def add(self, label: Annotation, places: Sequence[Place]) -> None:
        self.labels.extend([label] * len(places))
        self.places.extend(places)

    def at(self, index: Sequence[int]) -> _Rows:
        return _Rows([self.labels[row] for row in index], [self.places[row] for row in index])


def _by_author(rows: _Rows) -> list[_Rows]:
    """Part the rows by author where authors labelled the same objects in the same frames: a second opinion."""
    parts: dict[str, list[int]] = defaultdict(list)
    for row, label in enumerate(rows.labels):
        parts[label.author.id if label.author else ""].append(row)
    if len(parts) < 2:
        return [rows]
    keys = [{(rows.places[row].frame, rows.labels[row].object_id) for row in part} for part in parts.values()]
    shared = sum(map(len, keys)) - len(set().union(*keys))
    if shared >= 3 and 2 * shared >= min(map(len, keys)):
        return [rows.at(parts[author]) for author in sorted(parts)]
    return [rows]


def _table(
    stream: str,
    space: Space,
    rows: _Rows,
    image_size_px: tuple[int, int] | None,
    rules: TrackIdentityRules,
) -> TrackTable | None:
    frame_of_rank = np.unique(_frames(rows))
    named = [
        row
        for row, (label, place) in enumerate(zip(rows.labels, rows.places, strict=True))
        if label.object_id is not None and not place.ignore
    ]
    if not named:
        return None
    rows = rows if len(named) == len(rows) else rows.at(named)
    names = tuple(sorted({label.object_id or "" for label in rows.labels}))
    rows, geometry, frames, objects = _sorted(rows, names)
    half = geometry.shape[1] // 2
    centers, log_sizes = geometry[:, :half], np.log(geometry[:, half:])
    side = geometry[:, half : half + 2]
    scales = np.sqrt(side.prod(axis=1)) if space == "image" else np.maximum(np.hypot(*side.T), 1.0)
    ranks = np.searchsorted(frame_of_rank, frames)
    sub = split_duplicates(objects, ranks, centers, scales)
    if sub.any():
        order = np.lexsort((ranks, sub, objects))
        rows, sub, frames, ranks, objects = (
            rows.at(order.tolist()),
            sub[order],
            frames[order],
            ranks[order],
            objects[order],
        )
        centers, log_sizes, side, scales = centers[order], log_sizes[order], side[order], scales[order]
    changed = (np.diff(objects) != 0) | (np.diff(sub) != 0)
    starts = np.concatenate([[0], np.flatnonzero(changed) + 1])
    cut_off = np.array([(place.truncation or 0.0) > 0 for place in rows.places], dtype=np.bool_)
    if space == "image":
        low, high = centers - side / 2, centers + side / 2
        reach = np.array(image_size_px or (np.inf, np.inf), dtype=np.float64)
        cut_off |= (low <= 2.0).any(axis=1) | (high >= reach - 2.0).any(axis=1)
    occlusion = [UNSTATED if place.occlusion is None else place.occlusion for place in rows.places]
    return TrackTable(
        stream=stream,
        space=space,
        by_model=any(label.author is not None and label.author.kind == "model" for label in rows.labels),
        sources=tuple(rows.labels),
        places=tuple(rows.places),
        frames=frames,
        ranks=ranks,
        frame_of_rank=frame_of_rank,
        objects=objects,
        names=names,
        chains=np.concatenate([[0], np.cumsum(changed)]),
        starts=np.concatenate([starts, [len(rows)]]),
        extra=sub[starts] > 0,
        classes=class_codes([label.label for label in rows.labels], rules),
        centers=centers,
        log_sizes=log_sizes,
        scales=scales,
        occlusion=np.array(occlusion, dtype=np.intp),
        cut_off=cut_off,
    )


def _frames(rows: _Rows) -> Ints:
    return np.fromiter((place.frame or 0 for place in rows.places), dtype=np.intp, count=len(rows))


def _sorted(rows: _Rows, names: Sequence[str]) -> tuple[_Rows, Floats, Ints, Ints]:
    """Order rows by object, frame, geometry and label id, so that nothing depends on the order of the input.

    Sorted are columns of numbers: a tuple of keys for each of a million rows takes more memory than the labels.

    Args:
        rows: Labels with an object_id.
        names: Their object ids, sorted.

    Returns:
        The rows, their geometry, shape (n, 2d): centre and size, their frames and their objects' codes, (n,) each.
    """
    code = {name: index for index, name in enumerate(names)}
    geometry = _geometry(rows.places)
    objects = np.fromiter((code[label.object_id or ""] for label in rows.labels), dtype=np.intp, count=len(rows))
    frames = _frames(rows)
    order = np.lexsort((*geometry.T[::-1], frames, objects))
    moved = [np.diff(column[order], axis=0) != 0 for column in (objects, frames)]
    tied = ~(moved[0] | moved[1] | (np.diff(geometry[order], axis=0) != 0).any(axis=1))
    index = order.tolist()
    for begin, end in _runs(tied):
        index[begin:end] = sorted(index[begin:end], key=lambda row: rows.labels[row].id)
    return rows.at(index), geometry[index], frames[index], objects[index]


def _runs(tied: Bools) -> Iterator[tuple[int, int]]:
    """Yield (first, one past the last) of the rows that are tied with each other; ``tied[i]`` joins i and i + 1."""
    edges = np.diff(np.concatenate([[0], tied.astype(np.int8), [0]]))
    yield from zip(np.flatnonzero(edges == 1).tolist(), (np.flatnonzero(edges == -1) + 1).tolist(), strict=True)


def _geometry(places: Sequence[Place]) -> Floats:
    """Return centres and sizes, shape (n, 4) in the image and (n, 6) in space; all places are of one space."""
    boxes = [place.box for place in places if isinstance(place, Box | TrackBox)]
    if boxes:
        low, high = np.hsplit(np.array(boxes, dtype=np.float64), 2)
        return np.hstack([(low + high) / 2, high - low])
    cuboids = [place for place in places if isinstance(place, Cuboid | TrackCuboid)]
    centers = np.array([cuboid.center_m for cuboid in cuboids], dtype=np.float64)
    return np.hstack([centers, np.array([cuboid.size_m for cuboid in cuboids], dtype=np.float64)])


def split_duplicates(objects: Ints, ranks: Ints, centers: Floats, scales: Floats) -> Ints:
    """Return for each row the ordinal of the object among those of its id: 0 but where an id stands twice.

    From the first frame with a duplicate on, each row goes to the object whose motion leads nearest to it.

    Args:
        objects: Shape (n,), ascending.
        ranks: Shape (n,), ascending for each object.
        centers: Shape (n, d).
        scales: Shape (n,).
    """
    result = np.zeros(len(objects), dtype=np.intp)
    twice = np.flatnonzero((np.diff(objects) == 0) & (np.diff(ranks) == 0))
    for name in np.unique(objects[twice]).tolist():
        begin, end = np.searchsorted(objects, [name, name + 1]).tolist()
        first = int(np.searchsorted(ranks[begin:end], ranks[twice[np.searchsorted(twice, begin)]])) + begin
        seen: list[list[int]] = [list(range(max(begin, first - 4), first))] if first > begin else []
        row = first
        while row < end:
            last = row + 1
            while last < end and ranks[last] == ranks[row]:
                last += 1
            for member, lane in _lanes(list(range(row, last)), seen, ranks, centers, scales):
                result[member] = lane
                if lane == len(seen):
                    seen.append([])
                seen[lane] = [*seen[lane][-3:], member]
            row = last
    return result


def _lanes(
    rows: list[int], seen: list[list[int]], ranks: Ints, centers: Floats, scales: Floats
) -> Iterator[tuple[int, int]]:
    """Give each row of a frame the nearest lane, the nearest pair first; what is left opens new lanes."""
    pairs = []
    for lane, members in enumerate(seen):
        last, early = members[-1], members[0]
        span = max(int(ranks[last] - ranks[early]), 1)
        velocity = (centers[last] - centers[early]) / span
        for row in rows:
            place = centers[last] + velocity * (ranks[row] - ranks[last])
            pairs.append((float(np.linalg.norm(centers[row] - place) / scales[last]), lane, row))
    opened = len(seen)
    free_rows, free_lanes = dict.fromkeys(rows), set(range(opened))
    for _, lane, row in sorted(pairs):
        if row in free_rows and lane in free_lanes:
            free_lanes.discard(lane)
            del free_rows[row]
            yield row, lane
    yield from ((row, opened + index) for index, row in enumerate(free_rows))

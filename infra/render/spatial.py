"""The camera's image with boxes and projected cuboids, and the scene from above."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from infra.render.canvas import (
    BLUE,
    FAINT,
    GREY,
    INK,
    ORANGE,
    PAPER,
    SKY,
    VERMILLION,
    Key,
    Rgb,
    font,
    framed,
    halo_line,
    tag,
)
from services.alignment.geometry import CUBOID_EDGES, Floats, cuboid_corners
from services.alignment.lidar_camera_scene import BoxRows, CuboidRows, Scene, box_rows, cuboid_rows
from services.alignment.lidar_camera_sources import collect_scenes
from services.alignment.projection import Camera, project_points
from services.alignment.sample import CheckSample
from services.contracts.findings import Finding
from services.contracts.manifest import Stream
from services.rules.rule_set import RuleSet

NEAR_M = 0.1
_EDGE_SAMPLES = 33
_VIEW_PX = 900
_MAX_SIDE_PX = 1_600
_MIN_SIDE_PX = 900
_MIN_REACH_M = 12.0
_MAX_REACH_M = 120.0
_MAX_POINTS = 150_000
_MAX_TAGS = 24
_SMALL_SHARE = 0.25
_DETAIL_RATIO = 2.5
_BLANK: Rgb = (238, 238, 238)


def camera_pictures(
    sample: CheckSample, finding: Finding, rules: RuleSet, images: dict[str, Image.Image]
) -> Iterator[tuple[str, Image.Image]]:
    """Yield (camera's stream id, picture) for each camera that the finding concerns.

    Args:
        sample: The sample with its labels.
        finding: What is shown: its labels are drawn wide and named, others thin.
        rules: Where cuboids and cameras are tied together, by the section ``lidar_camera``.
        images: Decoded images by stream id; a camera without one is drawn on a blank canvas.
    """
    scenes, _ = collect_scenes(sample, rules.lidar_camera)
    by_camera: dict[str, list[Scene]] = {}
    for scene in scenes:
        by_camera.setdefault(scene.camera_id, []).append(scene)
    wanted = frozenset(finding.annotations)
    for stream in sample.manifest.streams:
        if stream.modality not in ("image", "video"):
            continue
        boxes = box_rows(sample.annotations, stream.id)
        cuboids = [scene.cuboids for scene in by_camera.get(stream.id, [])]
        if stream.id not in finding.streams and not wanted & _ids(boxes, *cuboids):
            continue
        if not len(boxes) and not any(len(rows) for rows in cuboids):
            continue
        frame = best_frame(finding, [boxes, *cuboids])
        yield stream.id, _camera_picture(sample, stream, finding, by_camera.get(stream.id, []), boxes, frame, images)


def _camera_picture(
    sample: CheckSample,
    stream: Stream,
    finding: Finding,
    scenes: list[Scene],
    boxes: BoxRows,
    frame: int,
    images: dict[str, Image.Image],
) -> Image.Image:
    image = images.get(stream.id)
    size = image.size if image is not None else _size(sample, stream, boxes)
    base = image if image is not None else Image.new("RGB", size, _BLANK)
    side = max(size)
    scale = _MAX_SIDE_PX / side if side > _MAX_SIDE_PX else max(1.0, _MIN_SIDE_PX / side)
    shapes = _shapes(finding, scenes, boxes, frame)
    picture = _view(base, (0.0, 0.0, float(size[0]), float(size[1])), scale, shapes)
    if image is None:
        at = (10, picture.height - 28)
        ImageDraw.Draw(picture).text(at, "no image in the sample: blank canvas", font=font(16), fill=GREY)
    detail = _detail(shapes, size)
    if detail is not None:
        zoomed = _view(base, detail, picture.width / (detail[2] - detail[0]), shapes)
        both = Image.new("RGB", (picture.width, picture.height + 8 + zoomed.height), PAPER)
        both.paste(picture, (0, 0))
        both.paste(zoomed, (0, picture.height + 8))
        picture = both
    legend = [Key("box, concerned", BLUE), Key("other boxes", SKY)]
    if scenes:
        legend.append(Key("cuboid projected into the image (wide: concerned)", ORANGE))
    what = f"camera {stream.id}, frame {frame}" + ("; below: the same, enlarged" if detail is not None else "")
    return framed(picture, finding, what, legend)


@dataclass(frozen=True, slots=True)
class _Shape:
    """Lines in the image's pixels, with a name where they are concerned."""

    lines: tuple[Floats, ...]
    colour: Rgb
    name: str | None
    below: bool = False


def _shapes(finding: Finding, scenes: list[Scene], boxes: BoxRows, frame: int) -> list[_Shape]:
    wanted = frozenset(finding.annotations)
    shapes = []
    for scene in scenes:
        for row in _rows_at(scene.cuboids, frame):
            name = _name(scene.cuboids, row) if scene.cuboids.ids[row] in wanted else None
            lines = _wire(scene, row)
            if lines:
                shapes.append(_Shape(tuple(lines), ORANGE, name, below=True))
    for row in _rows_at(boxes, frame):
        x0, y0, x1, y1 = boxes.boxes_px[row]
        ring = np.array([(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)])
        name = _name(boxes, row) if boxes.ids[row] in wanted else None
        shapes.append(_Shape((ring,), BLUE if name else SKY, name))
    return sorted(shapes, key=lambda shape: shape.name is not None)


def _view(
    base: Image.Image, part: tuple[float, float, float, float], scale: float, shapes: list[_Shape]
) -> Image.Image:
    """Return a part of the image, enlarged, with the shapes on it."""
    size = max(round((part[2] - part[0]) * scale), 1), max(round((part[3] - part[1]) * scale), 1)
    picture = base.convert("RGB").resize(size, box=part)
    draw = ImageDraw.Draw(picture)
    corner = np.array(part[:2])
    tags = []
    for shape in shapes:
        lines = [(line - corner) * scale for line in shape.lines]
        for line in lines:
            halo_line(draw, [(float(x), float(y)) for x, y in line], shape.colour, 3 if shape.name else 2)
        if shape.name:
            every = np.concatenate(lines)
            x, y = (
                (every[:, 0].min(), every[:, 1].max() + 26)
                if shape.below
                else (every[:, 0].min(), every[:, 1].min() - 2)
            )
            tags.append(((float(x), float(y)), shape.name, shape.colour))
    for at, text, colour in tags[:_MAX_TAGS]:
        tag(draw, at, text, colour, size)
    return picture


def _detail(shapes: list[_Shape], size: tuple[int, int]) -> tuple[float, float, float, float] | None:
    """Return the part of the image around what is concerned, None where it is large enough to be seen as it is."""
    points = [line for shape in shapes if shape.name for line in shape.lines]
    if not points:
        return None
    every = np.clip(np.concatenate(points), 0, size)
    (x0, y0), (x1, y1) = every.min(axis=0), every.max(axis=0)
    if max((x1 - x0) / size[0], (y1 - y0) / size[1]) > _SMALL_SHARE:
        return None
    width = min(max((x1 - x0) * 2.0, (y1 - y0) * 2.0 * _DETAIL_RATIO, 60.0), float(size[0]))
    height = min(width / _DETAIL_RATIO, float(size[1]))
    left = min(max((x0 + x1 - width) / 2, 0.0), size[0] - width)
    top = min(max((y0 + y1 - height) / 2, 0.0), size[1] - height)
    return float(left), float(top), float(left + width), float(top + height)


def _size(sample: CheckSample, stream: Stream, boxes: BoxRows) -> tuple[int, int]:
    known = sample.image_sizes_px.get(stream.id) or stream.image_size_px
    if known is not None:
        return int(known[0]), int(known[1])
    reach = boxes.boxes_px[:, 2:].max(axis=0, initial=100.0) * 1.05 if len(boxes) else np.array([1280.0, 720.0])
    return int(min(reach[0], 10_000)), int(min(reach[1], 10_000))


def _wire(scene: Scene, row: int) -> list[Floats]:
    """Return the visible parts of a cuboid's edges as lines in pixels."""
    corners = scene.corners_in_camera()[row]
    t = np.linspace(0.0, 1.0, _EDGE_SAMPLES)[:, None]
    lines = []
    reach = 4.0 * max(scene.camera.width_px, scene.camera.height_px)
    for a, b in CUBOID_EDGES:
        points = corners[a] * (1 - t) + corners[b] * t
        points = points[_in_front(scene.camera, points)]
        if len(points) > 1:
            pixels = project_points(scene.camera, points)
            pixels = pixels[np.isfinite(pixels).all(axis=1) & (np.abs(pixels) < reach).all(axis=1)]
            if len(pixels) > 1:
                lines.append(pixels)
    return lines


def _in_front(camera: Camera, points: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    if camera.model == "fisheye":
        return np.asarray(points[:, 2] > -0.9 * np.linalg.norm(points, axis=1))
    return np.asarray(points[:, 2] >= NEAR_M)


def birds_eye_pictures(sample: CheckSample, finding: Finding) -> Iterator[tuple[str, Image.Image]]:
    """Yield (stream id, picture from above) for each spatial stream that the finding concerns."""
    wanted = frozenset(finding.annotations)
    for stream in sample.manifest.streams:
        rows = cuboid_rows(sample.annotations, stream.id)
        cloud = sample.clouds_m.get(stream.id)
        if stream.id not in finding.streams and not wanted & _ids(rows):
            continue
        if not len(rows) and cloud is None:
            continue
        frame = best_frame(finding, [rows])
        yield stream.id, _birds_eye(stream, finding, rows, frame, cloud)


def _birds_eye(
    stream: Stream,
    finding: Finding,
    rows: CuboidRows,
    frame: int,
    cloud: np.ndarray[tuple[int, ...], np.dtype[np.float32]] | None,
) -> Image.Image:
    here = _rows_at(rows, frame)
    corners = cuboid_corners(rows.centers_m, rows.sizes_m, rows.rotations)[here][:, :, :2]
    reach = float(np.abs(corners).max(initial=_MIN_REACH_M))
    reach = min(max(reach * 1.08, _MIN_REACH_M), _MAX_REACH_M)
    scale = _VIEW_PX / (2 * reach)
    picture = Image.new("RGB", (_VIEW_PX, _VIEW_PX), PAPER)
    draw = ImageDraw.Draw(picture)

    def to_px(xy: Floats) -> Floats:
        """The sensor looks up the page: x forward is up, y left is left."""
        return np.stack([_VIEW_PX / 2 - xy[..., 1] * scale, _VIEW_PX / 2 - xy[..., 0] * scale], axis=-1)

    if cloud is not None and len(cloud):
        step = max(len(cloud) // _MAX_POINTS, 1)
        pixels = np.rint(to_px(cloud[::step, :2].astype(np.float64))).astype(np.intp)
        inside = ((pixels >= 0) & (pixels < _VIEW_PX)).all(axis=1)
        array = np.array(picture)
        array[pixels[inside, 1], pixels[inside, 0]] = (150, 150, 150)
        picture = Image.fromarray(array)
        draw = ImageDraw.Draw(picture)
    _rings(draw, reach, scale)
    wanted = frozenset(finding.annotations)
    tags = []
    for strong in (False, True):
        for place, row in enumerate(here):
            if (rows.ids[row] in wanted) is not strong:
                continue
            ring = to_px(corners[place][[0, 2, 6, 4, 0]])
            line = [(float(x), float(y)) for x, y in ring]
            colour = VERMILLION if strong else ORANGE
            halo_line(draw, line, colour, 4 if strong else 2)
            middle = to_px(rows.centers_m[row, :2])
            front = to_px(corners[place][[4, 6]].mean(axis=0))
            halo_line(draw, [tuple(middle.tolist()), tuple(front.tolist())], colour, 2)
            if strong:
                tags.append(((float(ring[:, 0].max()) + 4, float(ring[:, 1].min())), _name(rows, row), colour))
    for at, text, colour in tags[:_MAX_TAGS]:
        tag(draw, at, text, colour, picture.size)
    centre = _VIEW_PX / 2
    draw.polygon([(centre, centre - 11), (centre - 8, centre + 8), (centre + 8, centre + 8)], fill=BLUE, outline=INK)
    legend = [
        Key("cuboid, concerned", VERMILLION), Key("other cuboids; the tick is the front", ORANGE),
        Key("sensor, looking up the page (+x)", BLUE, "dot"),
    ]  # fmt: skip
    if cloud is not None:
        legend.append(Key(f"{len(cloud)} LiDAR points", (150, 150, 150), "dot"))
    return framed(picture, finding, f"from above, {stream.id}, frame {frame}", legend)


def _rings(draw: ImageDraw.ImageDraw, reach: float, scale: float) -> None:
    step = next(step for step in (2, 5, 10, 20, 50) if reach / step <= 7)
    centre = _VIEW_PX / 2
    for radius in np.arange(step, reach * 1.5, step):
        r = float(radius) * scale
        draw.ellipse((centre - r, centre - r, centre + r, centre + r), outline=FAINT)
        if r < centre:
            draw.text((centre + 4, centre - r + 2), f"{radius:g} m", font=font(14), fill=GREY)


def best_frame(finding: Finding, rows: Iterable[BoxRows | CuboidRows]) -> int:
    """Return the frame that shows most of the finding's labels, the earliest of several; with no labels, of any."""
    wanted = frozenset(finding.annotations)
    named = frozenset(finding.frames)
    scores: dict[int, int] = {}
    for one in rows:
        for name, frame in zip(one.ids, one.frames.tolist(), strict=True):
            score = 1 + (1_000 if name in wanted else 0) + (1_000_000 if frame in named else 0)
            scores[frame] = scores.get(frame, 0) + score
    return min(scores, key=lambda frame: (-scores[frame], frame)) if scores else min(named, default=0)


def _ids(*rows: BoxRows | CuboidRows) -> frozenset[str]:
    return frozenset(name for one in rows for name in one.ids)


def _rows_at(rows: BoxRows | CuboidRows, frame: int) -> list[int]:
    return [int(row) for row in np.flatnonzero(rows.frames == frame)]


def _name(rows: BoxRows | CuboidRows, row: int) -> str:
    identity = rows.object_ids[row]
    return f"{rows.labels[row]} {identity or rows.ids[row]}"

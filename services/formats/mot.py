"""MOT challenge text: boxes of tracked people and vehicles in a video, one line a box.

Sources: L. Leal-Taixé et al., *MOTChallenge 2015*, arXiv 1504.01942, and A. Milan et al., *MOT16*, arXiv 1603.00831.
A line is ``frame,id,left,top,width,height,conf`` and then either ``class,visibility`` (nine columns: ground truth since
2016) or ``x,y,z`` (ten columns: 2015, and what trackers write); seven columns are read too. Frames count from 1; here
they count from 0. Positions are pixels and are taken as they stand.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from pydantic import ValidationError

from services.contracts.annotations import Annotation
from services.contracts.given_fields import GivenFields
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box, Track, TrackBox
from services.contracts.validation import places_of
from services.errors import InvalidInputError
from services.formats.result import EVERY_FRAME, ExportResult, Losses
from services.formats.spoken import LineError

Role = Literal["annotation", "prediction"]

MOT_CLASSES: Mapping[int, str] = MappingProxyType({
    1: "pedestrian", 2: "person_on_vehicle", 3: "car", 4: "bicycle", 5: "motorcycle", 6: "non_motorised_vehicle",
    7: "static_person", 8: "distractor", 9: "occluder", 10: "occluder_on_ground", 11: "occluder_full",
    12: "reflection", 13: "crowd",
})  # fmt: skip
"""Class numbers of MOT16, MOT17 and MOT20."""

_NUMBERS = {name: number for number, name in MOT_CLASSES.items()}
_COLUMNS = (7, 9, 10)
_WORLD = ("mot_x", "mot_y", "mot_z")


def read_mot(
    text: str,
    *,
    stream: str,
    role: Role = "annotation",
    label: str = "pedestrian",
    frames: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "mot",
) -> tuple[Annotation, ...]:
    """Return one box a line, in the file's order, with object_id ``track-<id>`` (none where the id is -1).

    Args:
        text: The document; columns are separated by commas or white space.
        stream: The video's stream.
        role: In an ``annotation`` file column 7 says whether the line counts (0 becomes ``ignore``); in a
            ``prediction`` file it is the score, kept as ``confidence`` from 0 to 1, else as ``attributes["score"]``.
        label: The class where the file has no column for it.
        frames: (first, last) frame index from 0 to read, inclusive; indices are re-based, so that first becomes 0.
        author: Who made the labels.
        source: How errors name the text.

    Visibility v becomes ``attributes["visibility"]`` and an ``occlusion`` of 0 (from 0.8), 1 (from 0.4) or 2. World
    positions are kept as attributes where they are not -1.

    Raises:
        InvalidInputError: Naming ``source``, the line, and what to change.
    """
    first, last = frames or EVERY_FRAME
    labels: list[Annotation] = []
    shared = _Shared()
    target = _Target(stream, role, label, author)
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), start=1):
        fields = [field.strip() for field in line.split(",")] if "," in line else line.split()
        if not any(fields) or line.lstrip().startswith("#"):
            continue
        try:
            row = _Row.parse(fields)
            if first <= row.frame <= last:
                box = row.box(number, shared.frame(row.frame - first), target, shared.name(row.track))
                labels.append(shared.given.share(box))
        except LineError as error:
            raise _bad(source, number, str(error)) from None
        except ValidationError as error:
            reason = "; ".join(f"{place.strip('/')} {what}" for place, what in places_of(error))
            raise _bad(source, number, reason) from None
    return tuple(labels)


@dataclass(frozen=True, slots=True)
class _Shared:
    """What many boxes of a file have in common, kept once: a file may have a million lines."""

    given: GivenFields = field(default_factory=GivenFields)
    names: dict[int, str] = field(default_factory=dict)
    frames: dict[int, int] = field(default_factory=dict)

    def name(self, track: int) -> str | None:
        """Return the object_id of a track; none for -1."""
        return None if track == -1 else self.names.setdefault(track, f"track-{track}")

    def frame(self, frame: int) -> int:
        """Return the same number, always as one object."""
        return self.frames.setdefault(frame, frame)


@dataclass(frozen=True, slots=True)
class _Target:
    stream: str
    role: Role
    label: str
    author: Author | None


@dataclass(frozen=True, slots=True)
class _Row:
    """The columns of one line; ``frame`` counts from 0."""

    frame: int
    track: int
    left: float
    top: float
    width: float
    height: float
    score: float
    class_name: str | None
    visibility: float | None
    world: tuple[float, ...]

    @classmethod
    def parse(cls, fields: list[str]) -> _Row:
        if len(fields) not in _COLUMNS:
            raise LineError(f"it has {len(fields)} columns; a line has 7, 9 or 10: frame,id,left,top,width,height,…")
        frame, track = _whole(fields[0], "the frame"), _whole(fields[1], "the id")
        if frame < 1:
            raise LineError(f"the frame is {frame}; frames count from 1")
        if track < -1:
            raise LineError(f"the id is {track}; ids are 0 or more, or -1 for none")
        left, top, width, height, score = (
            _number(field, name)
            for field, name in zip(
                fields[2:7], ("left", "top", "the width", "the height", "the confidence"), strict=True
            )
        )
        if width <= 0 or height <= 0:
            raise LineError(f"the box is {width:g} x {height:g} px; width and height must be above 0")
        rest = [_number(field, f"column {index}") for index, field in enumerate(fields[7:], start=8)]
        name, visibility = None, None
        if len(fields) == 9:
            if rest[0] not in MOT_CLASSES:
                raise LineError(f"the class is {rest[0]:g}; classes are 1 to {max(MOT_CLASSES)}")
            name, visibility = MOT_CLASSES[int(rest[0])], rest[1]
            if not 0 <= visibility <= 1:
                raise LineError(f"the visibility is {visibility:g}; it must lie between 0 and 1")
        world = tuple(rest) if len(fields) == 10 else ()
        return cls(frame - 1, track, left, top, width, height, score, name, visibility, world)

    def box(self, number: int, frame: int, target: _Target, object_id: str | None) -> Box:
        attributes: dict[str, float] = {}
        if self.visibility is not None:
            attributes["visibility"] = self.visibility
        if any(value != -1 for value in self.world):
            attributes.update(zip(_WORLD, self.world, strict=True))
        predicted = target.role == "prediction"
        confidence = self.score if predicted and 0 <= self.score <= 1 else None
        if confidence is None and self.score != (-1 if predicted else 1) and not (not predicted and self.score == 0):
            attributes["score"] = self.score
        # Sums of decimals must not carry binary dust: the widths written back would differ.
        corner = (round(self.left + self.width, 6), round(self.top + self.height, 6))
        return Box(
            id=f"mot-{number:06d}",
            stream=target.stream,
            label=self.class_name or target.label,
            frame=frame,
            object_id=object_id,
            box=(self.left, self.top, *corner),
            confidence=confidence,
            ignore=not predicted and self.score == 0,
            occlusion=None if self.visibility is None else (self.visibility < 0.8) + (self.visibility < 0.4),
            attributes=dict(attributes),
            author=target.author,
        )


def write_mot(annotations: Iterable[Annotation], *, stream: str, role: Role = "annotation") -> str:
    """Return the boxes and tracks of ``stream`` as MOT text, by frame and id.

    Nine columns where every box's class is one of :data:`MOT_CLASSES` and all have a visibility, else ten. An
    object_id ``track-<n>`` is written as n; others get the free numbers after the highest, in their order of name.
    What the format has no place for is listed by :func:`export_mot`.
    """
    rows = sorted(_appearances(annotations, stream), key=lambda row: (row.frame or 0, row.object_id or "", row.id))
    numbers = _track_numbers(rows)
    with_class = _has_classes(rows)
    ordered = sorted(rows, key=lambda row: (row.frame or 0, numbers.get(row.object_id or "", -1), row.id))
    lines = []
    for row in ordered:
        x_min, y_min, x_max, y_max = row.box
        if role == "prediction":
            score = row.attributes.get("score", -1) if row.confidence is None else row.confidence
        else:
            score = row.attributes.get("score", 0 if row.ignore else 1)
        if with_class:
            tail: list[object] = [_NUMBERS[row.label], row.attributes["visibility"]]
        else:
            tail = [row.attributes.get(name, -1) for name in _WORLD]
        size = (round(x_max - x_min, 6), round(y_max - y_min, 6))
        number = numbers.get(row.object_id or "", -1)
        columns = [(row.frame or 0) + 1, number, x_min, y_min, *size, score, *tail]
        lines.append(",".join(_decimal(value) for value in columns) + "\n")
    return "".join(lines)


def export_mot(annotations: Iterable[Annotation], *, stream: str) -> ExportResult:
    """Return what :func:`write_mot` writes for ground truth, and label by label what it does not hold."""
    labels = tuple(annotations)
    losses = Losses("MOT")
    rows = tuple(_appearances(labels, stream))
    numbers = _track_numbers(rows)
    with_class = _has_classes(rows)
    for label in labels:
        if not isinstance(label, Box | Track) or label.stream != stream:
            losses.kind(label)
            continue
        kept = {"frame", "box", "boxes", "object_id", "attributes.score"}
        world = [label.attributes.get(name) for name in _WORLD]
        if with_class:
            kept |= {"label", "attributes.visibility", "occlusion"}
        elif all(isinstance(value, int | float) and not isinstance(value, bool) for value in world):
            kept |= {f"attributes.{name}" for name in _WORLD}
        if label.label == "pedestrian":
            kept.add("label")
        if isinstance(label, Box) and "score" not in label.attributes:
            kept.add("ignore")
        losses.fields(label, kept)
        number = numbers.get(label.object_id or "", -1)
        if label.object_id is not None and label.object_id != f"track-{number}":
            losses.part(label, "object_id", f"tracks are numbered; it is read as track-{number}")
        if isinstance(label, Track):
            for place in label.boxes:
                if place.truncation is not None or (place.occlusion is not None and not with_class):
                    losses.part(label, f"{_seen(place)} of frame {place.frame}", "MOT has no place for it")
            losses.part(label, "type, keyframe", "a track is read as its boxes")
    return losses.result(write_mot(labels, stream=stream))


def _seen(place: TrackBox) -> str:
    return "truncation" if place.truncation is not None else "occlusion"


def _has_classes(rows: Sequence[Box]) -> bool:
    return bool(rows) and all("visibility" in row.attributes and row.label in _NUMBERS for row in rows)


def _appearances(annotations: Iterable[Annotation], stream: str) -> Iterator[Box]:
    for label in annotations:
        if label.stream != stream:
            continue
        if isinstance(label, Box):
            yield label
        elif isinstance(label, Track):
            for place in label.boxes:
                yield Box(
                    id=label.id,
                    stream=stream,
                    label=label.label,
                    object_id=label.object_id,
                    frame=place.frame,
                    box=place.box,
                    ignore=place.ignore,
                    occlusion=place.occlusion,
                    truncation=place.truncation,
                    confidence=label.confidence,
                    attributes=label.attributes,
                    author=label.author,
                )


def _track_numbers(rows: Iterable[Box]) -> dict[str, int]:
    names = sorted({row.object_id for row in rows if row.object_id is not None})
    numbers: dict[str, int] = {}
    for name in names:
        tail = name.removeprefix("track-")
        if name != tail and tail.isascii() and tail.isdigit() and str(int(tail)) == tail and len(tail) < 10:
            numbers[name] = int(tail)
    free = max(numbers.values(), default=0) + 1
    for name in names:
        if name not in numbers:
            numbers[name] = free
            free += 1
    return numbers


def _decimal(value: object) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value)


def _number(field: str, name: str) -> float:
    try:
        value = float(field)
    except ValueError:
        raise LineError(f"{name} is {field[:40]!r}; it must be a number") from None
    if not math.isfinite(value) or abs(value) > 1e9:
        raise LineError(f"{name} is {field[:40]!r}; it must be a finite number below 1e9")
    return value + 0.0  # makes -0.0 the one zero


def _whole(field: str, name: str) -> int:
    value = _number(field, name)
    if not value.is_integer():
        raise LineError(f"{name} is {field[:40]!r}; it must be a whole number")
    return int(value)


def _bad(source: str, number: int, what: str) -> InvalidInputError:
    return InvalidInputError(
        f"{source}, line {number}: {what}; correct or remove the line", places=((f"/line/{number}", what),)
    )

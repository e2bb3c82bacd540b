"""Label Studio JSON: tasks with annotations, predictions and reviews.

Source: Label Studio's documentation, *Label Studio JSON format of annotated tasks*: places in images are percent of
the image's width and height, a rotation turns clockwise about the top left corner, times are seconds.

What Concord knows of a label and Label Studio does not is kept in the region's ``meta`` under ``concord``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Literal

from services.contracts.label_base import Author
from services.formats.result import ImportResult, Intake, StreamFacts, StreamItem, identifier_or_none
from services.formats.tree import Node, parse_tree

Part = Literal["annotations", "predictions"]
PLACES = 6
"""Decimals of a pixel that are kept: percent of a size has no exact pixels, so more would only be dust."""

META_FIELDS = frozenset({
    "object_id", "truncation", "occlusion", "ignore", "taxonomy_version", "author", "attributes", "visibility",
})  # fmt: skip


def read_label_studio(
    data: bytes,
    *,
    stream: str,
    part: Part = "annotations",
    image: str | None = None,
    size_px: tuple[int, int] | None = None,
    author: Author | None = None,
    source: str = "Label Studio",
) -> ImportResult:
    """Return the labels of a Label Studio export.

    Args:
        data: The document: a task, or an array of tasks.
        stream: The stream that the labels describe; the frames of a series are the tasks in their order.
        part: Whether to read what people made or what models predicted.
        image: Read only the tasks whose data name this file; the folder may differ.
        size_px: (width, height) of the image, for results that do not tell it.
        author: Who made the labels; else the user or model that the document names.
        source: How errors name the document.

    A result whose annotation the last review did not accept has the attribute ``review`` with ``rejected``. An
    annotation that was cancelled is listed as dropped.

    Raises:
        ConcordError: The document is not readable; names the line, or the JSON pointer and what to change.
    """
    root = parse_tree(data, source)
    tasks = list(root.elements()) if isinstance(root.value, list) else [root]
    intake = Intake()
    items: list[StreamItem] = []
    others = 0
    for task in tasks:
        if task.get("annotations") is None and task.get("predictions") is None and task.get("data") is None:
            raise task.bad("is no Label Studio task; a task has data, and annotations or predictions")
        uris = task_uris(task)
        if image is not None and PurePosixPath(image).name not in {PurePosixPath(uri).name for uri in uris}:
            others += 1
            continue
        frame = 0 if image is not None else len(items)
        reader = _Task(task, stream, frame, _size_of(task) or size_px, author)
        reader.read(intake, part)
        items.append(StreamItem(frame, uris[0] if uris else f"task-{frame}", reader.size_px))
    if others:
        intake.drop("/", f"{others} tasks", "they belong to recordings that are not read")
    if image is not None and not items:
        raise root.bad(f"no task has the file {image!r} in its data; name one that has")
    return intake.result(StreamFacts(stream, size_px=items[0].size_px if items else None, items=tuple(items)))


def task_uris(task: Node) -> list[str]:
    """Return the addresses in a task's data, those that look like files first."""
    found = task.get("data")
    values = [] if found is None else [value for value in found.mapping().values() if isinstance(value, str)]
    return sorted(values, key=lambda value: "." not in PurePosixPath(value).name or " " in value)


def task_names(data: bytes, *, source: str = "Label Studio") -> tuple[str, ...]:
    """Return the first file that each task of a document names."""
    root = parse_tree(data, source)
    tasks = list(root.elements()) if isinstance(root.value, list) else [root]
    return tuple(uris[0] for task in tasks if (uris := task_uris(task)))


def _size_of(task: Node) -> tuple[int, int] | None:
    for part in ("annotations", "predictions"):
        for made in task.all(part):
            for result in made.all("result") if isinstance(made.value, dict) else ():
                width, height = result.get("original_width"), result.get("original_height")
                if width is not None and height is not None and width.number() >= 1 and height.number() >= 1:
                    return int(width.number()), int(height.number())
    return None


@dataclass(slots=True)
class _Task:
    node: Node
    stream: str
    frame: int
    size_px: tuple[int, int] | None
    author: Author | None

    def read(self, intake: Intake, part: Part) -> None:
        other = "predictions" if part == "annotations" else "annotations"
        left_out = [made for made in self.node.all(other) if isinstance(made.value, dict)]
        if left_out:
            intake.drop_often("/", other, f"only {part} are read; ask for the {other} on their own")
        for made in self.node.all(part):
            if not isinstance(made.value, dict):
                intake.drop(made.at, repr(made.value), "it is a reference, not an annotation")
            elif part == "annotations" and (cancelled := made.get("was_cancelled")) is not None and cancelled.flag():
                intake.drop(made.at, "annotation", "it was cancelled by its author")
            else:
                self._read_made(made, intake, part)

    def _read_made(self, made: Node, intake: Intake, part: Part) -> None:
        author = self.author or _author_of(made, part)
        rejected = _is_rejected(made)
        score = made.get("score") if part == "predictions" else None
        regions: dict[str, list[Node]] = {}
        for index, result in enumerate(made.all("result")):
            key = result.get("id")
            if result.get("type") is not None and result["type"].value == "relation":
                _read_relation(result, self.stream, self.frame, author, intake, index)
            else:
                regions.setdefault(f"{made.at}/{index}" if key is None else key.word(), []).append(result)
        for region_id, results in regions.items():
            region = _Region(results, self)
            fields = region.fields(intake)
            if fields is None:
                continue
            name = identifier_or_none(region_id) or f"region-{len(intake.annotations)}"
            attributes = {**region.attributes, **({"review": "rejected"} if rejected else {})}
            common: dict[str, Any] = {"stream": self.stream, "frame": self.frame, "author": author}
            if score is not None and isinstance(score.value, int | float) and 0 <= score.value <= 1:
                common["confidence"] = score.value
            for position, label in enumerate(fields):
                merged = {**common, **label, **region.meta}
                merged["attributes"] = {**region.meta.get("attributes", {}), **attributes}
                own = name if not position else f"{name}-{position}"
                merged["id"] = own if intake.is_free(own) else f"{own[:120]}-{self.frame}-{len(intake.annotations)}"
                intake.add(results[0].at, f"region {region_id}", merged)


def _author_of(made: Node, part: Part) -> Author | None:
    if part == "predictions":
        version = made.get("model_version")
        named = version is not None and isinstance(version.value, str) and version.value.strip()
        return Author(kind="model", id="label-studio", version=str(named)[:200] if named else None)
    by = made.get("completed_by")
    if by is None:
        return None
    who = by["id"] if isinstance(by.value, dict) else by
    name = identifier_or_none(f"user-{who.word()}")
    return None if name is None else Author(kind="human", id=name)


def _is_rejected(made: Node) -> bool:
    reviews = [review.get("accepted") for review in made.all("reviews")]
    return bool(reviews) and reviews[-1] is not None and not reviews[-1].flag()


def _read_relation(result: Node, stream: str, frame: int, author: Author | None, intake: Intake, index: int) -> None:
    names = [label.text() for label in result.all("labels")]
    ends = [identifier_or_none(result[end].word()) for end in ("from_id", "to_id")]
    if (direction := result.get("direction")) is not None and direction.value != "right":
        intake.drop(result.at, f"direction {direction.value}", "a relation leads from from_id to to_id")
    name = f"{ends[0]}-to-{ends[1]}"[:180]
    intake.add(
        result.at,
        "relation",
        {
            "type": "relation",
            "id": name if intake.is_free(name) else f"{name}-{frame}-{index}",
            "stream": stream,
            "frame": frame,
            "label": names[0] if names else "relation",
            "from_id": ends[0],
            "to_id": ends[1],
            "author": author,
        },
    )


class _Region:
    """The results of one id: a shape or span, its class, and what else is said of it."""

    def __init__(self, results: list[Node], task: _Task) -> None:
        self._results, self._task = results, task
        self.attributes: dict[str, Any] = {}
        self.meta = self._meta()

    def _meta(self) -> dict[str, Any]:
        for result in self._results:
            meta = result.get("meta")
            own = meta.get("concord") if meta is not None and isinstance(meta.value, dict) else None
            if own is not None:
                found = {key: value for key, value in own.mapping().items() if key in META_FIELDS}
                if not isinstance(found.get("attributes", {}), dict):
                    raise own["attributes"].bad("must be an object")
                return found
        return {}

    def fields(self, intake: Intake) -> list[dict[str, Any]] | None:
        """Return the labels of the region, without what all labels of its annotation share; None for none."""
        main, found = None, None
        order = list(_READERS)
        known = [result for result in self._results if result["type"].text() in _READERS]
        for result in sorted(known, key=lambda item: order.index(item["type"].text())):
            kind = result["type"].text()
            reader = _READERS[kind]
            try:
                found = reader(result["value"], result, self._task)
            except _UnreadableError as error:
                intake.drop(result.at, f"{kind} {result['value'].value}", str(error))
                return None
            main = result
            break
        for result in self._results:
            if result is not main:
                self._side(result, intake, alone=main is None)
        if main is None or found is None:
            return None
        names = self._names()
        if len(names) > 1:
            self.attributes["labels"] = json.dumps(names, ensure_ascii=False)
        label = names[0] if names else _control(main)
        score = main.get("score")
        shared = {} if score is None else {"confidence": score.number()}
        return [{"label": label, **shared, **fields} for fields in found]

    def _names(self) -> list[str]:
        for result in self._results:
            kind = result["type"].text()
            value = result["value"]
            if kind.endswith("labels") and (names := value.get(kind) or value.get("labels")) is not None:
                return [name.text() for name in names.elements() if name.text().strip()]
            if kind == "videorectangle" and (names := value.get("labels")) is not None:
                return [name.text() for name in names.elements()]
        return []

    def _side(self, result: Node, intake: Intake, *, alone: bool) -> None:
        kind = result["type"].text()
        value = result["value"]
        said = value.get(kind) or value.get("text")
        if kind.endswith("labels") and not alone:
            return
        if alone or said is None or kind not in ("choices", "textarea", "taxonomy", "number", "rating"):
            intake.drop(result.at, f"{kind} {value.value}", "there is no label of this kind")
        else:
            text = said.value if isinstance(said.value, str | int | float) else json.dumps(said.value)
            self.attributes[_control(result)] = text


class _UnreadableError(Exception):
    """A result that is no label; says why."""


def _control(result: Node) -> str:
    name = result.get("from_name")
    return (name.text() if name is not None else result["type"].text())[:200] or "region"


Fields = list[dict[str, Any]]


def _scale(result: Node, task: _Task) -> tuple[float, float]:
    width, height = result.get("original_width"), result.get("original_height")
    if width is not None and height is not None and width.number() > 0 and height.number() > 0:
        return width.number() / 100, height.number() / 100
    if task.size_px is None:
        raise _UnreadableError("percent need the size of the image; add original_width and original_height")
    return task.size_px[0] / 100, task.size_px[1] / 100


def _rectangle(value: Node, result: Node, task: _Task) -> Fields:
    across, down = _scale(result, task)
    x, y = value["x"].number() * across, value["y"].number() * down
    width, height = value["width"].number() * across, value["height"].number() * down
    turn = value.get("rotation")
    angle_deg = 0.0 if turn is None else turn.number()
    if angle_deg == 0:
        return [{"type": "box", "box": tuple(round(v, PLACES) + 0.0 for v in (x, y, x + width, y + height))}]
    c, s = math.cos(math.radians(angle_deg)), math.sin(math.radians(angle_deg))
    center = (x + c * width / 2 - s * height / 2, y + s * width / 2 + c * height / 2)
    return [
        {
            "type": "rotated_box",
            "center_px": tuple(round(v, PLACES) + 0.0 for v in center),
            "size_px": (round(width, PLACES), round(height, PLACES)),
            "angle_deg": angle_deg,
        }
    ]


def _polygon(value: Node, result: Node, task: _Task) -> Fields:
    across, down = _scale(result, task)
    points = [point.numbers(2) for point in value["points"].elements()]
    return [
        {
            "type": "polygon",
            "points_px": tuple((round(x * across, PLACES) + 0.0, round(y * down, PLACES) + 0.0) for x, y in points),
        }
    ]


def _keypoint(value: Node, result: Node, task: _Task) -> Fields:
    across, down = _scale(result, task)
    names = value.get("keypointlabels")
    name = next((item.text() for item in names.elements()), "") if names is not None else ""
    point = {
        "name": name or _control(result),
        "x_px": round(value["x"].number() * across, PLACES) + 0.0,
        "y_px": round(value["y"].number() * down, PLACES) + 0.0,
    }
    return [{"type": "keypoints", "keypoints": [point]}]


def _span(value: Node, result: Node, task: _Task) -> Fields:
    if value.get("start") is None and value.get("x") is not None:
        raise _UnreadableError("it is the class of a region that has no shape in the document")
    start, end = value["start"], value["end"]
    said = value.get("text")
    if isinstance(start.value, str) or isinstance(end.value, str):
        offsets = value.get("globalOffsets")
        if offsets is None:
            raise _UnreadableError("it is placed by XPath; export with globalOffsets")
        start, end = offsets["start"], offsets["end"]
    if said is not None or value.get("globalOffsets") is not None:
        text = said.text() if said is not None and isinstance(said.value, str) else None
        return [{"type": "entity_span", "start_char": start.whole(), "end_char": end.whole(), "text": text}]
    return [{"type": "sound_event", "start_s": start.number(), "end_s": end.number(), "frame": None}]


def _choices(value: Node, result: Node, task: _Task) -> Fields:
    if value.get("x") is not None or value.get("start") is not None:
        raise _UnreadableError("it is said of a region that has no shape in the document")
    image = result.get("original_width") is not None
    kind = "image_classification" if image else "text_classification"
    return [{"type": kind, "label": name.text()} for name in value["choices"].elements()]


def _textarea(value: Node, result: Node, task: _Task) -> Fields:
    if value.get("x") is not None or value.get("points") is not None:
        raise _UnreadableError("its region has no shape of its own in the document")
    said = value["text"]
    text = said.value if isinstance(said.value, str) else "\n".join(item.text() for item in said.elements())
    start, end = value.get("start"), value.get("end")
    if start is None or end is None:
        return [{"type": "summary", "text": text}]
    times = {"start_s": start.number(), "end_s": end.number(), "frame": None}
    return [{"type": "transcript_segment", "label": "speech", "text": text, **times}]


def _video(value: Node, result: Node, task: _Task) -> Fields:
    across, down = _scale(result, task)
    boxes = []
    for step in value["sequence"].elements():
        x, y = step["x"].number() * across, step["y"].number() * down
        right, bottom = x + step["width"].number() * across, y + step["height"].number() * down
        box = tuple(round(v, PLACES) + 0.0 for v in (x, y, right, bottom))
        boxes.append({"frame": step["frame"].whole() - 1, "box": box})
    given = result.get("id")
    name = identifier_or_none(given.word()) if given is not None else None
    return [{"type": "track", "object_id": name or "track", "boxes": boxes, "frame": None}]


def _timeline(value: Node, result: Node, task: _Task) -> Fields:
    return [
        {"type": "frame_label", "frame": part["start"].whole() - 1, "last_frame": part["end"].whole() - 1}
        for part in value["ranges"].elements()
    ]


_READERS: dict[str, Callable[[Node, Node, _Task], Fields]] = {
    "rectanglelabels": _rectangle,
    "rectangle": _rectangle,
    "polygonlabels": _polygon,
    "polygon": _polygon,
    "keypointlabels": _keypoint,
    "keypoint": _keypoint,
    "labels": _span,
    "hypertextlabels": _span,
    "videorectangle": _video,
    "timelinelabels": _timeline,
    "choices": _choices,
    "textarea": _textarea,
}

"""The Label Studio ML backend protocol: what is asked, and what the answer means in the contract.

Source: the open ``label-studio-ml-backend`` server and Label Studio's task format. ``POST /predict`` takes tasks and
the labelling configuration; the answer has one prediction a task (or a list of them, of which the first counts), each
with regions in percent of the image, seconds of the audio, or characters of the text.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import quoteattr

from pydantic import TypeAdapter, ValidationError

from services.contracts.annotations import MAX_ANNOTATIONS, Annotation
from services.contracts.label_base import Author
from services.contracts.manifest import Stream
from services.contracts.pre_label import ControlTag, HttpModel, ObjectTag
from services.contracts.validation import places_of
from services.errors import PreLabelError

SizePx = tuple[int, int]
_ANNOTATION: TypeAdapter[Annotation] = TypeAdapter(Annotation)
_RESULT_TYPES = {
    "RectangleLabels": "rectanglelabels",
    "PolygonLabels": "polygonlabels",
    "KeyPointLabels": "keypointlabels",
    "Labels": "labels",
    "Choices": "choices",
    "TextArea": "textarea",
}
Fields = dict[str, Any]


def label_config(model: HttpModel) -> str:
    """Return the labelling configuration (XML) of a model's objects and controls."""
    lines = ["<View>"]
    lines += [f"  <{tag.type} name={quoteattr(tag.name)} value={quoteattr('$' + tag.name)}/>" for tag in model.objects]
    for control in model.controls:
        head = f"  <{control.type} name={quoteattr(control.name)} toName={quoteattr(control.to_name)}"
        if control.type == "TextArea":
            lines.append(f"{head}/>")
            continue
        item = "Choice" if control.type == "Choices" else "Label"
        lines += [f"{head}>", *(f"    <{item} value={quoteattr(label)}/>" for label in control.labels)]
        lines.append(f"  </{control.type}>")
    return "\n".join([*lines, "</View>"])


def predict_body(model: HttpModel, project: str, sample_id: str, data: Mapping[str, str]) -> Fields:
    """Return the body of ``POST /predict`` for one task."""
    return {
        "tasks": [{"id": 1, "data": dict(data), "meta": {"sample_id": sample_id}}],
        "project": f"{project}.0",
        "label_config": label_config(model),
        "model_version": model.model_version,
        "params": {"context": None},
    }


def setup_body(model: HttpModel, project: str) -> Fields:
    """Return the body of ``POST /setup``."""
    return {"project": f"{project}.0", "schema": label_config(model), "hostname": "", "access_token": ""}


@dataclass(frozen=True, slots=True)
class Answer:
    """The labels of an answer, and the version that the model says it has."""

    annotations: tuple[Annotation, ...]
    version: str


def read_answer(
    model: HttpModel, document: Any, streams: Mapping[str, Stream], sizes_px: Mapping[str, SizePx], version: str
) -> Answer:
    """Turn the answer to ``POST /predict`` into labels.

    Args:
        model: Its objects and controls say what each region is about.
        document: The parsed JSON.
        streams: The sample's streams by id.
        sizes_px: (width, height) of the image streams.
        version: The version to use where the answer names none.

    Raises:
        PreLabelError: Names the place in the answer and what is wrong there.
    """
    prediction = _prediction(document)
    if prediction is None:
        return Answer((), version)
    named = prediction.get("model_version") or (document.get("model_version") if isinstance(document, dict) else None)
    version = named[:200] if isinstance(named, str) and named else version
    items = prediction.get("result", [])
    if not isinstance(items, list):
        raise _bad("/results/0/result", "must be a list of regions")
    if len(items) > MAX_ANNOTATIONS:
        raise _bad("/results/0/result", f"has {len(items)} regions; a sample holds {MAX_ANNOTATIONS}")
    reader = _Reader(
        model,
        streams,
        sizes_px,
        Author(kind="model", id=model.name, version=version),
        _score(prediction.get("score"), "/results/0/score"),
    )
    return Answer(reader.read(items), version)


def _prediction(document: Any) -> Fields | None:
    results = document.get("results") if isinstance(document, dict) else None
    if not isinstance(results, list):
        raise _bad("/results", "is missing; the answer must be {'results': [...]} with one prediction a task")
    if not results:
        return None
    first = results[0]
    if isinstance(first, list):
        if not first:
            return None
        first = first[0]
    if not isinstance(first, dict):
        raise _bad("/results/0", "must be an object with a list 'result'")
    return first


def _bad(place: str, what: str) -> PreLabelError:
    return PreLabelError(f"The model's answer is not usable at {place}: {what}", places=((place, what),))


def _score(value: Any, place: str) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _bad(place, f"a score lies between 0 and 1, got {str(value)[:40]!r}")
    return float(value)


class _Reader:
    """Reads the regions of one prediction; regions with one id are parts of one label."""

    def __init__(
        self,
        model: HttpModel,
        streams: Mapping[str, Stream],
        sizes_px: Mapping[str, SizePx],
        author: Author,
        score: float | None,
    ) -> None:
        self._controls = {tag.name: tag for tag in model.controls}
        self._objects = {tag.name: tag for tag in model.objects}
        self._label_map = model.label_map
        self._name = model.name
        self._streams = streams
        self._sizes_px = sizes_px
        self._author = author
        self._score = score

    def read(self, items: Sequence[Any]) -> tuple[Annotation, ...]:
        texts = self._texts_by_region(items)
        annotations: list[Annotation] = []
        labelled = {
            item["id"]
            for item in items
            if isinstance(item, dict) and isinstance(item.get("id"), str) and item.get("type") != "textarea"
        }
        for index, item in enumerate(items):
            place = f"/results/0/result/{index}"
            control, tag = self._tags(item, place)
            if control.type == "TextArea" and item.get("id") in labelled:
                continue  # its text is part of the region it belongs to
            for fields in self._fields(item, control, tag, texts.get(str(item.get("id")), ""), place):
                annotations.append(self._annotation(fields, item, tag, len(annotations), place))
        return tuple(annotations)

    def _texts_by_region(self, items: Sequence[Any]) -> dict[str, str]:
        texts: dict[str, str] = {}
        for index, item in enumerate(items):
            if isinstance(item, dict) and item.get("type") == "textarea" and isinstance(item.get("id"), str):
                texts[item["id"]] = _text_of(item.get("value"), f"/results/0/result/{index}/value")
        return texts

    def _tags(self, item: Any, place: str) -> tuple[ControlTag, ObjectTag]:
        if not isinstance(item, dict):
            raise _bad(place, "must be an object")
        control = self._controls.get(str(item.get("from_name")))
        if control is None:
            known = ", ".join(sorted(self._controls))
            raise _bad(f"{place}/from_name", f"{str(item.get('from_name'))[:80]!r} is no control; controls are {known}")
        if item.get("to_name") != control.to_name:
            raise _bad(f"{place}/to_name", f"control {control.name} is about {control.to_name!r}")
        expected = _RESULT_TYPES[control.type]
        if item.get("type") != expected:
            raise _bad(f"{place}/type", f"control {control.name} answers with type {expected!r}")
        if not isinstance(item.get("value"), dict):
            raise _bad(f"{place}/value", "must be an object")
        return control, self._objects[control.to_name]

    def _fields(self, item: Fields, control: ControlTag, tag: ObjectTag, text: str, place: str) -> list[Fields]:
        value = item["value"]
        if control.type == "TextArea":
            return [self._free_text(value, tag, place)]
        labels = self._labels(value, control, f"{place}/value")
        if tag.type == "Image":
            shape = self._in_image(value, control, tag, f"{place}/value")
        elif tag.type == "Audio":
            shape = self._in_audio(value, tag, text, f"{place}/value")
        else:
            shape = self._in_text(value, control, tag, f"{place}/value")
        if text and tag.type == "Image":
            shape["attributes"] = {"text": text[:2_000]}
        return [_named(shape, label) for label in labels]

    def _labels(self, value: Fields, control: ControlTag, place: str) -> list[str]:
        key = _RESULT_TYPES[control.type]
        labels = value.get(key)
        if not isinstance(labels, list) or not labels or not all(isinstance(label, str) for label in labels):
            raise _bad(f"{place}/{key}", "must be a list of at least one class")
        for label in labels:
            if control.labels and label not in control.labels:
                raise _bad(f"{place}/{key}", f"{label[:80]!r} is no class of control {control.name}")
        return [self._label_map.get(str(label), str(label)) for label in labels]

    def _in_image(self, value: Fields, control: ControlTag, tag: ObjectTag, place: str) -> Fields:
        if control.type == "Choices":
            return {"type": "image_classification"}
        size = self._sizes_px.get(tag.stream)
        if size is None:
            raise _bad(place, f"is in percent of the image, but the size of stream {tag.stream!r} is not known")
        width, height = size
        if control.type == "RectangleLabels":
            return _rectangle(value, size, place)
        if control.type == "PolygonLabels":
            points = value.get("points")
            if not isinstance(points, list):
                raise _bad(f"{place}/points", "must be a list of [x, y] in percent")
            ring = []
            for index, point in enumerate(points):
                if not isinstance(point, list) or len(point) != 2:
                    raise _bad(f"{place}/points/{index}", "must be [x, y] in percent")
                x, y = (_number(part, f"{place}/points/{index}") for part in point)
                ring.append((x / 100 * width, y / 100 * height))
            return {"type": "polygon", "points_px": ring}
        if control.type == "KeyPointLabels":
            x, y = (_number(value.get(axis), f"{place}/{axis}") for axis in ("x", "y"))
            return {"type": "keypoints", "point": (x / 100 * width, y / 100 * height)}
        raise _bad(place, f"{control.type} does not go with an image")

    def _in_audio(self, value: Fields, tag: ObjectTag, text: str, place: str) -> Fields:
        if "start" in value or "end" in value:
            start_s, end_s = (_number(value.get(end), f"{place}/{end}") for end in ("start", "end"))
        else:
            length_s = self._streams[tag.stream].duration_s
            if length_s is None:
                raise _bad(place, f"has no start and end, and the length of stream {tag.stream!r} is not known")
            start_s, end_s = 0.0, length_s
        times: Fields = {"start_s": start_s, "end_s": end_s}
        return {"type": "transcript_segment", "text": text, **times} if text else {"type": "sound_event", **times}

    def _in_text(self, value: Fields, control: ControlTag, tag: ObjectTag, place: str) -> Fields:
        if control.type == "Choices":
            return {"type": "text_classification"}
        if control.type != "Labels":
            raise _bad(place, f"{control.type} does not go with the text of stream {tag.stream!r}")
        start, end = value.get("start"), value.get("end")
        if not isinstance(start, int) or not isinstance(end, int) or isinstance(start, bool) or isinstance(end, bool):
            raise _bad(place, "start and end must be character positions")
        span: Fields = {"type": "entity_span", "start_char": start, "end_char": end}
        if isinstance(value.get("text"), str):
            span["text"] = value["text"]
        return span

    def _free_text(self, value: Fields, tag: ObjectTag, place: str) -> Fields:
        text = _text_of(value, f"{place}/value")
        if tag.type == "Audio":
            return {**self._in_audio(value, tag, text or " ", f"{place}/value"), "text": text}
        return {"type": "summary", "label": "text", "text": text}

    def _annotation(self, fields: Fields, item: Fields, tag: ObjectTag, ordinal: int, place: str) -> Annotation:
        own = _score(item.get("score", fields.pop("score", None)), f"{place}/score")
        if isinstance(item.get("id"), str):
            fields["attributes"] = {**fields.get("attributes", {}), "region_id": item["id"][:200]}
        try:
            return _ANNOTATION.validate_python(
                {
                    **fields,
                    "id": f"{self._name}-{tag.name}-{ordinal}",
                    "stream": tag.stream,
                    "confidence": own if own is not None else self._score,
                    "author": self._author,
                }
            )
        except ValidationError as error:
            where, what = places_of(error)[0]
            raise _bad(place, f"makes no valid label: {where.strip('/')} {what}") from None


def _named(shape: Fields, label: str) -> Fields:
    fields = {**shape, "label": label}
    if shape["type"] == "keypoints":
        x, y = fields.pop("point")
        fields["keypoints"] = ({"name": label, "x_px": x, "y_px": y},)
    return fields


def _rectangle(value: Fields, size_px: SizePx, place: str) -> Fields:
    width_px, height_px = size_px
    x, y, width, height = (_number(value.get(key), f"{place}/{key}") for key in ("x", "y", "width", "height"))
    left, top = x / 100 * width_px, y / 100 * height_px
    across, down = width / 100 * width_px, height / 100 * height_px
    rotation_deg = _number(value.get("rotation", 0) or 0, f"{place}/rotation")
    if rotation_deg % 360 == 0:
        return {"type": "box", "box": (left, top, left + across, top + down)}
    # Label Studio turns clockwise about the top left corner.
    turn = math.radians(rotation_deg)
    center = (
        left + across / 2 * math.cos(turn) - down / 2 * math.sin(turn),
        top + across / 2 * math.sin(turn) + down / 2 * math.cos(turn),
    )
    return {
        "type": "rotated_box",
        "center_px": center,
        "size_px": (across, down),
        "angle_deg": math.fmod(rotation_deg, 360.0),
    }


def _number(value: Any, place: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _bad(place, f"must be a number, got {str(value)[:40]!r}")
    return float(value)


def _text_of(value: Any, place: str) -> str:
    text = value.get("text") if isinstance(value, dict) else None
    parts = [text] if isinstance(text, str) else text
    if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise _bad(f"{place}/text", "must be a text, or a list of texts")
    return "\n".join(str(part) for part in parts)

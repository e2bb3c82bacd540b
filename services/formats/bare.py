"""Label documents on their own, without a manifest that says what they belong to: read whole, then told apart.

A document of many pictures, such as COCO, is as many samples; one of a sequence, told by its tracks, is one sample, and
so is everything that describes one recording.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author, TimedLabel
from services.contracts.labels_language import (
    EntitySpan,
    Intent,
    Relation,
    Sentiment,
    Summary,
    TextClassification,
    TranscriptSegment,
)
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import (
    Action,
    Box,
    Event,
    FrameLabel,
    ImageClassification,
    Keypoints,
    Mask,
    Polygon,
    RotatedBox,
    Track,
)
from services.contracts.manifest import LabelFile, LabelFormat, Modality, SampleManifest, Stream
from services.errors import InvalidInputError
from services.formats.label_file import import_label_file
from services.formats.openlabel import only_lidar, read_openlabel
from services.formats.result import Dropped, ImportResult, StreamFacts, StreamItem, identifier_or_none
from services.formats.textgrid import level_of

NEEDS_CALIBRATION: frozenset[str] = frozenset({"kitti", "kitti_tracking", "ab3dmot"})
"""Formats whose labels mean something together with the calibration of their camera only."""

SPOKEN: frozenset[str] = frozenset({"webvtt", "srt", "rttm", "stm", "textgrid"})
"""Formats that describe one recording, which they do not name."""

PICTURED: frozenset[str] = frozenset({"coco", "cvat", "datumaro", "label_studio"})
"""Formats that name the pictures or recordings they describe, one by one."""

_STREAMS: Mapping[str, str] = MappingProxyType(
    {**dict.fromkeys(SPOKEN, "audio"), **dict.fromkeys(PICTURED, "image"), "mot": "video", "openlabel": "scene"}
)
_ENDINGS: Mapping[str, Modality] = MappingProxyType(
    {
        **dict.fromkeys((".wav", ".flac", ".ogg", ".oga", ".mp3", ".m4a", ".opus", ".aac"), "audio"),
        **dict.fromkeys((".mp4", ".avi", ".mkv", ".mov", ".webm"), "video"),
        **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp"), "image"),
        **dict.fromkeys((".bin", ".pcd", ".ply"), "lidar"),
        **dict.fromkeys((".txt", ".html"), "text"),
    }
)
_SHAPES = (Box, RotatedBox, Polygon, Mask, Keypoints, ImageClassification)
_TEXTS = (EntitySpan, Intent, Sentiment, TextClassification, Summary)
_MAX_INLINE = 100_000


@dataclass(frozen=True, slots=True)
class Part:
    """What one sample gets of a document.

    Attributes:
        name: What tells it from the document's other samples; None where it is the whole document.
        streams: Its streams, each with a modality; every label is on one of them.
        annotations: Its labels.
        dropped: What was not taken over; what can not be told apart stands with the first part.
        inline: The texts of streams that the document itself holds, by stream.
    """

    name: str | None
    streams: tuple[StreamFacts, ...]
    annotations: tuple[Annotation, ...]
    dropped: tuple[Dropped, ...]
    inline: Mapping[str, str]


def read_bare(form: LabelFormat, data: bytes, *, name: str, carry_cuboids: bool = True) -> ImportResult:
    """Return everything that a label document holds, as it stands there.

    Args:
        form: Its format.
        data: Its bytes.
        name: How errors name it.
        carry_cuboids: Whether the cuboids of an OpenLABEL document with one LiDAR are carried over into its frame, as
            the checks need them.

    Raises:
        InvalidInputError: It can not be read, or means nothing without a calibration; says what to do.
    """
    if form in NEEDS_CALIBRATION:
        raise InvalidInputError(
            f"{name}: labels of format {form} need the calibration of their camera; give the KITTI folder that holds "
            "calib/ beside the labels, or name the file in label_files of a manifest whose stream has a calibration"
        )
    if form not in _STREAMS:
        raise InvalidInputError(
            f"{name}: a document of format {form} is not read on its own; give the folder of all its tables"
        )
    stream = _STREAMS[form]
    author = Author(kind="importer", id=form)
    if form == "openlabel":
        lidar = only_lidar(data, source=name) if carry_cuboids else None
        into = (lidar, identifier_or_none(lidar) or stream) if lidar is not None else None
        return read_openlabel(data, stream=stream, cuboids_into=into, author=author, source=name)
    # A stream that is no single image gets all pictures of the document.
    manifest = SampleManifest(
        format="concord.sample/1",
        sample_id="document",
        project="local",
        streams=(Stream(id=stream, modality="video"),),
    )
    result = import_label_file(LabelFile(format=form, uri=name, stream=stream), manifest, data)
    if form == "textgrid":
        result = replace(result, annotations=_by_level(result.annotations))
    return result if result.streams else replace(result, streams=(StreamFacts(stream),))


def _by_level(labels: tuple[Annotation, ...]) -> tuple[Annotation, ...]:
    """Give each level of speech, such as words and phrases, an author: they are versions of one another."""
    levels = {
        label.id: level_of(str(label.attributes.get("tier")))
        for label in labels
        if isinstance(label, TranscriptSegment)
    }
    if len(set(levels.values()) - {None}) < 2:
        return labels
    return tuple(
        label
        if label.author is None or (level := levels.get(label.id)) is None
        else label.model_copy(
            update={
                "author": label.author.model_copy(
                    update={"id": identifier_or_none(f"{label.author.id}-{level}") or label.author.id}
                )
            }
        )
        for label in labels
    )


def parts_of(form: str, result: ImportResult) -> tuple[Part, ...]:
    """Return the samples that a document is, in its order; at least one."""
    if form not in PICTURED or len(result.streams) != 1:
        return (_part(None, result.streams, result.annotations, result.dropped),)
    (stream,) = result.streams
    tracked = any((label.object_id or "").startswith("track-") for label in result.annotations)
    groups = _groups(stream.items, result.annotations, tracked=tracked)
    if not groups or (len(groups) == 1 and tracked):
        return (_of_one_stream(None, stream, result.annotations, result.dropped),)
    place = {item.frame: (number, index) for number, group in enumerate(groups) for index, item in enumerate(group)}
    labels: list[list[Annotation]] = [[] for _ in groups]
    dropped: list[list[Dropped]] = [[] for _ in groups]
    for label in result.annotations:
        number, index = place[label.frame or 0]
        labels[number].append(label.model_copy(update={"frame": index if tracked else 0}))
    for lost in result.dropped:
        number, _ = place.get(-1 if lost.frame is None else lost.frame, (0, 0))
        dropped[number].append(lost)
    parts: list[Part] = []
    for number, group in enumerate(groups):
        items = tuple(replace(item, frame=index) for index, item in enumerate(group if tracked else group[:1]))
        sizes = {item.size_px for item in group}
        facts = replace(stream, uri=None, size_px=group[0].size_px if len(sizes) == 1 else None, items=items)
        name = None if len(groups) == 1 else _name_of(group[0], tracked=tracked)
        parts.append(_of_one_stream(name, facts, tuple(labels[number]), tuple(dropped[number])))
    return tuple(parts)


def _groups(items: Sequence[StreamItem], labels: Sequence[Annotation], *, tracked: bool) -> list[list[StreamItem]]:
    """Return the items of each sample: the pictures of one folder where objects have tracks, else one picture.

    Several items of one address are tasks about the same picture. None where the document is one video.
    """
    if any(isinstance(label, Track) or (label.frame or 0) >= len(items) for label in labels):
        return []
    groups: dict[str, list[StreamItem]] = {}
    for item in items:
        groups.setdefault(str(PurePosixPath(item.uri).parent) if tracked else item.uri, []).append(item)
    return list(groups.values())


def _name_of(item: StreamItem, *, tracked: bool) -> str:
    path = file_name(item.uri)
    if tracked:
        return path.parent.name or path.stem
    is_words = not _is_file(item.uri) and any(letter.isspace() for letter in item.uri)
    return f"task-{item.frame}" if is_words or not path.stem else path.stem


def _of_one_stream(
    name: str | None, facts: StreamFacts, labels: tuple[Annotation, ...], dropped: tuple[Dropped, ...]
) -> Part:
    """Return a part whose one stream is named after what it is: the document does not name it."""
    part = _part(name, (facts,), labels, dropped)
    (stream,) = part.streams
    own = stream.modality or stream.id
    return replace(
        part,
        streams=(replace(stream, id=own),),
        annotations=tuple(label.model_copy(update={"stream": own}) for label in part.annotations),
        inline=dict(zip((own,), part.inline.values(), strict=False)),
    )


def _part(
    name: str | None,
    streams: Sequence[StreamFacts],
    labels: tuple[Annotation, ...],
    dropped: tuple[Dropped, ...],
) -> Part:
    by_stream: dict[str, list[Annotation]] = {facts.id: [] for facts in streams}
    for label in labels:
        by_stream.setdefault(label.stream, []).append(label)
    known = {facts.id: facts for facts in streams}
    inline: dict[str, str] = {}
    told: list[StreamFacts] = []
    for stream, own in by_stream.items():
        facts = known.get(stream, StreamFacts(stream))
        if len(facts.items) == 1 and facts.uri is None:
            facts = replace(facts, uri=facts.items[0].uri, size_px=facts.size_px or facts.items[0].size_px)
        modality = _modality(facts, own)
        uri = facts.uri
        if modality not in ("image", "video"):
            facts = replace(facts, size_px=None)
        if uri is not None and modality == "text" and not _is_file(uri):
            if uri.strip() and len(uri) <= _MAX_INLINE and "\x00" not in uri:
                inline[stream] = uri
            uri = None
        told.append(replace(facts, modality=modality, uri=uri))
    ids = {label.id for label in labels}
    lost = [label for label in labels if isinstance(label, Relation) and not {label.from_id, label.to_id} <= ids]
    notes = (
        Dropped(label.id, f"relation from {label.from_id} to {label.to_id}", "a label it leads to is not there")
        for label in lost
    )
    left = {label.id for label in lost}
    kept = tuple(label for label in labels if label.id not in left)
    return Part(name, tuple(told), kept, (*dropped, *notes), inline)


def _modality(facts: StreamFacts, labels: Sequence[Annotation]) -> Modality:
    """Return what a stream is: by its address, by what the document says, else by what its labels are about."""
    by_name = _ENDINGS.get(file_name(facts.uri).suffix.lower()) if facts.uri is not None else None
    series = len(facts.items) > 1 or any((label.frame or 0) > 0 for label in labels)
    found = by_name or facts.modality or _by_labels(labels)
    if found is None:
        found = "audio" if facts.id == "audio" else "video" if facts.id == "video" else "metadata"
    if found in ("audio", "text") and any(isinstance(label, _SHAPES) for label in labels):
        found = "image"  # the task shows several things, and its labels are not about the first
    return "video" if found == "image" and series else found


def _by_labels(labels: Sequence[Annotation]) -> Modality | None:
    found: Modality | None = None
    if any(isinstance(label, Cuboid) for label in labels):
        found = "lidar"
    elif any(isinstance(label, TimedLabel) and not isinstance(label, Action | Event) for label in labels):
        found = "audio"
    elif any(isinstance(label, _TEXTS) for label in labels):
        found = "text"
    elif any(isinstance(label, TimedLabel | FrameLabel) or (label.frame or 0) > 0 for label in labels):
        found = "video"
    elif labels:
        found = "image"
    return found


def _is_file(uri: str) -> bool:
    """Whether a text is the address of a file rather than words."""
    name = file_name(uri)
    return name.suffix.lower() in _ENDINGS or ("." in name.name and not any(letter.isspace() for letter in uri))


def file_name(uri: str) -> PurePosixPath:
    """Return the path in an address; Label Studio's local files are told in its query."""
    return PurePosixPath(uri.rpartition("?d=")[2].partition("?")[0])

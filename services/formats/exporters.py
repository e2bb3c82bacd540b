"""The writers, each by its format, as the command line calls them; readers are in :mod:`services.formats.importers`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

from services.contracts.annotations import Annotation
from services.contracts.labels_language import SoundEvent, SpeakerTurn, TranscriptSegment
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
from services.contracts.manifest import Stream
from services.errors import InvalidInputError
from services.formats.coco_writer import write_coco
from services.formats.cvat_writer import write_cvat
from services.formats.datumaro import write_datumaro
from services.formats.kitti import KittiCalibration
from services.formats.kitti_writer import write_objects, write_tracking
from services.formats.label_file import kitti_calibration
from services.formats.label_studio_writer import write_label_studio
from services.formats.mot import export_mot
from services.formats.openlabel_writer import write_openlabel
from services.formats.result import Dropped, ExportResult, StreamFacts, StreamItem, identifier_or_none
from services.formats.rttm import export_rttm
from services.formats.srt import write_srt
from services.formats.textgrid import write_textgrid
from services.formats.webvtt import write_webvtt

_LABEL_STUDIO_KEYS = {"audio": "audio", "video": "video", "text": "text"}


@dataclass(frozen=True, slots=True)
class Outgoing:
    """Labels on their way into one document.

    Attributes:
        name: The name of the recording or sample.
        annotations: The labels.
        streams: Their streams, as far as they are known.
    """

    name: str
    annotations: tuple[Annotation, ...]
    streams: tuple[StreamFacts, ...]

    @property
    def facts(self) -> StreamFacts:
        """What is known of the one stream whose labels are left."""
        stream = self.annotations[0].stream if self.annotations else (self.streams[0].id if self.streams else "stream")
        return self.stream(stream)

    def stream(self, name: str) -> StreamFacts:
        """Return what is known of a stream."""
        return next((facts for facts in self.streams if facts.id == name), StreamFacts(name))

    @property
    def pictures(self) -> tuple[StreamItem, ...]:
        """The pictures of the one stream, as far as their names or sizes are known."""
        facts = self.facts
        if facts.items:
            return facts.items
        if facts.uri is not None and facts.modality == "image":
            return (StreamItem(0, facts.uri, facts.size_px),)
        if facts.size_px is None:
            return ()
        frames = {label.frame or 0 for label in self.annotations if not isinstance(label, Track)}
        return tuple(StreamItem(frame, f"frame-{frame:06d}", facts.size_px) for frame in sorted(frames))


@dataclass(frozen=True, slots=True)
class Exporter:
    """How labels become a document.

    Attributes:
        ending: The usual ending of its files.
        write: The writer.
        holds: The kinds of label that the format is made for, by which its stream is chosen.
        one_stream: Whether a document holds the labels of one stream.
    """

    ending: str
    write: Callable[[Outgoing], ExportResult]
    holds: tuple[type[Annotation], ...]
    one_stream: bool = True


def export_labels(form: str, outgoing: Outgoing, *, stream: str | None = None) -> ExportResult:
    """Return labels as a document of a format, and what it does not hold.

    Args:
        form: The format.
        outgoing: The labels.
        stream: Whose labels are written, where a document holds those of one stream; the one with the most labels
            that the format can hold if left out. Labels of other streams are listed as dropped.

    Raises:
        InvalidInputError: The format is not written, there is no such stream, or the labels lack what it needs.
    """
    exporter = EXPORTERS.get(form)
    if exporter is None:
        raise InvalidInputError(f"labels are not written as {form!r}; formats are {', '.join(sorted(EXPORTERS))}")
    known = dict.fromkeys([*(facts.id for facts in outgoing.streams), *(a.stream for a in outgoing.annotations)])
    if stream is not None and stream not in known:
        raise InvalidInputError(f"{outgoing.name} has no stream {stream!r}; streams are {', '.join(known)}")
    if not exporter.one_stream and stream is None:
        return exporter.write(outgoing)
    chosen = stream or _chosen(exporter, outgoing)
    own = tuple(label for label in outgoing.annotations if label.stream == chosen)
    others = tuple(
        Dropped(label.id, label.type, f"it is on the stream {label.stream}; {chosen} is written")
        for label in outgoing.annotations
        if label.stream != chosen
    )
    facts = outgoing.streams if chosen is None else (outgoing.stream(chosen),)
    written = exporter.write(replace(outgoing, annotations=own, streams=facts))
    return replace(written, dropped=(*written.dropped, *others))


def _chosen(exporter: Exporter, outgoing: Outgoing) -> str | None:
    counts: dict[str, int] = {}
    for label in outgoing.annotations:
        counts[label.stream] = counts.get(label.stream, 0) + isinstance(label, exporter.holds)
    return max(counts, key=lambda name: counts[name], default=None)


def facts_of(stream: Stream) -> StreamFacts:
    """Return what a manifest says about a stream; of its address the name of the file."""
    return StreamFacts(
        stream.id,
        modality=stream.modality,
        uri=None if stream.uri is None else PurePosixPath(unquote(urlsplit(stream.uri).path)).name or None,
        size_px=stream.image_size_px,
        rate_hz=stream.clock.rate_hz if stream.clock is not None else None,
        duration_s=stream.duration_s,
        coordinate_frame=stream.coordinate_frame,
        calibration=stream.calibration,
    )


def _openlabel(outgoing: Outgoing) -> ExportResult:
    rates = [facts.rate_hz for facts in outgoing.streams if facts.rate_hz is not None]
    return write_openlabel(outgoing.annotations, streams=outgoing.streams, rate_hz=rates[0] if rates else None)


def _label_studio(outgoing: Outgoing) -> ExportResult:
    facts = outgoing.facts
    return write_label_studio(
        outgoing.annotations,
        images=outgoing.pictures,
        size_px=facts.size_px,
        data_key=_LABEL_STUDIO_KEYS.get(facts.modality or "image", "image"),
    )


def _rttm(outgoing: Outgoing) -> ExportResult:
    return export_rttm(outgoing.annotations, recording=identifier_or_none(outgoing.name) or "recording")


def _kitti(outgoing: Outgoing) -> ExportResult:
    camera, lidar, calibration = camera_of(outgoing)
    frames = sorted({label.frame or 0 for label in outgoing.annotations})
    first = frames[0] if frames else 0
    own = tuple(label for label in outgoing.annotations if (label.frame or 0) == first)
    others = tuple(
        Dropped(label.id, label.type, f"a file holds one frame, {first} is written; kitti_tracking holds all")
        for label in outgoing.annotations
        if (label.frame or 0) != first
    )
    written = write_objects(own, calibration, camera_stream=camera, lidar_stream=lidar)
    return replace(written, dropped=(*written.dropped, *others))


def _kitti_tracking(outgoing: Outgoing) -> ExportResult:
    camera, lidar, calibration = camera_of(outgoing)
    return write_tracking(outgoing.annotations, calibration, camera_stream=camera, lidar_stream=lidar)


def camera_of(outgoing: Outgoing) -> tuple[str, str, KittiCalibration]:
    """Return camera, LiDAR and calibration for KITTI: the first camera with boxes that is tied to a LiDAR."""
    boxed = {label.stream for label in outgoing.annotations if isinstance(label, Box)}
    frames = {name: facts.id for facts in outgoing.streams for name in (facts.coordinate_frame, facts.id) if name}
    for facts in outgoing.streams:
        own = facts.calibration
        if own is None or own.intrinsics is None or own.extrinsics is None or facts.id not in boxed:
            continue
        lidar = frames.get(own.extrinsics.to)
        if lidar is not None:
            return facts.id, lidar, kitti_calibration(own.intrinsics, own.extrinsics.matrix)
    raise InvalidInputError(
        f"{outgoing.name}: KITTI's labels hold boxes of a camera with cuboids of a LiDAR, and no camera with boxes has "
        "intrinsics and extrinsics that lead to a stream; add them to its calibration"
    )


_SHAPES = (Box, Polygon, Mask, Keypoints)
_SPOKEN = (TranscriptSegment,)

EXPORTERS: Mapping[str, Exporter] = MappingProxyType(
    {
        "coco": Exporter(".json", lambda out: write_coco(out.annotations, images=out.pictures), _SHAPES),
        "cvat": Exporter(
            ".xml",
            lambda out: write_cvat(out.annotations, images=out.pictures),
            (Box, RotatedBox, Polygon, Keypoints, ImageClassification, Track),
        ),
        "datumaro": Exporter(
            ".json",
            lambda out: write_datumaro(out.annotations, images=out.pictures),
            (Box, Polygon, Mask, ImageClassification),
        ),
        "kitti": Exporter(".txt", _kitti, (Box, Cuboid), one_stream=False),
        "kitti_tracking": Exporter(".txt", _kitti_tracking, (Box, Cuboid), one_stream=False),
        "label_studio": Exporter(
            ".json", _label_studio, (Box, RotatedBox, Polygon, ImageClassification, TranscriptSegment, SoundEvent)
        ),
        "mot": Exporter(".txt", lambda out: export_mot(out.annotations, stream=out.facts.id), (Box, Track)),
        "openlabel": Exporter(
            ".json", _openlabel, (Box, RotatedBox, Polygon, Cuboid, Action, Event, FrameLabel), one_stream=False
        ),
        "rttm": Exporter(".rttm", _rttm, (SpeakerTurn,)),
        "srt": Exporter(".srt", lambda out: write_srt(out.annotations), _SPOKEN),
        "textgrid": Exporter(
            ".TextGrid",
            lambda out: write_textgrid(out.annotations, duration_s=out.facts.duration_s),
            (TranscriptSegment, SoundEvent, Event),
        ),
        "webvtt": Exporter(".vtt", lambda out: write_webvtt(out.annotations), _SPOKEN),
    }
)
"""The writers by format."""

"""The sample manifest, ``concord.sample/1``: what an upstream system sends for one sample."""

from __future__ import annotations

from collections.abc import Collection, Set
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from services.contracts.annotations import Annotations
from services.contracts.base import (
    Attributes,
    Contract,
    Identifier,
    LongText,
    Name,
    Number,
    ProjectId,
    Scalar,
    Seconds,
    Sha256,
    Text,
    UtcDatetime,
)
from services.contracts.label_base import Author
from services.contracts.labels_language import Relation

Modality = Literal["image", "video", "text", "audio", "lidar", "radar", "record", "metadata"]
Risk = Literal["low", "medium", "high"]
RISKS: tuple[Risk, ...] = get_args(Risk)
Row3 = tuple[Number, Number, Number]
Row4 = tuple[Number, Number, Number, Number]
Matrix3 = tuple[Row3, Row3, Row3]
Matrix4 = tuple[Row4, Row4, Row4, Row4]


class Policy(Contract):
    """The policy under which a sample may be used."""

    id: Identifier
    version: Name
    status: Literal["draft", "approved", "retired", "rejected"]
    effective_from: UtcDatetime | None = None
    effective_to: UtcDatetime | None = None
    regions: Annotated[tuple[Name, ...], Field(max_length=300)] = Field(
        default=(), description="Regions the policy covers; empty means every region."
    )


class Context(Contract):
    """Facts about where and for what the sample was recorded."""

    region: Name | None = None
    product: Name | None = None
    risk: Risk = "low"
    policy: Policy | None = None
    attributes: Attributes = Field(default_factory=dict)


class Clock(Contract):
    """When the items of a stream were taken: a start and a rate, or one timestamp an item."""

    start: UtcDatetime | None = None
    rate_hz: Annotated[float, Field(gt=0, le=1e7)] | None = None
    timestamps: Annotated[tuple[UtcDatetime, ...] | tuple[Seconds, ...], Field(max_length=1_000_000)] = Field(
        default=(), description="RFC 3339 times, or seconds from the start of the sample."
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.timestamps and self.rate_hz is not None:
            raise ValueError("give rate_hz or timestamps, not both")
        return self


class Extrinsics(Contract):
    """A rigid transform out of this stream's frame: ``p_to = matrix @ p_here``, metres."""

    to: Identifier = Field(description="A coordinate frame, or the id of the stream that has it.")
    matrix: Matrix4

    @model_validator(mode="after")
    def _rigid(self) -> Self:
        rows = [row[:3] for row in self.matrix[:3]]
        for i in range(3):
            for j in range(i, 3):
                dot = sum(a * b for a, b in zip(rows[i], rows[j], strict=True))
                if abs(dot - (1.0 if i == j else 0.0)) > 1e-2:
                    raise ValueError(
                        f"the upper left 3x3 of matrix must be a rotation: rows {i} and {j} have the product {dot:.4f}"
                    )
        (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = rows
        if xx * (yy * zz - yz * zy) - xy * (yx * zz - yz * zx) + xz * (yx * zy - yy * zx) < 0:
            raise ValueError("the upper left 3x3 of matrix mirrors; a rotation has the determinant 1, not -1")
        if any(abs(a - b) > 1e-6 for a, b in zip(self.matrix[3], (0.0, 0.0, 0.0, 1.0), strict=True)):
            raise ValueError("the last row of matrix must be [0, 0, 0, 1]")
        return self


def _refuse_singular(intrinsics: Matrix3) -> None:
    (fx, _, _), (lower, fy, _), last = intrinsics
    if min(fx, fy) < 1e-6:
        raise ValueError(f"the focal lengths on the diagonal of intrinsics must be positive pixels, got {fx} and {fy}")
    if any(abs(a - b) > 1e-6 for a, b in zip((lower, *last), (0.0, 0.0, 0.0, 1.0), strict=True)):
        raise ValueError("intrinsics must be [[fx, s, cx], [0, fy, cy], [0, 0, 1]]; divide them by their last number")


class Calibration(Contract):
    """How a sensor sees the world."""

    model: Literal["pinhole", "fisheye"] | None = Field(
        default=None, description="The camera model; left out for sensors that are no camera."
    )
    intrinsics: Matrix3 | None = Field(default=None, description="[[fx, s, cx], [0, fy, cy], [0, 0, 1]], px.")
    distortion: Annotated[tuple[Number, ...], Field(max_length=8)] = Field(
        default=(), description="pinhole: k1 k2 p1 p2 [k3 [k4 k5 k6]]; fisheye: k1 k2 k3 k4 (equidistant)."
    )
    extrinsics: Extrinsics | None = None

    @model_validator(mode="after")
    def _camera_is_whole(self) -> Self:
        if (self.model is None) != (self.intrinsics is None):
            raise ValueError("a camera needs both model and intrinsics; give both or neither")
        if self.intrinsics is not None:
            _refuse_singular(self.intrinsics)
        allowed = {"pinhole": (0, 4, 5, 8), "fisheye": (0, 4), None: (0,)}[self.model]
        if len(self.distortion) not in allowed:
            raise ValueError(f"distortion of {self.model} has {allowed} numbers, got {len(self.distortion)}")
        return self


InlineValue = LongText | Annotated[dict[Name, Scalar], Field(max_length=2_000)]


class Stream(Contract):
    """One recording or document of the sample."""

    id: Identifier
    modality: Modality
    uri: Text | None = Field(
        default=None,
        description="Relative to the manifest (of an event: to the first asset folder), file: inside an asset folder, "
        "or https: at an asset host that the operator lists, without user name or fragment; no redirect is followed. "
        "http: only at a host listed with its port; s3: and other schemes are refused. Left out where only labels "
        "exist.",
    )
    inline: InlineValue | None = Field(default=None, description="Small text or a flat record, in place.")
    sha256: Sha256 | None = Field(default=None, description="Of the bytes behind uri, lower-case hex.")
    media_type: Name | None = None
    sensor: Identifier | None = None
    coordinate_frame: Identifier | None = None
    clock: Clock | None = None
    calibration: Calibration | None = None
    image_size_px: tuple[Annotated[int, Field(ge=1, le=65_536)], Annotated[int, Field(ge=1, le=65_536)]] | None = Field(
        default=None, description="(width, height); read from the asset where there is one."
    )
    duration_s: Annotated[float, Field(ge=0, le=1e8)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.uri is not None and self.inline is not None:
            raise ValueError("give uri or inline, not both")
        return self


LabelFormat = Literal[
    "openlabel", "kitti", "kitti_tracking", "ab3dmot", "nuscenes", "coco", "mot", "cvat", "label_studio",
    "webvtt", "srt", "rttm", "stm", "textgrid", "datumaro",
]  # fmt: skip


class LabelFile(Contract):
    """Labels that stay in a format of their own."""

    format: LabelFormat
    uri: Text
    stream: Identifier
    role: Literal["annotation", "prediction"] = "annotation"
    spatial_stream: Identifier | None = Field(
        default=None, description="The LiDAR stream, for formats that hold boxes and cuboids together."
    )
    frames: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] | None = Field(
        default=None, description="(first, last) frame of the file that belongs to this sample, inclusive."
    )
    sha256: Sha256 | None = None
    author: Author | None = None


class SampleManifest(Contract):
    """One sample: its streams, what is known about them, and the labels that exist already."""

    format: Literal["concord.sample/1"]
    sample_id: Identifier = Field(description="Unique in the project.")
    project: ProjectId
    captured_at: UtcDatetime | None = None
    context: Context = Field(default_factory=Context)
    streams: Annotated[tuple[Stream, ...], Field(min_length=1, max_length=200)]
    annotations: Annotations = ()
    label_files: Annotated[tuple[LabelFile, ...], Field(max_length=200)] = ()

    @model_validator(mode="after")
    def _references_resolve(self) -> Self:
        stream_ids = [stream.id for stream in self.streams]
        for index, stream_id in enumerate(stream_ids):
            if stream_id in stream_ids[:index]:
                raise ValueError(f"streams/{index}/id: {stream_id!r} is used twice; stream ids are unique")
        # A relation may lead to a label of a label file, which nobody has read yet.
        whole = all(file.role != "annotation" for file in self.label_files)
        check_annotations(self.annotations, frozenset(stream_ids), relations=whole)
        for index, file in enumerate(self.label_files):
            for named in (file.stream, file.spatial_stream or file.stream):
                if named not in stream_ids:
                    raise ValueError(f"label_files/{index}: there is no stream {named!r}")
        return self

    def stream(self, stream_id: str) -> Stream:
        """Return the stream with this id; ``KeyError`` if there is none."""
        for stream in self.streams:
            if stream.id == stream_id:
                return stream
        raise KeyError(stream_id)


def check_annotations(
    annotations: Annotations,
    stream_ids: frozenset[str],
    *,
    beside: Collection[str] = (),
    relations: bool = True,
) -> None:
    """Raise ``ValueError`` for a label without its stream, an id used twice, or a relation to no label.

    Args:
        annotations: Labels of one sample.
        stream_ids: The sample's streams.
        beside: Ids of further labels of the sample, which relations may lead to.
        relations: Whether all labels of the sample are known, so that relations can be judged.
    """
    seen: set[str] = set()
    for index, annotation in enumerate(annotations):
        if annotation.stream not in stream_ids:
            raise ValueError(
                f"annotations/{index}/stream: there is no stream {annotation.stream!r}; "
                f"streams are {sorted(stream_ids)[:20]}"
            )
        if annotation.id in seen:
            raise ValueError(f"annotations/{index}/id: {annotation.id!r} is used twice; label ids are unique")
        seen.add(annotation.id)
    if relations:
        _check_relations(annotations, seen.union(beside))


def _check_relations(annotations: Annotations, known: Set[str]) -> None:
    for index, annotation in enumerate(annotations):
        if isinstance(annotation, Relation):
            for end, name in (("from_id", annotation.from_id), ("to_id", annotation.to_id)):
                if name not in known:
                    raise ValueError(
                        f"annotations/{index}/{end}: there is no label {name!r} in the sample; "
                        "a relation leads from one of its labels to another"
                    )

"""Label kinds for LiDAR and radar, and typed fields of metadata and records."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import (
    Attributes,
    Contract,
    FrameIndex,
    Identifier,
    Name,
    Number,
    Text,
    UtcDatetime,
)
from services.contracts.label_base import LabelBase, PointM, Rotation3d, SizeM, VisibilityMixin

PointIndex = Annotated[int, Field(ge=0, le=1_000_000_000)]


class Cuboid(LabelBase, VisibilityMixin, Rotation3d):
    """A box in space, in the coordinate frame of its stream."""

    type: Literal["cuboid"] = "cuboid"
    center_m: PointM = Field(description="The geometric centre, metres.")
    size_m: SizeM = Field(description="(length, width, height), metres, along the object's x, y, z.")
    point_count: PointIndex | None = Field(default=None, description="Points inside, as the labeller saw it.")


class PointSegmentation(LabelBase):
    """The points of a cloud that belong to one class or instance, as runs of indices."""

    type: Literal["point_segmentation"] = "point_segmentation"
    cloud_size: PointIndex = Field(description="Number of points in the whole cloud.")
    runs: Annotated[
        tuple[tuple[PointIndex, Annotated[int, Field(ge=1, le=1_000_000_000)]], ...],
        Field(max_length=500_000),
    ] = Field(description="(first index, count), ascending and disjoint.")

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        end = 0
        for first, count in self.runs:
            if first < end:
                raise ValueError(f"runs must ascend without overlap; the run at {first} begins before {end}")
            end = first + count
        if end > self.cloud_size:
            raise ValueError(f"a run ends at {end}, the cloud has {self.cloud_size} points")
        return self


class TrackCuboid(VisibilityMixin, Rotation3d):
    """Where a tracked object is in one frame, in space."""

    frame: FrameIndex
    center_m: PointM
    size_m: SizeM


class SpatialTrack(LabelBase):
    """One object through the sweeps of a LiDAR or radar."""

    type: Literal["spatial_track"] = "spatial_track"
    object_id: Identifier
    cuboids: Annotated[tuple[TrackCuboid, ...], Field(min_length=1, max_length=100_000)]


class LaneMarking(LabelBase):
    """A line on the ground."""

    type: Literal["lane_marking"] = "lane_marking"
    points_m: Annotated[tuple[PointM, ...], Field(min_length=2, max_length=20_000)]
    closed: bool = False


class SpatialLabel(LabelBase):
    """A class for a place or region in space, such as drivable or construction zone."""

    type: Literal["spatial_label"] = "spatial_label"
    center_m: PointM
    radius_m: Annotated[float, Field(gt=0, le=1e6)] | None = None
    outline_m: Annotated[tuple[PointM, ...], Field(max_length=20_000)] = ()


class TimestampValue(Contract):
    """A moment."""

    kind: Literal["timestamp"] = "timestamp"
    at: UtcDatetime


class LocationValue(Contract):
    """A place on the earth, WGS 84."""

    kind: Literal["location"] = "location"
    latitude_deg: Annotated[float, Field(ge=-90, le=90)]
    longitude_deg: Annotated[float, Field(ge=-180, le=180)]
    accuracy_m: Annotated[float, Field(ge=0, le=1e7)] | None = None


class DeviceValue(Contract):
    """The device a recording came from."""

    kind: Literal["device"] = "device"
    make: Name | None = None
    model: Name | None = None
    serial: Name | None = None


class SensorValue(Contract):
    """The sensor a stream came from."""

    kind: Literal["sensor"] = "sensor"
    sensor: Identifier


class RoleValue(Contract):
    """The role of a user in the recording's context."""

    kind: Literal["user_role"] = "user_role"
    role: Name


class ConfidenceValue(Contract):
    """How sure the source was."""

    kind: Literal["confidence"] = "confidence"
    value: Annotated[float, Field(ge=0, le=1)]


class ContextValue(Contract):
    """Named facts about the surroundings."""

    kind: Literal["context"] = "context"
    facts: Attributes


class QuantityValue(Contract):
    """A number with its unit."""

    kind: Literal["quantity"] = "quantity"
    value: Number
    unit: Name


class TextValue(Contract):
    """Any text field."""

    kind: Literal["text"] = "text"
    text: Text


class FlagValue(Contract):
    """A yes or no."""

    kind: Literal["flag"] = "flag"
    value: Annotated[bool, Field(strict=True)]


FieldValue = Annotated[
    TimestampValue | LocationValue | DeviceValue | SensorValue | RoleValue | ConfidenceValue | ContextValue
    | QuantityValue | TextValue | FlagValue,
    Field(discriminator="kind"),
]  # fmt: skip


class MetadataField(LabelBase):
    """One typed field of a record or of a recording's metadata; the label is the field's name."""

    type: Literal["metadata_field"] = "metadata_field"
    value: FieldValue


SPATIAL_KINDS = (Cuboid, PointSegmentation, SpatialTrack, LaneMarking, SpatialLabel, MetadataField)

"""Label kinds for images and video."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, model_validator

from services.contracts.base import Contract, FrameIndex, Identifier, Name, Number, Positive
from services.contracts.label_base import (
    BoxPx,
    LabelBase,
    PointPx,
    TimedLabel,
    VisibilityMixin,
    ordered_box,
)

OrderedBox = Annotated[BoxPx, AfterValidator(ordered_box)]


class Box(LabelBase, VisibilityMixin):
    """An axis-aligned box in an image."""

    type: Literal["box"] = "box"
    box: OrderedBox = Field(description="[x_min, y_min, x_max, y_max] in pixels.")


class RotatedBox(LabelBase, VisibilityMixin):
    """A box turned in the image plane."""

    type: Literal["rotated_box"] = "rotated_box"
    center_px: PointPx
    size_px: tuple[Positive, Positive] = Field(description="(width, height) before the rotation, pixels.")
    angle_deg: Annotated[float, Field(ge=-360, le=360)] = Field(description="Clockwise on the screen, degrees.")


class Polygon(LabelBase, VisibilityMixin):
    """One outer ring and any number of holes, in pixels."""

    type: Literal["polygon"] = "polygon"
    points_px: Annotated[tuple[PointPx, ...], Field(min_length=3, max_length=20_000)]
    holes_px: Annotated[
        tuple[Annotated[tuple[PointPx, ...], Field(min_length=3, max_length=20_000)], ...],
        Field(max_length=1_000),
    ] = ()


class RunLengths(Contract):
    """A COCO run-length mask, column-major, beginning with zeros."""

    size: tuple[Annotated[int, Field(ge=1, le=65_536)], Annotated[int, Field(ge=1, le=65_536)]] = Field(
        description="(height, width) in pixels."
    )
    counts: (
        Annotated[str, StringConstraints(max_length=4_000_000, pattern="^[0-o]*$")]
        | Annotated[tuple[Annotated[int, Field(ge=0, le=2**32)], ...], Field(max_length=1_000_000)]
    ) = Field(description="Compressed COCO text, or plain run lengths.")

    @model_validator(mode="after")
    def _runs_fill_the_image(self) -> Self:
        if not isinstance(self.counts, str):
            pixels = self.size[0] * self.size[1]
            if sum(self.counts) != pixels:
                raise ValueError(
                    f"the runs cover {sum(self.counts)} pixels, the image of size {self.size} has {pixels}"
                )
        return self


class Mask(LabelBase, VisibilityMixin):
    """A pixel mask."""

    type: Literal["mask"] = "mask"
    rle: RunLengths


class Keypoint(Contract):
    """One named point."""

    name: Name
    x_px: Number
    y_px: Number
    visibility: Literal[0, 1, 2] = Field(default=2, description="0 not labelled, 1 labelled but hidden, 2 visible.")


class Keypoints(LabelBase, VisibilityMixin):
    """Named points of one object."""

    type: Literal["keypoints"] = "keypoints"
    keypoints: Annotated[tuple[Keypoint, ...], Field(min_length=1, max_length=1_000)]


class ImageClassification(LabelBase):
    """The class of a whole image."""

    type: Literal["image_classification"] = "image_classification"


class FrameLabel(LabelBase):
    """The class of a video frame, or of a run of frames."""

    type: Literal["frame_label"] = "frame_label"
    frame: FrameIndex = Field(description="First frame, from 0.")
    last_frame: FrameIndex | None = Field(default=None, description="Last frame, inclusive.")


class TrackBox(VisibilityMixin):
    """Where a tracked object is in one frame."""

    frame: FrameIndex
    box: OrderedBox
    keyframe: bool = Field(default=True, description="False where a tool interpolated.")


class Track(LabelBase):
    """One object through the frames of a video, in image space."""

    type: Literal["track"] = "track"
    object_id: Identifier
    boxes: Annotated[tuple[TrackBox, ...], Field(min_length=1, max_length=100_000)]


class Action(TimedLabel):
    """What somebody or something does, over an interval."""

    type: Literal["action"] = "action"
    actor_object_id: Identifier | None = None


class Event(TimedLabel):
    """Something that happens in the recording; the order of events is rule data."""

    type: Literal["event"] = "event"
    phase: Literal["whole", "start", "end", "moment"] = Field(
        default="whole",
        description="Whether this label is a whole event, one end of a pair, or a moment that has no duration.",
    )


VISUAL_KINDS = (
    Box, RotatedBox, Polygon, Mask, Keypoints, ImageClassification, FrameLabel, Track, Action, Event
)  # fmt: skip

"""What every label has in common, and the geometry that several kinds share."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import (
    Attributes,
    Contract,
    Fraction,
    FrameIndex,
    Identifier,
    Name,
    Number,
    Positive,
    Seconds,
)

PointPx = tuple[Number, Number]
"""(x, y) in pixels; x to the right, y down; the centre of the top-left pixel is (0.5, 0.5)."""

PointM = tuple[Number, Number, Number]
"""(x, y, z) in metres, in the coordinate frame of the label's stream."""

BoxPx = tuple[Number, Number, Number, Number]
"""(x_min, y_min, x_max, y_max) in pixels."""

Quaternion = tuple[Number, Number, Number, Number]
"""(w, x, y, z), unit length within 1 %; turns the object's axes into the stream's coordinate frame."""


class Author(Contract):
    """Who made a label."""

    kind: Literal["human", "model", "tool", "importer", "consensus"]
    id: Identifier
    team: Name | None = None
    version: Name | None = Field(default=None, description="The model's or tool's version.")


class LabelBase(Contract):
    """Fields that every label kind carries."""

    id: Identifier = Field(description="Unique in the sample; one appearance of one thing.")
    stream: Identifier = Field(description="The stream this label describes.")
    label: Name = Field(description="The class, as the taxonomy names it.")
    object_id: Identifier | None = Field(default=None, description="The identity of the thing across streams and time.")
    frame: FrameIndex | None = Field(default=None, description="Frame index in the stream, from 0.")
    confidence: Fraction | None = None
    taxonomy_version: Name | None = None
    author: Author | None = None
    attributes: Attributes = Field(default_factory=dict)


class VisibilityMixin(Contract):
    """How much of an object the sensor could see."""

    truncation: Fraction | None = Field(default=None, description="Share of the object outside the image, 0 to 1.")
    occlusion: Annotated[int, Field(ge=0, le=3)] | None = Field(
        default=None, description="0 fully visible, 1 partly, 2 largely occluded, 3 unknown."
    )
    ignore: bool = Field(default=False, description="A region where labels are deliberately absent; never a fault.")


class TimedLabel(LabelBase):
    """A label over an interval of its stream's time.

    The contract does not order the two times: a label whose end precedes its start is a fault of the label,
    which the checks report with its place, and not a document that can not be read.
    """

    start_s: Seconds = Field(description="Seconds from the start of the stream.")
    end_s: Seconds = Field(description="Seconds from the start of the stream.")


class Rotation3d(Contract):
    """A rotation, given once: as a yaw about +z or as a unit quaternion."""

    yaw_rad: Annotated[float, Field(ge=-100, le=100)] | None = Field(
        default=None, description="Rotation about the frame's z axis, radians, counter-clockwise."
    )
    rotation_wxyz: Quaternion | None = Field(default=None, description="Full rotation as a unit quaternion.")

    @model_validator(mode="after")
    def _one_rotation(self) -> Self:
        if self.yaw_rad is not None and self.rotation_wxyz is not None:
            raise ValueError("give yaw_rad or rotation_wxyz, not both")
        if self.rotation_wxyz is not None:
            norm_squared = sum(component * component for component in self.rotation_wxyz)
            if not 0.98 <= norm_squared <= 1.02:
                raise ValueError(f"rotation_wxyz must have length 1; its squared length is {norm_squared:.4g}")
        return self


def ordered_box(box: BoxPx) -> BoxPx:
    """Return ``box``, or raise ``ValueError`` when its corners are in the wrong order."""
    x_min, y_min, x_max, y_max = box
    if x_max <= x_min or y_max <= y_min:
        raise ValueError(f"a box is [x_min, y_min, x_max, y_max] with x_min < x_max and y_min < y_max, got {list(box)}")
    return box


SizeM = tuple[Positive, Positive, Positive]
"""(length, width, height) in metres: along the object's x, y and z axes."""

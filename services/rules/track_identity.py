"""Thresholds of the ``track_identity`` check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name
from services.contracts.findings import Severity

TrackIdentityKind = Literal[
    "switch", "swap", "split", "merge", "reuse", "duplicate_in_frame", "class_flip", "jump", "gap",
    "cross_camera_mismatch",
]  # fmt: skip

_SEVERITIES: dict[TrackIdentityKind, Severity] = {
    "switch": "major",
    "swap": "major",
    "split": "major",
    "merge": "major",
    "reuse": "major",
    "duplicate_in_frame": "major",
    "class_flip": "major",
    "jump": "major",
    "gap": "minor",
    "cross_camera_mismatch": "major",
}

Sizes = Annotated[float, Field(gt=0, le=100)]
"""A distance as a multiple of the object's own size."""


class TrackIdentityRules(Contract):
    """When an object id stops meaning one object.

    Distances are stated in object sizes: in an image the square root of the box's area, in space the diagonal of the
    cuboid's footprint. Frames are frames that were labelled in the stream.
    """

    enabled: bool = True
    severities: Annotated[dict[TrackIdentityKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind, where it is to differ from the default."
    )
    equivalent_labels: Annotated[tuple[tuple[Name, ...], ...], Field(max_length=500)] = Field(
        default=(
            ("car", "van", "suv", "taxi", "automobile"),
            ("pedestrian", "person", "person_sitting", "static_person", "human"),
            ("cyclist", "bicycle", "bicyclist", "rider"),
            ("motorcycle", "motorcyclist", "motorbike"),
        ),
        description="Classes that one object may change between without a fault.",
    )
    max_gap_frames: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=10, description="Labelled frames that an object may be hidden for and keep its id."
    )
    max_step_sizes: Sizes = Field(
        default=1.0, description="Farther than this from where its motion leads, an object did not move there."
    )
    step_growth_sizes: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.15, description="How much farther for each frame that it was not labelled in."
    )
    space_share: Annotated[float, Field(gt=0, le=10)] = Field(
        default=0.5, description="In space a step may be this share of one in an image: no perspective, no outline."
    )
    min_jump_sizes: Sizes = Field(
        default=0.6, description="A single box this far off a path that is smooth without it jumps out and back."
    )
    max_link_sizes: Sizes = Field(
        default=0.45, description="Two ids this close to each other's motion may be one object."
    )
    link_growth_sizes: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.05, description="How much farther for each frame between the two."
    )
    min_swap_sizes: Sizes = Field(
        default=0.2, description="Least mean distance by which the labelled continuation must miss for a swap."
    )
    swap_ratio: Fraction = Field(
        default=0.5, description="The exchanged continuation must miss by no more than this share of the labelled one."
    )
    max_size_ratio: Annotated[float, Field(gt=1, le=100)] = Field(
        default=1.6, description="Two ids whose sizes differ more are not one object."
    )
    short_frames: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=3, description="An object that is elsewhere for no more frames than this, and back, is a jump."
    )
    merge_frames: Annotated[int, Field(ge=2, le=10_000)] = Field(
        default=3, description="Two objects with one id in at least so many frames are merged, in fewer duplicated."
    )
    same_box_iou: Fraction = Field(
        default=0.7, description="Two boxes of one id in one frame that overlap more are one box twice."
    )
    identity_frames: Annotated[float, Field(ge=1, le=1_000)] = Field(
        default=2.0,
        description="Mean frames an id must be seen in for ids to mean identities; detections have one id a box.",
    )
    cover_share: Fraction = Field(
        default=0.3, description="Another box covering this share of a missing object's place hides it."
    )
    camera_overlap: Fraction = Field(
        default=0.5, description="Overlap of a box with a projected cuboid from which they are one object."
    )
    max_ray_sizes: Sizes = Field(
        default=1.5, description="Lines of sight of one id that pass each other by more see two objects."
    )

    def severity_of(self, kind: TrackIdentityKind) -> Severity:
        """Return the severity of ``kind`` in these rules."""
        return self.severities.get(kind, _SEVERITIES[kind])

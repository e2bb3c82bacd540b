"""Thresholds of the ``lidar_camera`` check."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Fraction, Name
from services.contracts.label_base import SizeM

Pixels = Annotated[float, Field(ge=0, le=10_000)]
Metres = Annotated[float, Field(gt=0, le=1_000)]
Ratio = Annotated[float, Field(ge=1, le=100)]


class ClassThresholds(Contract):
    """What agreement to expect of one family of classes.

    A cuboid around a person with moving limbs is larger than the person's outline in the image, so people overlap
    less with their cuboids than cars do even where nothing is wrong.
    """

    labels: Annotated[tuple[Name, ...], Field(max_length=200)] = Field(
        description="Class names, compared without case; of a dotted name each part is tried, the last first."
    )
    min_iou: Fraction = Field(description="Overlap below it is a minor finding.")
    min_iou_major: Fraction = Field(description="Overlap below it is a major finding.")
    height_m: tuple[Metres, Metres] = Field(description="(lowest, highest) plausible height, metres.")
    typical_size_m: SizeM = Field(description="(length, width, height): which of two classes fits a cuboid.")
    center_noise_share: Fraction = Field(
        default=0.03,
        description="Standard deviation of an object's labelled centre, as a share of its box's side.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_iou_major > self.min_iou:
            raise ValueError("min_iou_major must not be above min_iou")
        if self.height_m[0] >= self.height_m[1]:
            raise ValueError("height_m is (lowest, highest)")
        return self


DEFAULT_CLASSES = (
    ClassThresholds(
        labels=("car", "van", "suv", "pickup", "taxi", "vehicle", "automobile"),
        min_iou=0.5, min_iou_major=0.3, height_m=(0.9, 3.2), typical_size_m=(4.2, 1.8, 1.6),
    ),
    ClassThresholds(
        labels=("truck", "bus", "trailer", "tram", "train", "construction_vehicle", "construction"),
        min_iou=0.5, min_iou_major=0.3, height_m=(1.2, 5.5), typical_size_m=(10.0, 2.6, 3.2),
    ),
    ClassThresholds(
        labels=("cyclist", "bicycle", "bicyclist", "rider", "motorcycle", "motorcyclist", "scooter"),
        min_iou=0.35, min_iou_major=0.15, height_m=(0.6, 2.5), typical_size_m=(1.8, 0.7, 1.7),
        center_noise_share=0.05,
    ),
    ClassThresholds(
        labels=("pedestrian", "person", "person_sitting", "human", "walker"),
        min_iou=0.3, min_iou_major=0.1, height_m=(0.5, 2.5), typical_size_m=(0.8, 0.7, 1.7),
        center_noise_share=0.06,
    ),
)  # fmt: skip

OTHER_CLASS = ClassThresholds(
    labels=(), min_iou=0.3, min_iou_major=0.1, height_m=(0.1, 8.0), typical_size_m=(2.0, 2.0, 2.0),
    center_noise_share=0.06,
)  # fmt: skip


class LidarCameraCauseRules(Contract):
    """When a calibration error or a time offset explains what many pairs show.

    The test statistic is the fall of the normalised, truncated squared residual, one vote an object, when the cause
    is corrected for. Without a cause it follows a chi-square distribution at most, because ``center_noise_px`` and
    ``center_noise_share`` are above what careful labels show; ``false_alarm_rate`` sets its threshold.
    """

    enabled: bool = True
    false_alarm_rate: Annotated[float, Field(ge=1e-12, le=0.5)] = Field(
        default=1e-3, description="Accepted chance of a cause in a sample without one."
    )
    center_noise_px: Annotated[float, Field(gt=0, le=100)] = Field(
        default=1.5, description="Standard deviation of an object's labelled centre, pixels, besides its share."
    )
    min_pairs: Annotated[int, Field(ge=3, le=100_000)] = 3
    min_objects: Annotated[int, Field(ge=2, le=100_000)] = 2
    min_agreement: Annotated[float, Field(gt=0.5, le=1)] = Field(
        default=0.75, description="Share of the objects that the correction must bring closer and into the noise."
    )
    max_rotation_deg: Annotated[float, Field(gt=0, le=20)] = Field(
        default=5.0, description="Search range of the calibration error, about each axis."
    )
    min_rotation_deg: Annotated[float, Field(ge=0, le=20)] = Field(
        default=0.25, description="A smaller calibration error is not reported."
    )
    major_rotation_deg: Annotated[float, Field(ge=0, le=20)] = 0.4
    critical_rotation_deg: Annotated[float, Field(ge=0, le=90)] = 1.5
    max_offset_frames: Annotated[int, Field(ge=0, le=100)] = Field(
        default=8, description="Search range of the time offset; 0 turns the search off."
    )
    min_offset_frames: Annotated[float, Field(ge=0, le=100)] = 0.5
    critical_offset_s: Annotated[float, Field(ge=0, le=3600)] = 0.3


class LidarCameraImporterRules(Contract):
    """When labels are misplaced because an importer read their numbers in another convention."""

    enabled: bool = True
    min_objects: Annotated[int, Field(ge=2, le=100_000)] = Field(
        default=3, description="Least objects from which a conversion is concluded."
    )
    min_iou_gain: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="Least gain of the objects' mean overlap when the conversion is undone."
    )
    min_error_fall: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.4, description="Share of what is missing to a full overlap that must vanish with it."
    )
    min_iou: Fraction = Field(default=0.6, description="Least mean overlap of the objects with the conversion undone.")
    min_agreement: Annotated[float, Field(gt=0.5, le=1)] = Field(
        default=0.65, description="Share of the objects that must come closer, or stay as they are."
    )


class LidarCameraRules(Contract):
    """When a cuboid and a camera box disagree, and which labels are exempt."""

    enabled: bool = True
    classes: Annotated[tuple[ClassThresholds, ...], Field(max_length=200)] = DEFAULT_CLASSES
    other: ClassThresholds = Field(default=OTHER_CLASS, description="For classes that ``classes`` does not name.")
    equivalent_labels: Annotated[tuple[tuple[Name, ...], ...], Field(max_length=500)] = Field(
        default=(
            ("car", "van", "suv", "taxi", "automobile"),
            ("pedestrian", "person", "person_sitting", "human"),
            ("cyclist", "bicycle", "bicyclist", "rider"),
            ("motorcycle", "motorcyclist"),
        ),
        description="Classes that two teams may name differently without a fault.",
    )
    near_plane_m: Annotated[float, Field(gt=0, le=10)] = 0.1
    max_truncation: Fraction = Field(
        default=0.3, description="More of the object outside the image than this: no overlap is asked for."
    )
    max_occlusion: Annotated[int, Field(ge=0, le=2)] = Field(
        default=1, description="Above it (3, unknown, never counts) no partner, overlap or points are asked for."
    )
    occluder_cover: Fraction = Field(
        default=0.6, description="A cuboid covered this far in the image by a nearer one needs no box."
    )
    max_range_m: Metres = Field(default=80.0, description="Cuboids beyond it are not judged.")
    min_height_px: Pixels = Field(default=12.0, description="Lower boxes are not judged.")
    major_height_px: Pixels = Field(
        default=20.0, description="A missing partner of a lower box is minor: labelling guides differ there."
    )
    ignore_cover: Fraction = Field(default=0.9, description="A box covered this far by an ignore region is not judged.")
    min_match_iou: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="Boxes with less overlap are never paired by overlap alone."
    )
    id_conflict_iou: Fraction = Field(
        default=0.5, description="Overlap at which a differing object_id is a fault and not a neighbour."
    )
    depth_ratio: Ratio = Field(
        default=1.35, description="Cuboid's height in the image over the box's, or the inverse, that is implausible."
    )
    depth_ratio_major: Ratio = 1.5
    depth_noise_px: Pixels = Field(
        default=4.0, description="Taken off the greater of the two heights before they are compared."
    )
    min_points_inside: Annotated[int, Field(ge=1, le=100_000)] = 1
    points_margin_m: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.1, description="Cuboids are grown by it before points are counted."
    )
    points_range_m: Metres = Field(default=50.0, description="Farther cuboids may well hold no point.")
    points_blocked_share: Fraction = Field(
        default=0.5,
        description="Share of the points towards a cuboid that end before it, at which something hides it.",
    )
    min_points_seen: Annotated[int, Field(ge=0, le=100_000)] = Field(
        default=3, description="A box with fewer LiDAR points behind it is outside the LiDAR's view."
    )
    judge_unlabelled_streams: bool = Field(
        default=False, description="Whether a stream without any label counts as labelled and empty."
    )
    min_track_frames: Annotated[int, Field(ge=2, le=100_000)] = Field(
        default=3, description="One fault of one object in so many frames becomes one finding."
    )
    max_extrinsics_gap_m: Annotated[float, Field(ge=0, le=100)] = Field(
        default=0.05, description="How far two ways from one frame to another may lie apart, metres."
    )
    max_extrinsics_gap_deg: Annotated[float, Field(ge=0, le=180)] = Field(
        default=0.2, description="How far two ways from one frame to another may be turned, degrees."
    )
    cause: LidarCameraCauseRules = Field(default_factory=LidarCameraCauseRules)
    importer: LidarCameraImporterRules = Field(default_factory=LidarCameraImporterRules)

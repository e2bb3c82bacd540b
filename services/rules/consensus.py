"""When several people's labels are of one thing, and when they agree on it."""

from __future__ import annotations

from typing import Annotated, Literal, cast

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name, Positive
from services.taxonomy.changes import LabelKind


class ConsensusRules(Contract):
    """Thresholds of matching and of agreement; a value for one kind of label goes before the general one.

    How close two labels are is a number from 0 to 1 for every kind: intersection over union of boxes, cuboids, regions,
    spans, intervals and tracks; object keypoint similarity; one less the word error rate of transcripts and summaries;
    one less the distance over its tolerance of lines on the ground.
    """

    min_answers: Annotated[int, Field(ge=2, le=100)] = Field(
        default=2, description="People who must have answered before anything can be said to be agreed."
    )
    match_min: Fraction = Field(default=0.5, description="Least closeness of two labels of one thing.")
    match_min_of: dict[LabelKind, Fraction] = Field(
        default={"cuboid": 0.3, "spatial_track": 0.3, "lane_marking": 0.3, "transcript_segment": 0.3},
        description="The same for single kinds.",
    )
    class_penalty: Fraction = Field(
        default=0.1,
        description="Share that labels of different classes are taken to be less close by when they are matched, so "
        "that of two things at one place each finds its own class.",
    )
    duplicate_min: Fraction = Field(
        default=0.9, description="Closeness from which on two labels of one person and class are one label given twice."
    )
    min_support: Fraction = Field(
        default=0.6, description="Least share of those who answered that must have labelled the thing."
    )
    min_class_share: Fraction = Field(default=0.6, description="Least share of the weight that its class must have.")
    min_place: Fraction = Field(default=0.7, description="Least mean closeness of those who labelled the thing.")
    min_place_of: dict[LabelKind, Fraction] = Field(
        default={
            "cuboid": 0.5, "spatial_track": 0.5, "track": 0.6, "lane_marking": 0.5, "summary": 0.3,
        },
        description="The same for single kinds.",
    )  # fmt: skip
    moment_tolerance_s: Positive = Field(
        default=0.5, description="Time by which two events without duration may differ to be close at all, seconds."
    )
    line_tolerance_m: Positive = Field(
        default=1.0,
        description="Mean distance at which two lines on the ground, or places, are not close at all, metres.",
    )
    boundary_tolerance_s: Annotated[float, Field(ge=0, le=3_600)] = Field(
        default=0.25, description="Time within which two ends of intervals are the same boundary, seconds."
    )
    ordered_classes: Annotated[tuple[Annotated[tuple[Name, ...], Field(min_length=3)], ...], Field(max_length=100)] = (
        Field(
            default=(("negative", "neutral", "positive"),),
            description="Classes that have an order, from one end to the other: neighbours among them are half agreed.",
        )
    )
    keypoint_spread: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.1, description="Deviation of a point, in units of the object's size, at which its closeness is 0.61."
    )

    votes: Literal["by_skill"] | None = Field(
        default=None,
        description="by_skill: who is right more often has more weight in votes on classes and words, as learned from "
        "earlier answers; none: everybody's vote counts alike.",
    )

    def match_of(self, kind: str) -> float:
        """Return the least closeness of two labels of one thing."""
        return self.match_min_of.get(cast("LabelKind", kind), self.match_min)

    def place_of(self, kind: str) -> float:
        """Return the least mean closeness of a thing that is agreed on."""
        return self.min_place_of.get(cast("LabelKind", kind), self.min_place)

"""What the report of a dataset asks of every sample, beyond what the checks find."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name

MetadataFact = Literal["captured_at", "content", "sha256", "sensor", "clock", "calibration"]
Validation = Literal["human_author", "second_look", "no_open_conflict", "lineage", "gold"]


class ReportRules(Contract):
    """Which metadata must be there, what validates ground truth, and when two data types name things otherwise."""

    metadata: Annotated[tuple[MetadataFact, ...], Field(max_length=6)] = Field(
        default=("captured_at", "content", "sha256", "sensor", "clock", "calibration"),
        description="captured_at of each sample; of streams their content (not labels alone), sha256 (of what has an "
        "address), sensor, clock (video, audio, LiDAR, radar), calibration (cameras beside LiDAR or radar).",
    )
    validation: Annotated[tuple[Validation, ...], Field(max_length=5)] = Field(
        default=("human_author", "second_look", "no_open_conflict", "lineage", "gold"),
        description="What ground truth must have: a human (or consensus) author of every label, a second person who "
        "looked, no open finding that blocks, a hash of the data that was labelled; and of the dataset, gold labels.",
    )
    gold_attribute: Name = Field(default="gold", description="Attribute that is true on gold labels.")
    min_class_objects: Annotated[int, Field(ge=1, le=1_000_000)] = Field(
        default=3, description="Objects that two data types call differently, from which on their classes differ."
    )
    min_class_share: Fraction = Field(
        default=0.5,
        description="Least share of the objects of a class that the other data type calls by one other class.",
    )

"""What the ``coverage`` check requires of a sample, and of a whole dataset."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Fraction, Identifier, Name
from services.contracts.findings import Severity
from services.contracts.manifest import Modality

CoverageKind = Literal[
    "missing_modality", "missing_stream", "incomplete_stream", "missing_content", "missing_labels", "missing_attribute",
    "unexpected_value", "low_time_coverage",
]  # fmt: skip
Count = Annotated[int, Field(ge=1, le=1_000_000_000)]

FactField = Annotated[
    str,
    Field(
        pattern=r"^(region|product|risk|policy|modality|sensor|(attributes|labels|label_attributes)\.[A-Za-z0-9_.-]{1,100})$",
        description="region, product, risk, policy (its id), attributes.X of the context; modality and sensor of the "
        "streams; labels.TYPE, the classes of one label type; label_attributes.X, what labels say of X.",
    ),
]
Conditions = Annotated[
    dict[FactField, Annotated[tuple[Name, ...], Field(min_length=1, max_length=1_000)]], Field(max_length=50)
]

_SEVERITIES: dict[CoverageKind, Severity] = {
    "missing_modality": "major",
    "missing_stream": "major",
    "incomplete_stream": "major",
    "missing_content": "major",
    "missing_labels": "major",
    "missing_attribute": "major",
    "unexpected_value": "minor",
    "low_time_coverage": "major",
}


class RequiredLabels(Contract):
    """Labels that a sample must have; what is left open fits every label."""

    type: Name | None = Field(default=None, description="The label kind, such as box or emotion.")
    label: Name | None = Field(default=None, description="The class, without case; a * at its end fits any ending.")
    modality: Modality | None = Field(default=None, description="Of the stream that the labels stand on.")
    attributes: Annotated[dict[Name, tuple[Name, ...]], Field(max_length=50)] = Field(
        default_factory=dict, description="Values, as text, of attributes or fields of the label, such as occlusion."
    )
    min_count: Count = 1
    min_time_share: Fraction | None = Field(
        default=None, description="Share of the recording that these labels must cover together."
    )
    each_stream: bool = Field(default=False, description="Whether every stream of the modality must have them.")

    @model_validator(mode="after")
    def _each_stream_of_what(self) -> Self:
        if self.each_stream and self.modality is None:
            raise ValueError("each_stream needs a modality")
        return self


class RequiredStream(Contract):
    """A stream that a sample must have, and what must be known of it."""

    id: Identifier | None = Field(
        default=None, description="Of the stream, or of its sensor; none: any of the modality."
    )
    modality: Modality
    coordinate_frame: Identifier | None = Field(default=None, description="The frame its labels must be in.")
    clock: bool = Field(default=False, description="Whether times of its items must be known.")
    rate_hz: Annotated[float, Field(gt=0, le=1e7)] | None = Field(
        default=None, description="The rate its clock must state, within one per cent."
    )
    calibrated_to: Identifier | None = Field(
        default=None,
        description="The frame or stream that its calibration must lead to; a camera needs intrinsics too.",
    )


class SampleRequirement(Contract):
    """What samples of one sort must have."""

    name: Name
    when: Conditions = Field(default_factory=dict, description="All must hold for the requirement to apply.")
    modalities: Annotated[tuple[Modality, ...], Field(max_length=20)] = ()
    sensors: Annotated[tuple[Name, ...], Field(max_length=200)] = Field(
        default=(), description="Sensors, or ids of streams, that must be there."
    )
    streams: Annotated[tuple[RequiredStream, ...], Field(max_length=200)] = ()
    content: bool = Field(
        default=False, description="Whether streams of the required modalities must have data, and not only labels."
    )
    labels: Annotated[tuple[RequiredLabels, ...], Field(max_length=200)] = ()
    attributes: Annotated[tuple[FactField, ...], Field(max_length=100)] = Field(
        default=(), description="Facts that must be known, since scenarios are counted by them."
    )


class Dimension(Contract):
    """One attribute of scenarios, with the values that a dataset must have."""

    field: FactField
    values: Annotated[tuple[Name, ...], Field(min_length=1, max_length=1_000)]
    min_samples: Count = 1
    min_share: Fraction = Field(default=0.0, description="Least share of the dataset's samples for each value.")


class EdgeCase(Contract):
    """A rare case that a dataset must contain."""

    name: Name
    when: Conditions = Field(default_factory=dict)
    labels: Annotated[tuple[RequiredLabels, ...], Field(max_length=50)] = ()
    min_samples: Count = 1


class CoverageRules(Contract):
    """What must be there: in each sample (judged by the check), and in a dataset (judged by the report)."""

    enabled: bool = True
    severities: Annotated[dict[CoverageKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind, where it is to differ from the default."
    )
    requirements: Annotated[tuple[SampleRequirement, ...], Field(max_length=500)] = ()
    dimensions: Annotated[tuple[Dimension, ...], Field(max_length=50)] = ()
    combinations: Annotated[tuple[tuple[FactField, FactField], ...], Field(max_length=200)] = Field(
        default=(), description="Pairs of dimensions of which every combination of values must be there."
    )
    impossible: Annotated[tuple[Conditions, ...], Field(max_length=1_000)] = Field(
        default=(), description="Combinations that do not exist and are not asked for."
    )
    min_combination_samples: Count = 1
    edge_cases: Annotated[tuple[EdgeCase, ...], Field(max_length=500)] = ()
    max_listed: Annotated[int, Field(ge=0, le=10_000)] = Field(
        default=20, description="How many samples are listed behind each number."
    )

    @model_validator(mode="after")
    def _combinations_of_dimensions(self) -> Self:
        known = [dimension.field for dimension in self.dimensions]
        if len(set(known)) != len(known):
            raise ValueError("dimensions: each field may be given once")
        for pair in self.combinations:
            for field in pair:
                if field not in known:
                    raise ValueError(f"combinations: {field!r} is no dimension; dimensions are {known}")
        return self

    def severity_of(self, kind: CoverageKind) -> Severity:
        """Return the severity of ``kind`` in these rules."""
        return self.severities.get(kind, _SEVERITIES[kind])

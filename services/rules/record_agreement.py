"""What the ``record_agreement`` check compares: which label says the same as which field of a record."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Fraction, Identifier, Name, Number, Scalar
from services.contracts.findings import Severity
from services.taxonomy.changes import LabelKind

RecordAgreementKind = Literal[
    "field_mismatch", "not_in_record", "not_labelled", "record_missing_field", "label_missing_value", "unit_mismatch",
    "value_unreadable",
]  # fmt: skip

ValueSource = Annotated[
    str, Field(pattern=r"^(label|text|object_id|speaker|value|count|start_s|end_s|attributes\..{1,150})$")
]
"""Where a label says it: its class, its text, its metadata value, one of its attributes, or how many there are."""


class EqualComparison(Contract):
    """The two are the same text, number or flag; white space and, unless asked for, case do not count."""

    kind: Literal["equal"] = "equal"
    case_sensitive: bool = False


class OneOfComparison(Contract):
    """The record's value is one of those that the label's value stands for, such as 43 coarse for 81 fine classes."""

    kind: Literal["one_of"] = "one_of"
    allowed: Annotated[dict[Name, tuple[Scalar, ...]], Field(max_length=20_000)] = Field(
        description="Label value → record values that agree with it."
    )
    case_sensitive: bool = False


class ToleranceComparison(Contract):
    """Two quantities differ by at most the greater of an absolute and a relative tolerance."""

    kind: Literal["tolerance"] = "tolerance"
    absolute: Annotated[float, Field(ge=0, le=1e12)] = Field(default=0.0, description="In ``unit``.")
    relative: Fraction = Field(default=0.0, description="Of the record's value.")
    unit: Name | None = Field(
        default=None, description="Both are converted to it, such as kg; none compares bare numbers."
    )
    label_unit: Name | None = Field(default=None, description="Unit of the label's value where it names none itself.")
    record_unit: Name | None = Field(default=None, description="Unit of the record's value where it names none.")


class DateComparison(Contract):
    """The label's date lies in a window around the record's."""

    kind: Literal["date"] = "date"
    days_before: Annotated[float, Field(ge=0, le=100_000)] = Field(default=0.0, description="Days.")
    days_after: Annotated[float, Field(ge=0, le=100_000)] = Field(default=0.0, description="Days.")
    day_first: bool = Field(default=False, description="Whether 03/04/2024 is the third of April.")


class TextComparison(Contract):
    """The texts are near by normalised edit distance; word order counts unless ``any_order``."""

    kind: Literal["text"] = "text"
    min_similarity: Fraction = 0.9
    any_order: bool = False
    contains: bool = Field(default=False, description="Whether it is enough that one text holds the other.")


Comparison = Annotated[
    EqualComparison | OneOfComparison | ToleranceComparison | DateComparison | TextComparison,
    Field(discriminator="kind"),
]


class RecordBinding(Contract):
    """One correspondence between labels and a field of the record.

    Where the field's name holds ``*``, or several fields are named, the value must agree with one of them:
    ``items.*.sku`` are the lines of an invoice.
    """

    id: Identifier = Field(description="Part of the findings' identity.")
    label_kinds: tuple[LabelKind, ...] = Field(default=(), description="Empty means every kind.")
    labels: Annotated[tuple[Name, ...], Field(max_length=20_000)] = Field(
        default=(), description="Classes (of metadata fields: names) it is about; empty means every class."
    )
    streams: Annotated[tuple[Identifier, ...], Field(max_length=200)] = Field(
        default=(), description="Streams the labels stand on; empty means every stream that is no record."
    )
    value: ValueSource = "label"
    records: Annotated[tuple[Identifier, ...], Field(max_length=200)] = Field(
        default=(), description="Record streams to look in; empty means every stream of modality record."
    )
    fields: Annotated[tuple[Name, ...], Field(min_length=1, max_length=200)]
    comparison: Comparison = Field(default_factory=EqualComparison)
    required_in_record: bool = Field(default=True, description="Whether a record without the field is a finding.")
    required_in_label: bool = Field(default=False, description="Whether a label without the value is a finding.")
    both_ways: bool = Field(
        default=False, description="Whether each value in the record must be labelled (kind not_labelled)."
    )
    record_is_right: bool = Field(
        default=False, description="Whether to suggest the record's value as a fix of the label."
    )
    severity: Severity | None = Field(default=None, description="Of disagreement, where it differs from the rest.")


class RecordAgreementRules(Contract):
    """The correspondences; without any, the check is not applicable."""

    enabled: bool = True
    bindings: Annotated[tuple[RecordBinding, ...], Field(max_length=500)] = ()
    conversion_tolerance: Annotated[float, Field(ge=0, le=0.1)] = Field(
        default=0.02,
        description="How near, as a share, two numbers must come by a usual conversion (kg and lb, °C and °F) to "
        "blame the unit and not the value.",
    )
    empty_values: Annotated[tuple[Name, ...], Field(max_length=100)] = Field(
        default=("n/a", "na", "none", "null", "unknown", "-", "--"), description="Texts that say nothing, without case."
    )
    cause_min_labels: Annotated[int, Field(ge=2, le=100_000)] = Field(
        default=3, description="From this many labels that disagree with one field on, one finding speaks for them."
    )
    severities: Annotated[dict[RecordAgreementKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind where it differs from the default."
    )
    numeric_precision: Annotated[Number, Field(gt=0)] = Field(
        default=1e-9, description="Relative rounding error that counts as equal."
    )

    @model_validator(mode="after")
    def _ids_are_unique(self) -> Self:
        seen: set[str] = set()
        for binding in self.bindings:
            if binding.id in seen:
                raise ValueError(f"two bindings have the id {binding.id!r}; ids are unique")
            seen.add(binding.id)
        return self

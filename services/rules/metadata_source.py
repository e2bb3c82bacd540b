"""Thresholds of the ``metadata_source`` check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, UtcDatetime
from services.contracts.findings import Severity
from services.contracts.labels_spatial import DeviceValue

MetadataSourceKind = Literal[
    "wrong_sensor", "wrong_subject", "outside_time_window", "outside_area", "device_mismatch", "swapped_with"
]
Latitude = Annotated[float, Field(ge=-90, le=90)]
Longitude = Annotated[float, Field(ge=-180, le=180)]


class Area(Contract):
    """A part of the earth between two parallels and two meridians, WGS 84."""

    region: Name = Field(description="As the samples' context writes it; several areas may make up one region.")
    south_deg: Latitude
    north_deg: Latitude
    west_deg: Longitude
    east_deg: Longitude = Field(description="Less than west_deg where the area crosses the date line.")


class MetadataSourceRules(Contract):
    """How far apart statements about the origin of one sample may be."""

    enabled: bool = True
    subject_fields: Annotated[tuple[Name, ...], Field(max_length=200)] = Field(
        default=(
            "patient_id", "subject_id", "asset_id", "vehicle_id", "vin", "sku", "product_id", "article_id",
            "customer_id", "order_id", "meter_id", "machine_id",
        ),
        description="Names under which labels, records and the context say whom or what the sample is about.",
    )  # fmt: skip
    product_fields: Annotated[tuple[Name, ...], Field(max_length=50)] = Field(
        default=("sku", "product_id"), description="Subject fields that the context's product answers too."
    )
    ignore_leading_zeros: bool = Field(default=True, description="Whether 00123 and 123 are one subject.")
    time_fields: Annotated[tuple[Name, ...], Field(max_length=100)] = Field(
        default=(
            "captured_at", "capture_time", "recorded_at", "recording_time", "acquired_at", "acquisition_time",
            "date_taken", "datetime_original", "study_time", "taken_at",
        ),
        description="metadata_field labels that say when the sample was recorded.",
    )  # fmt: skip
    max_time_difference_s: Annotated[float, Field(ge=0, le=1e8)] = Field(
        default=3_600.0, description="Statements of one recording's time lie within this, plus its duration, seconds."
    )
    not_before: UtcDatetime | None = Field(default=None, description="The project's recordings begin here.")
    not_after: UtcDatetime | None = Field(default=None, description="The project's recordings end here.")
    max_distance_m: Annotated[float, Field(ge=0, le=2.1e7)] = Field(
        default=1_000.0, description="Statements of one recording's place lie within this, plus accuracies, metres."
    )
    areas: Annotated[tuple[Area, ...], Field(max_length=5_000)] = Field(
        default=(), description="Where the context's regions are; a region that is not listed is not judged."
    )
    devices: Annotated[dict[Identifier, DeviceValue], Field(max_length=5_000)] = Field(
        default_factory=dict, description="The device behind a sensor id, as its files name it."
    )
    severities: Annotated[dict[MetadataSourceKind, Severity], Field(max_length=20)] = Field(
        default_factory=dict, description="Severities that replace the check's own."
    )

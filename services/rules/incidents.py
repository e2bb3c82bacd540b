"""When findings of several samples are one incident, and which causes can be shared."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name

Remedy = Literal["calibration", "clock", "time_shift", "labels"]


class CauseValue(Contract):
    """One number of a cause's estimate that must be the same, within its uncertainty, in samples of one incident."""

    name: Name = Field(description="Its name in the estimate; the unit is in the name.")
    uncertainty: Name | None = Field(default=None, description="Name of its standard deviation, in the same unit.")
    tolerance: Annotated[float, Field(gt=0, le=1e9)] = Field(
        description="A difference that is none, in the same unit, whatever the uncertainties say."
    )


class SharedCause(Contract):
    """A cause that several samples can have in common."""

    check: Name
    kind: Name = Field(description="The cause's kind, as the finding names it.")
    by: Annotated[tuple[Literal["sensor", "group", "maker"], ...], Field(min_length=1, max_length=3)] = Field(
        default=("sensor",),
        description="Whose fault it is: the sensors (or else streams) of the finding, its own group, or the team, "
        "importer or model that made its labels. What differs in one of them is another incident.",
    )
    values: Annotated[tuple[CauseValue, ...], Field(max_length=10)] = ()
    same: Annotated[tuple[Name, ...], Field(max_length=10)] = Field(
        default=(), description="Members of the estimate that must be equal."
    )
    remedy: Remedy | None = Field(
        default=None, description="What mends it by the incident's own estimate; none: a person must say."
    )


def _degrees(name: str) -> CauseValue:
    return CauseValue(name=f"{name}_deg", uncertainty=f"{name}_deg_std", tolerance=0.1)


def _seconds(uncertainty: str, tolerance_s: float) -> CauseValue:
    return CauseValue(name="offset_s", uncertainty=uncertainty, tolerance=tolerance_s)


_DRIFT = CauseValue(name="drift_ppm", uncertainty="drift_uncertainty_ppm", tolerance=20.0)

SHARED_CAUSES = (
    SharedCause(
        check="lidar_camera",
        kind="calibration_shift",
        values=(_degrees("yaw"), _degrees("pitch"), _degrees("roll")),
        remedy="calibration",
    ),
    SharedCause(
        check="lidar_camera",
        kind="time_offset",
        values=(
            CauseValue(name="offset_frames", uncertainty="offset_frames_std", tolerance=0.5),
            _seconds("offset_s_std", 0.05),
        ),
    ),
    SharedCause(
        check="lidar_camera",
        kind="importer_error",
        by=("group", "maker"),
        same=("conversion",),
        remedy="labels",
    ),
    SharedCause(
        check="audio_transcript",
        kind="offset",
        values=(_seconds("offset_uncertainty_s", 0.1),),
        remedy="time_shift",
    ),
    SharedCause(
        check="audio_transcript",
        kind="drift",
        values=(_seconds("offset_uncertainty_s", 0.1), _DRIFT),
        remedy="time_shift",
    ),
    SharedCause(
        check="audio_transcript",
        kind="importer_error",
        by=("group", "maker"),
        same=("unit",),
        remedy="labels",
    ),
    SharedCause(
        check="event_structure",
        kind="time_offset",
        values=(_seconds("offset_uncertainty_s", 0.1),),
        remedy="time_shift",
    ),
    SharedCause(check="clock", kind="clock_offset", values=(_seconds("offset_uncertainty_s", 0.01),), remedy="clock"),
    SharedCause(check="clock", kind="drift", values=(_DRIFT,)),
    SharedCause(check="clock", kind="skew", values=(CauseValue(name="rate_error", tolerance=1e-3),)),
    SharedCause(check="clock", kind="unit", same=("factor",)),
    SharedCause(
        check="metadata_source",
        kind="camera_clock",
        by=("group",),
        values=(CauseValue(name="utc_offset_h", tolerance=0.25),),
        same=("days",),
    ),
    SharedCause(
        check="taxonomy_conformance",
        kind="systematic_label",
        by=("group", "maker"),
        same=("about",),
        remedy="labels",
    ),
    SharedCause(
        check="record_agreement",
        kind="wrong_unit",
        by=("group", "maker"),
        same=("written", "meant"),
    ),
    SharedCause(
        check="affect_agreement",
        kind="inverted_scale",
        by=("group", "maker"),
    ),
    SharedCause(check="affect_agreement", kind="shifted_labels", by=("group", "maker"), same=("shift_utterances",)),
    SharedCause(
        check="definition_drift",
        kind="taxonomy_version_mix",
        by=("group",),
        same=("newest",),
        remedy="labels",
    ),
    SharedCause(check="definition_drift", kind="class_confusion", by=("group",)),
    SharedCause(check="definition_drift", kind="boundary_bias", by=("group",)),
    SharedCause(check="definition_drift", kind="usage_shift", by=("group",)),
)


class IncidentRules(Contract):
    """When blocking findings with one cause across samples are handled as one incident."""

    enabled: bool = True
    min_samples: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        default=3, description="Samples whose findings have one cause, from which on they are one incident."
    )
    spot_checks: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=5, description="Samples of an incident that people look at one by one; the others wait for the fix."
    )
    sigmas: Annotated[float, Field(gt=0, le=100)] = Field(
        default=4.0, description="How many standard deviations apart two estimates of one cause may be."
    )
    min_explained: Fraction = Field(
        default=0.5, description="Least share of the spot checks whose finding a fix must close in its preview."
    )
    causes: Annotated[tuple[SharedCause, ...], Field(max_length=200)] = Field(
        default=SHARED_CAUSES, description="Causes that samples can share; what is not listed is reviewed by itself."
    )

    def shared(self, check: str, kind: str) -> SharedCause | None:
        """Return how the cause of this check and kind is shared, None if it is not."""
        return next((cause for cause in self.causes if (cause.check, cause.kind) == (check, kind)), None)

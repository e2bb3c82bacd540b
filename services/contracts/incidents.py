"""One cause behind findings of many samples: the incident, its members, its fix."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, Self
from uuid import UUID

from pydantic import Field, model_validator

from services.contracts.base import (
    Contract,
    Fraction,
    Identifier,
    LongText,
    Name,
    ProjectId,
    Scalar,
    Seconds,
    Sha256,
    Text,
    UtcDatetime,
)
from services.contracts.findings import ExactNumber, RuleReference, Severity
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import Calibration

Count = Annotated[int, Field(ge=0)]
Degrees = Annotated[float, Field(ge=-180, le=180)]


class IncidentState(StrEnum):
    """Where an incident is."""

    OPEN = "open"  # its samples wait, spot checks are under review
    FIXING = "fixing"  # a fix was ordered and is applied, sample by sample
    CLOSED = "closed"  # every sample was checked again
    DISMISSED = "dismissed"  # it was none; every finding is reviewed by itself


LIVE_INCIDENT_STATES = frozenset({IncidentState.OPEN, IncidentState.FIXING})


class MemberState(StrEnum):
    """What became of a finding as a part of its incident."""

    WAITING = "waiting"  # for the incident's fix
    ORDERED = "ordered"  # the fix is ordered and not yet applied to this sample
    APPLIED = "applied"  # the fix is applied, the sample is not yet checked again
    EXPLAINED = "explained"  # checked again: the fix has closed the finding
    LEFT = "left"  # checked again: the finding is still there, and reviewed by itself
    DECIDED = "decided"  # a person, or a change of its labels, has closed it before the fix came
    GONE = "gone"  # its sample was withdrawn, replaced or rejected
    RELEASED = "released"  # the incident was dismissed; the finding is reviewed by itself


LIVE_MEMBER_STATES = frozenset({MemberState.WAITING, MemberState.ORDERED, MemberState.APPLIED})


class CombinedValue(Contract):
    """One number of a cause, estimated from all samples."""

    name: Name = Field(description="With its unit.")
    mean: ExactNumber
    std: ExactNumber = Field(description="Standard deviation of the mean.")
    scatter: ExactNumber = Field(default=0.0, description="Standard deviation between samples beyond their own.")
    lowest: ExactNumber
    highest: ExactNumber


class CombinedEstimate(Contract):
    """What the samples of an incident say together about its cause."""

    samples: Count = Field(description="How many it was made from; it is made anew as the incident grows.")
    values: tuple[CombinedValue, ...] = ()
    same: dict[Name, Scalar] = Field(default_factory=dict, description="What is equal in all of them.")

    def value(self, name: str) -> CombinedValue | None:
        """Return the value of this name, if it was estimated."""
        return next((value for value in self.values if value.name == name), None)


class RotationDeg(Contract):
    """How far a camera is turned against its calibration: as the finding names it."""

    yaw_deg: Degrees = 0.0
    pitch_deg: Degrees = 0.0
    roll_deg: Degrees = 0.0


class CalibrationCorrection(Contract):
    """Another calibration for a sensor, in every sample."""

    kind: Literal["calibration"] = "calibration"
    sensor: Identifier = Field(description="The sensor, or the stream where the manifest names no sensor.")
    calibration: Calibration | None = Field(default=None, description="The new calibration, put in place of the old.")
    turned: RotationDeg | None = Field(
        default=None, description="By how much the calibration is turned, to be turned back in each sample."
    )

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.calibration is None) == (self.turned is None):
            raise ValueError("give calibration or turned, one of the two")
        return self


class ClockCorrection(Contract):
    """A clock of a sensor that was wrong, set right in every sample."""

    kind: Literal["clock"] = "clock"
    sensor: Identifier = Field(description="The sensor, or the stream where the manifest names no sensor.")
    offset_s: Seconds = Field(description="What is added to every time of its clock, seconds.")


class TimeCorrection(Contract):
    """Timed labels at the wrong time, moved in every sample: ``t_new = (t_old + offset_s) * (1 + drift)``."""

    kind: Literal["time_shift"] = "time_shift"
    offset_s: Seconds
    drift: Annotated[float, Field(gt=-0.5, lt=0.5)] = 0.0


class LabelCorrection(Contract):
    """Labels that were read or named wrongly: every sample gets what its own finding suggests."""

    kind: Literal["labels"] = "labels"


Correction = Annotated[
    CalibrationCorrection | ClockCorrection | TimeCorrection | LabelCorrection, Field(discriminator="kind")
]


class SpotPreview(Contract):
    """What a correction would do to one spot check."""

    ref: RevisionRef
    finding_id: Identifier
    explained: bool = Field(description="Whether the finding is gone once the correction is applied.")
    measured_before: ExactNumber | None = None
    measured_after: ExactNumber | None = Field(default=None, description="What is left of it, in the same unit.")
    unit: Name | None = None
    findings_before: Count = Field(default=0, description="Blocking findings of the sample before.")
    findings_after: Count = 0
    reason: Text | None = Field(default=None, description="Why the correction could not be tried.")


class FixPreview(Contract):
    """What a correction explains: tried on the spot checks, reckoned for all others."""

    incident_id: UUID
    correction: Correction
    correction_sha256: Sha256
    spot_checks: Annotated[tuple[SpotPreview, ...], Field(max_length=1_000)]
    explained: Count = Field(description="Spot checks whose finding is gone.")
    reckoned: Count = Field(
        description="Members, of all, whose own estimate is met by the correction within its uncertainty."
    )
    members: Count
    sufficient: bool = Field(description="Whether it explains the share that the rule set asks for.")
    made_at: UtcDatetime


class FixRequest(Contract):
    """How an incident is to be fixed."""

    correction: Correction | None = Field(default=None, description="Left out: what the incident suggests.")
    dry_run: bool = Field(default=False, description="Only preview it; a fix must have been previewed before.")
    override: bool = Field(
        default=False, description="Apply it although its preview explains less than the rule set asks for."
    )
    note: LongText | None = None


class IncidentFix(Contract):
    """A fix that was ordered."""

    fix_id: UUID
    incident_id: UUID
    correction: Correction
    correction_sha256: Sha256
    ordered_by: Identifier
    ordered_at: UtcDatetime
    note: LongText | None = None
    preview: FixPreview


class DismissRequest(Contract):
    """Why an incident is none."""

    reason_code: Name = Field(description="Such as different_causes or not_a_fault.")
    note: LongText | None = None


class IncidentProgress(Contract):
    """How many findings of an incident are where."""

    waiting: Count = 0
    ordered: Count = 0
    applied: Count = 0
    explained: Count = 0
    left: Count = 0
    decided: Count = 0
    gone: Count = 0
    released: Count = 0

    @property
    def members(self) -> int:
        """All findings that ever belonged to the incident."""
        return sum(int(count) for count in self.model_dump().values())

    @property
    def checked_again(self) -> int:
        """Findings whose sample was checked again after the fix."""
        return self.explained + self.left

    @property
    def live(self) -> int:
        """Findings that are not settled yet."""
        return self.waiting + self.ordered + self.applied


class Incident(Contract):
    """One cause of findings in several samples."""

    incident_id: UUID
    project: ProjectId
    check: Name
    kind: Name = Field(description="The cause's kind.")
    sources: tuple[Text, ...] = Field(description="Sensors, streams, team, importer or group that have it in common.")
    state: IncidentState
    severity: Severity
    message: Text = Field(description="One sentence, with the numbers.")
    estimate: CombinedEstimate
    axis: Name | None = Field(default=None, description="The value by which samples are told apart as extreme.")
    suggestion: Correction | None = Field(default=None, description="What would mend it by its own estimate.")
    rule: RuleReference
    cause_key: Sha256
    opened_at: UtcDatetime
    updated_at: UtcDatetime
    fix: IncidentFix | None = None
    closed_at: UtcDatetime | None = None
    closed_by: Identifier | None = None
    reason_code: Name | None = None
    note: LongText | None = None


class IncidentSummary(Contract):
    """An incident with how far it is."""

    incident: Incident
    samples: Count
    spot_checks: Count
    progress: IncidentProgress
    share_checked: Fraction | None = Field(
        default=None, description="Share of the fixed findings that were checked again; none before a fix."
    )


class MemberValue(Contract):
    """One sample's own estimate of a value of the cause."""

    name: Name
    value: ExactNumber
    std: ExactNumber | None = None


class IncidentMember(Contract):
    """A finding as a part of an incident."""

    incident_id: UUID
    ref: RevisionRef
    finding_id: Identifier
    state: MemberState
    spot_check: bool = False
    position: ExactNumber | None = Field(default=None, description="Its value on the incident's axis.")
    values: tuple[MemberValue, ...] = ()
    label_version: int | None = Field(default=None, description="The label set that the fix made, where it made one.")
    reason: Text | None = None
    joined_at: UtcDatetime
    updated_at: UtcDatetime

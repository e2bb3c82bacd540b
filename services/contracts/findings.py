"""What a check says: findings, what it could not judge, and the report of one run."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal

from pydantic import Field

from services.contracts.annotations import Annotation
from services.contracts.base import Contract, FrameIndex, Identifier, Name, Scalar, Seconds, Text, Version
from services.contracts.canonical import canonical_json

Severity = Literal["info", "minor", "major", "critical"]
SEVERITY_ORDER: dict[str, int] = {"info": 0, "minor": 1, "major": 2, "critical": 3}

ExactNumber = Annotated[float, Field(ge=-1e300, le=1e300)]


class Measured(Contract):
    """The number behind a finding."""

    value: ExactNumber
    unit: Name
    threshold: ExactNumber | None = None


class Cause(Contract):
    """What explains a finding, or the findings folded under it."""

    kind: Name = Field(description="Such as calibration_shift or offset.")
    group: Identifier = Field(description="Findings with one group have one cause.")
    estimate: Annotated[dict[Name, Scalar], Field(max_length=50)] = Field(
        default_factory=dict, description="Estimates with units in their names, and their uncertainty."
    )


class RuleReference(Contract):
    """The rule set that the thresholds came from."""

    id: Identifier
    version: Version


class LabelPatch(Contract):
    """A change of labels: whole labels to put in place, and ids to remove."""

    upsert: Annotated[tuple[Annotation, ...], Field(max_length=10_000)] = ()
    remove: Annotated[tuple[Identifier, ...], Field(max_length=10_000)] = ()


class TimeShift(Contract):
    """Move the timed labels of a stream: ``t_new = (t_old + offset_s) * (1 + drift)``."""

    stream: Identifier
    types: Annotated[tuple[Name, ...], Field(max_length=50)] = Field(
        default=(), description="Label types to move; empty moves every timed label of the stream."
    )
    offset_s: Seconds
    drift: Annotated[float, Field(gt=-0.5, lt=0.5)] = 0.0


class Suggestion(Contract):
    """A fix that a machine can apply."""

    summary: Text
    patch: LabelPatch | None = None
    time_shift: TimeShift | None = None


class Finding(Contract):
    """One disagreement."""

    finding_id: Identifier
    check: Name
    kind: Name
    severity: Severity
    message: Text = Field(description="One sentence that a reviewer understands, with the numbers.")
    measured: Measured | None = None
    streams: tuple[Identifier, ...] = ()
    annotations: tuple[Identifier, ...] = ()
    frames: tuple[FrameIndex, ...] = ()
    interval_s: tuple[Seconds, Seconds] | None = None
    cause: Cause | None = None
    rule: RuleReference
    suggestion: Suggestion | None = None
    explains: tuple[Identifier, ...] = Field(default=(), description="Ids of the findings folded under this one.")


class NotApplicable(Contract):
    """A check that lacked an input: neither a pass nor a failure."""

    check: Name
    reason: Text
    streams: tuple[Identifier, ...] = ()


class CheckReport(Contract):
    """Everything one run of the checks found."""

    rule: RuleReference
    findings: tuple[Finding, ...] = ()
    folded: tuple[Finding, ...] = Field(
        default=(), description="Symptoms that a finding's cause explains; kept as evidence."
    )
    not_applicable: tuple[NotApplicable, ...] = ()


def finding_id(
    check: str,
    kind: str,
    rule_id: str,
    *,
    streams: tuple[str, ...] = (),
    annotations: tuple[str, ...] = (),
    frames: tuple[int, ...] = (),
    place: str = "",
) -> str:
    """Return a stable id: a hash of what the finding is about, never of the run or of what was measured.

    Args:
        check: The check's id.
        kind: The finding's kind.
        rule_id: The rule set's id; its version is left out, so that a new threshold keeps the id.
        streams: Ids of the streams concerned.
        annotations: Ids of the labels concerned.
        frames: Frame indices.
        place: Any further stable place, such as the ordinal of a stretch of speech.
    """
    identity = [check, kind, rule_id, sorted(streams), sorted(annotations), sorted(frames), place]
    return "f-" + hashlib.sha256(canonical_json(identity)).hexdigest()[:24]

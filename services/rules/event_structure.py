"""Thresholds and the order of events for the ``event_structure`` check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name
from services.contracts.findings import Severity

EventStructureKind = Literal[
    "no_duration", "negative_duration", "duration_implausible", "outside_media", "missing_predecessor",
    "order_violation", "exclusive_overlap", "unpaired_start", "unpaired_end", "cross_modal_offset",
    "missing_counterpart",
]  # fmt: skip
EventType = Literal["action", "event", "sound_event", "acoustic_event", "emotion", "speaker_turn", "transcript_segment"]
Scope = Literal["sample", "stream", "object"]
Tolerance = Annotated[float, Field(ge=0, le=60)]
Span = Annotated[float, Field(gt=0, le=1e6)]
ClassPattern = Annotated[Name, Field(description="A class, compared without case; a * at its end fits any ending.")]

EVENT_TYPES: tuple[EventType, ...] = (
    "action", "event", "sound_event", "acoustic_event", "emotion", "speaker_turn", "transcript_segment",
)  # fmt: skip


class EventRule(Contract):
    """What must hold for the events of one class."""

    label: ClassPattern
    requires_before: Annotated[tuple[ClassPattern, ...], Field(max_length=50)] = Field(
        default=(), description="Each of these must have begun before the event begins."
    )
    within_s: Span | None = Field(
        default=None, description="How long before the event its predecessor may have begun, at most, seconds."
    )
    each_once: bool = Field(
        default=False, description="A predecessor serves one event: two closings need two openings."
    )
    exclusive_group: Name | None = Field(
        default=None, description="Events of one group exclude each other: they must not overlap in time."
    )
    pairs: ClassPattern | None = Field(
        default=None, description="The class that ends what an event of this one starts."
    )
    may_stay_open: bool = Field(default=False, description="Whether the recording may end before the pair is closed.")
    min_duration_s: Annotated[float, Field(ge=0, le=1e6)] | None = None
    max_duration_s: Span | None = None
    scope: Scope = Field(
        default="sample",
        description="Among which events order, pairs and groups hold: those of the sample, of one stream, or of one "
        "object (object_id, actor or speaker).",
    )


class SameEvent(Contract):
    """Classes of two modalities that name one event, such as closing a door and the sound of it."""

    labels: Annotated[tuple[ClassPattern, ...], Field(min_length=1, max_length=100)]
    counterparts: Annotated[tuple[ClassPattern, ...], Field(min_length=1, max_length=100)]
    required: bool = Field(default=False, description="Whether each event of ``labels`` must have a counterpart.")


class CrossModalRules(Contract):
    """When one event, labelled in two modalities, is at two times.

    The offset of a stream is the place where a sum of triangular kernels, one for each pair of equivalent events,
    is greatest. Its peak must stand out from the sums at all other offsets, which unrelated events would give.
    """

    enabled: bool = True
    same_class: bool = Field(
        default=True, description="Whether events of one class on streams of two modalities are the same event."
    )
    same_events: Annotated[tuple[SameEvent, ...], Field(max_length=500)] = ()
    tolerance_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=0.5, description="Events that overlap, or lie nearer than this, coincide, seconds."
    )
    max_offset_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=10.0, description="Offsets up to this many seconds either way are searched."
    )
    min_offset_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=0.3, description="A smaller offset of a whole stream is not reported, seconds."
    )
    min_pairs: Annotated[int, Field(ge=3, le=10_000)] = Field(
        default=4, description="Least number of events that the offset must bring together."
    )
    min_share: Fraction = Field(
        default=0.3, description="Least share of the events of the smaller side that the offset brings together."
    )
    min_peak_sigma: Annotated[float, Field(ge=0, le=50)] = Field(
        default=4.0, description="Least height of the peak over the other offsets, in their standard deviations."
    )
    min_gain: Annotated[float, Field(ge=1, le=10)] = Field(
        default=1.3, description="Least height of the peak over the agreement without any offset, as a ratio."
    )
    single_gap_s: Annotated[float, Field(gt=0, le=600)] = Field(
        default=3.0,
        description="A pair of leftover events farther apart than the tolerance, but nearer than this, is one event at "
        "two times; beyond it they are two events.",
    )


_SEVERITIES: dict[EventStructureKind, Severity] = {
    "no_duration": "major",
    "negative_duration": "major",
    "duration_implausible": "minor",
    "outside_media": "major",
    "missing_predecessor": "major",
    "order_violation": "major",
    "exclusive_overlap": "major",
    "unpaired_start": "major",
    "unpaired_end": "major",
    "cross_modal_offset": "major",
    "missing_counterpart": "minor",
}


class EventStructureRules(Contract):
    """When events lack sequence or duration, and which order they must have."""

    enabled: bool = True
    types: Annotated[tuple[EventType, ...], Field(max_length=10)] = EVENT_TYPES
    events: Annotated[tuple[EventRule, ...], Field(max_length=1_000)] = Field(
        default=(), description="The order of events: what precedes, excludes and ends what."
    )
    severities: Annotated[dict[EventStructureKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind, where it is to differ from the default."
    )
    instant_labels: Annotated[tuple[ClassPattern, ...], Field(max_length=1_000)] = Field(
        default=(), description="Classes that are a moment and need no duration; so are the two ends of a pair."
    )
    max_duration_s: Annotated[dict[EventType, Span], Field(max_length=10)] = Field(
        default={"emotion": 30.0},
        description="Longest plausible label by type, seconds; a class's own limit goes before it.",
    )
    media_tolerance_s: Tolerance = Field(
        default=0.1, description="How far a label may reach outside of its recording: about two video frames, seconds."
    )
    major_outside_s: Tolerance = Field(
        default=0.5, description="A label that begins inside and ends less than this outside is minor, seconds."
    )
    order_tolerance_s: Tolerance = Field(
        default=0.2, description="How much earlier than its predecessor an event may begin, seconds."
    )
    overlap_tolerance_s: Tolerance = Field(
        default=0.2, description="How long events that exclude each other may overlap: people set edges so, seconds."
    )
    sequence_attributes: Annotated[tuple[Name, ...], Field(max_length=20)] = Field(
        default=("sequence", "sequence_index", "utterance_index"),
        description="Attributes that number the events of a stream: times must rise with them.",
    )
    one_turn_per_speaker: bool = Field(
        default=True, description="Whether two turns of one speaker on one stream exclude each other."
    )
    cross_modal: CrossModalRules = Field(default_factory=CrossModalRules)

    def severity_of(self, kind: EventStructureKind) -> Severity:
        """Return the severity of ``kind`` in these rules."""
        return self.severities.get(kind, _SEVERITIES[kind])

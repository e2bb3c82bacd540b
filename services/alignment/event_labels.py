"""Events as the ``event_structure`` check sees them: which labels, in which scope, and how long the recording is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.alignment.sample import CheckSample
from services.contracts.findings import Cause, Finding, Measured, Severity, Suggestion, finding_id
from services.contracts.labels_language import AcousticEvent, Emotion, SoundEvent, SpeakerTurn, TranscriptSegment
from services.contracts.labels_visual import Action, Event
from services.contracts.manifest import Stream
from services.rules.event_structure import EventStructureKind, EventStructureRules, Scope
from services.rules.rule_set import RuleSet

CHECK = "event_structure"
RECORDINGS = ("video", "audio")

EventLabel = Action | Event | SoundEvent | AcousticEvent | Emotion | SpeakerTurn | TranscriptSegment
_KINDS = (Action, Event, SoundEvent, AcousticEvent, Emotion, SpeakerTurn, TranscriptSegment)


@dataclass(frozen=True, slots=True)
class EventView:
    """What the parts of the check share.

    Attributes:
        sample: The sample.
        rules: The rule set.
        section: Its section for this check.
        events: The labels to judge, by (start, end, class, id): the order of the label set has no meaning.
        duration_s: How long each stream is, where anything says so.
        start_s: When each stream starts on the sample's common clock, 0 without one.
    """

    sample: CheckSample
    rules: RuleSet
    section: EventStructureRules
    events: tuple[EventLabel, ...]
    duration_s: Mapping[str, float]
    start_s: Mapping[str, float]

    def make(
        self,
        kind: EventStructureKind,
        message: str,
        labels: Sequence[EventLabel],
        *,
        measured: Measured | None = None,
        severity: Severity | None = None,
        cause: Cause | None = None,
        suggestion: Suggestion | None = None,
        place: str = "",
        streams: Sequence[str] | None = None,
        identity: Sequence[str] | None = None,
        explains: Sequence[str] = (),
    ) -> Finding:
        """Return a finding about ``labels``; ``identity`` replaces them in its id where a cause concerns many."""
        ids = tuple(label.id for label in labels)
        where = tuple(sorted({label.stream for label in labels})) if streams is None else tuple(streams)
        times = [time for label in labels for time in (label.start_s, label.end_s)]
        return Finding(
            finding_id=finding_id(
                CHECK, kind, self.rules.id, streams=where, annotations=ids if identity is None else tuple(identity),
                place=place,
            ),
            check=CHECK,
            kind=kind,
            severity=severity or self.section.severity_of(kind),
            message=message[:2_000],
            measured=measured,
            streams=where,
            annotations=ids,
            interval_s=(min(times), max(times)) if times else None,
            cause=cause,
            rule=self.rules.reference,
            suggestion=suggestion,
            explains=tuple(explains),
        )  # fmt: skip


def view_of(sample: CheckSample, rules: RuleSet, section: EventStructureRules) -> EventView:
    """Return the events of a sample, with what is known of their streams."""
    types = set(section.types)
    events = [label for label in sample.annotations if isinstance(label, _KINDS) and label.type in types]
    events.sort(key=lambda label: (label.start_s, label.end_s, label.label, label.id))
    return EventView(sample, rules, section, tuple(events), durations_of(sample), starts_of(sample.manifest.streams))


def durations_of(sample: CheckSample) -> dict[str, float]:
    """Return the length of each stream in seconds: of the decoded recording, else as declared, else by its clock.

    A stream of which nothing is known is as long as the longest recording of the sample.
    """
    known: dict[str, float] = {}
    for stream in sample.manifest.streams:
        length = _duration(sample, stream)
        if length is not None:
            known[stream.id] = length
    recordings = [
        known[item.id] for item in sample.manifest.streams if item.modality in RECORDINGS and item.id in known
    ]
    if recordings:
        for stream in sample.manifest.streams:
            known.setdefault(stream.id, max(recordings))
    return known


def _duration(sample: CheckSample, stream: Stream) -> float | None:
    if stream.id in sample.audio and sample.audio[stream.id].rate_hz > 0:
        return sample.audio[stream.id].duration_s
    if stream.duration_s is not None:
        return stream.duration_s
    times = _seconds(stream)
    if len(times) < 2 or times[-1] <= times[0]:
        return None
    return (times[-1] - times[0]) * len(times) / (len(times) - 1)  # the last item lasts as long as the others


def _seconds(stream: Stream) -> list[float]:
    times = stream.clock.timestamps if stream.clock else ()
    return [time.timestamp() if isinstance(time, datetime) else time for time in times]


def starts_of(streams: Iterable[Stream]) -> dict[str, float]:
    """Return when each stream starts, seconds after the earliest; a stream that does not say it is left out."""
    starts: dict[str, float] = {}
    for stream in streams:
        if stream.clock is None:
            continue
        times = stream.clock.timestamps
        if stream.clock.start is not None:
            starts[stream.id] = stream.clock.start.timestamp()
        elif times and isinstance(times[0], datetime):
            starts[stream.id] = times[0].timestamp()
    first = min(starts.values(), default=0.0)
    return {name: start - first for name, start in starts.items()}


def fits(pattern: str, label: str) -> bool:
    """Whether a class fits a pattern of the rule set: equal without case, or by its beginning before a ``*``."""
    pattern, label = pattern.casefold(), label.casefold()
    return label.startswith(pattern[:-1]) if pattern.endswith("*") else label == pattern


def owner_of(event: EventLabel) -> str:
    """Return whose event it is: the speaker, the actor, or the object; empty where nobody is named."""
    if isinstance(event, SpeakerTurn | TranscriptSegment) and event.speaker:
        return event.speaker
    if isinstance(event, Action) and event.actor_object_id:
        return event.actor_object_id
    return event.object_id or ""


def scope_key(event: EventLabel, scope: Scope) -> tuple[str, ...]:
    """Return which events one rule compares with each other."""
    if scope == "stream":
        return (event.stream,)
    if scope == "object":
        return (owner_of(event),)
    return ()


def is_sound(event: EventLabel) -> bool:
    """Whether the times of an event can be compared with others: it does not end before it starts."""
    return event.end_s >= event.start_s

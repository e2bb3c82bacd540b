"""Moods as the ``affect_agreement`` check sees them: who says what about which utterance, on one scale."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.alignment.sample import CheckSample
from services.contracts.annotations import Annotation
from services.contracts.base import Scalar
from services.contracts.label_base import TimedLabel
from services.contracts.labels_language import (
    Emotion,
    Intent,
    Relation,
    Sentiment,
    TextClassification,
    TranscriptSegment,
)
from services.contracts.labels_spatial import MetadataField
from services.contracts.manifest import Stream
from services.rules.affect_agreement import AffectAgreementRules, RecordField

CHECK = "affect_agreement"
WORDS, VOICE, FACE, RECORD = "words", "voice", "face", "record"
_SIDES = {"text": WORDS, "audio": VOICE, "video": FACE, "image": FACE, "record": RECORD, "metadata": RECORD}


@dataclass(frozen=True, slots=True)
class Mood:
    """One statement about a mood.

    Attributes:
        side: Words, voice, face or record.
        valence: -1 unpleasant to 1 pleasant; None for a class that may be either.
        label: The class, or the field and its value.
        stream: The stream it stands on.
        annotation: Its label's id; None for a field of an inline record.
        utterance: What it is about; None for the whole conversation.
        start_s: When, for labels with a time.
        weight_s: How long it lasts, for the mean of a conversation.
    """

    side: str
    valence: float | None
    label: str
    stream: str
    annotation: str | None
    utterance: str | None = None
    start_s: float | None = None
    weight_s: float = 1.0


@dataclass(slots=True)
class Moods:
    """All statements of a sample, classes that the valence map lacks, and labels whose class and number differ."""

    found: list[Mood] = field(default_factory=list)
    unknown: set[str] = field(default_factory=set)
    contradictory: list[tuple[Annotation, float, float]] = field(default_factory=list)


def moods_of(sample: CheckSample, rules: AffectAgreementRules) -> Moods:
    """Return what the labels and the inline records of a sample say about moods."""
    moods = Moods()
    streams = {stream.id: stream for stream in sample.manifest.streams}
    valences = rules.valence_map()
    either = {name.casefold() for name in rules.ambivalent}
    utterances = _utterances(sample.annotations, rules)
    for label in sample.annotations:
        side = _side(label, streams.get(label.stream))
        if side is not None and isinstance(label, MetadataField):
            value = _scalar(label)
            for rule in rules.record_fields:
                if value is not None and rule.name.casefold() == label.label.casefold():
                    _add_record(moods, rule, value, label.stream, label.id)
        elif side is not None:
            _add_label(moods, label, side, utterances.get(label.id), valences, either)
    for stream in sample.manifest.streams:
        if isinstance(stream.inline, dict) and _SIDES.get(stream.modality) == RECORD:
            fields: Mapping[str, Scalar] = stream.inline
            for rule in rules.record_fields:
                for key in sorted(fields):
                    if key.casefold() == rule.name.casefold():
                        _add_record(moods, rule, fields[key], stream.id, None)
    moods.found.sort(key=lambda mood: (mood.side, mood.utterance or "", mood.stream, mood.annotation or "", mood.label))
    return moods


def _add_label(
    moods: Moods, label: Annotation, side: str, utterance: str | None, valences: Mapping[str, float], either: set[str]
) -> None:
    name = label.label.casefold()
    by_class, number = valences.get(name), _number(label)
    valence = number if number is not None else by_class
    if number is None and name in either:
        valence = None
    elif valence is None:
        if isinstance(label, Emotion | Sentiment):
            moods.unknown.add(label.label)
        return
    if number is not None and by_class is not None and abs(number - by_class) > 1 and number * by_class < 0:
        moods.contradictory.append((label, number, by_class))
        valence = None  # which of the two is meant is for a person to say; it agrees with everything until then
    start_s = label.start_s if isinstance(label, TimedLabel) else None
    length_s = max(label.end_s - label.start_s, 0.0) if isinstance(label, TimedLabel) else 1.0
    moods.found.append(Mood(side, valence, label.label, label.stream, label.id, utterance, start_s, length_s))


def _side(label: Annotation, stream: Stream | None) -> str | None:
    if stream is None:
        return None
    side = _SIDES.get(stream.modality)
    if isinstance(label, Sentiment | TextClassification | Intent):
        return RECORD if side == RECORD else WORDS
    if isinstance(label, Emotion):
        return side
    return RECORD if isinstance(label, MetadataField) else None


def _number(label: Annotation) -> float | None:
    if isinstance(label, Sentiment):
        return label.score
    return label.valence if isinstance(label, Emotion) else None


def _scalar(label: MetadataField) -> Scalar | None:
    for name in ("value", "text", "code", "number"):
        value: object = getattr(label.value, name, None)
        if isinstance(value, bool | int | float | str):
            return value
    return None


def _add_record(moods: Moods, rule: RecordField, value: Scalar, stream: str, annotation: str | None) -> None:
    by_value = {name.casefold(): valence for name, valence in rule.values.items()}
    valence = by_value.get(str(value).casefold())
    if valence is None and rule.scale is not None and isinstance(value, int | float) and not isinstance(value, bool):
        worst, best = rule.scale
        valence = min(1.0, max(-1.0, 2 * (value - worst) / (best - worst) - 1))
    if valence is not None:
        moods.found.append(Mood(RECORD, valence, f"{rule.name} {value}", stream, annotation))


def _utterances(labels: Sequence[Annotation], rules: AffectAgreementRules) -> dict[str, str]:
    """Return the utterance of each label: by a relation, its object_id, an attribute, or the segment it lies over."""
    own: dict[str, str] = {}
    for label in labels:
        name = label.object_id or _named(label, rules.utterance_attributes)
        if name is None and isinstance(label, TranscriptSegment):
            name = label.id
        if name is not None and isinstance(
            label, TranscriptSegment | Emotion | Sentiment | TextClassification | Intent
        ):
            own[label.id] = name
    by_id = {label.id: label for label in labels}
    for label in labels:
        if isinstance(label, Relation):
            for here, there in ((label.from_id, label.to_id), (label.to_id, label.from_id)):
                if here in by_id and there in own and here not in own:
                    own[here] = own[there]
    segments = sorted(
        (label for label in labels if isinstance(label, TranscriptSegment) and label.end_s > label.start_s),
        key=lambda label: (label.start_s, label.id),
    )
    starts = [segment.start_s for segment in segments]
    longest_s = max((segment.end_s - segment.start_s for segment in segments), default=0.0)
    for label in labels:
        if isinstance(label, Emotion) and label.id not in own:
            near = segments[bisect_left(starts, label.start_s - longest_s) : bisect_left(starts, label.end_s)]
            best = _overlapping(label, near, rules.min_shared)
            if best is not None:
                own[label.id] = own[best.id]
    return own


def _named(label: Annotation, attributes: Iterable[str]) -> str | None:
    for name in attributes:
        value = label.attributes.get(name)
        if value is not None and not isinstance(value, bool):
            return f"{value:g}" if isinstance(value, float) else str(value)
    return None


def _overlapping(label: Emotion, segments: Sequence[TranscriptSegment], least: float) -> TranscriptSegment | None:
    best: tuple[float, TranscriptSegment] | None = None
    for segment in segments:
        shared_s = min(segment.end_s, label.end_s) - max(segment.start_s, label.start_s)
        shorter_s = min(segment.end_s - segment.start_s, label.end_s - label.start_s)
        if shared_s > 0 and shared_s >= least * shorter_s and (best is None or shared_s > best[0]):
            best = (shared_s, segment)
    return best[1] if best is not None else None

"""A transcript as the ``audio_transcript`` check sees it: which labels belong together, and to which recording."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from services.alignment.sample import CheckSample
from services.alignment.speech_activity import Span
from services.contracts.findings import Cause, Finding, Measured, Severity, Suggestion, finding_id
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment
from services.rules.audio_transcript import AudioTranscriptKind
from services.rules.rule_set import RuleSet

CHECK = "audio_transcript"
_VERSION_OVERLAP = 0.3
_BRACKETS = {"[": "]", "(": ")", "<": ">", "{": "}"}

Timed = TranscriptSegment | SpeakerTurn


@dataclass(frozen=True, slots=True)
class Track:
    """One version of a transcript.

    Attributes:
        stream: The stream that holds the labels.
        author: The author id that sets this version apart from others on the stream; empty if there is one.
        audio_stream: The recording it belongs to, or none.
        reason: Why there is no recording.
        segments: In the order of the label set.
    """

    stream: str
    author: str
    audio_stream: str | None
    reason: str
    segments: tuple[TranscriptSegment, ...]

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams concerned, for findings."""
        if self.audio_stream is None or self.audio_stream == self.stream:
            return (self.stream,)
        return (self.stream, self.audio_stream)


def tracks_of(sample: CheckSample) -> tuple[Track, ...]:
    """Return the transcripts of a sample, in the order of their first segments.

    Authors whose segments lie side by side on a stream share one transcript; authors whose segments cover the
    same time have a version each.
    """
    by_stream: dict[str, dict[str, list[TranscriptSegment]]] = {}
    for label in sample.annotations:
        if isinstance(label, TranscriptSegment):
            author = label.author.id if label.author else ""
            by_stream.setdefault(label.stream, {}).setdefault(author, []).append(label)
    tracks = []
    for stream, by_author in by_stream.items():
        audio_stream, reason = _recording_of(sample, stream)
        for author, segments in _versions(by_author):
            tracks.append(Track(stream, author, audio_stream, reason, tuple(segments)))
    return tuple(tracks)


def _versions(by_author: dict[str, list[TranscriptSegment]]) -> list[tuple[str, list[TranscriptSegment]]]:
    authors = list(by_author)
    for first in range(len(authors)):
        for second in range(first + 1, len(authors)):
            one, other = by_author[authors[first]], by_author[authors[second]]
            shared_s = shared_seconds(spans_of(one), spans_of(other))
            if shared_s > _VERSION_OVERLAP * min(total_seconds(one), total_seconds(other)):
                return list(by_author.items())
    return [("", [segment for segments in by_author.values() for segment in segments])]


def _recording_of(sample: CheckSample, stream: str) -> tuple[str | None, str]:
    if stream in sample.audio:
        return stream, ""
    modality = sample.manifest.stream(stream).modality
    if modality in ("audio", "video"):
        return None, f"stream {stream} has no readable recording, so its transcript's times can not be judged"
    recordings = [item.id for item in sample.manifest.streams if item.modality == "audio"]
    if len(recordings) != 1:
        found = f"{len(recordings)} audio streams" if recordings else "no audio stream"
        return None, f"the transcript on stream {stream} belongs to a recording, but the sample has {found}"
    if recordings[0] not in sample.audio:
        return None, f"the recording of stream {recordings[0]} could not be read, so times can not be judged"
    return recordings[0], ""


def is_speech(segment: TranscriptSegment) -> bool:
    """Whether a segment's text claims words: not empty, and not one bracketed mark such as ``[noise]``."""
    text = segment.text.strip()
    if not any(character.isalnum() for character in text):
        return False
    closing = _BRACKETS.get(text[0])
    return closing is None or text.find(closing) != len(text) - 1


def claimed_spans(segments: Iterable[Timed]) -> list[Span]:
    """Return what the labels claim as speech: by word where words have times, else by segment."""
    spans: list[Span] = []
    for label in segments:
        if isinstance(label, TranscriptSegment):
            if not is_speech(label):
                continue
            words = [(word.start_s, word.end_s) for word in label.words if word.end_s > word.start_s]
            if words:
                spans.extend(words)
                continue
        if label.end_s > label.start_s:
            spans.append((label.start_s, label.end_s))
    return spans


def spans_of(labels: Iterable[Timed]) -> list[Span]:
    """Return the intervals of the labels that have a positive duration, sorted."""
    return sorted((label.start_s, label.end_s) for label in labels if label.end_s > label.start_s)


def merged(spans: Iterable[Span]) -> list[Span]:
    """Return the union of ``spans``, sorted."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result


def total_seconds(labels: Iterable[Timed]) -> float:
    """Return how long the union of the labels is, seconds."""
    return sum(end - start for start, end in merged(spans_of(labels)))


def shared_seconds(one: Sequence[Span], other: Sequence[Span]) -> float:
    """Return how long the unions of two sets of spans overlap, seconds; linear after sorting."""
    first, second = merged(one), merged(other)
    total, i, j = 0.0, 0, 0
    while i < len(first) and j < len(second):
        total += max(0.0, min(first[i][1], second[j][1]) - max(first[i][0], second[j][0]))
        if first[i][1] <= second[j][1]:
            i += 1
        else:
            j += 1
    return total


@dataclass(frozen=True, slots=True)
class FindingMaker:
    """Makes the findings of one transcript; their ids name the labels and the place, never the numbers."""

    rules: RuleSet
    track: Track

    def make(
        self,
        kind: AudioTranscriptKind,
        message: str,
        *,
        annotations: Sequence[str] = (),
        interval_s: Span | None = None,
        measured: Measured | None = None,
        severity: Severity | None = None,
        cause: Cause | None = None,
        suggestion: Suggestion | None = None,
        place: str = "",
        identity: Sequence[str] | None = None,
        explains: Sequence[str] = (),
    ) -> Finding:
        """Return a finding of ``kind``; ``identity`` replaces the labels in its id where a cause concerns many."""
        named = tuple(annotations if identity is None else identity)
        place = "/".join(part for part in (self.track.author, place) if part)
        return Finding(
            finding_id=finding_id(
                CHECK, kind, self.rules.id, streams=self.track.streams, annotations=named, place=place
            ),
            check=CHECK,
            kind=kind,
            severity=severity or self.rules.audio_transcript.severity_of(kind),
            message=message,
            measured=measured,
            streams=self.track.streams,
            annotations=tuple(annotations),
            interval_s=interval_s,
            cause=cause,
            rule=self.rules.reference,
            suggestion=suggestion,
            explains=tuple(explains),
        )

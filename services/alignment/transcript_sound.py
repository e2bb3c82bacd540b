"""What a transcript and the sound say differently: speech without text, text without speech, text outside."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.alignment.sample import AudioData
from services.alignment.speech_activity import HOP_S, Span, SpeechActivity, frame_of, runs_of, voice_share
from services.alignment.time_alignment import Correction
from services.alignment.transcript_track import FindingMaker, Timed, is_speech, merged, shared_seconds
from services.contracts.findings import Finding, Measured
from services.contracts.labels_language import TranscriptSegment
from services.rules.audio_transcript import AudioTranscriptKind

_JOIN_S = 1.0  # stretches of speech nearer than this are one finding


@dataclass(frozen=True, slots=True)
class Recording:
    """A recording with what was heard in it.

    Attributes:
        audio: The samples.
        activity: Speech by frame.
        accounted: Spans that other labels account for, such as a sound event; sorted, seconds.
    """

    audio: AudioData
    activity: SpeechActivity
    accounted: tuple[Span, ...] = ()


def sound_findings(maker: FindingMaker, recording: Recording, correction: Correction) -> list[Finding]:
    """Return the disagreements that are left when the transcript is moved by ``correction``."""
    moved = [
        (segment, (correction.apply(segment.start_s), correction.apply(segment.end_s)))
        for segment in maker.track.segments
        if segment.end_s > segment.start_s
    ]
    moved.sort(key=lambda item: (item[1], item[0].id))
    return [
        *_beyond_end(maker, recording, moved),
        *_over_silence(maker, recording, moved),
        *_untranscribed(maker, recording, moved),
    ]


Moved = Sequence[tuple[TranscriptSegment, Span]]


def _beyond_end(maker: FindingMaker, recording: Recording, moved: Moved) -> Iterator[Finding]:
    duration_s = recording.audio.duration_s
    tolerance_s = maker.rules.audio_transcript.end_tolerance_s
    for segment, (start_s, end_s) in moved:
        excess_s, where = max((end_s - duration_s, "after the end"), (-start_s, "before the start"))
        if excess_s > tolerance_s:
            yield maker.make(
                "beyond_end",
                f"The segment from {start_s:.2f} s to {end_s:.2f} s reaches {excess_s:.2f} s {where} of the "
                f"recording, which is {duration_s:.2f} s long.",
                annotations=(segment.id,),
                interval_s=(start_s, end_s),
                measured=Measured(value=excess_s, unit="s", threshold=tolerance_s),
            )


def _over_silence(maker: FindingMaker, recording: Recording, moved: Moved) -> Iterator[Finding]:
    rules = maker.rules.audio_transcript
    activity = recording.activity
    frames = len(activity.active)
    for segment, (start_s, end_s) in moved:
        first, last = frame_of(start_s, frames), frame_of(end_s, frames)
        if not is_speech(segment) or last - first < 5:
            continue
        share = float(np.mean(activity.active[first:last]))
        # A weak voice in noise passes the decision level only on its vowels.
        faint = float(np.quantile(activity.probability[first:last], 0.9))
        if share < rules.max_silent_share and faint < 0.5:
            length_s = end_s - start_s
            yield maker.make(
                "text_over_silence",
                f"The segment from {start_s:.2f} s to {end_s:.2f} s has text ({_quoted(segment)}), but only "
                f"{share:.0%} of it is speech.",
                annotations=(segment.id,),
                interval_s=(start_s, end_s),
                measured=Measured(value=share, unit="share of speech", threshold=rules.max_silent_share),
                severity=None if length_s >= rules.major_silence_s else "minor",
            )


def _untranscribed(maker: FindingMaker, recording: Recording, moved: Moved) -> Iterator[Finding]:
    rules = maker.rules.audio_transcript
    activity = recording.activity
    covered = np.zeros(len(activity.active), dtype=bool)
    for start_s, end_s in merged([span for _, span in moved]):
        first = frame_of(start_s - rules.edge_tolerance_s, len(covered))
        covered[first : frame_of(end_s + rules.edge_tolerance_s, len(covered))] = True
    starts = [span[0] for _, span in moved]
    firsts, lasts = runs_of(activity.active & ~covered)
    ordinals = np.cumsum(np.diff(activity.active.astype(np.int8), prepend=0) == 1)
    groups: list[list[tuple[int, int]]] = []
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        apart = not groups or (first - groups[-1][-1][1]) * HOP_S > _JOIN_S or covered[groups[-1][-1][1] : first].any()
        if apart:
            groups.append([])
        groups[-1].append((first, last))
    for runs in groups:
        span = (runs[0][0] * HOP_S, runs[-1][1] * HOP_S)
        speech_s = sum(last - first for first, last in runs) * HOP_S
        if speech_s < rules.min_untranscribed_s - 1e-9:
            continue
        if shared_seconds([span], recording.accounted) > 0.5 * (span[1] - span[0]):
            continue
        if voice_share(recording.audio, activity, span, rules.speech) < rules.min_voice_share:
            continue
        index = bisect_right(starts, span[0])
        before = moved[index - 1][0].id if index else "start"
        yield maker.make(
            "speech_untranscribed",
            f"There are {speech_s:.1f} s of speech between {span[0]:.2f} s and {span[1]:.2f} s that no segment "
            "transcribes.",
            interval_s=span,
            measured=Measured(value=speech_s, unit="s", threshold=rules.min_untranscribed_s),
            severity=None if speech_s >= rules.major_untranscribed_s else "minor",
            # Named by the label before it and the stretch of speech it lies in: neither moves with the numbers.
            place=f"after {before}, stretch {int(ordinals[runs[0][0]])}",
        )


def wrong_recording(maker: FindingMaker, findings: Sequence[Finding]) -> Finding | None:
    """Return the one cause of most segments lying over silence, or none."""
    rules = maker.rules.audio_transcript
    silent = [finding for finding in findings if finding.kind in ("text_over_silence", "beyond_end")]
    spoken = [segment for segment in maker.track.segments if is_speech(segment)]
    concerned = {name for finding in silent for name in finding.annotations}
    if len(concerned) < rules.wrong_recording_segments or len(concerned) < rules.wrong_recording_share * len(spoken):
        return None
    share = len(concerned) / len(spoken)
    kind: AudioTranscriptKind = "wrong_recording"
    return maker.make(
        kind,
        f"{len(concerned)} of {len(spoken)} segments lie where nobody speaks, and no shift explains it: the "
        "transcript seems to belong to another recording.",
        annotations=tuple(segment.id for segment in spoken),
        identity=(),
        measured=Measured(value=share, unit="share of segments", threshold=rules.wrong_recording_share),
        explains=tuple(
            finding.finding_id for finding in findings if finding.kind in (*_SYMPTOMS, "speech_untranscribed")
        ),
    )


_SYMPTOMS = ("text_over_silence", "beyond_end")


def _quoted(segment: Timed) -> str:
    text = segment.text.strip() if isinstance(segment, TranscriptSegment) else segment.speaker
    return f"“{text[:60]}…”" if len(text) > 60 else f"“{text}”"

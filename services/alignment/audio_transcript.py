"""``audio_transcript``: does the transcript say what is heard, when it is heard, and by whom?

For every transcript (the segments of one stream; one version an author where authors cover the same time) the check

1. looks at the transcript alone: ``negative_duration``, ``no_duration``, ``overlap`` of one speaker's segments,
   ``out_of_order``, ``rate_implausible``; times in another unit than seconds are one ``importer_error``
   (:mod:`services.alignment.transcript_units`), and everything else is judged in seconds;
2. hears where somebody speaks (:mod:`services.alignment.speech_activity`) and looks for one movement of all segments
   that explains the rest (:mod:`services.alignment.time_alignment`): ``offset`` or ``drift``, with its uncertainty;
3. compares again with the transcript moved by it: ``speech_untranscribed``, ``text_over_silence``, ``beyond_end``.
   What the movement repairs is folded under it, what remains is reported by itself. Where most segments lie over
   silence and no movement helps, the cause is ``wrong_recording``;
4. where the rule set asks for it, looks for every word in the sound (:mod:`services.alignment.word_stretches`), which
   makes an offset finer and tells ``boundary_off`` and ``word_time_off`` (:mod:`services.alignment.transcript_words`);
5. compares the segments' speakers with speaker turns (``speaker_mismatch``), and the words with any other transcript
   of the same recording (``text_mismatch``).

Thresholds are in :class:`services.rules.audio_transcript.AudioTranscriptRules`. Times are seconds from the start of
the recording. Without a recording the parts 2 and 3 are not applicable.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from services.alignment.sample import CheckOutcome, CheckSample
from services.alignment.speech_activity import MIN_RATE_HZ, Span, SpeechActivity, detect_speech
from services.alignment.time_alignment import Correction, TimeFault, find_time_fault
from services.alignment.time_fault_finding import moved_labels, time_fault_finding
from services.alignment.transcript_compare import speaker_findings, text_findings
from services.alignment.transcript_sound import Recording, sound_findings, wrong_recording
from services.alignment.transcript_structure import structure_findings
from services.alignment.transcript_track import CHECK, FindingMaker, Track, claimed_spans, merged, tracks_of
from services.alignment.transcript_units import find_unit_error, in_seconds, unit_finding
from services.alignment.transcript_words import listen, said_findings
from services.alignment.word_stretches import SpokenTrack
from services.contracts.findings import Finding, NotApplicable
from services.contracts.labels_language import AcousticEvent, SoundEvent, SpeakerTurn
from services.rules.rule_set import RuleSet

NO_MOVE = Correction()


def check_audio_transcript(sample: CheckSample, rules: RuleSet) -> CheckOutcome:
    """Return every disagreement between the sample's transcripts and their recordings.

    Args:
        sample: Transcript segments stand on an audio stream, or on another stream of a sample with one audio
            stream; speaker turns and sound events of that recording are used where there are any.
        rules: The section ``audio_transcript``.
    """
    tracks = tracks_of(sample)
    if not tracks:
        reason = "the sample has no transcript segments"
        return CheckOutcome(not_applicable=(NotApplicable(check=CHECK, reason=reason),))
    run = _Run(sample, rules)
    for track in tracks:
        run.check(track)
    run.compare(tracks)
    return CheckOutcome(tuple(run.findings), tuple(run.folded), tuple(run.not_applicable))


class _Run:
    """The state of one call: what was heard, and what was found so far."""

    def __init__(self, sample: CheckSample, rules: RuleSet) -> None:
        self._sample = sample
        self._rules = rules
        self._heard: dict[str, tuple[Recording | None, str]] = {}
        self._moves: dict[tuple[str, str], Correction] = {}
        self._meant: dict[tuple[str, str], Track] = {}
        self._turn_faults: dict[tuple[str, str], TimeFault | None] = {}
        self.findings: list[Finding] = []
        self.folded: list[Finding] = []
        self.not_applicable: list[NotApplicable] = []

    def check(self, track: Track) -> None:
        """Judge one transcript."""
        maker = FindingMaker(self._rules, track)
        structure = list(structure_findings(maker))
        if track.audio_stream is None:
            self.findings.extend(structure)
            self._not_applicable(track.reason, track)
            self._speakers(maker, NO_MOVE, NO_MOVE)
            return
        recording, reason = self._hear(track.audio_stream)
        meant = self._in_seconds(maker, recording, structure) if recording is not None else None
        if meant is not None:
            self._meant[track.stream, track.author] = meant
            self.check(meant)
            return
        self.findings.extend(structure)
        if recording is None:
            self._not_applicable(reason, track)
            self._speakers(maker, NO_MOVE, NO_MOVE)
            return
        heard = self._fault(recording.activity, claimed_spans(track.segments))
        fault, spoken = self._listen(track, recording, heard)
        move = fault.correction if fault else NO_MOVE
        self._moves[track.stream, track.author] = move
        turn_fault = self._turn_fault(track, recording)
        turns_share_it = heard is not None and turn_fault is not None and _alike(heard, turn_fault, recording)
        known = len(self.findings)
        self._sound(maker, recording, fault, also_turns=turns_share_it)
        if spoken is not None:
            own, folded = said_findings(maker, recording, spoken, self.findings[known:], move)
            self.findings[known:] = own
            self.folded.extend(folded)
        if turn_fault is not None and not turns_share_it:
            self._turns_moved(track, turn_fault)
        self._speakers(maker, move, turn_fault.correction if turn_fault else NO_MOVE)

    def _in_seconds(self, maker: FindingMaker, recording: Recording, structure: Sequence[Finding]) -> Track | None:
        """Return the transcript in seconds where it is in another unit, and say so; None where it is in seconds."""
        track, audio = maker.track, recording.audio
        section = self._rules.audio_transcript.alignment
        error = find_unit_error(recording.activity, claimed_spans(track.segments), audio.rate_hz, section)
        if error is None:
            return None
        meant = in_seconds(track, error)
        remaining = {finding.finding_id for finding in structure_findings(FindingMaker(self._rules, meant))}
        explained = _without([*structure, *sound_findings(maker, recording, NO_MOVE)], remaining)
        self.findings.append(
            unit_finding(maker, error, audio.duration_s, [finding.finding_id for finding in explained])
        )
        self.folded.extend(explained)
        return meant

    def compare(self, tracks: Sequence[Track]) -> None:
        """Compare every transcript with the first one of the same recording."""
        first: dict[str, Track] = {}
        for track in (self._meant.get((track.stream, track.author), track) for track in tracks):
            place = track.audio_stream or track.stream
            reference = first.setdefault(place, track)
            if reference is not track:
                own, other = (self._moves.get((item.stream, item.author), NO_MOVE) for item in (track, reference))
                self.findings.extend(text_findings(FindingMaker(self._rules, track), reference, own, other))

    def _not_applicable(self, reason: str, track: Track) -> None:
        self.not_applicable.append(NotApplicable(check=CHECK, reason=reason, streams=track.streams))

    def _hear(self, stream: str) -> tuple[Recording | None, str]:
        if stream not in self._heard:
            self._heard[stream] = self._hear_anew(stream)
        return self._heard[stream]

    def _hear_anew(self, stream: str) -> tuple[Recording | None, str]:
        audio = self._sample.audio[stream]
        section = self._rules.audio_transcript
        if audio.rate_hz < MIN_RATE_HZ:
            return None, f"the recording of stream {stream} has {audio.rate_hz} Hz; speech needs {MIN_RATE_HZ} Hz"
        activity = detect_speech(audio, section.speech)
        if len(activity.active) == 0:
            return None, f"the recording of stream {stream} is empty"
        loud_db = float(np.quantile(activity.level_db, 0.95))
        silent = not activity.active.any() and loud_db < section.speech.silence_dbfs + 20.0
        if not silent and activity.contrast_db < section.alignment.min_contrast_db:
            return None, (
                f"speech in stream {stream} can not be told from its background: "
                f"{activity.contrast_db:.1f} dB apart, {section.alignment.min_contrast_db:g} dB are needed"
            )
        return Recording(audio, activity, tuple(self._accounted(stream))), ""

    def _accounted(self, stream: str) -> Iterable[Span]:
        speech = {name.casefold() for name in self._rules.audio_transcript.speech_labels}
        return merged(
            (label.start_s, label.end_s)
            for label in self._sample.annotations
            if isinstance(label, SoundEvent | AcousticEvent)
            and label.stream == stream
            and label.end_s > label.start_s
            and label.label.casefold() not in speech
        )

    def _fault(self, activity: SpeechActivity, spans: Sequence[Span]) -> TimeFault | None:
        return find_time_fault(activity, spans, self._rules.audio_transcript.alignment)

    def _turns(self, track: Track) -> tuple[SpeakerTurn, ...]:
        return tuple(
            label
            for label in self._sample.annotations
            if isinstance(label, SpeakerTurn) and label.stream in track.streams
        )

    def _turn_fault(self, track: Track, recording: Recording) -> TimeFault | None:
        key = (track.stream, track.audio_stream or "")
        if key not in self._turn_faults:
            self._turn_faults[key] = self._fault(recording.activity, claimed_spans(self._turns(track)))
        return self._turn_faults[key]

    def _listen(
        self, track: Track, recording: Recording, fault: TimeFault | None
    ) -> tuple[TimeFault | None, SpokenTrack | None]:
        """Look for the words where the rule set asks for it; an offset comes back measured by them."""
        section = self._rules.audio_transcript
        if section.words is None:
            return fault, None
        aligner = self._sample.word_aligner
        if aligner is None:
            reason = self._sample.unavailable.get("word_aligner", "there is nothing here that can find them")
            self._not_applicable(f"words were not looked for: {reason}", track)
            return fault, None
        fault, spoken, unjudged = listen(track, recording, fault, aligner, section)
        if unjudged:
            self._not_applicable(unjudged, track)
        return fault, spoken

    def _sound(self, maker: FindingMaker, recording: Recording, fault: TimeFault | None, *, also_turns: bool) -> None:
        before = sound_findings(maker, recording, NO_MOVE)
        if fault is None:
            cause = wrong_recording(maker, before)
            explained = set(cause.explains) if cause else set()
            self.findings.extend([*([cause] if cause else []), *_without(before, explained)])
            self.folded.extend(finding for finding in before if finding.finding_id in explained)
            return
        after = sound_findings(maker, recording, fault.correction)
        remaining = {finding.finding_id for finding in after}
        explained_findings = _without(before, remaining)
        section = self._rules.audio_transcript.alignment
        repaired = moved_labels(maker.track.segments, fault.correction)
        proved = find_time_fault(recording.activity, claimed_spans(repaired), section) is None
        cause = time_fault_finding(
            maker,
            fault,
            self._sample.annotations,
            recording_s=recording.audio.duration_s,
            also_turns=also_turns,
            proved=proved,
            explains=[finding.finding_id for finding in explained_findings],
        )
        self.findings.extend([cause, *after])
        self.folded.extend(explained_findings)

    def _turns_moved(self, track: Track, fault: TimeFault) -> None:
        turns = self._turns(track)
        maker = FindingMaker(self._rules, track)
        duration_s = self._sample.audio[track.audio_stream or track.stream].duration_s
        finding = time_fault_finding(
            maker, fault, self._sample.annotations, recording_s=duration_s, labels=turns, proved=True
        )
        if finding.finding_id not in {known.finding_id for known in self.findings}:
            self.findings.append(finding)

    def _speakers(self, maker: FindingMaker, move: Correction, turn_move: Correction) -> None:
        self.findings.extend(speaker_findings(maker, self._turns(maker.track), move, turn_move))


def _alike(one: TimeFault, other: TimeFault, recording: Recording) -> bool:
    """Whether two movements put every time of the recording within a tenth of a second of each other."""
    ends = (0.0, recording.audio.duration_s)
    return all(abs(one.correction.apply(time_s) - other.correction.apply(time_s)) <= 0.25 for time_s in ends)


def _without(findings: Iterable[Finding], ids: set[str]) -> list[Finding]:
    return [finding for finding in findings if finding.finding_id not in ids]

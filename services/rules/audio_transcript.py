"""Thresholds of the ``audio_transcript`` check."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name
from services.contracts.findings import Severity
from services.rules.word_alignment import WordAlignmentRules

AudioTranscriptKind = Literal[
    "offset", "drift", "importer_error", "wrong_recording", "speech_untranscribed", "text_over_silence", "overlap",
    "out_of_order", "negative_duration", "no_duration", "beyond_end", "rate_implausible", "speaker_mismatch",
    "text_mismatch", "boundary_off", "word_time_off",
]  # fmt: skip


class SpeechActivityRules(Contract):
    """How speech is told from silence in the waveform. The defaults fit telephone and wide-band recordings."""

    band_hz: tuple[Annotated[float, Field(ge=50, le=2_000)], Annotated[float, Field(ge=1_000, le=20_000)]] = Field(
        default=(300.0, 3_400.0), description="(low, high): the band whose energy is judged, Hz."
    )
    window_s: Annotated[float, Field(ge=2, le=300)] = Field(
        default=15.0, description="Over which the noise floor and the speech level are followed, seconds."
    )
    min_snr_db: Annotated[float, Field(ge=1, le=30)] = Field(
        default=5.0, description="Least height of the decision level over the noise floor, dB."
    )
    decision_share: Annotated[float, Field(ge=0.1, le=0.9)] = Field(
        default=0.4, description="Where the decision level lies between floor (0) and speech level (1)."
    )
    softness_db: Annotated[float, Field(ge=0.5, le=12)] = Field(
        default=3.0, description="How gradually the soft evidence passes the decision level, dB."
    )
    hysteresis_db: Annotated[float, Field(ge=0, le=12)] = Field(
        default=2.0, description="Speech begins this much above the decision level and ends this much below, dB."
    )
    hangover_s: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.2, description="Pauses up to this length belong to the speech around them, seconds."
    )
    min_speech_s: Annotated[float, Field(ge=0, le=2)] = Field(
        default=0.08, description="Shorter sounds are clicks, seconds."
    )
    silence_dbfs: Annotated[float, Field(ge=-120, le=-20)] = Field(
        default=-80.0, description="The noise floor is never taken to be lower, dB relative to full scale."
    )
    quietest_voice_db: Annotated[float, Field(ge=3, le=80)] = Field(
        default=25.0, description="A voice this far below the loudest ones is not the recording's subject, dB."
    )
    min_modulation_db: Annotated[float, Field(ge=0, le=30)] = Field(
        default=3.0, description="Least rise and fall of energy (10 % to 90 % quantile) in a stretch of voice, dB."
    )
    min_periodicity: Fraction = Field(
        default=0.6, description="Least normalised autocorrelation at a lag of human pitch in a voiced frame."
    )


class TimeAlignmentRules(Contract):
    """What a shift or a drift of the transcript must reach to be reported as the cause."""

    max_offset_s: Annotated[float, Field(gt=0, le=120)] = Field(
        default=10.0, description="Shifts up to this many seconds either way are searched."
    )
    min_offset_s: Annotated[float, Field(ge=0.02, le=10)] = Field(
        default=0.25, description="Smaller shifts are how people set edges, seconds."
    )
    max_drift: Annotated[float, Field(ge=0, le=0.1)] = Field(
        default=0.035, description="Clock rates wrong by up to this fraction are searched; 0 turns it off."
    )
    min_drift_s: Annotated[float, Field(ge=0.05, le=60)] = Field(
        default=0.25, description="Least change of the shift from the first to the last label, seconds."
    )
    min_drift_span_s: Annotated[float, Field(ge=5, le=3_600)] = Field(
        default=45.0, description="A transcript shorter than this can not show a drift, seconds."
    )
    min_drift_spans: Annotated[int, Field(ge=2, le=1_000)] = Field(
        default=6, description="Least number of separate stretches in the transcript for a drift."
    )
    min_gain_share: Fraction = Field(
        default=0.01, description="Least gain in agreement, as a share of the transcript's length."
    )
    min_gain_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=0.3, description="Least gain in agreement, seconds."
    )
    min_gain_sigma: Annotated[float, Field(ge=0, le=20)] = Field(
        default=1.25, description="Least gain over the spread of a random walk of the same evidence."
    )
    min_fit_sigma: Annotated[float, Field(ge=0, le=20)] = Field(
        default=3.5,
        description="Least correlation of the corrected transcript with the speech, in standard errors of "
        "unrelated ones: a transcript of another recording has no shift.",
    )
    min_coverage: Fraction = Field(
        default=0.42,
        description="Least share of sure speech that the corrected transcript covers, beyond what it would cover by "
        "chance (0 chance, 1 all of it); for the same reason.",
    )
    peak_margin: Fraction = Field(
        default=0.3, description="A rival maximum must lie lower by this share of the gain; else it is unclear."
    )
    peak_width_s: Annotated[float, Field(ge=0.1, le=10)] = Field(
        default=1.0, description="Maxima nearer than this to the best one are part of it, seconds."
    )
    min_contrast_db: Annotated[float, Field(ge=0, le=60)] = Field(
        default=7.0, description="With less between noise and speech, times are not judged, dB."
    )


_SEVERITIES: dict[AudioTranscriptKind, Severity] = {
    "offset": "major",
    "drift": "major",
    "importer_error": "critical",
    "wrong_recording": "critical",
    "speech_untranscribed": "major",
    "text_over_silence": "major",
    "overlap": "minor",
    "out_of_order": "minor",
    "negative_duration": "major",
    "no_duration": "minor",
    "beyond_end": "major",
    "rate_implausible": "minor",
    "speaker_mismatch": "major",
    "text_mismatch": "major",
    "boundary_off": "major",
    "word_time_off": "major",
}


class AudioTranscriptRules(Contract):
    """When a transcript and its recording disagree."""

    enabled: bool = True
    speech: SpeechActivityRules = Field(default_factory=SpeechActivityRules)
    alignment: TimeAlignmentRules = Field(default_factory=TimeAlignmentRules)
    words: WordAlignmentRules | None = Field(
        default=None,
        description="Whether every word is looked for in the sound, and what its place must show; null: not asked for.",
    )
    severities: Annotated[dict[AudioTranscriptKind, Severity], Field(max_length=50)] = Field(
        default_factory=dict, description="Severity by kind, where it is to differ from the default."
    )
    edge_tolerance_s: Annotated[float, Field(ge=0, le=5)] = Field(
        default=0.15, description="How far speech may reach beyond a segment's edge, seconds."
    )
    min_untranscribed_s: Annotated[float, Field(ge=0.1, le=60)] = Field(
        default=0.4, description="Least speech outside of all segments that is reported, seconds."
    )
    major_untranscribed_s: Annotated[float, Field(ge=0.1, le=600)] = Field(
        default=1.0, description="With less speech than this, speech_untranscribed is minor: a murmur, seconds."
    )
    min_voice_share: Fraction = Field(
        default=0.3, description="Least voiced share of untranscribed sound; below it the sound is no speech."
    )
    speech_labels: Annotated[tuple[Name, ...], Field(max_length=100)] = Field(
        default=("speech", "voice"),
        description="Sound events with these labels are speech; sound under any other is accounted for.",
    )
    max_silent_share: Fraction = Field(
        default=0.15, description="A segment with less speech than this share lies over silence."
    )
    major_silence_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=0.5, description="A shorter segment over silence is minor, seconds."
    )
    wrong_recording_share: Fraction = Field(
        default=0.6, description="With this share of segments over silence, the recording is the wrong one."
    )
    wrong_recording_segments: Annotated[int, Field(ge=2, le=10_000)] = Field(
        default=5, description="Least segments from which a wrong recording is concluded."
    )
    end_tolerance_s: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.25, description="How far a segment may reach outside the recording, seconds."
    )
    overlap_tolerance_s: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.1, description="How long one speaker's segments may overlap, seconds."
    )
    major_overlap_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=0.5, description="A longer overlap of one speaker's segments is major, seconds."
    )
    order_tolerance_s: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.1, description="How far a segment or a word may begin before its predecessor, seconds."
    )
    ordered_share: Fraction = Field(
        default=0.8,
        description="From this share of segments in the order of time on, the labels' order means something.",
    )
    max_chars_per_s: Annotated[float, Field(gt=0, le=200)] = Field(
        default=27.0, description="Letters and digits a second that nobody exceeds."
    )
    max_words_per_s: Annotated[float, Field(gt=0, le=50)] = Field(
        default=7.5, description="Words a second that nobody exceeds."
    )
    min_chars_per_s: Annotated[float, Field(ge=0, le=50)] = Field(
        default=1.5, description="Letters and digits a second of speech; less, and text is missing."
    )
    min_slow_s: Annotated[float, Field(ge=0, le=600)] = Field(
        default=4.0, description="Shorter segments are not judged as too slow, seconds."
    )
    min_shared_s: Annotated[float, Field(ge=0, le=60)] = Field(
        default=0.3, description="Least overlap of a segment with speaker turns to compare speakers, seconds."
    )
    min_speaker_share: Fraction = Field(
        default=0.7, description="Share of the overlap that one other speaker must hold for a mismatch."
    )
    max_wer: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.5, description="Word error rate of a segment against the other transcript; above it is a finding."
    )
    max_cer: Annotated[float, Field(ge=0, le=10)] = Field(
        default=0.3, description="Character error rate; both must be exceeded, so that spelling is no fault."
    )
    min_word_errors: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=2, description="Least wrong words in a segment for a finding."
    )

    def severity_of(self, kind: AudioTranscriptKind) -> Severity:
        """Return the severity of ``kind`` in these rules."""
        return self.severities.get(kind, _SEVERITIES[kind])

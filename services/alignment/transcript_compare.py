"""A transcript against other labels of the same recording: who speaks by the turns, what another transcript says.

Speaker names may differ between the two; the mapping that gives the most common time is found first, as in the
diarization error rate (NIST RT-09 evaluation plan), with an optimal assignment. Word errors are counted on the
alignment with the fewest edits (the word error rate), after folding case and dropping punctuation.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from rapidfuzz.distance import Levenshtein
from scipy.optimize import linear_sum_assignment

from services.alignment.time_alignment import Correction
from services.alignment.transcript_track import FindingMaker, Track, is_speech
from services.contracts.findings import Finding, Measured
from services.contracts.labels_language import SpeakerTurn, TranscriptSegment

_CURLY = "\u2019"  # the apostrophe that word processors write
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_CHUNK_WORDS = 2_000  # the alignment's memory grows with the square
MAX_SPEAKERS = 200


def speaker_findings(
    maker: FindingMaker, turns: Sequence[SpeakerTurn], segment_move: Correction, turn_move: Correction
) -> list[Finding]:
    """Return the segments whose speaker is, by the speaker turns, somebody else.

    Args:
        maker: Of the transcript.
        turns: Speaker turns of the same recording.
        segment_move: Brings the segments where the sound is.
        turn_move: The same for the turns.
    """
    rules = maker.rules.audio_transcript
    segments = [s for s in maker.track.segments if s.speaker is not None and s.end_s > s.start_s]
    speakers = sorted({segment.speaker for segment in segments if segment.speaker is not None})
    voices = sorted({turn.speaker for turn in turns})
    # One name on either side can be mapped to anything, so it contradicts nothing.
    if len(speakers) < 2 or len(voices) < 2 or max(len(speakers), len(voices)) > MAX_SPEAKERS:
        return []
    shared_s = _shared(segments, turns, voices, segment_move, turn_move)
    totals = np.zeros((len(speakers), len(voices)))
    for row, segment in enumerate(segments):
        totals[speakers.index(segment.speaker or "")] += shared_s[row]
    rows, columns = linear_sum_assignment(totals, maximize=True)
    voice_of = {
        speakers[row]: int(column) for row, column in zip(rows, columns, strict=True) if totals[row, column] > 0
    }
    findings = []
    for row, segment in enumerate(segments):
        whole_s = float(shared_s[row].sum())
        own = voice_of.get(segment.speaker or "")
        if own is None or whole_s < rules.min_shared_s:
            continue
        other = int(np.argmax(shared_s[row]))
        share = float(shared_s[row, other]) / whole_s
        if other == own or share < rules.min_speaker_share:
            continue
        name_of = {column: name for name, column in voice_of.items()}
        known = f" ({name_of[other]})" if other in name_of and name_of[other] != voices[other] else ""
        findings.append(
            maker.make(
                "speaker_mismatch",
                f"The segment from {segment.start_s:.2f} s to {segment.end_s:.2f} s names {segment.speaker}, but by "
                f"the speaker turns {voices[other]}{known} speaks for {share:.0%} of it.",
                annotations=(segment.id,),
                interval_s=(segment.start_s, segment.end_s),
                measured=Measured(value=share, unit="share of time", threshold=rules.min_speaker_share),
            )
        )
    return findings


def _shared(
    segments: Sequence[TranscriptSegment],
    turns: Sequence[SpeakerTurn],
    voices: Sequence[str],
    segment_move: Correction,
    turn_move: Correction,
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    shared_s = np.zeros((len(segments), len(voices)))
    column_of = {voice: column for column, voice in enumerate(voices)}
    placed = sorted(
        (turn_move.apply(turn.start_s), turn_move.apply(turn.end_s), column_of[turn.speaker])
        for turn in turns
        if turn.end_s > turn.start_s
    )
    starts = [start_s for start_s, _, _ in placed]
    longest_s = max((end_s - start_s for start_s, end_s, _ in placed), default=0.0)
    for row, segment in enumerate(segments):
        start_s, end_s = segment_move.apply(segment.start_s), segment_move.apply(segment.end_s)
        for turn_start_s, turn_end_s, column in placed[
            bisect_left(starts, start_s - longest_s) : bisect_right(starts, end_s)
        ]:
            shared_s[row, column] += max(0.0, min(end_s, turn_end_s) - max(start_s, turn_start_s))
    return shared_s


def text_findings(maker: FindingMaker, other: Track, move: Correction, other_move: Correction) -> list[Finding]:
    """Return the segments whose words differ from what another transcript of the recording says there."""
    if _language(maker.track) != _language(other):
        return []
    rules = maker.rules.audio_transcript
    findings = []
    for segment, count in _compared(maker.track, other, move, other_move):
        if count.errors < rules.min_word_errors or count.wer <= rules.max_wer or count.cer <= rules.max_cer:
            continue
        where = f"stream {other.stream}" + (f", author {other.author}" if other.author else "")
        findings.append(
            maker.make(
                "text_mismatch",
                f"The segment at {segment.start_s:.2f} s says “{segment.text.strip()[:80]}”; the other transcript "
                f"({where}) has “{' '.join(count.other_words)[:80]}” there (word error rate {count.wer:.2f}, "
                f"character error rate {count.cer:.2f}).",
                annotations=(segment.id, *count.other_ids),
                identity=(segment.id,),
                interval_s=(min(segment.start_s, segment.end_s), max(segment.start_s, segment.end_s)),
                measured=Measured(value=count.wer, unit="WER", threshold=rules.max_wer),
                place=f"against {other.stream}/{other.author}",
            )
        )
    return findings


@dataclass(frozen=True, slots=True)
class _Count:
    """Errors of one segment against what the other transcript has at its place."""

    errors: int
    wer: float
    cer: float
    other_words: tuple[str, ...]
    other_ids: tuple[str, ...]


Token = tuple[str, int, float]  # word, index of its segment, time


def _language(track: Track) -> str:
    languages = {segment.language.split("-")[0].lower() for segment in track.segments if segment.language}
    return languages.pop() if len(languages) == 1 else ""


def _tokens(segments: Sequence[TranscriptSegment], move: Correction) -> list[Token]:
    tokens: list[Token] = []
    for index, segment in enumerate(segments):
        if is_speech(segment):
            words = _WORD.findall(segment.text.casefold().replace(_CURLY, "'"))
            start_s, end_s = move.apply(segment.start_s), move.apply(segment.end_s)
            step_s = (end_s - start_s) / max(1, len(words))
            tokens.extend((word, index, start_s + (place + 0.5) * step_s) for place, word in enumerate(words))
    return tokens


def _ordered(track: Track) -> list[TranscriptSegment]:
    return sorted(track.segments, key=lambda segment: (segment.start_s, segment.end_s, segment.id))


def _compared(
    track: Track, other: Track, move: Correction, other_move: Correction
) -> Iterator[tuple[TranscriptSegment, _Count]]:
    segments, others = _ordered(track), _ordered(other)
    own, reference = _tokens(segments, move), _tokens(others, other_move)
    if not own or not reference:
        return
    errors = [0] * len(segments)
    said: list[list[Token]] = [[] for _ in segments]
    for own_part, reference_part in _chunks(own, reference):
        _count_errors(own_part, reference_part, errors, said)
    spoken: list[list[str]] = [[] for _ in segments]
    for word, index, _ in own:
        spoken[index].append(word)
    for index, segment in enumerate(segments):
        if not spoken[index]:
            continue
        words = tuple(word for word, _, _ in said[index])
        yield (
            segment,
            _Count(
                errors[index],
                errors[index] / max(1, len(words)),
                Levenshtein.distance("".join(spoken[index]), "".join(words)) / max(1, len("".join(words))),
                words,
                tuple(dict.fromkeys(others[place].id for _, place, _ in said[index])),
            ),
        )


def _chunks(own: Sequence[Token], reference: Sequence[Token]) -> Iterator[tuple[Sequence[Token], Sequence[Token]]]:
    """Yield parts of both that cover the same time; cut only between segments."""
    begin, reference_begin = 0, 0
    times = [time_s for _, _, time_s in reference]
    while begin < len(own):
        end = min(begin + _CHUNK_WORDS, len(own))
        while end < len(own) and own[end][1] == own[end - 1][1]:
            end += 1
        last = end == len(own)
        reference_end = len(reference) if last else bisect_left(times, (own[end - 1][2] + own[end][2]) / 2)
        reference_end = max(reference_end, reference_begin)
        yield own[begin:end], reference[reference_begin:reference_end]
        begin, reference_begin = end, reference_end


def _count_errors(own: Sequence[Token], reference: Sequence[Token], errors: list[int], said: list[list[Token]]) -> None:
    matched = Levenshtein.opcodes([word for word, _, _ in own], [word for word, _, _ in reference])
    for operation in matched:
        mine = own[operation.src_start : operation.src_end]
        theirs = reference[operation.dest_start : operation.dest_end]
        if operation.tag in ("equal", "replace"):
            for token, answer in zip(mine, theirs, strict=True):
                said[token[1]].append(answer)
                errors[token[1]] += operation.tag == "replace"
        elif operation.tag == "delete":
            for token in mine:
                errors[token[1]] += 1
        else:
            # Words that only the other transcript has count where its time puts them.
            near = own[max(0, operation.src_start - 1) : operation.src_start + 1]
            for answer in theirs:
                index = min(near, key=lambda token: abs(token[2] - answer[2]))[1]
                errors[index] += 1
                said[index].append(answer)

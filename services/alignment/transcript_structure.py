"""What is wrong with a transcript by itself: durations, overlaps, order and speaking rate."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise

from services.alignment.transcript_track import FindingMaker, is_speech
from services.contracts.findings import Finding, Measured
from services.contracts.labels_language import TranscriptSegment, Word

_SLACK_S = 0.2  # edges are cut close to the sound; a short segment would seem too fast without it


def structure_findings(maker: FindingMaker) -> Iterator[Finding]:
    """Yield the faults that show without the recording."""
    yield from _durations(maker)
    yield from _overlaps(maker)
    yield from _segments_out_of_order(maker)
    yield from _words_out_of_order(maker)
    yield from _rates(maker)


def _durations(maker: FindingMaker) -> Iterator[Finding]:
    for segment in maker.track.segments:
        length_s = segment.end_s - segment.start_s
        if length_s < 0:
            yield maker.make(
                "negative_duration",
                f"The segment begins at {segment.start_s:.2f} s and ends at {segment.end_s:.2f} s, before it begins.",
                annotations=(segment.id,),
                interval_s=(segment.end_s, segment.start_s),
                measured=Measured(value=length_s, unit="s", threshold=0.0),
            )
        elif length_s == 0 and is_speech(segment):
            yield maker.make(
                "no_duration",
                f"The segment at {segment.start_s:.2f} s has text but begins and ends at the same time.",
                annotations=(segment.id,),
                interval_s=(segment.start_s, segment.end_s),
                measured=Measured(value=0.0, unit="s", threshold=0.0),
            )


def _overlaps(maker: FindingMaker) -> Iterator[Finding]:
    rules = maker.rules.audio_transcript
    named = any(segment.speaker is not None for segment in maker.track.segments)
    by_speaker: dict[str | None, list[TranscriptSegment]] = {}
    for segment in maker.track.segments:
        # Where speakers are named, a segment without a name may be anybody's.
        if segment.end_s > segment.start_s and (segment.speaker is not None or not named):
            by_speaker.setdefault(segment.speaker, []).append(segment)
    for speaker in sorted(by_speaker, key=str):
        ordered = sorted(by_speaker[speaker], key=lambda item: (item.start_s, item.end_s, item.id))
        longest = ordered[0]
        for segment in ordered[1:]:
            shared_s = min(longest.end_s, segment.end_s) - segment.start_s
            if shared_s > rules.overlap_tolerance_s:
                who = f"Speaker {speaker}" if speaker else "The transcript"
                yield maker.make(
                    "overlap",
                    f"{who} has two segments at once for {shared_s:.2f} s from {segment.start_s:.2f} s on.",
                    annotations=(longest.id, segment.id),
                    interval_s=(segment.start_s, segment.start_s + shared_s),
                    measured=Measured(value=shared_s, unit="s", threshold=rules.overlap_tolerance_s),
                    severity="major" if speaker and shared_s >= rules.major_overlap_s else None,
                )
            if segment.end_s > longest.end_s:
                longest = segment


def _segments_out_of_order(maker: FindingMaker) -> Iterator[Finding]:
    """Yield the segments that break an order of time which the label set otherwise keeps.

    The order of labels in a set need not mean anything: a shuffled set, one sorted by id, one grouped by speaker
    and labels added at its end are no fault. Only where nearly all segments follow each other in time are those
    between them out of order.
    """
    rules = maker.rules.audio_transcript
    segments = [segment for segment in maker.track.segments if segment.end_s >= segment.start_s]
    ids = [segment.id for segment in segments]
    if len(segments) < 3 or _in_order_by_speaker(segments, rules.order_tolerance_s):
        return
    kept = _longest_ordered([segment.start_s for segment in segments], rules.order_tolerance_s)
    enough = max(rules.ordered_share * len(segments), 2)
    if len(kept) < enough or (ids == sorted(ids) and any(not name[-1].isdigit() for name in ids)):
        return
    if ids == sorted(ids) and len({len(name) for name in ids}) > 1:
        return  # sorted as text, where 10 comes before 2
    for index, segment in enumerate(segments):
        if index not in kept and index < max(kept):
            neighbour = segments[index - 1] if index else segments[1]
            yield maker.make(
                "out_of_order",
                f"The segment at {segment.start_s:.2f} s stands next to the one at {neighbour.start_s:.2f} s, while "
                "the others follow each other in time.",
                annotations=(segment.id,),
                interval_s=(segment.start_s, segment.end_s),
                measured=Measured(
                    value=abs(neighbour.start_s - segment.start_s), unit="s", threshold=rules.order_tolerance_s
                ),
            )


def _in_order_by_speaker(segments: Sequence[TranscriptSegment], tolerance_s: float) -> bool:
    latest: dict[str | None, float] = {}
    switches = 0
    for index, segment in enumerate(segments):
        if segment.start_s < latest.get(segment.speaker, float("-inf")) - tolerance_s:
            return False
        latest[segment.speaker] = segment.start_s
        switches += index > 0 and segments[index - 1].speaker != segment.speaker
    # One block a speaker, or one order of time for all.
    overall = all(after.start_s >= before.start_s - tolerance_s for before, after in pairwise(segments))
    return overall or switches == len(latest) - 1


def _longest_ordered(starts_s: Sequence[float], tolerance_s: float) -> set[int]:
    """Return the indices of a longest run in order of time (patience sorting, O(n log n))."""
    tails: list[float] = []
    places: list[int] = []
    back: list[int] = []
    for index, start_s in enumerate(starts_s):
        pile = bisect_right(tails, start_s + tolerance_s)
        back.append(places[pile - 1] if pile else -1)
        if pile == len(tails):
            tails.append(start_s)
            places.append(index)
        else:
            tails[pile] = min(start_s, tails[pile])
            places[pile] = index
    kept: set[int] = set()
    index = places[-1] if places else -1
    while index >= 0:
        kept.add(index)
        index = back[index]
    return kept


def _words_out_of_order(maker: FindingMaker) -> Iterator[Finding]:
    tolerance_s = maker.rules.audio_transcript.order_tolerance_s
    for segment in maker.track.segments:
        fault = next(iter(_word_faults(segment.words, tolerance_s)), None)
        if fault is not None:
            word, back_s = fault
            yield maker.make(
                "out_of_order",
                f"The word “{word.text[:40]}” at {word.start_s:.2f} s goes back by {back_s:.2f} s in its segment.",
                annotations=(segment.id,),
                interval_s=(min(word.start_s, word.end_s), max(word.start_s, word.end_s)),
                measured=Measured(value=back_s, unit="s", threshold=tolerance_s),
                place="words",
            )


def _word_faults(words: Sequence[Word], tolerance_s: float) -> Iterator[tuple[Word, float]]:
    for index, word in enumerate(words):
        back_s = word.start_s - word.end_s
        if index:
            back_s = max(back_s, words[index - 1].start_s - word.start_s)
        if back_s > tolerance_s:
            yield word, back_s


def _rates(maker: FindingMaker) -> Iterator[Finding]:
    rules = maker.rules.audio_transcript
    for segment in maker.track.segments:
        length_s = segment.end_s - segment.start_s
        if length_s <= 0 or not is_speech(segment):
            continue
        chars = sum(character.isalnum() for character in segment.text)
        words = len(segment.text.split())
        chars_per_s, words_per_s = chars / (length_s + _SLACK_S), words / (length_s + _SLACK_S)
        slow = chars / length_s
        if chars_per_s > rules.max_chars_per_s:
            measured = Measured(value=chars_per_s, unit="characters/s", threshold=rules.max_chars_per_s)
            what = f"{chars} characters in {length_s:.2f} s, faster than anybody speaks"
        elif words_per_s > rules.max_words_per_s:
            measured = Measured(value=words_per_s, unit="words/s", threshold=rules.max_words_per_s)
            what = f"{words} words in {length_s:.2f} s, faster than anybody speaks"
        elif length_s >= rules.min_slow_s and slow < rules.min_chars_per_s:
            measured = Measured(value=slow, unit="characters/s", threshold=rules.min_chars_per_s)
            what = f"{chars} characters in {length_s:.2f} s, so text seems to be missing or the segment is too long"
        else:
            continue
        yield maker.make(
            "rate_implausible",
            f"The segment at {segment.start_s:.2f} s has {what}.",
            annotations=(segment.id,),
            interval_s=(segment.start_s, segment.end_s),
            measured=measured,
        )

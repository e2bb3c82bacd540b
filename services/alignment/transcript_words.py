"""What the words of a transcript say about its times: edges that cut words, words at other times, a finer offset."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.alignment.speech_activity import HOP_S, Span, frame_of
from services.alignment.time_alignment import Correction, Evidence, TimeFault
from services.alignment.transcript_sound import Recording
from services.alignment.transcript_track import FindingMaker, Track, claimed_spans, merged, shared_seconds
from services.alignment.word_stretches import SpokenSegment, SpokenTrack, align_track, near
from services.contracts.findings import Finding, LabelPatch, Measured, Suggestion
from services.contracts.labels_language import Word
from services.ports.word_aligner import AlignedWord, WordAligner
from services.rules.audio_transcript import AudioTranscriptRules
from services.rules.word_alignment import WordAlignmentRules

_EDGE_S = 0.3  # so much of the words at an edge must fit for the edge to be judged: a syllable or two
_OTHERS_S = 0.2  # less speech than this between an edge and the words may be their own rest
_SURE_S = 0.02  # no offset is known better than two frames
_COVERED = 0.6
_ALIKE = 0.8  # so many of the segments must be beside their words by the same


@dataclass(frozen=True, slots=True)
class _Edge:
    """How far an edge of a segment lies from its words; positive values are later than they should be."""

    name: str
    off_s: float
    what: str


def listen(
    track: Track, recording: Recording, fault: TimeFault | None, aligner: WordAligner, section: AudioTranscriptRules
) -> tuple[TimeFault | None, SpokenTrack, str]:
    """Look for the words of a transcript.

    Args:
        track: The transcript.
        recording: Its sound.
        fault: What moves the transcript as a whole; words are looked for where it puts them.
        aligner: Finds them.
        section: How.

    Returns:
        The fault, an offset measured by the words, or one that only they show; the words; and which segments could not
        be judged, and why.
    """
    rules = section.words or WordAlignmentRules()
    move = fault.correction if fault else Correction()
    spoken = align_track(track.segments, move, recording.audio, aligner, rules)
    if fault is None:
        fault = offset_by_words(spoken, recording, claimed_spans(track.segments), section)
        if fault is not None:
            spoken = align_track(track.segments, fault.correction, recording.audio, aligner, rules)
    reasons = dict(spoken.left_out)
    misfits = sum(item.misfit_nats > rules.max_misfit_nats for item in spoken.segments)
    if misfits:
        reasons["with words that do not fit the sound"] = misfits
    unjudged = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    if fault is not None:
        fault, by_s = refined(fault, spoken, rules)
        spoken = replace(spoken, segments=[_beside(item, by_s) for item in spoken.segments])
    return fault, spoken, f"the words of some segments are not judged: {unjudged}" if unjudged else ""


def _beside(item: SpokenSegment, by_s: float) -> SpokenSegment:
    return replace(item, span=(item.span[0] + by_s, item.span[1] + by_s))


def said_findings(
    maker: FindingMaker, recording: Recording, spoken: SpokenTrack, others: Sequence[Finding], correction: Correction
) -> tuple[list[Finding], list[Finding]]:
    """Return the findings of a transcript with those that its words show, and those that these explain.

    Args:
        maker: Of the transcript.
        recording: Its sound.
        spoken: Its words.
        others: What was found without them.
        correction: How the transcript was moved as a whole; a fix is proposed only where it was not.
    """
    rules = maker.rules.audio_transcript.words
    if rules is None or any(finding.kind == "wrong_recording" for finding in others):
        return list(others), []
    fixable = correction == Correction()
    boundaries = list(boundary_findings(maker, recording, spoken, rules, fixable=fixable))
    explained = _cut_speech(others, boundaries)
    folded = {finding.finding_id for symptoms in explained.values() for finding in symptoms}
    causes = [
        finding.model_copy(update={"explains": tuple(item.finding_id for item in explained[finding.finding_id])})
        if finding.finding_id in explained
        else finding
        for finding in boundaries
    ]
    words = word_findings(maker, spoken, rules, correction, fixable=fixable)
    kept = [finding for finding in others if finding.finding_id not in folded]
    return [*kept, *causes, *words], [finding for finding in others if finding.finding_id in folded]


def _cut_speech(findings: Sequence[Finding], boundaries: Sequence[Finding]) -> dict[str, list[Finding]]:
    """Return the untranscribed speech that is what an edge cut off, by the id of the boundary's finding."""
    explained: dict[str, list[Finding]] = {}
    for finding in findings:
        if finding.kind != "speech_untranscribed" or finding.interval_s is None:
            continue
        length_s = finding.interval_s[1] - finding.interval_s[0]
        for boundary in boundaries:
            span = boundary.interval_s
            if span is not None and shared_seconds([finding.interval_s], [span]) > _COVERED * length_s:
                explained.setdefault(boundary.finding_id, []).append(finding)
                break
    return explained


def boundary_findings(
    maker: FindingMaker, recording: Recording, track: SpokenTrack, rules: WordAlignmentRules, *, fixable: bool
) -> Iterator[Finding]:
    """Yield the segments with an edge among their own words, or among words of others.

    An edge in the silence before or after its words is where people like it to be, however wide. An edge is judged
    where the words next to it fit the sound, and no speech that could not be aligned is near.

    Args:
        maker: Of the transcript.
        recording: What is heard.
        track: Where the words lie.
        rules: Tolerances.
        fixable: Whether the labels' own times are judged, so that a fix can be proposed.
    """
    unheard = merged(track.unheard)
    for item in track.segments:
        edges = list(_edges_off(item, recording, unheard, rules))
        if not edges:
            continue
        worst = max(edges, key=lambda edge: abs(edge.off_s))
        first, last = item.found[0], item.found[-1]
        yield maker.make(
            "boundary_off",
            f"The segment from {item.span[0]:.2f} s to {item.span[1]:.2f} s "
            f"{' and '.join(edge.what for edge in edges)}: its words are said from {first.start_s:.2f} s to "
            f"{last.end_s:.2f} s.",
            annotations=(item.segment.id,),
            interval_s=(min(item.span[0], first.start_s), max(item.span[1], last.end_s)),
            measured=Measured(value=worst.off_s, unit="s", threshold=rules.boundary_tolerance_s),
            suggestion=_edges_set(item, edges) if fixable else None,
        )


def _edges_off(
    item: SpokenSegment, recording: Recording, unheard: Sequence[Span], rules: WordAlignmentRules
) -> Iterator[_Edge]:
    if item.misfit_nats > rules.max_misfit_nats:
        return
    tolerance_s = rules.boundary_tolerance_s
    first_s, last_s = item.found[0].start_s, item.found[-1].end_s
    late_s, long_s = item.span[0] - first_s, item.span[1] - last_s
    if max(first_s - item.span[1], item.span[0] - last_s) > rules.search_s:
        return  # farther than its words were looked for: these are the same words, said elsewhere
    if _judged(item.words, rules) and not near(unheard, item.span[0], rules.search_s):
        if late_s > tolerance_s:
            yield _Edge("start_s", late_s, f"begins {late_s:.2f} s after its first word")
        elif -late_s > tolerance_s and _speech_s(recording, item.span[0], first_s) > _OTHERS_S:
            yield _Edge(
                "start_s", late_s, f"begins {-late_s:.2f} s before its first word, in speech that is not its own"
            )
    if _judged(item.words[::-1], rules) and not near(unheard, item.span[1], rules.search_s):
        if -long_s > tolerance_s:
            yield _Edge("end_s", long_s, f"ends {-long_s:.2f} s before its last word does")
        elif long_s > tolerance_s and _speech_s(recording, last_s, item.span[1]) > _OTHERS_S:
            yield _Edge("end_s", long_s, f"ends {long_s:.2f} s after its last word, in speech that is not its own")


def _judged(words: Sequence[AlignedWord | None], rules: WordAlignmentRules) -> bool:
    """Whether the first words fit well enough to say where the edge is."""
    misfit, length_s = 0.0, 0.0
    for word in words:
        if word is None or word.guessed:
            return False
        misfit += word.misfit_nats * (word.end_s - word.start_s)
        length_s += word.end_s - word.start_s
        if length_s >= _EDGE_S:
            break
    return length_s > 0 and misfit / length_s <= rules.max_edge_misfit_nats


def _speech_s(recording: Recording, start_s: float, end_s: float) -> float:
    active = recording.activity.active
    return HOP_S * int(np.count_nonzero(active[frame_of(start_s, len(active)) : frame_of(end_s, len(active))]))


def _edges_set(item: SpokenSegment, edges: Iterable[_Edge]) -> Suggestion:
    times = {"start_s": item.found[0].start_s, "end_s": item.found[-1].end_s}
    changes = {edge.name: round(max(0.0, times[edge.name]), 3) for edge in edges}
    label = item.segment.model_copy(update=changes)
    return Suggestion(
        summary=f"Let the segment {' and '.join(_said(name, time_s) for name, time_s in changes.items())}",
        patch=LabelPatch(upsert=(label,)),
    )


def _said(name: str, time_s: float) -> str:
    return f"{'begin' if name == 'start_s' else 'end'} at {time_s:.2f} s"


def word_findings(
    maker: FindingMaker, track: SpokenTrack, rules: WordAlignmentRules, correction: Correction, *, fixable: bool
) -> Iterator[Finding]:
    """Yield the segments with word labels at other times than the words are said.

    Words that are all off by the same are none: then the segment is, and its boundary says so.
    """
    for item in track.segments:
        if not item.segment.words or item.misfit_nats > rules.max_misfit_nats:
            continue
        labels = [_moved(word, correction) for word in item.segment.words]
        off_s = np.array([_off_s(label, word, rules) for label, word in zip(labels, item.words, strict=True)])
        wrong = np.flatnonzero(np.abs(off_s) > rules.word_tolerance_s)
        if len(wrong) == 0:
            continue
        if len(wrong) == len(off_s) and float(np.ptp(off_s)) <= rules.word_tolerance_s:
            continue
        worst = int(wrong[np.argmax(np.abs(off_s[wrong]))])
        label = labels[worst]
        side = "late" if off_s[worst] > 0 else "early"
        yield maker.make(
            "word_time_off",
            f"{len(wrong)} of {len(labels)} words of the segment at {item.span[0]:.2f} s are not said when they are "
            f"labelled: “{label.text[:40]}” at {label.start_s:.2f} s is {abs(off_s[worst]):.2f} s {side}.",
            annotations=(item.segment.id,),
            interval_s=(min(labels[index].start_s for index in wrong), max(labels[index].end_s for index in wrong)),
            measured=Measured(value=float(off_s[worst]), unit="s", threshold=rules.word_tolerance_s),
            suggestion=_words_set(item, wrong.tolist()) if fixable else None,
        )


def _moved(word: Word, correction: Correction) -> Word:
    return word.model_copy(update={"start_s": correction.apply(word.start_s), "end_s": correction.apply(word.end_s)})


def _off_s(label: Word, word: AlignedWord | None, rules: WordAlignmentRules) -> float:
    """Return how much later a word is labelled than said, by the edge that is farther off; 0 where it is not known."""
    if word is None or word.guessed or word.misfit_nats > rules.max_edge_misfit_nats or label.end_s < label.start_s:
        return 0.0
    return max(label.start_s - word.start_s, label.end_s - word.end_s, key=abs)


def _words_set(item: SpokenSegment, wrong: Sequence[int]) -> Suggestion:
    words = list(item.segment.words)
    for index in wrong:
        found = item.words[index]
        if found is not None:
            words[index] = words[index].model_copy(
                update={"start_s": round(found.start_s, 3), "end_s": round(found.end_s, 3)}
            )
    label = item.segment.model_copy(update={"words": tuple(words)})
    return Suggestion(summary=f"Move {len(wrong)} words to where they are said", patch=LabelPatch(upsert=(label,)))


def offset_by_words(
    track: SpokenTrack, recording: Recording, spans: Sequence[Span], section: AudioTranscriptRules
) -> TimeFault | None:
    """Return the offset of a transcript whose segments all lie beside their words by the same time, or none.

    Speech and pauses alone often leave it open which of two shifts it is; words do not. Both edges of a segment must
    lie on one side of its words: edges that are wide, or linger after the last word, are no offset.

    Args:
        track: Where the words lie; the transcript was not moved.
        recording: What is heard, for the agreement before and after.
        spans: What the transcript claims as speech, seconds.
        section: Thresholds.
    """
    rules = section.words or WordAlignmentRules()
    beside_s = np.array([_beside_s(item) for item in track.segments if item.misfit_nats <= rules.max_misfit_nats])
    if len(beside_s) < rules.min_offset_segments:
        return None
    median_s = float(np.median(beside_s))
    alike = float(np.mean(np.abs(beside_s - median_s) <= rules.word_tolerance_s))
    if abs(median_s) < section.alignment.min_offset_s or alike < _ALIKE:
        return None
    evidence = Evidence(recording.activity, spans, section.alignment)
    if evidence.claimed_s == 0:
        return None
    before_s, after_s = evidence.score(np.ones(2), np.array([0.0, median_s])).tolist()
    correction = Correction(round(median_s, 4))
    return TimeFault(
        "offset",
        correction,
        -correction.offset_s,
        0.0,
        rules.word_tolerance_s,
        0.0,
        after_s - before_s,
        after_s / evidence.claimed_s,
    )


def _beside_s(item: SpokenSegment) -> float:
    """Return how far a segment's words lie beside it, seconds later; 0 if one edge is before and one after them."""
    start_s, end_s = item.found[0].start_s - item.span[0], item.found[-1].end_s - item.span[1]
    return min(start_s, end_s, key=abs) if start_s * end_s > 0 else 0.0


def refined(fault: TimeFault, track: SpokenTrack, rules: WordAlignmentRules) -> tuple[TimeFault, float]:
    """Return an offset measured by the words of its segments, and by how much that moves them further, seconds.

    Each segment says by how much the middle of its words lies beside its own middle (with word labels, the middles of
    the words beside theirs); edges that are all wide, or all tight, do not matter. The median of segments is
    the remaining offset, its standard error comes from the median absolute deviation. Where too few segments fit, and
    for a drift, the fault comes back as it was.
    """
    if fault.kind != "offset":
        return fault, 0.0
    rest_s = [
        _remaining_s(item, fault.correction) for item in track.segments if item.misfit_nats <= rules.max_misfit_nats
    ]
    if len(rest_s) < rules.min_offset_segments:
        return fault, 0.0
    median_s = float(np.median(rest_s))
    deviation_s = 1.4826 * float(np.median(np.abs(np.array(rest_s) - median_s)))
    if abs(median_s) > rules.search_s / 2:
        return fault, 0.0  # as far away as words are looked for: they may be others
    uncertainty_s = max(_SURE_S, 1.96 * 1.2533 * deviation_s / float(np.sqrt(len(rest_s))))
    offset_s = round(fault.correction.offset_s + median_s, 4)
    finer = replace(
        fault, correction=Correction(offset_s), offset_s=-offset_s, offset_uncertainty_s=round(uncertainty_s, 4)
    )
    return finer, offset_s - fault.correction.offset_s


def _remaining_s(item: SpokenSegment, correction: Correction) -> float:
    if item.segment.words:
        middles = [
            (found.start_s + found.end_s) / 2 - correction.apply((label.start_s + label.end_s) / 2)
            for label, found in zip(item.segment.words, item.words, strict=True)
            if found is not None
        ]
        return float(np.median(middles))
    return (item.found[0].start_s + item.found[-1].end_s - item.span[0] - item.span[1]) / 2

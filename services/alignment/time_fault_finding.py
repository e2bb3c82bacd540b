"""The finding that names a shift or a drift, and the movement of labels that repairs it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

from services.alignment.time_alignment import Correction, TimeFault
from services.alignment.transcript_track import FindingMaker, Timed
from services.contracts.annotations import Annotation
from services.contracts.findings import Cause, Finding, LabelPatch, Measured, Suggestion, TimeShift
from services.contracts.label_base import TimedLabel
from services.contracts.labels_language import TranscriptSegment

MAX_PATCH = 10_000
Label = TypeVar("Label", bound=TimedLabel)


def moved_labels(labels: Iterable[Label], correction: Correction) -> tuple[Label, ...]:
    """Return the labels with every time moved, those of words included, to a tenth of a millisecond."""
    return tuple(_moved(label, correction) for label in labels)


def _moved(label: Label, correction: Correction) -> Label:
    changes: dict[str, object] = {
        "start_s": round(correction.apply(label.start_s), 4),
        "end_s": round(correction.apply(label.end_s), 4),
    }
    if isinstance(label, TranscriptSegment):
        changes["words"] = tuple(
            word.model_copy(
                update={
                    "start_s": round(correction.apply(word.start_s), 4),
                    "end_s": round(correction.apply(word.end_s), 4),
                }
            )
            for word in label.words
        )
    return label.model_copy(update=changes)


def apply_time_shift(annotations: Sequence[Annotation], shift: TimeShift) -> tuple[Annotation, ...]:
    """Return the labels with those that ``shift`` means moved: the fix of a suggestion, applied.

    Args:
        annotations: The label set.
        shift: Moves the timed labels of its stream, or only those of its ``types``.
    """
    correction = Correction(shift.offset_s, shift.drift)
    return tuple(
        _moved(label, correction)
        if isinstance(label, TimedLabel)
        and label.stream == shift.stream
        and (not shift.types or label.type in shift.types)
        else label
        for label in annotations
    )


def time_fault_finding(
    maker: FindingMaker,
    fault: TimeFault,
    annotations: Sequence[Annotation],
    *,
    recording_s: float,
    labels: Sequence[Timed] | None = None,
    also_turns: bool = False,
    proved: bool,
    explains: Sequence[str] = (),
) -> Finding:
    """Return the ``offset`` or ``drift`` finding of a transcript, or of ``labels`` where given.

    Args:
        maker: Of the transcript.
        fault: What was estimated.
        annotations: All labels, to say which of them the repair moves.
        recording_s: Length of the recording, seconds.
        labels: The labels that are moved, if not the transcript's segments.
        also_turns: Whether the stream's speaker turns have the same fault.
        proved: Whether no fault is left once the labels are moved; without it there is no suggestion.
        explains: Ids of the findings that the movement repairs.
    """
    moved: Sequence[Timed] = maker.track.segments if labels is None else labels
    what = "transcript" if labels is None else "speaker turns"
    suggestion = _suggestion(maker, fault, annotations, moved, also_turns=also_turns) if proved else None
    side = "late" if fault.offset_s >= 0 else "early"
    estimate: dict[str, bool | int | float | str] = {
        "offset_s": round(fault.offset_s, 4),
        "offset_uncertainty_s": round(fault.offset_uncertainty_s, 4),
        "gain_s": round(fault.gain_s, 4),
        "agreement": round(fault.agreement, 4),
    }
    rules = maker.rules.audio_transcript.alignment
    group = f"audio_transcript:{fault.kind}:{maker.track.stream}:{round(2 * fault.offset_s) / 2:+.1f}s"
    place = "" if labels is None else "speaker turns"
    if fault.kind == "offset":
        return maker.make(
            "offset",
            f"The {what} is {abs(fault.offset_s):.2f} s {side} (± {fault.offset_uncertainty_s:.2f} s): moved by "
            f"{-fault.offset_s:+.2f} s it agrees with the speech for {fault.gain_s:.1f} s more.",
            annotations=[label.id for label in moved],
            identity=(),
            interval_s=(0.0, recording_s),
            measured=Measured(value=fault.offset_s, unit="s", threshold=rules.min_offset_s),
            cause=Cause(kind="offset", group=_group(group), estimate=estimate),
            suggestion=suggestion,
            place=place,
            explains=explains,
        )
    estimate["drift_ppm"] = round(fault.drift * 1e6, 1)
    estimate["drift_percent"] = round(fault.drift * 100, 5)
    estimate["drift_uncertainty_ppm"] = round(fault.drift_uncertainty * 1e6, 1)
    rate = "fast" if fault.drift > 0 else "slow"
    end_s = fault.offset_s + fault.drift * recording_s
    return maker.make(
        "drift",
        f"The {what}'s clock runs {abs(fault.drift):.2%} too {rate} (± {fault.drift_uncertainty:.2%}): it is "
        f"{fault.offset_s:+.2f} s off at the start of the recording and {end_s:+.2f} s at its end.",
        annotations=[label.id for label in moved],
        identity=(),
        interval_s=(0.0, recording_s),
        measured=Measured(
            value=fault.drift * 1e6, unit="ppm", threshold=rules.min_drift_s / max(recording_s, 1.0) * 1e6
        ),
        cause=Cause(kind="drift", group=_group(f"{group}:{round(200 * fault.drift) / 2:+.1f}pc"), estimate=estimate),
        suggestion=suggestion,
        place=place,
        explains=explains,
    )


def _group(name: str) -> str:
    return name if len(name) <= 200 else name[:100] + name[-100:]


def _suggestion(
    maker: FindingMaker,
    fault: TimeFault,
    annotations: Sequence[Annotation],
    moved: Sequence[Timed],
    *,
    also_turns: bool,
) -> Suggestion | None:
    stream = moved[0].stream
    timed = [label for label in annotations if isinstance(label, TimedLabel) and label.stream == stream]
    ids = {label.id for label in moved}
    correction = fault.correction
    summary = f"Move by {correction.offset_s:+.3f} s" + (
        f" and stretch by {correction.drift:+.3%}" if correction.drift else ""
    )
    types = sorted({label.type for label in moved} | ({"speaker_turn"} if also_turns else set()))
    if {label.id for label in timed if label.type in types} - ids and not also_turns:
        # Another version of the transcript stands on the stream and must stay where it is.
        if len(moved) > MAX_PATCH:
            return None
        return Suggestion(
            summary=f"{summary} the {len(moved)} labels of {maker.track.author or 'this transcript'}",
            patch=LabelPatch(upsert=moved_labels(moved, correction)),
        )
    alone = all(label.type in types for label in timed)
    shift = TimeShift(
        stream=stream,
        types=() if alone else tuple(types),
        offset_s=round(correction.offset_s, 4),
        drift=round(correction.drift, 8),
    )
    return Suggestion(summary=f"{summary} the labels of stream {stream}", time_shift=shift)

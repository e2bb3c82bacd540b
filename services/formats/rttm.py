"""RTTM, the Rich Transcription Time Marked format: who speaks when.

Source: NIST, *The 2009 (RT-09) Rich Transcription Meeting Recognition Evaluation Plan*, appendix A: nine or
ten fields a line, ``SPEAKER file channel onset duration <NA> <NA> speaker confidence [<NA>]``, seconds.
"""

from __future__ import annotations

from collections.abc import Iterable

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import SpeakerTurn
from services.errors import InvalidInputError
from services.formats.result import ExportResult, Losses
from services.formats.spoken import LineError, OneRecording, confidence_of, identifier, read_lines, seconds

ABSENT = "<NA>"
_OTHER_TYPES = frozenset({
    "SEGMENT", "NOSCORE", "NO_RT_METADATA", "LEXEME", "NON-LEX", "NON-SPEECH", "FILLER", "EDIT", "IP", "SU",
    "CB", "A/P", "SPKR-INFO",
})  # fmt: skip


def parse_rttm(
    text: str, *, stream: str, author: Author | None = None, recording: str | None = None
) -> tuple[Annotation, ...]:
    """Return the speaker turns of an RTTM document, in its order.

    Args:
        text: The document. Lines of other RTTM types are skipped, as are empty lines and ``;;`` comments.
        stream: The stream that the turns describe.
        author: Who made them.
        recording: Read only the lines of this file id; without it the document must hold one recording.

    Raises:
        InvalidInputError: With the line, and what to change there.
    """
    recordings = OneRecording(recording)

    def read(number: int, line: str) -> SpeakerTurn | None:
        fields = line.split()
        if fields[0] in _OTHER_TYPES:
            return None
        if fields[0] != "SPEAKER":
            raise LineError(f"the first field is {fields[0][:40]!r}; it must be SPEAKER")
        if not 8 <= len(fields) <= 10:
            raise LineError(
                f"it has {len(fields)} fields; write SPEAKER file channel onset duration <NA> <NA> name <NA>"
            )
        if not recordings.admits(fields[1]):
            return None
        onset_s = seconds(fields[3], "the onset")
        return SpeakerTurn(
            id=f"{stream}-rttm-{number}",
            stream=stream,
            speaker=identifier(fields[7], "the speaker"),
            start_s=onset_s,
            # Times in these files have milliseconds; the sum must not carry binary dust.
            end_s=round(onset_s + seconds(fields[4], "the duration"), 6),
            confidence=None if len(fields) < 9 or fields[8] == ABSENT else confidence_of(fields[8]),
            author=author,
        )

    return read_lines(text, "RTTM", read)


def write_rttm(annotations: Iterable[Annotation], *, recording: str, channel: int = 1) -> str:
    """Return the speaker turns among ``annotations`` as an RTTM document; other kinds are left out.

    Ids, attributes, labels and authors have no place in RTTM and are lost; times keep six decimals.

    Raises:
        InvalidInputError: ``recording`` has white space, which the format can not hold.
    """
    if not recording or any(character.isspace() for character in recording):
        raise InvalidInputError(f"RTTM can not hold the recording name {recording!r}; use one without spaces")
    lines = []
    for turn in annotations:
        if isinstance(turn, SpeakerTurn):
            confidence = ABSENT if turn.confidence is None else f"{turn.confidence:.6g}"
            onset, duration = _decimal(turn.start_s), _decimal(turn.end_s - turn.start_s)
            lines.append(
                f"SPEAKER {recording} {channel} {onset} {duration} {ABSENT} {ABSENT} {turn.speaker} "
                f"{confidence} {ABSENT}\n"
            )
    return "".join(lines)


def export_rttm(annotations: Iterable[Annotation], *, recording: str) -> ExportResult:
    """Return what :func:`write_rttm` writes, and label by label what it does not hold.

    Raises:
        InvalidInputError: See :func:`write_rttm`.
    """
    losses = Losses("RTTM")
    turns: list[Annotation] = []
    for label in annotations:
        if not isinstance(label, SpeakerTurn):
            losses.kind(label)
            continue
        turns.append(label)
        kept = ("speaker", "start_s", "end_s", "confidence")
        losses.fields(label, (*kept, "label") if label.label == "speaker" else kept)
        if (round(label.start_s, 6), round(label.end_s, 6)) != (label.start_s, label.end_s):
            losses.part(label, "start_s, end_s", "times are rounded to six decimals")
        if label.confidence is not None and float(f"{label.confidence:.6g}") != label.confidence:
            losses.part(label, "confidence", "it is rounded to six digits")
    return losses.result(write_rttm(turns, recording=recording))


def _decimal(value_s: float) -> str:
    whole, fraction = f"{value_s:.6f}".split(".")
    return f"{whole}.{fraction.rstrip('0').ljust(3, '0')}"

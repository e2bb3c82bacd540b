"""SubRip (SRT) captions: numbered cues with times and text.

The format has no specification; this reads what players and editors write: numbers that are missing or out of
order, a point for the comma, text positions after the times, and empty lines inside a text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import TranscriptSegment
from services.errors import InvalidInputError
from services.formats.cues import ARROW, lines_of, timecode, timing_of, writable_times
from services.formats.result import ExportResult, ImportResult, Intake, Losses, label_id

_EXAMPLE = "00:01:02,345 --> 00:01:04,000"
_MARKUP = re.compile(r"</?(?:[biu]|font(?:\s[^<>]*)?)>|\{\\[^{}]*\}", re.IGNORECASE)
_INDEX = re.compile(r"^\s*\d{1,9}\s*$")
_KEPT = ("label", "text", "start_s", "end_s", "attributes.position")


def read_srt(text: str, *, stream: str, author: Author | None = None) -> ImportResult:
    """Return the transcript segments of an SRT document, in its order.

    Typographic markup, such as ``<i>``, is taken out and listed. A position after the times is kept as the
    attribute ``position``.

    Args:
        text: The document.
        stream: The stream that the segments describe.
        author: Who made them.

    Raises:
        InvalidInputError: A line with ``-->`` has no readable times, or there is text and no cue; names the line.
    """
    intake = Intake()
    cue: _Cue | None = None
    before: list[tuple[int, str]] = []
    for number, line in lines_of(text):
        if ARROW not in line:
            (before if cue is None else cue.lines).append((number, line))
            continue
        start_s, end_s, position = timing_of(line, number, "SRT", _EXAMPLE)
        lines = before if cue is None else cue.lines
        if lines and _INDEX.match(lines[-1][1]):
            lines.pop()
        _keep(cue, intake, stream, author)
        cue = _Cue(number, start_s, end_s, position)
    stray = [(number, line) for number, line in before if line.strip()]
    if stray and cue is None:
        reason = f"there is no time span in the document; write cues as a number, {_EXAMPLE} and text"
        raise InvalidInputError(f"SRT line {stray[0][0]} can not be read: {reason}", places=(("/line/1", reason),))
    for number, line in stray:
        intake.drop(f"line {number}", line, "it stands before the first cue")
    _keep(cue, intake, stream, author)
    return intake.result()


class _Cue:
    def __init__(self, number: int, start_s: float, end_s: float, position: str | None) -> None:
        self.number, self.start_s, self.end_s, self.position = number, start_s, end_s, position
        self.lines: list[tuple[int, str]] = []


def _keep(cue: _Cue | None, intake: Intake, stream: str, author: Author | None) -> None:
    if cue is None:
        return
    written = "\n".join(line for _, line in cue.lines).strip()
    spoken = _MARKUP.sub("", written)
    place = f"line {cue.number}"
    kept = intake.add(
        place,
        f"cue {written[:80]!r}",
        {
            "type": "transcript_segment",
            "id": label_id(stream, "srt", len(intake.annotations) + 1),
            "stream": stream,
            "start_s": cue.start_s,
            "end_s": cue.end_s,
            "text": spoken.strip(),
            "author": author,
            "attributes": {} if cue.position is None else {"position": cue.position},
        },
    )
    if kept and spoken != written:
        intake.drop(place, " ".join(_MARKUP.findall(written)), "markup of the text is not kept")


def write_srt(annotations: Iterable[Annotation]) -> ExportResult:
    """Return the transcript segments among ``annotations`` as an SRT document, and what it does not hold."""
    losses = Losses("SRT")
    cues: list[str] = []
    for label in annotations:
        if not isinstance(label, TranscriptSegment):
            losses.kind(label)
            continue
        if not writable_times(label, losses):
            continue
        position = label.attributes.get("position")
        fits = isinstance(position, str) and bool(position.strip()) and "\n" not in position and ARROW not in position
        kept = _KEPT if fits else _KEPT[:-1]
        losses.fields(label, kept if label.label == "speech" else (*kept[1:],))
        spoken = _writable(label, losses)
        times = f"{timecode(label.start_s, ',')} {ARROW} {timecode(label.end_s, ',')}"
        cues.append(f"{len(cues) + 1}\n{times}{f' {str(position).strip()}' if fits else ''}\n{spoken}\n")
    return losses.result("\n".join(cues))


def _writable(label: TranscriptSegment, losses: Losses) -> str:
    """Return the text as a reader will find it again; lists what it will not."""
    spoken = label.text.replace("\r\n", "\n").replace("\r", "\n").replace(ARROW, "->")
    while _MARKUP.search(spoken):  # taking one out may join another
        spoken = _MARKUP.sub("", spoken)
    spoken = spoken.strip()
    if spoken != label.text:
        losses.part(label, "text", "markup, arrows, outer white space and carriage returns are not kept")
    return spoken

"""What the caption formats share: lines with their numbers, time codes, and the text between."""

from __future__ import annotations

import re
from collections.abc import Iterator

from services.contracts.labels_language import TranscriptSegment
from services.errors import InvalidInputError
from services.formats.result import Losses

_LINE = re.compile(r"([^\r\n]*)(\r\n|\n|\r|\Z)")
_TIMECODE = r"(?:(\d{1,6}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
TIMING = re.compile(rf"^\s*{_TIMECODE}\s*-->\s*{_TIMECODE}(?:[ \t]+(\S.*))?\s*$")
ARROW = "-->"
MAX_TIME_S = 999_999 * 3_600


def lines_of(text: str) -> Iterator[tuple[int, str]]:
    """Yield (number from 1, line); only CR, LF and CRLF end a line: captions hold other separators as text."""
    position = 1 if text.startswith("\ufeff") else 0
    number = 0
    while position < len(text):
        found = _LINE.match(text, position)
        if found is None:
            return
        number += 1
        yield number, found[1]
        position = found.end()


def timing_of(line: str, number: int, format_name: str, example: str) -> tuple[float, float, str | None]:
    """Return (start_s, end_s, what follows) of a timing line.

    Raises:
        InvalidInputError: The line has the arrow and is no timing; names the line.
    """
    found = TIMING.match(line)
    if found is None or any(int(found[group]) > 59 for group in (2, 3, 6, 7)):
        reason = f"{line.strip()[:80]!r} is no time span; write it as {example}"
        raise InvalidInputError(
            f"{format_name} line {number} can not be read: {reason}", places=((f"/line/{number}", reason),)
        )
    return _seconds(found.groups()[:4]), _seconds(found.groups()[4:8]), found[9] and found[9].rstrip()


def _seconds(groups: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = groups
    # One division of whole milliseconds: the nearest double of the time that was written.
    milliseconds = (int(hours or 0) * 3_600 + int(minutes or 0) * 60 + int(seconds or 0)) * 1_000
    return (milliseconds + int((fraction or "0").ljust(3, "0"))) / 1_000


def timecode(time_s: float, separator: str) -> str:
    """Return ``time_s`` as HH:MM:SS and milliseconds."""
    milliseconds = round(time_s * 1_000)
    seconds, milliseconds = divmod(milliseconds, 1_000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{separator}{milliseconds:03d}"


def writable_times(label: TranscriptSegment, losses: Losses) -> bool:
    """Whether a caption file can hold the label's times; lists what is lost otherwise, or by rounding."""
    times = (label.start_s, label.end_s)
    if min(times) < 0 or max(times) > MAX_TIME_S:
        losses.whole(label, f"{losses.format_name} holds times from 0 to {MAX_TIME_S} s")
        return False
    if any(round(time * 1_000) / 1_000 != time for time in times):
        losses.part(label, "start_s, end_s", "times are rounded to milliseconds")
    return True

"""STM, the segment time marked format: what was said, by whom, from when to when.

Source: NIST Scoring Toolkit (SCTK), file format of ``sclite``: ``file channel speaker begin end [<label>]
text``, seconds; ``;;`` begins a comment line; ``IGNORE_TIME_SEGMENT_IN_SCORING`` marks time
that has no transcript.
"""

from __future__ import annotations

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import TranscriptSegment
from services.formats.spoken import LineError, OneRecording, identifier, read_lines, seconds

IGNORED_TEXT = "ignore_time_segment_in_scoring"


def parse_stm(
    text: str, *, stream: str, author: Author | None = None, recording: str | None = None
) -> tuple[Annotation, ...]:
    """Return the transcript segments of an STM document, in its order.

    A ``<label>`` field, such as ``<o,f0,male>``, is kept as the attribute ``stm_label``.

    Args:
        text: The document.
        stream: The stream that the segments describe.
        author: Who made them.
        recording: Read only the lines of this file id; without it the document must hold one recording.

    Raises:
        InvalidInputError: With the line, and what to change there.
    """
    recordings = OneRecording(recording)

    def read(number: int, line: str) -> TranscriptSegment | None:
        fields = line.split(maxsplit=5)
        if len(fields) < 5:
            raise LineError(f"it has {len(fields)} fields; write file channel speaker begin end text")
        if not recordings.admits(fields[0]):
            return None
        spoken, attributes = _without_label(fields[5].strip() if len(fields) == 6 else "")
        if spoken.lower() == IGNORED_TEXT:
            return None
        return TranscriptSegment(
            id=f"{stream}-stm-{number}",
            stream=stream,
            speaker=identifier(fields[2], "the speaker"),
            start_s=seconds(fields[3], "the begin time"),
            end_s=seconds(fields[4], "the end time"),
            text=spoken,
            author=author,
            attributes=attributes,
        )

    return read_lines(text, "STM", read)


def _without_label(spoken: str) -> tuple[str, dict[str, bool | int | float | str]]:
    if not spoken.startswith("<") or ">" not in spoken:
        return spoken, {}
    label, _, rest = spoken[1:].partition(">")
    return rest.strip(), {"stm_label": label}

"""WebVTT captions: cues with voices, languages and word times.

Source: W3C, *WebVTT: The Web Video Text Tracks Format*, Candidate Recommendation 2019. Own reader: the libraries at
hand skip what they do not know without a word, and name no line; this one lists every block and tag it leaves out.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import TranscriptSegment
from services.errors import InvalidInputError
from services.formats.cues import ARROW, lines_of, timecode, timing_of, writable_times
from services.formats.result import ExportResult, ImportResult, Intake, Losses, label_id
from services.formats.spoken import LineError, identifier

_EXAMPLE = "00:01:02.345 --> 00:01:04.000"
_TAG = re.compile(r"<([^<>]*)>")
_TIME = re.compile(r"^(?:(\d{2,6}):)?([0-5]\d):([0-5]\d)\.(\d{3})$")
_BLOCKS = ("NOTE", "STYLE", "REGION")
_KEPT = ("text", "start_s", "end_s", "speaker", "attributes.voice", "attributes.cue_id", "attributes.settings")


def read_webvtt(text: str, *, stream: str, author: Author | None = None) -> ImportResult:
    """Return the transcript segments of a WebVTT document, in its order.

    A cue becomes one segment a voice. A cue's identifier and settings are kept as the attributes ``cue_id`` and
    ``settings``; time tags inside a cue become words; ``<lang>`` around the whole becomes the language. Other tags,
    notes, styles and regions are listed as dropped.

    Args:
        text: The document.
        stream: The stream that the segments describe.
        author: Who made them.

    Raises:
        InvalidInputError: The first line is not WEBVTT, or a line with ``-->`` has no readable times.
    """
    intake = Intake()
    blocks = _blocks(text)
    number, first = next(blocks, (1, [""]))
    if number != 1 or not re.match(r"WEBVTT(?:[ \t]|$)", first[0]):
        reason = "the first line must be WEBVTT"
        raise InvalidInputError(f"WebVTT line 1 can not be read: {reason}", places=(("/line/1", reason),))
    timed = next((index for index, line in enumerate(first) if ARROW in line), None)
    if timed is not None:  # an empty line after the header is missing
        _read_cue(1 + timed, first[timed:], intake, stream, author)
        first = first[:timed]
    for offset, line in enumerate([first[0][6:], *first[1:]]):
        if line.strip():
            intake.drop(f"line {1 + offset}", line.strip(), "header text is not kept")
    for start, lines in blocks:
        timed = next((index for index, line in enumerate(lines) if ARROW in line), None)
        if timed is None or timed > 1:
            kind = lines[0].split(maxsplit=1)[0]
            why = "is no label" if kind in _BLOCKS else "has no times"
            intake.drop(f"line {start}", " ".join(lines), f"a block that {why}")
        else:
            cue_id = lines[0].strip() if timed == 1 else None
            _read_cue(start + timed, lines[timed:], intake, stream, author, cue_id)
    return intake.result()


def _blocks(text: str) -> Iterator[tuple[int, list[str]]]:
    start, lines = 1, list[str]()
    for number, line in lines_of(text):
        if line.strip():
            if not lines:
                start = number
            lines.append(line)
        elif lines:
            yield start, lines
            lines = []
    if lines:
        yield start, lines


def _read_cue(
    number: int, lines: list[str], intake: Intake, stream: str, author: Author | None, cue_id: str | None = None
) -> None:
    start_s, end_s, settings = timing_of(lines[0], number, "WebVTT", _EXAMPLE)
    place = f"line {number}"
    attributes: dict[str, Any] = {"cue_id": cue_id, "settings": settings}
    payload = _Payload(start_s, end_s)
    payload.read("\n".join(lines[1:]))
    kept = False
    for voice, language, spoken, words in payload.parts():
        speaker, voiced = None, {}
        if voice is not None:
            try:
                speaker = identifier(voice, "the voice")
            except LineError as error:
                intake.drop(place, f"voice {voice!r}", str(error))
            if speaker is not None and speaker != voice:
                voiced["voice"] = voice
        kept |= intake.add(
            place,
            f"cue {spoken[:80]!r}",
            {
                "type": "transcript_segment",
                "id": label_id(stream, "vtt", len(intake.annotations) + 1),
                "stream": stream,
                "start_s": start_s,
                "end_s": end_s,
                "text": spoken,
                "speaker": speaker,
                "language": language,
                "words": words,
                "author": author,
                "attributes": {k: v for k, v in (attributes | voiced).items() if v is not None},
            },
        )
    if kept and payload.ignored:
        intake.drop(place, " ".join(f"<{tag}>" for tag in payload.ignored), "markup of the text is not kept")


class _Payload:
    """The text of one cue, by voice; a voice lasts until the next one or its end tag."""

    def __init__(self, start_s: float, end_s: float) -> None:
        self._start_s, self._end_s = start_s, end_s
        self._voice: str | None = None
        self._time_s: float | None = None
        self._languages: list[str] = []
        self._pieces: list[tuple[str | None, str | None, float | None, str]] = []
        self.ignored: list[str] = []

    def read(self, text: str) -> None:
        """Take the text of the cue apart."""
        position = 0
        for tag in _TAG.finditer(text):
            self._say(text[position : tag.start()])
            self._tag(tag[1])
            position = tag.end()
        self._say(text[position:])

    def _say(self, text: str) -> None:
        if text:
            language = self._languages[-1] if self._languages else None
            self._pieces.append((self._voice, language, self._time_s, html.unescape(text)))

    def _tag(self, tag: str) -> None:
        name, _, value = tag.partition(" ")
        value = html.unescape(" ".join(value.split()))
        time = _TIME.match(tag)
        if time is not None:
            hours, minutes, seconds, milliseconds = (int(group or 0) for group in time.groups())
            self._time_s = ((hours * 60 + minutes) * 60_000 + seconds * 1_000 + milliseconds) / 1_000
        elif name.split(".")[0] == "v" and value:
            self._voice = value
            if name != "v":
                self.ignored.append(name)
        elif name == "/v":
            self._voice = None
        elif name == "lang" and value:
            self._languages.append(value)
        elif name == "/lang":
            del self._languages[-1:]
        elif not name.startswith("/"):
            self.ignored.append(tag)

    def parts(self) -> Iterator[tuple[str | None, str | None, str, list[dict[str, Any]]]]:
        """Yield (voice, language, text, words) for each stretch of one voice; one empty part for an empty cue."""
        runs: list[list[tuple[str | None, str | None, float | None, str]]] = []
        for piece in self._pieces:
            if runs and (runs[-1][0][0] == piece[0] or not piece[3].strip()):
                runs[-1].append(piece)
            else:
                runs.append([piece])
        runs = [run for run in runs if any(piece[3].strip() for piece in run)]
        if not runs:
            yield None, None, "", []
        for run in runs:
            spoken = [piece for piece in run if piece[3].strip()]
            languages = {piece[1] for piece in spoken}
            language = next(iter(languages)) if len(languages) == 1 else None
            if len(languages) > 1:
                self.ignored += [f"lang {name}" for name in sorted(filter(None, languages))]
            yield spoken[0][0], language, "".join(piece[3] for piece in run).strip(), self._words(spoken)

    def _words(self, spoken: list[tuple[str | None, str | None, float | None, str]]) -> list[dict[str, Any]]:
        if all(piece[2] is None for piece in spoken):
            return []
        starts = [self._start_s if piece[2] is None else piece[2] for piece in spoken]
        ends = [*starts[1:], self._end_s]
        timed: list[tuple[float, float, list[str]]] = []
        for piece, start_s, end_s in zip(spoken, starts, ends, strict=True):
            said = timed.pop()[2] if timed and timed[-1][0] == start_s else []
            said.append(piece[3].strip())
            timed.append((start_s, end_s, said))
        return [{"text": " ".join(said), "start_s": start_s, "end_s": end_s} for start_s, end_s, said in timed]


def write_webvtt(annotations: Iterable[Annotation]) -> ExportResult:
    """Return the transcript segments among ``annotations`` as a WebVTT document, and what it does not hold."""
    losses = Losses("WebVTT")
    cues = ["WEBVTT\n"]
    for label in annotations:
        if not isinstance(label, TranscriptSegment):
            losses.kind(label)
            continue
        if not writable_times(label, losses):
            continue
        spoken, kept = _writable(label, losses)
        head, settings = "", ""
        cue_id, given = label.attributes.get("cue_id"), label.attributes.get("settings")
        if _one_line(cue_id):
            head = f"{cue_id}\n"
        else:
            kept.discard("attributes.cue_id")
        if _one_line(given):
            settings = f" {given}"
        else:
            kept.discard("attributes.settings")
        losses.fields(label, kept)
        times = f"{timecode(label.start_s, '.')} {ARROW} {timecode(label.end_s, '.')}"
        cues.append(f"{head}{times}{settings}\n{spoken}\n")
    return losses.result("\n".join(cues))


def _one_line(value: object) -> bool:
    return (
        isinstance(value, str)
        and value == value.strip() != ""
        and not set(value) & {"\n", "\r"}
        and (ARROW not in value and value.split()[0] not in _BLOCKS)
    )


def _writable(label: TranscriptSegment, losses: Losses) -> tuple[str, set[str]]:
    """Return the cue's text with its tags, and the names of the fields it holds."""
    kept = set(_KEPT) | ({"label"} if label.label == "speech" else set())
    plain = re.sub(r"\r\n?", "\n", label.text).strip()
    plain = re.sub(r"\n(?:[^\S\n]*\n)+", "\n", plain)
    if plain != label.text:
        losses.part(label, "text", "empty lines, outer white space and carriage returns are not kept")
    spoken = _escaped(plain)
    if label.words:
        timed = _with_times(label)
        if timed is not None and plain == label.text:
            spoken = timed
            kept.add("words")
    if label.language is not None and plain and _in_tag(label.language):
        spoken = f"<lang {_escaped(label.language)}>{spoken}</lang>"
        kept.add("language")
    voice = label.attributes.get("voice", label.speaker)
    if label.speaker is None or not plain or not isinstance(voice, str) or not _in_tag(voice):
        voice = label.speaker
        kept.discard("attributes.voice")
    if label.speaker is not None and voice is not None and plain:
        if identifier(voice, "the voice") != label.speaker:
            voice = label.speaker
            kept.discard("attributes.voice")
        elif voice == label.speaker:
            kept.discard("attributes.voice")
        spoken = f"<v {_escaped(voice)}>{spoken}</v>"
    else:
        kept.discard("speaker")
    return spoken, kept


def _in_tag(value: str) -> bool:
    return value == " ".join(value.split()) != "" and any(
        character.isalnum() and character.isascii() for character in value
    )


def _with_times(label: TranscriptSegment) -> str | None:
    """Return the text with a time tag before each word, or None where tags can not say the words' times."""
    words = label.words
    times = [word.start_s for word in words] + [words[-1].end_s]
    exact = all(round(time * 1_000) / 1_000 == time and time >= 0 for time in times)
    joined = all(a.end_s == b.start_s and a.start_s < b.start_s for a, b in pairwise(words))
    tight = all(word.text == word.text.strip() != "" for word in words)
    if not (exact and joined and tight and words[-1].end_s == label.end_s):
        return None
    if label.text != " ".join(word.text for word in words):
        return None
    return " ".join(f"<{timecode(word.start_s, '.')}>{_escaped(word.text)}" for word in words)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

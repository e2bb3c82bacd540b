"""Praat TextGrid, long and short text form: tiers of intervals and points.

Source: P. Boersma and D. Weenink, Praat manual, *TextGrid file formats*: only free-standing numbers, quoted texts and
``<flags>`` mean something; everything else is comment. Own reader: praatio answers a broken file with whatever
exception its parser meets, and names no line.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import SoundEvent, TranscriptSegment
from services.contracts.labels_visual import Event
from services.errors import InvalidInputError
from services.formats.result import (
    ExportResult,
    ImportResult,
    Intake,
    Losses,
    StreamFacts,
    label_id,
)
from services.formats.spoken import LineError, identifier

_TOKEN = re.compile(
    r"""(?P<comment>![^\r\n]*)
      | "(?P<text>(?:[^"]++|"")*+)"
      | <(?P<flag>[A-Za-z]+)>
      | (?P<number>[-+]?(?:\d++(?:\.\d*+)?|\.\d++)(?:[eE][-+]?\d++)?)(?=\s|$)
      | (?P<open>")
      | [^\s"]+""",
    re.VERBOSE,
)
_SOUNDS = re.compile(
    r"phon|syll|segment|\bmau\b|pitch|tone|break|sound|event|noise|silence|vowel|consonant", re.IGNORECASE
)
_WORDS = re.compile(
    r"^(?:words?|utterances?|utt|sentences?|phrases?|transcripts?|transcription|text|ort(?:-mau)?|orthography|speech|"
    r"tokens?|ipus?)$",
    re.IGNORECASE,
)
_MAX_ITEMS = 1_000_000
Tier = Literal["transcript", "sound"]


def decode_textgrid(data: bytes) -> str:
    """Return the text of a TextGrid: UTF-8, or UTF-16 with its byte order mark, as Praat writes either.

    Raises:
        InvalidInputError: The bytes are binary TextGrid or in another encoding.
    """
    if data.startswith(b"ooBinaryFile"):
        raise InvalidInputError("a binary TextGrid can not be read; save it in Praat as a text file")
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise InvalidInputError(
            f"TextGrid: byte {error.start} is not {encoding[:6].upper()}; save it as UTF-8"
        ) from error


def read_textgrid(text: str, *, stream: str, author: Author | None = None) -> ImportResult:
    """Return what the tiers of a TextGrid hold, tier by tier; intervals without text are silence and no label.

    A tier of words or utterances gives transcript segments; one of phones, syllables or sounds gives sound events;
    any other gives transcript segments of the speaker that it is named after. A point is an event of phase ``moment``.
    The tier's name stays in the attribute ``tier``; ``A - words`` names tier and speaker.

    Args:
        text: The document.
        stream: The stream that the labels describe.
        author: Who made them.

    Raises:
        InvalidInputError: The document is no TextGrid, or ends early; names the line and what was expected there.
    """
    tokens = _Tokens(text)
    if not tokens.text("the file type").startswith("ooTextFile") or tokens.text("the class") != "TextGrid":
        raise tokens.bad('the first lines must be File type = "ooTextFile" and Object class = "TextGrid"')
    tokens.number("xmin")
    length_s = tokens.number("xmax")
    intake = Intake()
    if tokens.flag("<exists> or <absent>") == "exists":
        for position in range(1, tokens.count("the number of tiers") + 1):
            _read_tier(tokens, position, intake, stream, author)
    return intake.result(StreamFacts(stream, modality="audio", duration_s=length_s if 0 <= length_s <= 1e8 else None))


def _read_tier(tokens: _Tokens, position: int, intake: Intake, stream: str, author: Author | None) -> None:
    kind = tokens.text("the class of a tier")
    if kind not in ("IntervalTier", "TextTier"):
        raise tokens.bad(f"a tier is an IntervalTier or a TextTier, got {kind[:40]!r}")
    name = tokens.text("the name of a tier")
    tokens.number("xmin of a tier")
    tokens.number("xmax of a tier")
    for item in range(1, tokens.count("the number of intervals or points") + 1):
        start_s = tokens.number("a time")
        end_s = tokens.number("xmax of an interval") if kind == "IntervalTier" else start_s
        mark = tokens.text("the text of an interval or point")
        if not mark.strip() and kind == "IntervalTier":
            continue
        fields: dict[str, Any] = {
            "id": label_id(stream, "textgrid", f"{position}-{item}"),
            "stream": stream,
            "start_s": start_s,
            "end_s": end_s,
            "author": author,
            "attributes": {"tier": name},
        }
        place = f"line {tokens.line}"
        if kind == "TextTier":
            fields |= {"type": "event", "label": mark, "phase": "moment"}
        elif _kind_of(name) == "sound":
            fields |= {"type": "sound_event", "label": mark}
        else:
            fields |= {"type": "transcript_segment", "text": mark, "speaker": _speaker_of(name)}
        if end_s <= start_s and kind == "IntervalTier":
            intake.drop(place, f"{name}: {mark}", f"the interval from {start_s:g} to {end_s:g} s has no length")
        else:
            intake.add(place, f"{name}: {mark}", fields)


def _kind_of(tier: str) -> Tier:
    return "sound" if _SOUNDS.search(tier.rpartition(" - ")[2]) else "transcript"


def level_of(tier: str) -> str | None:
    """Return the level of speech that a tier of transcript segments holds, such as ``words``; None for a speaker's."""
    _, dash, level = tier.rpartition(" - ")
    return level if dash or _WORDS.match(tier.strip()) else None


def _speaker_of(tier: str) -> str | None:
    speaker, dash, _ = tier.rpartition(" - ")
    if not dash:
        speaker = "" if _WORDS.match(tier.strip()) else tier
    try:
        return identifier(speaker, "the speaker")
    except LineError:
        return None


class _Tokens:
    """The meaningful words of a TextGrid, one after the other."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._matches = self._meaningful()
        self._counted = 0
        self._lines = 1

    def _meaningful(self) -> Iterator[re.Match[str]]:
        for match in _TOKEN.finditer(self._text):
            self._position = match.start()
            if match["open"] is not None:
                raise self.bad("a text begins here and never ends; close it with a double quote")
            if any(match[name] is not None for name in ("text", "flag", "number")):
                yield match

    @property
    def line(self) -> int:
        """Number of the line of the word that was read last."""
        self._lines += self._text.count("\n", self._counted, self._position)
        self._counted = self._position
        return self._lines

    def bad(self, reason: str) -> InvalidInputError:
        number = self.line
        return InvalidInputError(
            f"TextGrid line {number} can not be read: {reason}", places=((f"/line/{number}", reason),)
        )

    def _next(self, kind: str, what: str) -> str:
        match = next(self._matches, None)
        if match is None:
            self._position = len(self._text)
            raise self.bad(f"the document ends where {what} should stand; the file is cut off")
        value = match[kind]
        if value is None:
            raise self.bad(f"here stands {match[0][:40]!r} instead of {what}")
        return value

    def text(self, what: str) -> str:
        return self._next("text", what).replace('""', '"')

    def flag(self, what: str) -> str:
        return self._next("flag", what)

    def number(self, what: str) -> float:
        value = float(self._next("number", what))
        if not -1e9 <= value <= 1e10:
            raise self.bad(f"{what} is {value:g}; times are seconds from -1e9 to 1e10")
        return value

    def count(self, what: str) -> int:
        value = self.number(what)
        if value != int(value) or not 0 <= value <= _MAX_ITEMS:
            raise self.bad(f"{what} is {value:g}; it must be a whole number up to {_MAX_ITEMS}")
        return int(value)


_Placed = TranscriptSegment | SoundEvent | Event


def write_textgrid(annotations: Iterable[Annotation], *, duration_s: float | None = None) -> ExportResult:
    """Return segments, sound events and events as a TextGrid, short form, and what it does not hold.

    A label goes into the tier of its attribute ``tier``, else of its speaker or kind. Labels that overlap
    go into further tiers of the same name; Praat's intervals can not overlap in one.

    Args:
        annotations: The labels.
        duration_s: Length of the recording; without it the last label ends the document.
    """
    losses = Losses("TextGrid")
    tiers: dict[tuple[str, bool], list[_Placed]] = {}
    for label in annotations:
        if not isinstance(label, TranscriptSegment | SoundEvent | Event):
            losses.kind(label)
            continue
        points = isinstance(label, Event)
        mark = label.text if isinstance(label, TranscriptSegment) else label.label
        if not mark.strip() and not points:
            losses.whole(label, "an interval without text is silence")
        elif label.start_s < 0:
            losses.whole(label, "a TextGrid begins at 0 s")
        elif label.end_s <= label.start_s and not points:
            losses.whole(label, "an interval needs a length above 0 s")
        else:
            tiers.setdefault((_tier_of(label, losses), points), []).append(label)
    rows = [(name, points, row) for (name, points), labels in tiers.items() for row in _rows(labels, points=points)]
    end_s = max([duration_s or 0.0, *(max(label.start_s, label.end_s) for _, _, row in rows for label in row)])
    body = [line for name, points, row in rows for line in _tier_lines(name, row, end_s, points=points)]
    head = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "0", _time(end_s), "<exists>", str(len(rows))]
    return losses.result("\n".join([*head, *body, ""]))


def _tier_of(label: _Placed, losses: Losses) -> str:
    given = label.attributes.get("tier")
    kept = {"start_s", "attributes.tier"}
    if isinstance(label, TranscriptSegment):
        name = label.speaker or "transcript"
        usable = isinstance(given, str) and _kind_of(given) == "transcript" and _speaker_of(given) == label.speaker
        if label.speaker is not None and (_kind_of(name) != "transcript" or _speaker_of(name) != label.speaker):
            name = f"{label.speaker} - words"
        kept |= {"end_s", "text", "speaker"} | ({"label"} if label.label == "speech" else set())
    elif isinstance(label, SoundEvent):
        name, usable = "sound", isinstance(given, str) and _kind_of(given) == "sound"
        kept |= {"end_s", "label"}
    else:
        name, usable = "event", isinstance(given, str)
        kept |= {"label"} | ({"end_s"} if label.end_s == label.start_s else set())
        if label.phase == "moment":
            kept.add("phase")
        elif label.phase == "whole":
            losses.part(label, "phase", "a point is read as a moment")
    if not usable:
        kept.discard("attributes.tier")
    losses.fields(label, kept)
    return str(given) if usable else name


def _rows(labels: list[_Placed], *, points: bool) -> Iterator[list[_Placed]]:
    """Yield the fewest rows, greedily, in which no label overlaps another."""
    rows: list[list[_Placed]] = [labels] if points else []
    free_from: list[tuple[float, int]] = []
    for label in () if points else sorted(labels, key=lambda item: item.start_s):
        if free_from and free_from[0][0] <= label.start_s:
            row = heapq.heappop(free_from)[1]
        else:
            row = len(rows)
            rows.append([])
        rows[row].append(label)
        heapq.heappush(free_from, (label.end_s, row))
    yield from rows


def _tier_lines(name: str, row: list[_Placed], end_s: float, *, points: bool) -> Iterator[str]:
    items: list[str] = []
    count, time_s = 0, 0.0
    for label in row:
        mark = label.text if isinstance(label, TranscriptSegment) else label.label
        if points:
            items += [_time(label.start_s), _quoted(mark)]
        else:
            if label.start_s > time_s:
                items += [_time(time_s), _time(label.start_s), '""']
                count += 1
            items += [_time(label.start_s), _time(label.end_s), _quoted(mark)]
            time_s = label.end_s
        count += 1
    if not points and time_s < end_s:
        items += [_time(time_s), _time(end_s), '""']
        count += 1
    yield from ('"TextTier"' if points else '"IntervalTier"', _quoted(name), "0", _time(end_s), str(count), *items)


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _time(time_s: float) -> str:
    return repr(time_s)

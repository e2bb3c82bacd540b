"""XML read piece by piece with its line numbers; documents that declare entities are refused before they can grow."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.parsers import expat

from services.errors import InvalidInputError

MAX_DEPTH = 32
_CHUNK = 65_536


@dataclass(slots=True)
class Element:
    """An element with everything in it, and the line where it begins."""

    tag: str
    line: int
    source: str
    attributes: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def bad(self, reason: str) -> InvalidInputError:
        """Return the error that says what is wrong with this element."""
        place = f"<{self.tag}>: {reason}"
        return InvalidInputError(f"{self.source}, line {self.line}, {place}", places=((f"/line/{self.line}", place),))

    def all(self, tag: str) -> Iterator[Element]:
        """Yield the children of this tag."""
        return (child for child in self.children if child.tag == tag)

    def child(self, tag: str) -> Element | None:
        """Return the first child of this tag."""
        return next(self.all(tag), None)

    def attribute(self, name: str) -> str:
        """Return an attribute that must be there."""
        if name not in self.attributes:
            raise self.bad(f"the attribute {name!r} is missing; add it")
        return self.attributes[name]

    def number(self, name: str) -> float:
        """Return an attribute as a finite number."""
        return _number(self, self.attribute(name), name)

    def whole(self, name: str) -> int:
        """Return an attribute as a whole number."""
        value = self.number(name)
        if value != int(value):
            raise self.bad(f"{name} must be a whole number, got {value:g}")
        return int(value)

    def points(self, name: str) -> list[tuple[float, float]]:
        """Return an attribute of points, ``x,y;x,y``."""
        found = []
        for part in self.attribute(name).split(";"):
            pair = part.split(",")
            if len(pair) != 2:
                raise self.bad(f"{name} must be x,y;x,y;…, got {part[:40]!r}")
            found.append((_number(self, pair[0], name), _number(self, pair[1], name)))
        return found


def _number(element: Element, value: str, name: str) -> float:
    try:
        found = float(value)
    except ValueError:
        raise element.bad(f"{name} must be a number, got {value[:40]!r}") from None
    if not -1e12 <= found <= 1e12:
        raise element.bad(f"{name} must be a finite number below 1e12, got {value[:40]!r}")
    return found


def read_elements(data: bytes, *, root: str, level: int, source: str) -> Iterator[Element]:
    """Yield each element at ``level`` (1 = the children of the root) when it is whole; it is then forgotten.

    Raises:
        InvalidInputError: It is no XML, has another root, declares a document type, or nests too deeply.
    """
    reader = _Reader(root, level, source)
    at, ended = 0, False
    while not ended:
        # The parser reads a tag or comment that is not yet whole from its beginning, each time that it is given more;
        # given as much again as is pending, it reads none of it more than a few times.
        end = at + max(_CHUNK, at - reader.taken_bytes())
        ended = end >= len(data)
        reader.feed(data[at:end], final=ended)
        at = end
        yield from reader.taken()


class _Reader:
    def __init__(self, root: str, level: int, source: str) -> None:
        self._root, self._level, self._source = root, level, source
        self._open: list[Element] = []
        self._texts: list[list[str]] = []
        self._ready: list[Element] = []
        self._depth = 0
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._say
        parser.StartDoctypeDeclHandler = self._refuse
        parser.EntityDeclHandler = self._refuse
        self._parser = parser

    def feed(self, data: bytes, *, final: bool) -> None:
        """Read the next bytes."""
        try:
            self._parser.Parse(data, final)
        except expat.ExpatError as error:
            said = expat.errors.messages.get(error.code, "it can not be read")
            raise self._bad(f"{said} at column {error.offset + 1}; correct the XML") from None
        except (ValueError, LookupError) as error:  # an encoding that the parser does not know
            raise self._bad(f"{error}; save it as UTF-8") from None

    def taken_bytes(self) -> int:
        """Return how many bytes are behind the parser; what follows them is no whole tag or text yet."""
        return max(self._parser.CurrentByteIndex, 0)

    def taken(self) -> list[Element]:
        """Return the elements that became whole since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def _bad(self, reason: str) -> InvalidInputError:
        line = self._parser.CurrentLineNumber
        return InvalidInputError(f"{self._source}, line {line}: {reason}", places=((f"/line/{line}", reason),))

    def _refuse(self, *_: Any) -> None:
        raise self._bad("a document type or entity is declared; remove the declaration")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 0 and tag != self._root:
            raise self._bad(f"the document is <{tag[:40]}>, it must be <{self._root}>")
        if self._depth >= MAX_DEPTH:
            raise self._bad(f"nested deeper than {MAX_DEPTH} levels; flatten the document")
        if self._depth >= self._level:
            element = Element(tag, self._parser.CurrentLineNumber, self._source, attributes)
            if self._open:
                self._open[-1].children.append(element)
            self._open.append(element)
            self._texts.append([])
        self._depth += 1

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if self._open:
            element = self._open.pop()
            element.text = "".join(self._texts.pop())
            if not self._open:
                self._ready.append(element)

    def _say(self, text: str) -> None:
        if self._open:
            self._texts[-1].append(text)

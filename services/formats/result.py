"""What every importer and exporter answers: the labels or the bytes, and exactly what did not come along."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services.contracts.annotations import Annotation
from services.contracts.label_base import LabelBase
from services.contracts.manifest import Calibration, Clock, Modality
from services.contracts.validation import places_of
from services.formats.spoken import LineError, identifier

_ANNOTATION: TypeAdapter[Annotation] = TypeAdapter(Annotation)
_MAX_WORDS = 120

EVERY_FRAME = (0, 2**53)
"""The (first, last) frame of who wants all: more than the contract counts, so that a frame it can not hold is told."""


@dataclass(frozen=True, slots=True)
class Dropped:
    """One thing that a reader did not take over, or a writer left out.

    Attributes:
        place: Where it is: ``line 12``, a JSON pointer, or the id of a label; ``*`` is the whole document.
        what: The thing, as the document or the contract calls it.
        why: One clause a person understands.
        frame: The frame it belongs to, where the reader knows one.
    """

    place: str
    what: str
    why: str
    frame: int | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class FileLosses:
    """What one file did not bring along.

    Attributes:
        file: The file, as a person knows it.
        dropped: What was not taken over; never empty.
    """

    file: str
    dropped: tuple[Dropped, ...]


@dataclass(frozen=True, slots=True)
class StreamItem:
    """One image or sweep of a stream, as a format names it."""

    frame: int
    uri: str
    size_px: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class StreamFacts:
    """What a label document says about a stream; nothing here is read from the recording itself.

    Attributes:
        id: The stream's id.
        modality: Its modality, where the format tells.
        uri: Address of the recording.
        size_px: (width, height) of its images.
        rate_hz: Frames a second.
        duration_s: Length of the recording, seconds.
        coordinate_frame: Name of the frame in which its labels are.
        calibration: How the sensor sees the world.
        items: Its images or sweeps, where the format names them one by one.
        clock: When they were taken, where the format says so one by one.
    """

    id: str
    modality: Modality | None = None
    uri: str | None = None
    size_px: tuple[int, int] | None = None
    rate_hz: float | None = None
    duration_s: float | None = None
    coordinate_frame: str | None = None
    calibration: Calibration | None = None
    items: tuple[StreamItem, ...] = ()
    clock: Clock | None = None


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The labels of a document, what it says about streams, and what was not taken over."""

    annotations: tuple[Annotation, ...]
    streams: tuple[StreamFacts, ...] = ()
    dropped: tuple[Dropped, ...] = ()


@dataclass(frozen=True, slots=True)
class ExportResult:
    """The bytes of one document, and what it does not hold."""

    data: bytes
    dropped: tuple[Dropped, ...] = ()

    @property
    def text(self) -> str:
        """The document as text."""
        return self.data.decode("utf-8")


@dataclass(slots=True)
class Intake:
    """Collects labels while a document is read; what the contract can not hold is listed, not raised."""

    annotations: list[Annotation] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    _often: dict[tuple[str, str, str], int] = field(default_factory=dict)
    _ids: set[str] = field(default_factory=set)

    def add(self, place: str, what: str, fields: dict[str, Any]) -> bool:
        """Validate ``fields`` as a label and keep it; False, and an entry in ``dropped``, when it is none.

        Args:
            place: Where the document has it.
            what: How the document names it.
            fields: The label; fields of value None count as absent.
        """
        try:
            label = _ANNOTATION.validate_python({name: value for name, value in fields.items() if value is not None})
        except ValidationError as error:
            # The first part of a place is the tag of the union, which no reader of the document knows.
            faults = [f"{'/'.join(pointer.split('/')[2:])}: {said}".strip(": ") for pointer, said in places_of(error)]
            self.drop(place, what, "; ".join(faults)[:500], fields.get("frame"))
            return False
        if label.id in self._ids:
            self.drop(place, what, f"the id {label.id} stands twice in the document", label.frame)
            return False
        self._ids.add(label.id)
        self.annotations.append(label)
        return True

    def is_free(self, name: str) -> bool:
        """Whether no label has this id yet."""
        return name not in self._ids

    def drop(self, place: str, what: str, why: str, frame: int | None = None) -> None:
        """List something that is not taken over."""
        self.dropped.append(Dropped(place, shortened(what), why, frame))

    def drop_often(self, place: str, what: str, why: str) -> None:
        """List something that many labels have, once for all of them with how often it was there."""
        self._often[place, what, why] = self._often.get((place, what, why), 0) + 1

    def result(self, *streams: StreamFacts) -> ImportResult:
        """Return what was collected."""
        often = [
            Dropped(place, shortened(f"{what} ({count} times)" if count > 1 else what), why)
            for (place, what, why), count in self._often.items()
        ]
        return ImportResult(tuple(self.annotations), streams, (*self.dropped, *often))


@dataclass(slots=True)
class Losses:
    """Collects what a writer leaves out."""

    format_name: str
    dropped: list[Dropped] = field(default_factory=list)

    def whole(self, label: LabelBase, why: str) -> None:
        """A label that is not written at all."""
        self.dropped.append(Dropped(label.id, str(getattr(label, "type", "label")), why))

    def kind(self, label: LabelBase) -> None:
        """A label of a kind that the format does not know."""
        self.whole(label, f"{self.format_name} has no label of this kind")

    def part(self, label: LabelBase, what: str, why: str) -> None:
        """A part of a label that is not written, or not exactly."""
        self.dropped.append(Dropped(label.id, shortened(what), why))

    def fields(self, label: LabelBase, kept: Iterable[str]) -> None:
        """List the fields of ``label`` that say something and are not among ``kept``.

        ``attributes`` stands for all of them; ``attributes.tier`` for the one named ``tier``. The ids are not listed
        here: each reader makes them anew from the stream and the position unless it says otherwise.
        """
        kept = {"id", "type", "stream", *kept}
        lost = []
        for name, info in type(label).model_fields.items():
            value = getattr(label, name)
            if name in kept or (not info.is_required() and value == info.get_default(call_default_factory=True)):
                continue
            if name == "attributes":
                lost += [f"attributes.{key}" for key in value if f"attributes.{key}" not in kept]
            else:
                lost.append(name)
        for names in _lines(lost):
            self.part(label, names, f"{self.format_name} has no place for it")

    def result(self, data: bytes | str) -> ExportResult:
        """Return the document with what it does not hold."""
        return ExportResult(data.encode() if isinstance(data, str) else data, tuple(self.dropped))


def _lines(names: Iterable[str]) -> Iterator[str]:
    """Yield names with commas between them, as many at a time as are not cut."""
    line = ""
    for name in names:
        if line and len(line) + len(name) + 2 > _MAX_WORDS:
            yield line
            line = ""
        line = f"{line}, {name}" if line else name
    if line:
        yield line


def shortened(text: str) -> str:
    """Return at most 120 characters of ``text``, on one line."""
    line = " ".join(text.split())
    return line if len(line) <= _MAX_WORDS else f"{line[: _MAX_WORDS - 1]}…"


def identifier_or_none(name: str) -> str | None:
    """Return ``name`` as an identifier of the contract, other characters as ``_``; None where nothing is left."""
    try:
        return identifier(name, "the id")
    except LineError:
        return None


def label_id(stream: str, format_name: str, position: int | str) -> str:
    """Return the id of a label that its document does not name: the same whenever the same document is read."""
    return f"{stream[:120]}-{format_name}-{position}"

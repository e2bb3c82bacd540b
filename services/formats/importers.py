"""The readers that list what they drop, each by its format, as label files call them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

from services.contracts.label_base import Author
from services.contracts.manifest import LabelFile, SampleManifest, Stream
from services.errors import InvalidInputError
from services.formats import cvat, datumaro
from services.formats.coco import image_names, read_coco
from services.formats.label_studio import read_label_studio, task_names
from services.formats.nuscenes_boxes import image_names as nuscenes_image_names
from services.formats.nuscenes_boxes import read_image_annotations
from services.formats.openlabel import document_streams, read_openlabel
from services.formats.result import Dropped, ImportResult, shortened
from services.formats.rttm import parse_rttm
from services.formats.srt import read_srt
from services.formats.textgrid import decode_textgrid, read_textgrid
from services.formats.webvtt import read_webvtt


@dataclass(frozen=True, slots=True)
class Document:
    """A label file with what a reader may need to know of its sample."""

    file: LabelFile
    stream: Stream
    manifest: SampleManifest
    data: bytes
    author: Author

    @property
    def text(self) -> str:
        """The bytes as text; :class:`InvalidInputError` where they are not UTF-8."""
        return decoded(self.data, self.file.uri)


Importer = Callable[[Document], ImportResult]


def decoded(data: bytes, name: str) -> str:
    """Return UTF-8 bytes as text.

    Raises:
        InvalidInputError: They are not UTF-8; names the byte.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{name}: byte {error.start} is not UTF-8; save it as UTF-8") from error


def _webvtt(document: Document) -> ImportResult:
    return read_webvtt(document.text, stream=document.stream.id, author=document.author)


def _rttm(document: Document) -> ImportResult:
    text = document.text
    labels = parse_rttm(text, stream=document.stream.id, author=document.author)
    skipped = tuple(
        Dropped(f"line {number}", shortened(line), "only SPEAKER lines are turns")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith(";;") and line.split()[0] != "SPEAKER"
    )
    return ImportResult(labels, dropped=skipped)


def _srt(document: Document) -> ImportResult:
    return read_srt(document.text, stream=document.stream.id, author=document.author)


def _textgrid(document: Document) -> ImportResult:
    text = decode_textgrid(document.data)
    return read_textgrid(text, stream=document.stream.id, author=document.author)


def _coco(document: Document) -> ImportResult:
    image = _image_named(document, image_names(document.data, source=document.file.uri))
    return read_coco(
        document.data,
        stream=document.stream.id,
        image=image,
        frames=document.file.frames,
        author=document.author,
        source=document.file.uri,
    )


def _image_named(document: Document, names: tuple[str, ...]) -> str | None:
    """Return the name under which a document has the stream's image; None where the stream is all of them.

    Raises:
        InvalidInputError: The stream is one image, and the document has several and none of its name.
    """
    stream = document.stream
    if document.file.frames is not None or stream.modality != "image":
        return None
    own = PurePosixPath((stream.uri or "").split("?")[0]).name
    if own and own in {PurePosixPath(name).name for name in names}:
        return own
    if len(names) > 1 and stream.uri is not None:
        raise InvalidInputError(
            f"{document.file.uri}: none of its {len(names)} images is named {own!r}, as stream {stream.id!r} is; "
            "correct the stream's uri, or say with frames which images are the stream's"
        )
    return None


def _label_studio(document: Document) -> ImportResult:
    return read_label_studio(
        document.data,
        stream=document.stream.id,
        part="predictions" if document.file.role == "prediction" else "annotations",
        image=_image_named(document, task_names(document.data, source=document.file.uri)),
        size_px=document.stream.image_size_px,
        author=document.file.author,
        source=document.file.uri,
    )


def _cvat(document: Document) -> ImportResult:
    names = tuple(cvat.image_names(document.data, source=document.file.uri))
    return cvat.read_cvat(
        document.data,
        stream=document.stream.id,
        image=_image_named(document, names),
        frames=document.file.frames,
        author=document.author,
        source=document.file.uri,
    )


def _datumaro(document: Document) -> ImportResult:
    return datumaro.read_datumaro(
        document.data,
        stream=document.stream.id,
        image=_image_named(document, datumaro.image_names(document.data, source=document.file.uri)),
        frames=document.file.frames,
        author=document.author,
        source=document.file.uri,
    )


def _nuscenes(document: Document) -> ImportResult:
    return read_image_annotations(
        document.data,
        stream=document.stream.id,
        image=_image_named(document, nuscenes_image_names(document.data, source=document.file.uri)),
        frames=document.file.frames,
        author=document.author,
        source=document.file.uri,
    )


def _openlabel(document: Document) -> ImportResult:
    manifest, file = document.manifest, document.file
    names: dict[str, str] = {}
    for stream in manifest.streams:
        for name in (stream.id, stream.sensor, stream.coordinate_frame):
            if name is not None:
                names.setdefault(name, stream.id)
    told = document_streams(document.data, source=file.uri)
    known = [name for name in told if name in names]
    if told and not known:
        if len(told) > 1:
            raise InvalidInputError(
                f"{file.uri}: no stream of the sample is named as in the document ({', '.join(told)[:200]}); "
                "give the streams these names, as id, sensor or coordinate_frame"
            )
        names[told[0]] = document.stream.id
    into = None
    if file.spatial_stream is not None:
        into = next(((name, file.spatial_stream) for name in known if names[name] == file.spatial_stream), None)
    clock = document.stream.clock
    return read_openlabel(
        document.data,
        stream=document.stream.id,
        streams=names,
        cuboids_into=into,
        rate_hz=clock.rate_hz if clock is not None else None,
        frames=file.frames,
        author=document.author,
        source=file.uri,
    )


IMPORTERS: Mapping[str, Importer] = MappingProxyType(
    {
        "coco": _coco,
        "cvat": _cvat,
        "datumaro": _datumaro,
        "label_studio": _label_studio,
        "nuscenes": _nuscenes,
        "openlabel": _openlabel,
        "rttm": _rttm,
        "srt": _srt,
        "textgrid": _textgrid,
        "webvtt": _webvtt,
    }
)

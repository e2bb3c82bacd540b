"""A record as files of a label format: a manifest that names them, so that they are read again as one sample."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from services.contracts.annotations import Annotation
from services.contracts.canonical import canonical_json
from services.contracts.manifest import SampleManifest
from services.errors import InvalidInputError
from services.formats.exporters import EXPORTERS, Exporter, Outgoing, camera_of, export_labels, facts_of
from services.formats.nuscenes_sample import write_sample
from services.formats.result import Dropped, ExportResult, StreamFacts

MANIFESTS, TABLES = "manifest", "nuscenes"
DOCUMENT_FORMATS = (MANIFESTS, *sorted([*EXPORTERS, TABLES]))
"""Formats of one document or more a sample; ``manifest`` is Concord's own."""

_MANIFEST = "sample.json"
_NEED_CAMERA = frozenset({"kitti", "kitti_tracking"})


@dataclass(frozen=True, slots=True)
class SampleFiles:
    """What is written for a sample.

    Attributes:
        files: Content by name, below the sample's folder.
        dropped: What the files do not hold.
    """

    files: Mapping[str, bytes]
    dropped: tuple[Dropped, ...] = ()


def manifest_of(body: Mapping[str, Any]) -> SampleManifest:
    """Return a record as the sample manifest that would say the same; streams have the hashes of what was read."""
    return SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": body["sample_id"],
            "project": body["project"],
            "context": body["context"],
            "streams": [
                {name: value for name, value in stream.items() if name != "size_bytes"} for stream in body["streams"]
            ],
            "annotations": body["annotations"],
            **({"captured_at": body["captured_at"]} if "captured_at" in body else {}),
        }
    )


def sample_files(form: str, body: Mapping[str, Any]) -> SampleFiles:
    """Return a record as files of a format, one for each stream where the format holds one stream a document.

    What can not be written at all, such as a sample without the calibration that a format needs, is listed as dropped
    under the place ``*``; the manifest is written anyway.

    Args:
        form: One of :data:`DOCUMENT_FORMATS`.
        body: Of the record.
    """
    manifest = manifest_of(body)
    if form == MANIFESTS:
        return SampleFiles({_MANIFEST: _text(manifest)})
    bare = manifest.model_copy(update={"annotations": ()})
    try:
        if form == TABLES:
            tables = write_sample(manifest, manifest.annotations)
            return SampleFiles(
                {f"v1.0-concord/{name}.json": data for name, data in sorted(tables.tables.items())}, tables.dropped
            )
        return _with_label_files(form, manifest, bare)
    except InvalidInputError as error:
        return SampleFiles({_MANIFEST: _text(bare)}, (Dropped("*", "sample", error.detail),))


def _with_label_files(form: str, manifest: SampleManifest, bare: SampleManifest) -> SampleFiles:
    exporter = EXPORTERS[form]
    streams = tuple(facts_of(stream) for stream in manifest.streams)
    outgoing = Outgoing(manifest.sample_id, manifest.annotations, streams)
    files: dict[str, bytes] = {}
    label_files: list[dict[str, str]] = []
    dropped: list[Dropped] = []
    for name, entry, result in _documents(form, exporter, outgoing):
        files[name] = result.data
        label_files.append({"format": form, "uri": quote(name, safe=""), **entry})
        dropped += result.dropped
    if exporter.one_stream:
        held = {entry["stream"] for entry in label_files}
        dropped += [
            Dropped(label.id, label.type, f"{form} has no label of this kind")
            for label in manifest.annotations
            if label.stream not in held
        ]
    document = bare.model_dump(mode="json", exclude_none=True) | {"label_files": label_files}
    return SampleFiles({_MANIFEST: canonical_json(document) + b"\n", **files}, tuple(dropped))


def _documents(form: str, exporter: Exporter, outgoing: Outgoing) -> Iterator[tuple[str, dict[str, str], ExportResult]]:
    """Yield name, place in the manifest, and content of every document of a sample."""
    if not outgoing.annotations:
        return
    if exporter.one_stream:
        for facts in outgoing.streams:
            own = tuple(label for label in outgoing.annotations if label.stream == facts.id)
            if any(isinstance(label, exporter.holds) for label in own):
                result = export_labels(form, replace(outgoing, annotations=own, streams=(facts,)))
                yield f"{facts.id}.{form}{exporter.ending}", {"stream": facts.id}, result
        return
    result = export_labels(form, outgoing)
    if form in _NEED_CAMERA:
        camera, lidar, _ = camera_of(outgoing)
        entry = {"stream": camera, "spatial_stream": lidar}
    else:
        entry = {"stream": _timed(outgoing.streams, outgoing.annotations).id}
    yield f"labels.{form}{exporter.ending}", entry, result


def _timed(streams: tuple[StreamFacts, ...], labels: tuple[Annotation, ...]) -> StreamFacts:
    """Return the stream whose rate a document of all streams is written with, else the first with labels."""
    used = {label.stream for label in labels}
    return next(
        (facts for facts in streams if facts.rate_hz is not None),
        next((facts for facts in streams if facts.id in used), streams[0]),
    )


def _text(manifest: SampleManifest) -> bytes:
    return canonical_json(manifest) + b"\n"

"""Croissant 1.0 metadata of an exported version: its files with their hashes, and the columns of its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.contracts.datasets import DatasetVersion
from services.datasets.table import LABEL_COLUMNS, SAMPLE_COLUMNS, Kind

_CONTEXT: Mapping[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{
        name: f"cr:{name}"
        for name in (
            "citeAs", "column", "equivalentProperty", "extract", "field", "fileObject", "fileProperty",
            "fileSet", "format", "includes", "isLiveDataset", "jsonPath", "key", "md5", "parentField", "path",
            "recordSet", "references", "regex", "repeated", "replace", "samplingRate", "separator", "source",
            "subField", "transform",
        )
    },
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}  # fmt: skip
_DATA_TYPES: Mapping[Kind, str] = {
    "text": "sc:Text", "integer": "sc:Integer", "number": "sc:Float", "json": "sc:Text",
}  # fmt: skip
_MEDIA_TYPES = {
    ".parquet": "application/x-parquet", ".jsonl": "application/jsonlines", ".tar": "application/x-tar",
    ".json": "application/json", ".xml": "application/xml", ".txt": "text/plain", ".vtt": "text/vtt",
    ".rttm": "text/plain", ".srt": "text/plain", ".TextGrid": "text/plain",
}  # fmt: skip
_MOST_LISTED = 10_000


@dataclass(frozen=True, slots=True)
class ExportedFile:
    """A file of an export.

    Attributes:
        path: Below the export's folder.
        size_bytes: Its length.
        sha256: Of its bytes.
    """

    path: str
    size_bytes: int
    sha256: str


def croissant_document(
    version: DatasetVersion,
    description: str,
    files: Sequence[ExportedFile],
    *,
    license_url: str | None = None,
    url: str | None = None,
) -> dict[str, Any]:
    """Return the JSON-LD document.

    Args:
        version: What was exported.
        description: Of the dataset.
        files: Its data files; of more than 10,000, the sets that they form stand for them.
        license_url: Under which it may be used, where somebody says so.
        url: Where it is published, where somebody says so.
    """
    content = version.content
    optional = {"license": license_url, "url": url}
    listed = files if len(files) <= _MOST_LISTED else ()
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": content.dataset,
        "description": description or f"Version {content.version} of the dataset {content.dataset}.",
        "version": f"{content.version}.0.0",
        "citeAs": f"{content.project}: {version.name}, {version.created_at.year}; Merkle root {content.merkle_root}",
        "datePublished": version.created_at.date().isoformat(),
        "creator": {"@type": "sc:Organization", "name": content.project},
        "isLiveDataset": False,
        "sameAs": f"urn:concord:dataset:{content.project}:{content.dataset}:{content.version}:{content.merkle_root}",
        **{name: value for name, value in optional.items() if value is not None},
        "distribution": [*map(_file_object, listed), *_file_sets(files)],
        "recordSet": _record_sets(files),
    }


def _file_object(file: ExportedFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "contentUrl": file.path,
        "contentSize": f"{file.size_bytes} B",
        "encodingFormat": _media_type(file.path),
        "sha256": file.sha256,
    }


def _media_type(path: str) -> str:
    return _MEDIA_TYPES.get(path[path.rfind(".") :], "application/octet-stream")


_SETS = {"samples": ".samples.parquet", "labels": ".labels.parquet"}


def _file_sets(files: Sequence[ExportedFile]) -> list[dict[str, Any]]:
    sets = {name: ending for name, ending in _SETS.items() if any(file.path.endswith(ending) for file in files)}
    if not sets and files:
        sets = {"files": files[0].path[files[0].path.rfind(".") :]}
    return [
        {
            "@type": "cr:FileSet",
            "@id": f"{name}-files",
            "name": f"{name}-files",
            "encodingFormat": _media_type(ending),
            "includes": f"data/**/*{ending}" if name == "files" else f"data/*{ending}",
        }
        for name, ending in sets.items()
    ]


def _record_sets(files: Sequence[ExportedFile]) -> list[dict[str, Any]]:
    """Return the tables; what is no table has none."""
    found = []
    for name, columns, key in (("samples", SAMPLE_COLUMNS, "sample_id"), ("labels", LABEL_COLUMNS, None)):
        if not any(file.path.endswith(_SETS[name]) for file in files):
            continue
        record_set: dict[str, Any] = {"@type": "cr:RecordSet", "@id": name, "name": name}
        if key is not None:
            record_set["key"] = {"@id": f"{name}/{key}"}
        record_set["field"] = [
            {
                "@type": "cr:Field",
                "@id": f"{name}/{column}",
                "name": column,
                "description": description,
                "dataType": _DATA_TYPES[kind],
                "source": {"fileSet": {"@id": f"{name}-files"}, "extract": {"column": column}},
            }
            for column, (kind, description) in columns.items()
        ]
        found.append(record_set)
    return found

"""What is found behind a path: samples, label documents that are samples, and files that should be and are not."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from services.contracts.manifest import LabelFormat, SampleManifest
from services.errors import ConcordError
from services.formats.result import FileLosses, ImportResult


@dataclass(frozen=True, slots=True)
class FoundSample:
    """A sample on disk.

    Attributes:
        manifest: Its manifest; addresses of assets are absolute.
        path: The file or folder it was found in.
        losses: What label documents held that its manifest does not; empty where it was a manifest already.
        has_manifest: Whether ``path`` is that manifest, and not a label document.
    """

    manifest: SampleManifest
    path: Path
    losses: tuple[FileLosses, ...] = ()
    has_manifest: bool = True


@dataclass(frozen=True, slots=True)
class FoundDocument:
    """A label document without a manifest, or all of those that describe one recording.

    Attributes:
        name: Its name: the path below the folder that was searched, without the ending.
        form: Its format, of several documents the first one's.
        paths: Its files.
        result: What they hold; the label ids are unique.
        losses: What was not taken over, by file.
        recording: The recording beside them.
    """

    name: str
    form: LabelFormat
    paths: tuple[Path, ...]
    result: ImportResult
    losses: tuple[FileLosses, ...]
    recording: Path | None = None


@dataclass(frozen=True, slots=True)
class BadFile:
    """A file that should hold a sample and does not.

    Attributes:
        path: The file.
        error: What is wrong with it.
    """

    path: Path
    error: ConcordError

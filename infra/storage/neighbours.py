"""Find the recordings and pictures that label documents are about, in the folders that may be read."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from services.contracts.manifest import Modality
from services.formats.bare import file_name

AUDIO_TYPES = {".wav": "audio/wav", ".flac": "audio/flac", ".ogg": "audio/ogg", ".oga": "audio/ogg"}
"""Endings of the recordings whose sound the checks hear, with their media types."""

_VIDEO_TYPES = {
    ".mp4": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
}
_CHUNK_BYTES = 1 << 20


def modality_of(recording: Path) -> Modality:
    """Return whether a recording is sound or video, by its ending."""
    return "audio" if recording.suffix.lower() in AUDIO_TYPES else "video"


def media_type_of(recording: Path) -> str | None:
    """Return the media type of a recording, None where it is not known by its ending."""
    return {**AUDIO_TYPES, **_VIDEO_TYPES}.get(recording.suffix.lower())


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, lower-case hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


class Neighbours:
    """Looks up files by the names that label documents use; nothing outside the given folders is ever found.

    Args:
        roots: Folders that assets may be read from.
        searched: Those of them that are searched with everything below, for names whose folder is not told.
    """

    def __init__(self, roots: Sequence[Path], searched: Sequence[Path] = ()) -> None:
        self._roots = [root.resolve() for root in roots]
        self._searched = [root.resolve() for root in searched]
        self._by_stem: dict[Path, dict[str, list[Path]]] = {}
        self._by_name: dict[str, list[Path]] | None = None

    def recording(self, document: Path) -> Path | None:
        """Return the recording beside a document: of its name, or of its name without a language (``talk.en.vtt``)."""
        beside = self._beside(document.parent)
        stem = document.stem
        found = beside.get(stem) or beside.get(stem.rpartition(".")[0]) or []
        return found[0] if found else None

    def named(self, document: Path, name: str) -> Path | None:
        """Return the file that a document names: below its folder, below the roots, or the only one so named."""
        parts = [part for part in file_name(name.replace("\\", "/")).parts if part not in ("/", "..", ".")]
        if not parts or "\x00" in name or sum(map(len, parts)) > 1_000:
            return None
        bases = (document.parent, document.parent / "images", *self._roots)
        for first in range(len(parts)):
            for base in bases:
                path = base.joinpath(*parts[first:])
                if self._readable(path):
                    return path
        return self._the_only(parts)

    def _the_only(self, parts: Sequence[str]) -> Path | None:
        """Return the file below the searched folders whose path ends most like ``parts``; None where two do."""
        if self._by_name is None:
            self._by_name = defaultdict(list)
            for root in self._searched:
                for path in root.rglob("*"):
                    self._by_name[path.name].append(path)
        wanted = tuple(reversed(parts))
        alike: dict[int, list[Path]] = defaultdict(list)
        for path in dict.fromkeys(self._by_name.get(parts[-1], ())):
            same = zip(wanted, reversed(path.parts), strict=False)
            alike[next((n for n, (a, b) in enumerate(same) if a != b), len(wanted))].append(path)
        best = alike[max(alike)] if alike else []
        return best[0] if len(best) == 1 and self._readable(best[0]) else None

    def _beside(self, folder: Path) -> dict[str, list[Path]]:
        known = self._by_stem.get(folder)
        if known is None:
            known = defaultdict(list)
            for path in sorted(_files(folder), key=lambda path: (modality_of(path), path.name)):
                if media_type_of(path) is not None and self._readable(path):
                    known[path.stem].append(path)
            self._by_stem[folder] = known
        return known

    def _readable(self, path: Path) -> bool:
        try:
            return path.is_file() and any(path.resolve().is_relative_to(root) for root in self._roots)
        except OSError:  # a name that this file system can not have
            return False


def _files(folder: Path) -> Iterator[Path]:
    return folder.iterdir() if folder.is_dir() else iter(())

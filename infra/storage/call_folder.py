"""Sample manifests from a folder of recorded calls: ``X.wav`` with ``X.rttm``, ``X.stm``, or both."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.manifest import Context, SampleManifest, Stream
from services.errors import InvalidInputError
from services.formats.rttm import parse_rttm
from services.formats.stm import parse_stm

AUDIO_STREAM = "audio"
_AUTHOR = Author(kind="importer", id="call-folder")
_CONTEXT = Context(region="US", product="call", risk="low")
_MAX_LABEL_BYTES = 64_000_000
_CHUNK_BYTES = 1 << 20


def iter_manifests(folder: Path, project: str) -> Iterator[SampleManifest]:
    """Yield one manifest a recording that has labels, in the order of the file names.

    The labels of both files stand on the one audio stream: speaker turns from RTTM, transcript segments from
    STM. A recording without either file is left out.

    Args:
        folder: Holds the files side by side; other files are ignored.
        project: The project the samples belong to.

    Raises:
        InvalidInputError: The folder does not exist, or a label file can not be read; names file and line.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}; give the folder that holds the recordings")
    for wav in sorted(folder.glob("*.wav")):
        annotations = tuple(_labels(wav))
        if annotations:
            yield SampleManifest(
                format="concord.sample/1",
                sample_id=f"call-{_safe(wav.stem)}",
                project=project,
                context=_CONTEXT,
                streams=(
                    Stream(
                        id=AUDIO_STREAM,
                        modality="audio",
                        uri=wav.resolve().as_uri(),
                        sha256=_sha256(wav),
                        media_type="audio/wav",
                    ),
                ),
                annotations=annotations,
            )


def _labels(wav: Path) -> Iterator[Annotation]:
    for suffix, parse in ((".rttm", parse_rttm), (".stm", parse_stm)):
        path = wav.with_suffix(suffix)
        if not path.is_file():
            continue
        if path.stat().st_size > _MAX_LABEL_BYTES:
            raise InvalidInputError(f"{path.name} is larger than {_MAX_LABEL_BYTES} bytes; split the recording")
        try:
            yield from parse(path.read_text(encoding="utf-8"), stream=AUDIO_STREAM, author=_AUTHOR)
        except UnicodeDecodeError as error:
            raise InvalidInputError(f"{path.name}: byte {error.start} is not UTF-8; save it as UTF-8") from error
        except InvalidInputError as error:
            raise InvalidInputError(f"{path.name}: {error.detail}", places=error.places) from error


def _safe(stem: str) -> str:
    return re.sub(r"[^A-Za-z0-9._:@+-]+", "_", stem)[:150] or "unnamed"


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()

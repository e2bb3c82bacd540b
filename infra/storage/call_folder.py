"""Sample manifests from a folder of recorded telephone calls: ``X.wav`` with label files of the same name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from infra.storage.found import BadFile, FoundDocument
from infra.storage.label_documents import ENDINGS, LabelPath, label_format, read_documents, samples_of
from infra.storage.neighbours import Neighbours
from services.contracts.manifest import Context, SampleManifest
from services.errors import InvalidInputError
from services.formats.bare import SPOKEN

_CONTEXT = Context(region="US", product="call", risk="low")


def iter_manifests(folder: Path, project: str) -> Iterator[SampleManifest]:
    """Yield one manifest a recording that has labels, in the order of the file names.

    The labels of all its files stand on the one audio stream: speaker turns from RTTM, transcript segments from STM,
    WebVTT, SRT and TextGrid. Label files without a recording are left out, and recordings without labels.

    Args:
        folder: Holds the files side by side; other files are ignored.
        project: The project the samples belong to.

    Raises:
        InvalidInputError: The folder does not exist, or a label file can not be read; names file and line.
    """
    if not folder.is_dir():
        raise InvalidInputError(f"there is no folder {folder}; give the folder that holds the recordings")
    neighbours = Neighbours([folder])
    found = [
        LabelPath(path, form)
        for path in folder.iterdir()
        if path.suffix.lower() in ENDINGS and path.is_file()
        if (form := label_format(path)) is not None and form in SPOKEN and neighbours.recording(path) is not None
    ]
    for document in read_documents(found, folder, neighbours):
        if isinstance(document, BadFile):
            raise document.error
        if document.result.annotations:
            yield _manifest(document, project, neighbours)


def _manifest(document: FoundDocument, project: str, neighbours: Neighbours) -> SampleManifest:
    (sample,) = samples_of(document, project, neighbours, set())
    if isinstance(sample, BadFile):
        raise sample.error
    return sample.manifest.model_copy(update={"sample_id": f"call-{sample.manifest.sample_id}", "context": _CONTEXT})

"""Predictions that arrive with the sample, in label files of role ``prediction``."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext

from services.contracts.annotations import MAX_ANNOTATIONS, Annotation
from services.contracts.label_base import Author
from services.contracts.manifest import LabelFile, SampleManifest
from services.contracts.pre_label import LabelFilePredictions
from services.errors import ConcordError, PreLabelError
from services.formats.label_file import read_label_file
from services.ports.pre_label import PreLabelRequest

_FILES_VERSION = "1"


class LabelFilePreLabeler:
    """Reads the prediction files that a manifest names."""

    def __init__(self, config: LabelFilePredictions) -> None:
        self._config = config

    @property
    def name(self) -> str:
        """The source's name."""
        return self._config.name

    @property
    def version(self) -> str:
        """The version of the reading; each label carries that of its own model, where the file states it."""
        return _FILES_VERSION

    @property
    def turn(self) -> AbstractAsyncContextManager[None]:
        """Nothing to wait for."""
        return nullcontext()

    async def predict(self, request: PreLabelRequest) -> tuple[Annotation, ...]:
        """Return the labels of all prediction files, in their order; none where the manifest names none.

        Raises:
            PreLabelError: A file can not be read, is too large, or has a line that can not be understood.
        """
        predictions: list[Annotation] = []
        for index, file in enumerate(request.manifest.label_files):
            if file.role != "prediction":
                continue
            try:
                data = await request.read_label_file(file)
                if len(data) > self._config.max_file_bytes:
                    raise PreLabelError(f"has {len(data)} bytes; {self._config.max_file_bytes} are read")
                predictions.extend(await asyncio.to_thread(self._read, index, file, request.manifest, data))
            except ConcordError as error:
                place = f"/label_files/{index}"
                raise PreLabelError(
                    f"The prediction file {file.uri} can not be used: {error.detail}", places=((place, error.detail),)
                ) from error
            if len(predictions) > MAX_ANNOTATIONS:
                raise PreLabelError(f"The prediction files have more than {MAX_ANNOTATIONS} labels; split the sample")
        return tuple(predictions)

    def _read(self, index: int, file: LabelFile, manifest: SampleManifest, data: bytes) -> list[Annotation]:
        stated = file.author or Author(kind="model", id=file.format)
        author = stated.model_copy(update={"kind": "model", "version": stated.version or "unstated"})
        labels = read_label_file(file.model_copy(update={"author": author}), manifest, data)
        return [label.model_copy(update={"id": f"{self.name}-{index}-{label.id}"[:200]}) for label in labels]

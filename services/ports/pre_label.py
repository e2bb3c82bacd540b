"""The port to whatever makes a first set of labels: a remote model, a local network, a file."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from services.contracts.annotations import Annotation
from services.contracts.manifest import LabelFile, SampleManifest


@dataclass(frozen=True, slots=True)
class PreLabelRequest:
    """One sample, and how to get at its bytes.

    Attributes:
        manifest: The sample.
        read: Gives the bytes behind a stream, by stream id; raises an ``AssetError`` where it can not.
        read_label_file: Gives the bytes of one of the manifest's label files.
    """

    manifest: SampleManifest
    read: Callable[[str], Awaitable[bytes]]
    read_label_file: Callable[[LabelFile], Awaitable[bytes]]


class PreLabeler(Protocol):
    """One source of predictions.

    Every label it returns has an author of kind ``model`` with an id and a version, and a confidence; label
    ids are unique across sources because they begin with ``name``.
    """

    @property
    def name(self) -> str:
        """The source's name in the project, and the author id of its labels."""
        ...

    @property
    def version(self) -> str:
        """The version of the model, as far as it is known before it answers."""
        ...

    @property
    def turn(self) -> AbstractAsyncContextManager[None]:
        """Entered before :meth:`predict`: waits for what samples share, such as one network in memory.

        The wait is bounded by those who wait before, and is no part of the time that a sample may take.
        """
        ...

    async def predict(self, request: PreLabelRequest) -> tuple[Annotation, ...]:
        """Return the predictions for one sample; none where no stream fits.

        Raises:
            PreLabelError: The source gave no usable answer within its time budget; the sample goes to people.
        """
        ...

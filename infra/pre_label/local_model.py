"""What the models that run on this machine share: their optional package, their thread, their time."""

from __future__ import annotations

import asyncio
import importlib
from abc import ABC, abstractmethod
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from types import ModuleType
from typing import Literal

from services.contracts.annotations import Annotation
from services.contracts.pre_label import SpeechActivity, TextInImages
from services.errors import AssetError, ConcordError, PreLabelError
from services.ports.pre_label import PreLabelRequest


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package.

    Raises:
        PreLabelError: It is not installed; names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PreLabelError(
            f"The package {module} is not installed; install Concord with the extra '{extra}': "
            f"pip install -e '.[{extra}]' in Concord's folder"
        ) from error


class ModelThread:
    """The one thread of one kind of model.

    Samples that come together queue for it. Side by side they would take every core and as much memory as there
    are samples, and keep those waiting who only need a thread for a moment.

    Attributes:
        turn: Held by the sample whose turn it is.
        executor: Runs one piece of work at a time, also after a late one that nobody waits for any more.
    """

    def __init__(self, name: str) -> None:
        self.turn = asyncio.Lock()
        self.executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"pre-label-{name}")


class LocalPreLabeler(ABC):
    """A model on this machine that labels the streams of one modality, one after the other.

    Args:
        config: The source, as the project states it.
        thread: Where it works.
        distribution: The package that holds the networks.
        modality: Which streams it labels.
    """

    def __init__(
        self,
        config: SpeechActivity | TextInImages,
        thread: ModelThread,
        *,
        distribution: str,
        modality: Literal["audio", "image"],
    ) -> None:
        self._source = config
        self._thread = thread
        self._distribution = distribution
        self._modality = modality

    @property
    def name(self) -> str:
        """The source's name."""
        return self._source.name

    @property
    def version(self) -> str:
        """The version of the package that holds the networks."""
        try:
            return metadata.version(self._distribution)
        except metadata.PackageNotFoundError:
            return "not installed"

    @property
    def turn(self) -> asyncio.Lock:
        """The thread of this kind of model: one sample at a time."""
        return self._thread.turn

    async def predict(self, request: PreLabelRequest) -> tuple[Annotation, ...]:
        """Return the labels of all streams that fit.

        A thread that is late is not waited for; it ends by itself, since its input is bounded.

        Raises:
            PreLabelError: The package or an asset is missing or unreadable, or the time is over.
        """
        wanted = self._source.streams
        streams = [
            stream.id
            for stream in request.manifest.streams
            if stream.modality == self._modality and stream.uri is not None and (not wanted or stream.id in wanted)
        ]
        labels: list[Annotation] = []
        try:
            async with asyncio.timeout(self._source.budget_s):
                for stream in streams:
                    content = await request.read(stream)
                    loop = asyncio.get_running_loop()
                    labels += await loop.run_in_executor(self._thread.executor, self._label, stream, content)
        except TimeoutError:
            raise PreLabelError(
                f"The model {self.name} gave no answer within its {self._source.budget_s:g} s"
            ) from None
        except AssetError as error:
            raise PreLabelError(f"The model {self.name} was not asked: {error.detail}") from error
        except ConcordError:
            raise
        except Exception as error:  # a model may raise anything; the sample goes on to people
            raise PreLabelError(f"The model {self.name} failed: {type(error).__name__}: {str(error)[:200]}") from error
        return tuple(labels)

    @abstractmethod
    def _label(self, stream: str, content: bytes) -> list[Annotation]:
        """Return the labels of one stream, from its bytes; runs in the model's thread."""

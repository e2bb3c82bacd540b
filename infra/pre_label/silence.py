"""What is remembered of models that do not answer: the next samples need not wait for the same silence."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from services.contracts.annotations import Annotation
from services.contracts.pre_label import HttpModel
from services.errors import PreLabelError
from services.ports.pre_label import PreLabeler, PreLabelRequest

SILENT_AFTER = 5
"""Samples in a row that waited in vain; then the model is held to be away."""

ASK_AGAIN_AFTER_S = 60.0
"""Between samples that a model which is away is asked for, to see whether it is back."""


@dataclass(slots=True)
class _Silence:
    samples: int = 0
    ask_again_at_s: float = 0.0


class Silences:
    """Which models do not answer, in one process.

    Sources are told apart by all they state: who waits less for the same address learns nothing about it for others.

    Args:
        clock: Seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self._silences: dict[str, _Silence] = {}

    def ensure_worth_asking(self, source: HttpModel) -> None:
        """Return if the model is held to be there, or if it is time to see whether it is back.

        Raises:
            PreLabelError: It is away.
        """
        silence = self._silences.get(_key(source))
        if silence is None or silence.samples < SILENT_AFTER:
            return
        again_in_s = silence.ask_again_at_s - self.clock()
        if again_in_s > 0:
            raise PreLabelError(
                f"The model {source.name} was not asked: it gave no answer for the last {silence.samples} samples; "
                f"it is asked again in {again_in_s:.0f} s"
            )
        silence.ask_again_at_s = self.clock() + ASK_AGAIN_AFTER_S

    def answered(self, source: HttpModel) -> None:
        """Forget that the model was silent."""
        self._silences.pop(_key(source), None)

    def kept_silent(self, source: HttpModel) -> None:
        """Remember that a sample waited in vain."""
        silence = self._silences.setdefault(_key(source), _Silence())
        silence.samples += 1
        silence.ask_again_at_s = self.clock() + ASK_AGAIN_AFTER_S


class ListenedTo:
    """A model over HTTP that is left alone for a while when it does not answer.

    Only time lost makes a silence: a model that refuses at once keeps nobody waiting, and is asked every time.

    Args:
        model: Asks it.
        source: What the project states of it.
        silences: Shared by all samples.
    """

    def __init__(self, model: PreLabeler, source: HttpModel, silences: Silences) -> None:
        self._model = model
        self._source = source
        self._silences = silences

    @property
    def name(self) -> str:
        """The source's name."""
        return self._model.name

    @property
    def version(self) -> str:
        """The model's version, as far as it is known."""
        return self._model.version

    @property
    def turn(self) -> AbstractAsyncContextManager[None]:
        """The model's own."""
        return self._model.turn

    async def predict(self, request: PreLabelRequest) -> tuple[Annotation, ...]:
        """Return the model's labels.

        Raises:
            PreLabelError: No usable answer, or the model was not asked because it is away.
        """
        shown = {tag.stream for tag in self._source.objects}
        if shown.isdisjoint(stream.id for stream in request.manifest.streams):
            return await self._model.predict(request)
        self._silences.ensure_worth_asking(self._source)
        began_s = self._silences.clock()
        try:
            labels = await self._model.predict(request)
        except PreLabelError:
            if self._silences.clock() - began_s >= min(self._source.timeout_s, self._source.budget_s):
                self._silences.kept_silent(self._source)
            raise
        self._silences.answered(self._source)
        return labels


def _key(source: HttpModel) -> str:
    return source.model_dump_json()

"""Counts what each phase of a long piece of work has done, and tells it."""

from __future__ import annotations

from collections.abc import Callable

from services.contracts.progress import Progress

Tell = Callable[[Progress], None]


def tell_nobody(_: Progress) -> None:
    """Tell nobody."""


class Meter:
    """The phases of one piece of work, one after the other.

    Args:
        tell: Is told of every change.
    """

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._now = Progress(phase="start", done=0, total=0)

    def begin(self, phase: str, total: int) -> None:
        """Begin the next phase, with so much to do as far as is known."""
        self._set(Progress(phase=phase, done=0, total=total))

    def advance(self, count: int = 1) -> None:
        """Tell that so much more is done; what has come since the total was counted makes it grow."""
        done = self._now.done + count
        self._set(self._now.model_copy(update={"done": done, "total": max(done, self._now.total)}))

    def end(self) -> None:
        """Tell that nothing is left of the last phase."""
        self._set(self._now.model_copy(update={"total": self._now.done}))

    def _set(self, progress: Progress) -> None:
        self._now = progress
        self._tell(progress)

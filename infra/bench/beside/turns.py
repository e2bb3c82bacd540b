"""The sides as processes that stay alive, and the rounds in which they take turns."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from services.errors import IntegrityError

_ROOT = Path(__file__).resolve().parents[3]
"""Where this process has its code from, which is what the others are to run."""

_ANSWER_WITHIN_S = 1_800.0
_SLOWED = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
"""Pin a kernel of OpenBLAS that old builds need and that new ones are slowed by; they are unset for all sides alike."""

_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")
"""Processor time of several threads would add up, and none of the works gains by them."""

Done = dict[str, NDArray[Any]]


def environment_of_a_side() -> dict[str, str]:
    """Return the environment variables that every side runs with."""
    kept = {name: value for name, value in os.environ.items() if name not in _SLOWED}
    return kept | _ONE_THREAD | {"PYTHONPATH": str(_ROOT)}


class Side:
    """One side's process.

    Args:
        name: What people call it.
        python: The interpreter.
        module: The module it runs.
        given: The file of arrays.
        folder: Where it may write.
    """

    def __init__(self, name: str, python: Path, module: str, given: Path, folder: Path) -> None:
        self.name = name
        self._folder = folder
        self._errors = folder / f"{name}.stderr"
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own module
                [str(python), "-P", "-m", module, str(given)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=folder,
                env=environment_of_a_side(),
            )  # fmt: skip
        greeting = self._read()
        self.packages: dict[str, str] = greeting["packages"]
        self.works: tuple[str, ...] = tuple(greeting["works"])

    def __enter__(self) -> Self:
        """Return the side."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self._process.terminate()
        self._end()

    def seconds(self, work: str) -> float:
        """Do a work and return its processor time, seconds."""
        return float(self._ask({"work": work})["seconds"])

    def result(self, work: str) -> Done:
        """Do a work, which also warms it up, and return what came out."""
        place = self._folder / f"{self.name}-{work}.npz"
        self._ask({"work": work, "keep": str(place)})
        with np.load(place) as file:
            return {name: file[name] for name in file.files}

    def _ask(self, request: dict[str, str]) -> dict[str, Any]:
        try:
            if self._process.stdin is not None:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
        except OSError as error:
            raise self._gone() from error
        return self._read()

    def _read(self) -> dict[str, Any]:
        watch = threading.Timer(_ANSWER_WITHIN_S, self._process.kill)
        watch.start()
        try:
            line = self._process.stdout.readline() if self._process.stdout is not None else ""
        finally:
            watch.cancel()
        if not line:
            raise self._gone()
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> int:
        code = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):  # what was not yet read by a process that is gone
                if pipe is not None:
                    pipe.close()
        return code

    def _gone(self) -> IntegrityError:
        self._process.kill()
        code = self._end()
        said = self._errors.read_text(errors="replace").strip().splitlines()
        return IntegrityError(f"the side {self.name} ended: {said[-1] if said else f'exit code {code}'}")


def take_turns(sides: Sequence[Side], work: str, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of every round by side; in each round every side does the work once, one after the other."""
    taken: dict[str, list[float]] = {side.name: [] for side in sides}
    for turn in range(rounds):
        # The one that begins changes: what a round leaves in the caches is nobody's standing advantage.
        for side in [*sides[turn % len(sides) :], *sides[: turn % len(sides)]]:
            taken[side.name].append(side.seconds(work))
    return taken

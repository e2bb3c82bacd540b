"""What every side runs: works are prepared once from the arrays, then done and timed each time the bench asks.

Needs the standard library and numpy alone, since foreign environments run it. One JSON object a line, both ways.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Done = dict[str, Any]
"""Arrays by name."""

Work = Callable[[], Done]
Prepare = Callable[[Arrays], Work]


def serve(works: Mapping[str, Prepare], packages: Sequence[str], arguments: Sequence[str]) -> None:
    """Answer on standard output until standard input ends.

    A request names a ``work``, and with ``keep`` a file that takes what the work returned. The answer has the
    ``seconds`` of processor time of this process, so that other programs on a busy machine do not count.

    Args:
        works: By name: from the arrays to what is timed.
        packages: Whose versions the greeting tells.
        arguments: The file of arrays.
    """
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Some libraries print; the answers must stay readable.
    os.dup2(2, 1)
    with np.load(arguments[0]) as file:
        arrays = {name: file[name] for name in file.files}
    ready: dict[str, Work] = {}
    told = {"python": platform.python_version()} | {name: version(name) for name in packages}
    _answer(answers, {"packages": told, "works": sorted(works)})
    for line in sys.stdin:
        request = json.loads(line)
        name = request["work"]
        if name not in ready:
            ready[name] = works[name](arrays)
        gc.collect()
        started = time.process_time()
        result = ready[name]()
        seconds = time.process_time() - started
        if request.get("keep"):
            np.savez(request["keep"], **result)
        _answer(answers, {"seconds": seconds})


def _answer(answers: IO[str], value: dict[str, Any]) -> None:
    answers.write(json.dumps(value) + "\n")
    answers.flush()

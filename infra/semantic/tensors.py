"""The safetensors container: named arrays in one file, mapped into memory and not read through."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAX_HEADER_BYTES = 10 * 1024 * 1024


def open_tensors(path: Path) -> Mapping[str, NDArray[np.float32]]:
    """Return the float32 arrays of a file by name, read-only; others are left out.

    The file begins with the length of a JSON header (8 bytes, little-endian), which gives type, shape and place of
    every array; the arrays follow, little-endian and row by row. See the format's description at
    https://github.com/huggingface/safetensors.

    Raises:
        ValueError: The file is damaged, with what is wrong.
        OSError: It can not be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(size - 8, _MAX_HEADER_BYTES):
            raise ValueError(f"{path.name} has no safetensors header")
        header: dict[str, Any] = json.loads(file.read(length))
    begin = 8 + length
    found: dict[str, NDArray[np.float32]] = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        shape = tuple(int(side) for side in entry["shape"])
        first, last = (begin + int(offset) for offset in entry["data_offsets"])
        if not (begin <= first <= last <= size) or last - first != 4 * math.prod(shape):
            raise ValueError(f"{path.name} ends before the array {name!r} does, or states a wrong shape for it")
        found[name] = np.memmap(path, dtype="<f4", mode="r", offset=first, shape=shape)
    return found

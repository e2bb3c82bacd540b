"""What tells how near two texts are in meaning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TextEncoder(Protocol):
    """Turns texts into vectors; the cosine of two is near 1 where the texts mean the same.

    It is a function: the same text has the same vector, whatever else is encoded with it.
    """

    @property
    def name(self) -> str:
        """The model and its version."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return a unit vector for each text, shape (n, d), float32; n may be 0."""
        ...

"""A model of meaning made for tests: words are near to each other by as much as the test says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray


class NearWords:
    """Every word is an axis of its own; a near word leans towards another by the cosine that is given.

    Args:
        near: Word → (the word it is near to, cosine).
    """

    name = "near words 1"

    def __init__(self, near: Mapping[str, tuple[str, float]]) -> None:
        self._near = near
        self._axes: dict[str, int] = {}
        self.asked: set[str] = set()

    def _axis(self, word: str) -> NDArray[np.float32]:
        vector = np.zeros(256, dtype=np.float32)
        vector[self._axes.setdefault(word, len(self._axes))] = 1.0
        return vector

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return unit vectors, shape (n, 256)."""
        found = np.zeros((len(texts), 256), dtype=np.float32)
        for row, text in enumerate(texts):
            word = text.removeprefix("There is a ").removesuffix(".")
            self.asked.add(word)
            target, cosine = self._near.get(word, (word, 0.0))
            found[row] = self._axis(word) * np.sqrt(1 - cosine * cosine) + self._axis(target) * cosine
        return found

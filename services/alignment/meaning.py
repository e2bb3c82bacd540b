"""Which class of a taxonomy a name means that the taxonomy does not list: the nearest one, if it is clearly nearest.

Names are compared as sentence vectors (Reimers and Gurevych, EMNLP 2019). Such vectors are near for what occurs
together as well as for what means the same; therefore the nearest class must also stand apart from all others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.ports.text_encoder import TextEncoder
from services.rules.meaning import MeaningRules
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.words import folded, singulars

_PLACES = 4


@dataclass(frozen=True, slots=True)
class Meant:
    """What a name is nearest to.

    Attributes:
        class_id: The class.
        similarity: Cosine with the nearest of the class's names, -1 to 1.
        margin: By how much any class that is no kind of it, nor it a kind of, is farther.
        clear: Whether both are as the rules demand, so that the name may be taken for the class.
    """

    class_id: str
    similarity: float
    margin: float
    clear: bool


class Meanings:
    """The names of a taxonomy as vectors.

    Args:
        index: The taxonomy; deprecated classes are not mapped to.
        encoder: The model.
        rules: How near is near enough.
    """

    def __init__(self, index: TaxonomyIndex, encoder: TextEncoder, rules: MeaningRules) -> None:
        self._index = index
        self._encoder = encoder
        self._rules = rules
        named = [
            (item.id, name)
            for item in index.taxonomy.classes
            if not item.deprecated
            for name in (item.id, *item.synonyms)
        ]
        self._classes = sorted({class_id for class_id, _ in named})
        places = {class_id: place for place, class_id in enumerate(self._classes)}
        self._owner = np.array([places[class_id] for class_id, _ in named], dtype=np.intp)
        self._names = encoder.encode([_sentence(name) for _, name in named])
        self._others = encoder.encode([_sentence(name) for name in rules.other_things])

    def related(self, one: str, other: str) -> bool:
        """Whether one of two classes is the other or a kind of it."""
        return self._index.related(one, other)

    def nearest(self, names: Sequence[str]) -> list[Meant | None]:
        """Return what each name is nearest to; None where the taxonomy has no class at all.

        Similarities are rounded to four places, so that no decision hangs on the rounding of a sum.
        """
        if not names or not self._classes:
            return [None for _ in names]
        vectors = self._encoder.encode([_sentence(name) for name in names])
        by_class = np.full((len(names), len(self._classes)), -1.0)
        np.maximum.at(by_class.T, self._owner, (vectors @ self._names.T).T.astype(np.float64))
        by_class = by_class.round(_PLACES)
        others = (vectors @ self._others.T).max(axis=1, initial=-1.0).astype(np.float64).round(_PLACES)
        return [self._judge(row, float(other)) for row, other in zip(by_class, others, strict=True)]

    def _judge(self, row: NDArray[np.float64], other: float) -> Meant:
        order = np.argsort(-row, kind="stable")
        best = self._classes[order[0]]
        similarity = float(row[order[0]])
        second = next((float(row[at]) for at in order[1:] if not self._index.related(best, self._classes[at])), -1.0)
        margin = round(similarity - max(second, other), _PLACES)
        clear = similarity > other and similarity >= self._rules.min_similarity and margin >= self._rules.min_margin
        return Meant(best, similarity, margin, clear)


def _sentence(name: str) -> str:
    """Return a name as the sentence that is compared: the model was made for sentences, and tells them apart better."""
    words = folded(name)
    return f"There is a {next(iter(singulars(words)), words)}."

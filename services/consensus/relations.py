"""Relations: the same where they lead from the same thing to the same thing."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np

from services.agreement.ratings import Floats
from services.consensus.family import Family, Labels, keep_medoid
from services.consensus.items import Item, content_key
from services.contracts.annotations import Annotation
from services.contracts.labels_language import Relation
from services.rules.consensus import ConsensusRules


def resolved(items: Sequence[Item], names: Mapping[tuple[str, str], str]) -> tuple[list[Item], list[Item]]:
    """Return the relations whose ends have a common id, told by it, and those whose ends have none.

    Args:
        items: Relations.
        names: The common id of each person's label.
    """
    ready, left = [], []
    for item in items:
        label = item.label
        if not isinstance(label, Relation):
            continue
        ends = names.get((item.annotator, label.from_id)), names.get((item.annotator, label.to_id))
        if ends[0] is None or ends[1] is None:
            left.append(item)
            continue
        moved = label.model_copy(update={"from_id": ends[0], "to_id": ends[1]})
        ready.append(Item(item.annotator, item.ids, moved, content_key(moved)))
    return sorted(ready, key=lambda item: (item.key, item.annotator)), left


def _ends(label: Annotation) -> Hashable:
    return (label.from_id, label.to_id) if isinstance(label, Relation) else ()


def _everywhere(one: Labels, other: Labels, _: ConsensusRules) -> Floats:
    return np.ones((len(one), len(other)))


RELATION = Family(_everywhere, keep_medoid, whole=True, apart=_ends)

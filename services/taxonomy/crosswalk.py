"""How classes of one taxonomy version become classes of another: renamed, merged, split, deprecated.

A :class:`VersionCrosswalk` lists the changes of one step; what it does not name stays as it is. Steps are joined to
chains (av@1 → av@2 → av@3), and turned round (a merge read backwards is a split). A translation is exact where one
class comes out. A split is exact only where the label's attributes decide it; else all candidates are returned, and a
person chooses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from services.contracts.base import Scalar
from services.contracts.manifest import Modality
from services.taxonomy.changes import ChangeKind, ClassChange, LabelKind, VersionCrosswalk
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True)
class Translation:
    """What a class is called elsewhere.

    Attributes:
        candidates: The classes it may be there, sorted; one where it is certain, none where it was dropped.
        known: Whether the crosswalk says anything about the class.
        kinds: The changes passed on the way.
    """

    candidates: tuple[str, ...]
    known: bool = True
    kinds: tuple[ChangeKind, ...] = ()

    @property
    def exact(self) -> str | None:
        """The class, where there is only one."""
        return self.candidates[0] if len(self.candidates) == 1 else None


UNKNOWN = Translation((), known=False)


class Crosswalks:
    """Several steps, prepared for look-ups along the shortest chain.

    Args:
        steps: One or more steps; those that go from a version to itself by a detour are not used.
        backwards: Whether steps may be read backwards too, so that older versions can be reached.
    """

    def __init__(self, steps: Iterable[VersionCrosswalk], *, backwards: bool = False) -> None:
        self._steps: dict[str, dict[str, tuple[VersionCrosswalk, dict[str, ClassChange]]]] = {}
        for step in steps:
            for item in (step, inverse(step)) if backwards else (step,):
                changes = {name: change for change in item.changes for name in change.sources}
                self._steps.setdefault(item.source, {}).setdefault(item.target, (item, changes))
        self._routes: dict[tuple[str, str], tuple[str, ...] | None] = {}

    def route(self, source: str, target: str) -> tuple[str, ...] | None:
        """Return the versions on the shortest way, both ends included; None if there is none."""
        key = (source, target)
        if key not in self._routes:
            came_from: dict[str, str | None] = {source: None}
            level = [source]
            while level and target not in came_from:
                following: list[str] = []
                for name in level:
                    for further in sorted(self._steps.get(name, ())):
                        if further not in came_from:
                            came_from[further] = name
                            following.append(further)
                level = following
            self._routes[key] = self._walk_back(came_from, target)
        return self._routes[key]

    @staticmethod
    def _walk_back(came_from: Mapping[str, str | None], target: str) -> tuple[str, ...] | None:
        if target not in came_from:
            return None
        way: list[str] = []
        here: str | None = target
        while here is not None:
            way.append(here)
            here = came_from[here]
        return tuple(reversed(way))

    def sources(self) -> tuple[str, ...]:
        """Return every version that a step starts from, sorted."""
        return tuple(sorted(self._steps))

    def translate(
        self,
        class_id: str,
        source: str,
        target: str,
        attributes: Mapping[str, Scalar] | None = None,
        *,
        modality: Modality | None = None,
        label_kind: LabelKind | None = None,
    ) -> Translation:
        """Return what ``class_id`` of version ``source`` is called in ``target``.

        Args:
            class_id: The class as the older version writes it.
            source: Version of the label.
            target: Version wanted.
            attributes: The label's attributes, which may decide a split.
            modality: Of the label's stream, which may decide one too.
            label_kind: The kind of label, likewise.
        """
        route = self.route(source, target)
        if route is None:
            return UNKNOWN
        names, kinds = {class_id}, []
        for here, there in pairwise(route):
            step, changes = self._steps[here][there]
            following: set[str] = set()
            for name in sorted(names):
                change = changes.get(name)
                if change is None and step.unnamed == "unknown":
                    return UNKNOWN
                if change is None:
                    following.add(name)
                else:
                    kinds.append(change.kind)
                    following.update(_targets(change, attributes or {}, modality, label_kind))
            names = following
        return Translation(tuple(sorted(names)), kinds=tuple(kinds))


def _targets(
    change: ClassChange, attributes: Mapping[str, Scalar], modality: Modality | None, label_kind: LabelKind | None
) -> tuple[str, ...]:
    for case in change.cases:
        if case.fits(attributes, modality, label_kind):
            return (case.target,)
    return change.targets


def inverse(step: VersionCrosswalk) -> VersionCrosswalk:
    """Return the step read backwards: merges become splits and splits merges; what was dropped does not come back."""
    pairs = [(target, source) for change in step.changes for source in change.sources for target in change.targets]
    return crosswalk_from_pairs(step.target, step.source, pairs, unnamed=step.unnamed)


def crosswalk_from_pairs(
    source: str,
    target: str,
    pairs: Iterable[tuple[str, str | None]],
    *,
    unnamed: Literal["same", "unknown"] = "unknown",
) -> VersionCrosswalk:
    """Return a crosswalk of a table as experts write them: one row a correspondence, in any order.

    Args:
        source: Version or data set of the left column.
        target: Version or data set of the right column.
        pairs: (class there, class here); None on the right where the class has no successor. A class in several rows
            is a split, and several classes with one and the same successor are a merge.
        unnamed: What the classes become that stand in no row.
    """
    fates: dict[str, set[str]] = {}
    for old, new in pairs:
        fates.setdefault(old, set()).update(() if new is None else (new,))
    joined: dict[str, list[str]] = {}
    changes: list[ClassChange] = []
    for old in sorted(fates):
        new_names = sorted(fates[old])
        if len(new_names) == 1:
            joined.setdefault(new_names[0], []).append(old)
        elif new_names:
            changes.append(ClassChange(kind="split", sources=(old,), targets=tuple(new_names)))
        else:
            changes.append(ClassChange(kind="deprecate", sources=(old,)))
    for name, olds in sorted(joined.items()):
        kind: ChangeKind = "merge" if len(olds) > 1 else "rename"
        changes.append(ClassChange(kind=kind, sources=tuple(olds), targets=(name,)))
    return VersionCrosswalk(source=source, target=target, changes=tuple(changes), unnamed=unnamed)


def crosswalk_between(old: Taxonomy, new: Taxonomy) -> VersionCrosswalk:
    """Return what two versions say of themselves: by id, ``replaced_by``, the new one's crosswalks, and synonyms.

    A class of the old version that the new one does not know by any of these is deprecated.
    """
    old_index, new_index = TaxonomyIndex(old), TaxonomyIndex(new)
    pairs: list[tuple[str, str | None]] = []
    for item in old.classes:
        known = new_index.get(item.id)
        if known is not None:
            current: str | None = new_index.current(item.id)
        else:
            successor = old_index.current(item.id)
            current = new_index.crosswalk(item.id, old.reference) or new_index.normalise(item.id)
            if current is None and successor != item.id and new_index.get(successor) is not None:
                current = successor
        pairs.append((item.id, current))
    walk = crosswalk_from_pairs(old.reference, new.reference, pairs)
    # A class that keeps its name is no change; it stays in a merge, which the others of it join.
    changed = tuple(change for change in walk.changes if change.sources != change.targets)
    return walk.model_copy(update={"changes": changed, "unnamed": "same"})

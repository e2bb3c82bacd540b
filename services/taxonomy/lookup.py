"""Look-ups in a taxonomy: which class a word means, what it is a kind of, and what applies to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from services.contracts.manifest import Modality
from services.taxonomy.changes import LabelKind
from services.taxonomy.taxonomy import AttributeRule, Taxonomy, TaxonomyClass
from services.taxonomy.words import folded, singulars


class TaxonomyIndex:
    """A taxonomy prepared for many look-ups; build it once a check.

    Args:
        taxonomy: The document; it has no cycles.
    """

    def __init__(self, taxonomy: Taxonomy) -> None:
        self.taxonomy = taxonomy
        self._classes = {item.id: item for item in taxonomy.classes}
        self._children: dict[str, list[str]] = {}
        self._ids: dict[str, set[str]] = {}
        self._synonyms: dict[str, set[str]] = {}
        self._inflected: dict[str, set[str]] = {}
        for item in taxonomy.classes:
            for parent in item.parents:
                self._children.setdefault(parent, []).append(item.id)
            self._ids.setdefault(folded(item.id), set()).add(item.id)
            for synonym in item.synonyms:
                self._synonyms.setdefault(folded(synonym), set()).add(item.id)
            for name in (item.id, *item.synonyms):
                for singular in singulars(folded(name)):
                    self._inflected.setdefault(singular, set()).add(item.id)
        names = {**self._ids, **self._synonyms}
        self.longest_name_words = max((name.count(" ") + 1 for name in names), default=1)
        self._ancestors: dict[str, frozenset[str]] = {}

    def get(self, class_id: str) -> TaxonomyClass | None:
        """Return the class with exactly this id."""
        return self._classes.get(class_id)

    def classes_of(self, mention: str) -> tuple[str, ...]:
        """Return the ids of the classes that ``mention`` may mean, sorted; empty if none.

        The exact id goes before an id that differs in case, plural or separators, and that before synonyms.
        """
        if mention in self._classes:
            return (mention,)
        name = folded(mention)
        for forms in ((name,), singulars(name)):
            for names in (self._ids, self._synonyms):
                for form in forms:
                    if form in names:
                        return tuple(sorted(names[form]))
        return tuple(sorted(self._inflected.get(name, ())))

    def normalise(self, mention: str) -> str | None:
        """Return the class that ``mention`` means; None if there is none, or more than one."""
        found = self.classes_of(mention)
        return found[0] if len(found) == 1 else None

    def ancestors(self, class_id: str) -> frozenset[str]:
        """Return every class that ``class_id`` is a kind of, without itself; empty for an unknown id."""
        if class_id not in self._ancestors:
            self._ancestors[class_id] = frozenset(self._reach(class_id, self._parents))
        return self._ancestors[class_id]

    def descendants(self, class_id: str) -> frozenset[str]:
        """Return every kind of ``class_id``, without itself."""
        return frozenset(self._reach(class_id, lambda name: self._children.get(name, ())))

    def is_a(self, class_id: str, other: str) -> bool:
        """Whether ``class_id`` is ``other`` or a kind of it."""
        return class_id == other or other in self.ancestors(class_id)

    def related(self, one: str, other: str) -> bool:
        """Whether one of the two is the other or a kind of it, so that both may name one thing."""
        return self.is_a(one, other) or self.is_a(other, one)

    def current(self, class_id: str) -> str:
        """Return the class to use today: ``class_id``, or what replaced it in the end."""
        while (item := self._classes.get(class_id)) is not None and item.replaced_by is not None:
            class_id = item.replaced_by
        return class_id

    def crosswalk(self, class_id: str, source: str) -> str | None:
        """Return what class ``class_id`` of the taxonomy ``source`` is called here."""
        for walk in self.taxonomy.crosswalks:
            if walk.source == source and class_id in walk.classes:
                return walk.classes[class_id]
        return None

    def equivalents(self, class_id: str, modality: Modality) -> tuple[str, ...]:
        """Return the classes by which ``modality`` names what ``class_id`` names elsewhere, sorted; empty if none."""
        found: set[str] = set()
        for item in self.taxonomy.equivalences or ():
            if any(class_id in names for names in item.members.values()):
                found.update(item.members.get(modality, ()))
        return tuple(sorted(found - {class_id}))

    def attributes_of(self, class_id: str) -> dict[str, AttributeRule]:
        """Return the attributes of a class by name: its own before its parents', and those before everybody's."""
        found: dict[str, AttributeRule] = {}
        for item in self._lineage(class_id):
            for rule in item.attributes:
                found.setdefault(rule.name, rule)
        for rule in self.taxonomy.attributes:
            found.setdefault(rule.name, rule)
        return found

    def modalities_of(self, class_id: str) -> frozenset[Modality]:
        """Return where a class may be used: its own list or its nearest ancestor's; empty means everywhere."""
        return frozenset(next((item.modalities for item in self._lineage(class_id) if item.modalities), ()))

    def label_kinds_of(self, class_id: str) -> frozenset[LabelKind]:
        """Return the label kinds a class may be used with; empty means all."""
        return frozenset(next((item.label_kinds for item in self._lineage(class_id) if item.label_kinds), ()))

    def _parents(self, class_id: str) -> tuple[str, ...]:
        item = self._classes.get(class_id)
        return item.parents if item is not None else ()

    def _lineage(self, class_id: str) -> Iterator[TaxonomyClass]:
        if class_id in self._classes:
            yield self._classes[class_id]
            yield from (self._classes[name] for name in self._reach(class_id, self._parents))

    @staticmethod
    def _reach(start: str, step: Callable[[str], Iterable[str]]) -> list[str]:
        # Breadth first, so that nearer classes come before farther ones.
        found: dict[str, None] = {}
        level = list(step(start))
        while level:
            fresh = [name for name in dict.fromkeys(level) if name not in found]
            found.update(dict.fromkeys(fresh))
            level = [further for name in fresh for further in step(name)]
        return list(found)

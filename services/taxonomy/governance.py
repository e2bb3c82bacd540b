"""What a taxonomy version must be before it is published: faults of its own, classes that would vanish, differences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, Sha256, Text, UtcDatetime
from services.contracts.taxonomies import TaxonomyReference
from services.taxonomy.changes import VersionCrosswalk
from services.taxonomy.crosswalk import Crosswalks, crosswalk_between
from services.taxonomy.lookup import TaxonomyIndex
from services.taxonomy.taxonomy import Taxonomy
from services.taxonomy.words import folded

MAX_FAULTS = 50


class DocumentFault(Contract):
    """What keeps a draft from being published."""

    place: Text = Field(description="JSON pointer into the document.")
    sentence: Text


class TaxonomyDraft(Contract):
    """The version that people work on; it is published as it is, or changed again."""

    document: Taxonomy
    sha256: Sha256
    edited_by: Identifier
    updated_at: UtcDatetime
    faults: Annotated[tuple[DocumentFault, ...], Field(max_length=MAX_FAULTS)] = Field(
        default=(), description="What keeps it from being published; it may be kept all the same."
    )


class TaxonomyDiff(Contract):
    """What differs between two versions, and how labels get from one to the other."""

    source: TaxonomyReference
    target: TaxonomyReference
    added: tuple[Name, ...] = ()
    removed: tuple[Name, ...] = ()
    changed: tuple[Name, ...] = Field(default=(), description="Classes of both whose definition differs.")
    crosswalk: VersionCrosswalk
    left_without_class: tuple[Name, ...] = Field(
        default=(), description="Classes of the source that no change names and the target lacks."
    )


@dataclass(frozen=True, slots=True)
class ClassUse:
    """How many labels in use have one class.

    Attributes:
        project: The project.
        version: Their ``taxonomy_version``; None for labels that name none.
        label: The class.
        committed: Samples with ground truth.
        under_way: Samples that are on their way to it.
    """

    project: str
    version: str | None
    label: str
    committed: int
    under_way: int


def document_faults(taxonomy: Taxonomy, earlier: Mapping[str, Taxonomy]) -> tuple[DocumentFault, ...]:
    """Return what keeps a document from being published, at most fifty faults in its order.

    Args:
        taxonomy: The document; the contract has accepted it.
        earlier: Published versions by reference; steps that start from one of them must start from its classes.
    """
    faults = [*_name_faults(taxonomy), *_equivalence_faults(taxonomy), *_step_faults(taxonomy, earlier)]
    return tuple(DocumentFault(place=place, sentence=sentence) for place, sentence in faults[:MAX_FAULTS])


def _name_faults(taxonomy: Taxonomy) -> Iterator[tuple[str, str]]:
    ids = {folded(item.id): item.id for item in reversed(taxonomy.classes)}
    owners: dict[str, str] = {}
    for number, item in enumerate(taxonomy.classes):
        first = ids[folded(item.id)]
        if first != item.id:
            yield (
                f"/classes/{number}/id",
                f"{item.id!r} differs from the class {first!r} in its spelling only; join them",
            )
        for place, synonym in enumerate(item.synonyms):
            name = folded(synonym)
            owner = owners.setdefault(name, item.id)
            here = f"/classes/{number}/synonyms/{place}"
            if name in ids and ids[name] != item.id:
                yield here, f"{synonym!r} of {item.id!r} is the class {ids[name]!r}; leave it out"
            elif owner != item.id:
                yield here, f"{synonym!r} is a synonym of {owner!r} and of {item.id!r}; give it to one of them"


def _equivalence_faults(taxonomy: Taxonomy) -> Iterator[tuple[str, str]]:
    index = TaxonomyIndex(taxonomy)
    for number, item in enumerate(taxonomy.equivalences or ()):
        for modality, names in item.members.items():
            for name in names:
                allowed = index.modalities_of(name)
                if allowed and modality not in allowed:
                    yield (
                        f"/equivalences/{number}/members/{modality}",
                        f"{name!r} is for {' or '.join(sorted(allowed))}; name a class that {modality} may carry",
                    )


def _step_faults(taxonomy: Taxonomy, earlier: Mapping[str, Taxonomy]) -> Iterator[tuple[str, str]]:
    for number, step in enumerate(taxonomy.steps or ()):
        source = earlier.get(step.source)
        if source is None:
            continue
        known = {item.id for item in source.classes}
        for place, change in enumerate(step.changes):
            for name in change.sources:
                if name not in known:
                    yield (
                        f"/steps/{number}/changes/{place}/sources",
                        f"{name!r} is no class of {step.source}; correct its name or leave it out",
                    )


def step_between(old: Taxonomy, new: Taxonomy) -> VersionCrosswalk:
    """Return how labels get from ``old`` to ``new``.

    The step that the newer version states goes first. Without one it is what the two say of themselves
    (``replaced_by``, ids, synonyms); a class that vanishes without a word is then no change at all, and not dropped.
    """
    for step in new.steps or ():
        if step.source == old.reference:
            return step
    walk = crosswalk_between(old, new)
    said = tuple(change for change in walk.changes if change.kind != "deprecate")
    return walk.model_copy(update={"changes": said})


def steps_of(versions: Iterable[Taxonomy]) -> tuple[VersionCrosswalk, ...]:
    """Return every step between the versions of one taxonomy, and those into it from elsewhere.

    Args:
        versions: By rising version.
    """
    found: list[VersionCrosswalk] = []
    before: Taxonomy | None = None
    for version in versions:
        own = {step.source: step for step in version.steps or ()}
        if before is not None:
            own.setdefault(before.reference, step_between(before, version))
        found.extend(own[source] for source in sorted(own))
        before = version
    return tuple(found)


def left_without_class(old: Taxonomy, new: Taxonomy, walks: Crosswalks) -> frozenset[str]:
    """Return the classes of ``old`` that would have no class in ``new`` although no change drops them.

    Args:
        old: A published version.
        new: A later one.
        walks: Every step between them.
    """
    known = {item.id for item in new.classes}
    lost: set[str] = set()
    for item in old.classes:
        found = walks.translate(item.id, old.reference, new.reference)
        if not found.known or any(name not in known for name in found.candidates):
            lost.add(item.id)
    return frozenset(lost)


def diff(old: Taxonomy, new: Taxonomy) -> TaxonomyDiff:
    """Return what differs between two versions of a taxonomy."""
    before = {item.id: item for item in old.classes}
    after = {item.id: item for item in new.classes}
    step = step_between(old, new)
    return TaxonomyDiff(
        source=old.reference,
        target=new.reference,
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed=tuple(sorted(name for name in before.keys() & after.keys() if before[name] != after[name])),
        crosswalk=step,
        left_without_class=tuple(sorted(left_without_class(old, new, Crosswalks([step])))),
    )

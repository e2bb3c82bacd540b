"""A taxonomy as a versioned document: classes with synonyms, kinds of, attributes, and what replaced what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Identifier, Name, Scalar, Text, Version
from services.contracts.manifest import Modality
from services.taxonomy.changes import LabelKind, VersionCrosswalk

Synonyms = Annotated[tuple[Name, ...], Field(max_length=1_000)]


class AttributeRule(Contract):
    """An attribute that labels of a class may carry.

    Attributes are inherited by kinds of the class; a class that names the attribute again replaces it.
    """

    name: Name
    type: Literal["text", "number", "integer", "flag"] = "text"
    values: Annotated[tuple[Scalar, ...], Field(max_length=1_000)] = Field(
        default=(), description="Allowed values; empty allows every value of the type."
    )
    required: bool = Field(default=False, description="Whether every label of the class must carry it.")
    label_kinds: tuple[LabelKind, ...] = Field(
        default=(), description="Label kinds that carry it; empty means every kind."
    )
    synonyms: Annotated[dict[Name, Synonyms], Field(max_length=1_000)] = Field(
        default_factory=dict, description="Other words for a value, such as grey → gray, silver."
    )
    definition: Text = ""


class TaxonomyClass(Contract):
    """One class."""

    id: Name = Field(description="The class as labels write it.")
    definition: Text = ""
    examples: Annotated[tuple[Text, ...], Field(max_length=100)] | None = Field(
        default=None, description="What is one and what is not, as annotators are shown it: a sentence or an address."
    )
    synonyms: Synonyms = Field(default=(), description="Other names; case and plural need not be listed.")
    parents: Annotated[tuple[Name, ...], Field(max_length=50)] = Field(
        default=(), description="Classes that this one is a kind of."
    )
    modalities: tuple[Modality, ...] = Field(
        default=(), description="Where the class may be used; empty means where its parents may, and else everywhere."
    )
    label_kinds: tuple[LabelKind, ...] = Field(
        default=(), description="Label kinds it may be used with; empty means those of its parents, and else all."
    )
    attributes: Annotated[tuple[AttributeRule, ...], Field(max_length=200)] = ()
    deprecated: bool = False
    replaced_by: Name | None = Field(default=None, description="The class to use instead of a deprecated one.")

    @model_validator(mode="after")
    def _replaced_only_when_deprecated(self) -> Self:
        if self.replaced_by is not None and not self.deprecated:
            raise ValueError(f"class {self.id!r} names replaced_by; set deprecated as well, or leave replaced_by out")
        return self


class Crosswalk(Contract):
    """How the classes of another taxonomy, or of another version, are called in this one."""

    source: Name = Field(description="As labels write it in taxonomy_version, such as av@2, or a data set's name.")
    classes: Annotated[dict[Name, Name], Field(max_length=20_000)] = Field(description="Their class → class here.")


class Equivalence(Contract):
    """Classes by which different modalities name one thing, such as an ambulance in pictures and a siren in sound."""

    members: dict[Modality, Annotated[tuple[Name, ...], Field(min_length=1, max_length=100)]] = Field(
        min_length=2, max_length=20, description="By modality the classes that name the thing there."
    )
    note: Text = ""


class Taxonomy(Contract):
    """All classes of one version."""

    id: Identifier
    version: Version
    language: Name = Field(default="en", description="BCP 47 tag of the names and synonyms.")
    classes: Annotated[tuple[TaxonomyClass, ...], Field(min_length=1, max_length=20_000)]
    attributes: Annotated[tuple[AttributeRule, ...], Field(max_length=200)] = Field(
        default=(), description="Attributes that every class may carry."
    )
    crosswalks: Annotated[tuple[Crosswalk, ...], Field(max_length=100)] = ()
    equivalences: Annotated[tuple[Equivalence, ...], Field(max_length=5_000)] | None = Field(
        default=None, description="What several modalities call by different classes."
    )
    steps: Annotated[tuple[VersionCrosswalk, ...], Field(max_length=100)] | None = Field(
        default=None,
        description="How labels of earlier versions, or of other taxonomies, become labels of this one; each step's "
        "target is this version.",
    )

    @property
    def reference(self) -> str:
        """``id@version``, as labels write it in ``taxonomy_version``."""
        return f"{self.id}@{self.version}"

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        known: set[str] = set()
        for index, item in enumerate(self.classes):
            if item.id in known:
                raise ValueError(f"classes/{index}/id: {item.id!r} is used twice; class ids are unique")
            known.add(item.id)
        for index, item in enumerate(self.classes):
            for named in (*item.parents, *([item.replaced_by] if item.replaced_by is not None else [])):
                if named not in known:
                    raise ValueError(f"classes/{index}: class {item.id!r} names {named!r}, which is no class here")
        for index, walk in enumerate(self.crosswalks):
            for named in walk.classes.values():
                if named not in known:
                    raise ValueError(f"crosswalks/{index}: {named!r} is no class here")
        for index, equivalence in enumerate(self.equivalences or ()):
            for named in (name for names in equivalence.members.values() for name in names):
                if named not in known:
                    raise ValueError(f"equivalences/{index}: {named!r} is no class here")
        self._steps_lead_here(known)
        _refuse_cycle("parents", {item.id: item.parents for item in self.classes})
        _refuse_cycle(
            "replaced_by", {item.id: (item.replaced_by,) if item.replaced_by else () for item in self.classes}
        )
        return self

    def _steps_lead_here(self, known: set[str]) -> None:
        sources: set[str] = set()
        for index, step in enumerate(self.steps or ()):
            if step.target != self.reference:
                raise ValueError(f"steps/{index}/target: {step.target!r} is another version; write {self.reference!r}")
            if step.source in sources:
                raise ValueError(f"steps/{index}/source: two steps start from {step.source!r}; join them")
            sources.add(step.source)
            for change in step.changes:
                for named in change.targets:
                    if named not in known:
                        raise ValueError(f"steps/{index}: {change.kind} leads to {named!r}, which is no class here")


def _refuse_cycle(what: str, edges: Mapping[str, tuple[str, ...]]) -> None:
    # Depth first with a stack of its own: a chain of 20,000 classes must not exhaust Python's.
    done: set[str] = set()
    for root in edges:
        path: list[str] = []
        on_path: set[str] = set()
        stack: list[tuple[str, bool]] = [(root, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                done.add(path.pop())
                on_path.discard(name)
            elif name in on_path:
                cycle = [*path[path.index(name) :], name]
                shown = cycle if len(cycle) <= 12 else [*cycle[:6], "…", *cycle[-5:]]
                raise ValueError(f"{what} form a cycle: {' → '.join(shown)}; remove one of these links")
            elif name not in done:
                path.append(name)
                on_path.add(name)
                stack.append((name, True))
                stack.extend((target, False) for target in edges[name])

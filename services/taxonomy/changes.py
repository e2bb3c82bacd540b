"""What changed between two versions of a taxonomy, as people state it: renamed, merged, split, deprecated."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Name, Scalar, Text
from services.contracts.manifest import Modality

LabelKind = Literal[
    "box", "rotated_box", "polygon", "mask", "keypoints", "image_classification", "frame_label", "track", "action",
    "event", "entity_span", "intent", "sentiment", "text_classification", "relation", "summary", "transcript_segment",
    "speaker_turn", "sound_event", "emotion", "acoustic_event", "cuboid", "point_segmentation", "spatial_track",
    "lane_marking", "spatial_label", "metadata_field",
]  # fmt: skip

NOT_CLASSES: tuple[LabelKind, ...] = ("transcript_segment", "speaker_turn", "metadata_field")
"""Label kinds whose label is no class of a taxonomy: a fixed word, a person, a field's name."""

ChangeKind = Literal["rename", "merge", "split", "deprecate"]
Names = Annotated[tuple[Name, ...], Field(max_length=2_000)]


class SplitCase(Contract):
    """Which part of a split class a label belongs to: by one of its attributes, by where it stands, or by both."""

    attribute: Name | None = Field(default=None, description="An attribute of the label; none: not asked.")
    values: Annotated[tuple[Scalar, ...], Field(max_length=1_000)] = Field(
        default=(), description="Values of the attribute, one of which the label must have."
    )
    modalities: Annotated[tuple[Modality, ...], Field(min_length=1, max_length=20)] | None = Field(
        default=None, description="Modalities of the label's stream; none: every one."
    )
    label_kinds: Annotated[tuple[LabelKind, ...], Field(min_length=1, max_length=50)] | None = Field(
        default=None, description="Kinds of label, such as box; none: every one."
    )
    target: Name

    @model_validator(mode="after")
    def _asks_something(self) -> Self:
        if (self.attribute is None) != (not self.values):
            raise ValueError("a case names an attribute and the values that decide; give both or neither")
        if self.attribute is None and self.modalities is None and self.label_kinds is None:
            raise ValueError("a case must ask something: an attribute with values, modalities or label_kinds")
        return self

    def fits(
        self, attributes: Mapping[str, Scalar], modality: Modality | None = None, label_kind: LabelKind | None = None
    ) -> bool:
        """Whether a label meets everything the case asks; what is not known of the label meets nothing."""
        if self.modalities is not None and modality not in self.modalities:
            return False
        if self.label_kinds is not None and label_kind not in self.label_kinds:
            return False
        if self.attribute is None:
            return True
        value = attributes.get(self.attribute)
        return any(value == item and isinstance(value, bool) == isinstance(item, bool) for item in self.values)


class ClassChange(Contract):
    """One change between two versions."""

    kind: ChangeKind
    sources: Annotated[Names, Field(min_length=1)] = Field(description="Classes of the older version.")
    targets: Names = Field(default=(), description="Classes of the newer version; none for deprecate.")
    cases: Annotated[tuple[SplitCase, ...], Field(max_length=2_000)] = Field(
        default=(), description="For a split: the first case that fits decides."
    )
    note: Text = ""

    @model_validator(mode="after")
    def _shape(self) -> Self:
        sources, targets = len(set(self.sources)), len(set(self.targets))
        if sources != len(self.sources) or targets != len(self.targets):
            raise ValueError(f"a {self.kind} names a class twice; name each once")
        fits = {
            "rename": (sources, targets) == (1, 1),
            "merge": sources >= 2 and targets == 1,
            "split": sources == 1 and targets >= 2,
            "deprecate": targets == 0,
        }
        if not fits[self.kind]:
            raise ValueError(f"a {self.kind} can not go from {sources} to {targets} classes")
        for case in self.cases:
            if self.kind != "split" or case.target not in self.targets:
                raise ValueError(f"a case leads to {case.target!r}, which is no target of this split")
        return self


class VersionCrosswalk(Contract):
    """One step between two versions, or from another taxonomy; classes that no change names keep their names."""

    source: Name = Field(description="As labels write it in taxonomy_version, such as av@2.")
    target: Name = Field(description="Such as av@3.")
    changes: Annotated[tuple[ClassChange, ...], Field(max_length=20_000)] = ()
    unnamed: Literal["same", "unknown"] = Field(
        default="same", description="What a class that no change names becomes: itself, or nothing that is known."
    )

    @model_validator(mode="after")
    def _one_fate(self) -> Self:
        if self.source == self.target:
            raise ValueError("source and target are the same version")
        seen: set[str] = set()
        for change in self.changes:
            for name in change.sources:
                if name in seen:
                    raise ValueError(f"class {name!r} is changed twice; join the two changes")
                seen.add(name)
        return self

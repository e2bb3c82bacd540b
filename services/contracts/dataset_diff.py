"""How two versions of a dataset differ: in samples, and in their labels."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, Sha256, Text, Version
from services.contracts.datasets import SplitName

Count = Annotated[int, Field(ge=0)]
Aspect = Literal["geometry", "class", "attributes", "other"]
"""What of a label a field says: where it is, what it is, its attributes; else who made it and the like."""


class FieldChange(Contract):
    """A field of a label; one of ``attributes`` is named ``attributes.<name>``."""

    field: Text
    aspect: Aspect
    before: Any = Field(default=None, description="None: the label did not have it.")
    after: Any = Field(default=None, description="None: the label has it no longer.")


class LabelChange(Contract):
    """A label that differs."""

    change: Literal["added", "removed", "changed"]
    annotation_id: Identifier
    type: Name = Field(description="The kind; of the later version, where it has the label.")
    label: Name = Field(description="The class; of the later version, where it has the label.")
    annotation: dict[str, Any] | None = Field(
        default=None, description="The whole label, where it was added or removed."
    )
    fields: tuple[FieldChange, ...] = Field(default=(), description="What differs, where it was changed.")


class MemberState(Contract):
    """What a version says of a sample."""

    revision: Version
    content_sha256: Sha256
    split: SplitName


class SampleChange(Contract):
    """A sample that differs."""

    change: Literal["added", "removed", "changed"]
    sample_id: Identifier
    before: MemberState | None = None
    after: MemberState | None = None
    labels: tuple[LabelChange, ...] = Field(default=(), description="By id.")
    other_fields: tuple[Name, ...] = Field(
        default=(), description="What else of the record differs: context, streams, captured_at."
    )


class ClassChanges(Contract):
    """How the labels of a class differ; a changed label counts under its class in the later version."""

    type: Name
    label: Name
    added: Count = 0
    removed: Count = 0
    changed: Count = 0
    geometry: Count = Field(default=0, description="Changed labels that moved.")
    classes: Count = Field(default=0, description="Changed labels that were of another class or kind.")
    attributes: Count = Field(default=0, description="Changed labels with other attributes.")


class DiffSummary(Contract):
    """A diff, counted."""

    from_version: Version
    to_version: Version
    samples_added: Count = 0
    samples_removed: Count = 0
    samples_changed: Count = 0
    labels_added: Count = 0
    labels_removed: Count = 0
    labels_changed: Count = 0
    by_class: tuple[ClassChanges, ...] = ()

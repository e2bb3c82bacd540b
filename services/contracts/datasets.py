"""Datasets: which records belong to one, how they are split, and the versions that never change."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from services.contracts.base import (
    Contract,
    Identifier,
    LongText,
    Name,
    ProjectId,
    Scalar,
    Sha256,
    UtcDatetime,
    Version,
)
from services.contracts.dataset_card import DatasetCard
from services.contracts.findings import Severity
from services.contracts.lifecycle import Stage
from services.contracts.manifest import Modality, Risk
from services.contracts.records import GroundTruth
from services.contracts.review import FindingState

DATASET_VERSION_FORMAT = "concord.dataset_version/1"
MAX_SELECTED_IDS = 10_000
MAX_CARD_SAMPLES = 10_000

Count = Annotated[int, Field(ge=0)]
DatasetName = Annotated[str, StringConstraints(min_length=1, max_length=100, pattern=r"^[a-z0-9][a-z0-9._-]*$")]
SplitName = Annotated[str, StringConstraints(min_length=1, max_length=50, pattern=r"^[a-z0-9][a-z0-9_-]*$")]
ContextField = Annotated[
    str, StringConstraints(max_length=220, pattern=r"^(region|product|policy\.(id|version)|attributes\..{1,200})$")
]
"""A field of the sample's context, such as ``region`` or ``attributes.weather``."""

GroupField = Annotated[
    str, StringConstraints(max_length=230, pattern=r"^(sample_id|context\.(region|product|attributes\..{1,200}))$")
]
"""What names the group of a sample, such as ``context.attributes.patient``."""


class ContextCondition(Contract):
    """The context says one of these values; a sample without the field does not fit."""

    field: ContextField
    any_of: Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1_000)]


class LabelCondition(Contract):
    """So many labels of a kind; what is left out matches every label."""

    label: Name | None = Field(default=None, description="The class.")
    type: Name | None = Field(default=None, description="The kind, such as box.")
    stream: Identifier | None = None
    at_least: Annotated[int, Field(ge=0, le=1_000_000)] = 1
    at_most: Annotated[int, Field(ge=0, le=1_000_000)] | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(f"at_most must not be below at_least, got {self.at_least} to {self.at_most}")
        return self


class FindingCondition(Contract):
    """What the checks found, as the record tells it; what is left out matches every finding."""

    check: Name | None = None
    kind: Name | None = None
    severity: Severity | None = None
    state: FindingState | None = None
    present: bool = Field(default=True, description="False: there must be no such finding.")


class Selection(Contract):
    """Which committed records a version holds: those that meet every condition. Without conditions, all."""

    sample_ids: Annotated[tuple[Identifier, ...], Field(max_length=MAX_SELECTED_IDS)] = Field(
        default=(), description="Only these."
    )
    risks: Annotated[tuple[Risk, ...], Field(max_length=3)] = ()
    modalities: Annotated[tuple[Modality, ...], Field(max_length=8)] = Field(
        default=(), description="The sample has a stream of each."
    )
    captured_from: UtcDatetime | None = None
    captured_before: UtcDatetime | None = None
    committed_from: UtcDatetime | None = None
    committed_before: UtcDatetime | None = None
    context: Annotated[tuple[ContextCondition, ...], Field(max_length=50)] = ()
    labels: Annotated[tuple[LabelCondition, ...], Field(max_length=100)] = ()
    findings: Annotated[tuple[FindingCondition, ...], Field(max_length=50)] = ()
    passed_stages: Annotated[tuple[Stage, ...], Field(max_length=12)] = Field(
        default=(), description="The revision was at each of these stages."
    )
    avoided_stages: Annotated[tuple[Stage, ...], Field(max_length=12)] = Field(
        default=(), description="The revision was at none of these stages."
    )
    reopened: Literal["leave_out", "include"] = Field(
        default="leave_out", description="Records of samples that were opened again, until the next commit."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        for name in ("captured", "committed"):
            first, end = getattr(self, f"{name}_from"), getattr(self, f"{name}_before")
            if first is not None and end is not None and end <= first:
                raise ValueError(f"{name}_before must lie after {name}_from")
        return self


class SplitShare(Contract):
    """A split and its part of the groups."""

    name: SplitName
    weight: Annotated[int, Field(ge=1, le=1_000_000)] = Field(description="Its share is weight / sum of all weights.")


class SplitPolicy(Contract):
    """How groups are spread over splits: a salted hash of the group decides, so that a group is never in two.

    It is fixed for the life of a dataset: a group that was for training once is never tested with.
    """

    group_by: Annotated[tuple[GroupField, ...], Field(min_length=1, max_length=5)] = Field(
        default=("sample_id",), description="Together they name the group, such as the sequence, patient or call."
    )
    shares: Annotated[tuple[SplitShare, ...], Field(min_length=1, max_length=20)] = (
        SplitShare(name="train", weight=80),
        SplitShare(name="validation", weight=10),
        SplitShare(name="test", weight=10),
    )
    salt: Annotated[str, StringConstraints(max_length=200)] = Field(
        default="", description="Another salt, another spread."
    )
    missing: Literal["refuse", "sample"] = Field(
        default="refuse", description="Of a sample that lacks a field: refuse the version, or its own group."
    )

    @model_validator(mode="after")
    def _unique(self) -> Self:
        names = [share.name for share in self.shares]
        if len(set(names)) != len(names):
            raise ValueError("shares: every split is named once")
        return self


class NewDataset(Contract):
    """A dataset to keep."""

    name: DatasetName
    description: LongText = ""
    selection: Selection = Field(default_factory=Selection)
    split: SplitPolicy = Field(default_factory=SplitPolicy)


class Dataset(NewDataset):
    """A dataset: what its versions hold by default, and how they are split. It never changes."""

    project: ProjectId
    created_by: Identifier
    created_at: UtcDatetime


class NewVersion(Contract):
    """A version to make of what is committed now."""

    selection: Selection | None = Field(default=None, description="The dataset's if left out.")
    note: LongText = ""
    card_samples: Annotated[int, Field(ge=0, le=MAX_CARD_SAMPLES)] = Field(
        default=1_000, description="Most members to read for agreement and the nine failures, by sample id."
    )


class SplitCount(Contract):
    """What a split holds."""

    name: SplitName
    samples: Count
    groups: Count
    labels: Count


class ClassCount(Contract):
    """How often a class is there."""

    type: Name
    label: Name
    labels: Count
    samples: Count


class VersionContent(Contract):
    """What a version is; ``manifest_sha256`` is the hash of its canonical form."""

    format: Literal["concord.dataset_version/1"] = "concord.dataset_version/1"
    project: ProjectId
    dataset: DatasetName
    version: Version
    selection: Selection
    split: SplitPolicy
    samples: Count
    labels: Count
    merkle_root: Sha256 = Field(description="Of its members by sample id (RFC 6962, SHA-256).")
    splits: tuple[SplitCount, ...]
    classes: tuple[ClassCount, ...] = Field(description="By kind and class.")
    card: DatasetCard
    note: LongText = ""


class DatasetVersion(Contract):
    """A version: an immutable list of records with their splits."""

    content: VersionContent
    manifest_sha256: Sha256
    created_by: Identifier
    created_at: UtcDatetime

    @property
    def name(self) -> str:
        """How people name it: ``signs@3``."""
        return f"{self.content.dataset}@{self.content.version}"


Standing = Literal["current", "reopened", "superseded", "withdrawn"]
"""What became of a member's sample: nothing; opened again; committed anew; withdrawn after it was opened again."""


class StandingCounts(Contract):
    """How many members are no longer the newest word on their sample. The version keeps them as they were."""

    reopened: Count = 0
    superseded: Count = 0
    withdrawn: Count = 0


class DatasetVersionView(DatasetVersion):
    """A version, and what became of its members since."""

    standing: StandingCounts


class Member(Contract):
    """A record in a version."""

    position: Count = Field(description="From 0, by sample id; the index of its leaf.")
    sample_id: Identifier
    revision: Version
    content_sha256: Sha256
    split: SplitName
    group: str = Field(description="What was hashed to find the split.")
    labels: Count


class MemberView(Member):
    """A member, and what became of its sample since."""

    standing: Standing


class MemberRecord(Contract):
    """A member with its record."""

    member: Member
    record: GroundTruth


class DependentVersion(Contract):
    """A version that holds a record of a sample."""

    dataset: DatasetName
    version: Version
    revision: Version = Field(description="Of the record.")
    standing: Standing


class InclusionProof(Contract):
    """That a member is in a version: hash it up along ``path`` and compare with the root (RFC 9162, 2.1.3.2)."""

    member: Member
    leaf: dict[str, Any] = Field(description="What the leaf's hash is of, in canonical form.")
    size: Annotated[int, Field(ge=1)]
    path: tuple[Sha256, ...] = Field(description="From the leaf's sibling upwards.")
    merkle_root: Sha256

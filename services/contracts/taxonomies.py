"""Taxonomies in use: how they are named, drafts, and migrations of samples from one version to another."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, ProjectId, Sha256, UtcDatetime, Version

TaxonomyReference = Annotated[
    str, Field(min_length=3, max_length=211, pattern=r"^[A-Za-z0-9][A-Za-z0-9._:@+-]*@[1-9][0-9]{0,9}$")
]
"""``id@version``, as labels write it in ``taxonomy_version``."""


def split_reference(reference: str) -> tuple[str, int]:
    """Return id and version of a :data:`TaxonomyReference`."""
    taxonomy_id, _, version = reference.rpartition("@")
    return taxonomy_id, int(version)


class TaxonomySummary(Contract):
    """A published version in a list."""

    id: Identifier
    version: Version
    sha256: Sha256
    classes: Annotated[int, Field(ge=1)]
    published_by: Identifier
    published_at: UtcDatetime


Outcome = Literal[
    "renamed", "merged", "split_decided", "split_open", "dropped", "misplaced", "untouched", "unknown"
]  # fmt: skip
"""What a migration makes of a label.

``renamed``, ``merged`` and ``split_decided`` are applied; ``split_open`` (no case of the split fits), ``dropped`` (the
class has no successor) and ``misplaced`` (its successor may not be used with this modality or label kind) are left to
people; ``untouched`` is named by no change, and ``unknown`` is of a version or class from which no step leads here.
"""

LEFT_TO_PEOPLE: frozenset[Outcome] = frozenset({"split_open", "dropped", "misplaced"})
APPLIED: frozenset[Outcome] = frozenset({"renamed", "merged", "split_decided"})


class ClassCount(Contract):
    """How many labels of one class have one outcome."""

    version: Name = Field(description="Of the labels; the project's for labels that name none.")
    label: Name
    outcome: Outcome
    target: Name | None = Field(default=None, description="The class it becomes; none where people decide.")
    labels: Annotated[int, Field(ge=0)]
    samples: Annotated[int, Field(ge=0)]


class MigrationCounts(Contract):
    """What a migration does, or has done: by class, and by sample."""

    classes: Annotated[tuple[ClassCount, ...], Field(max_length=200_000)] = Field(
        default=(), description="Of committed samples."
    )
    migrated: Annotated[int, Field(ge=0)] = Field(default=0, description="Committed anew, without anybody asked.")
    reopened: Annotated[int, Field(ge=0)] = Field(default=0, description="Opened again for what is left to people.")
    untouched: Annotated[int, Field(ge=0)] = Field(default=0, description="Committed, and stay as they are.")
    rechecked: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="Of the samples in review, those with labels that change and with tasks that nobody has begun: the "
        "tasks are taken back, and the sample is checked again at once.",
    )
    elsewhere: Annotated[dict[Name, Annotated[int, Field(ge=0)]], Field(max_length=50)] = Field(
        default_factory=dict,
        description="Samples at other stages, by stage: left alone; their labels are carried over when they are "
        "checked next.",
    )

    @property
    def samples(self) -> int:
        """All samples that were looked at."""
        return self.migrated + self.reopened + self.untouched + sum(self.elsewhere.values())


class MigrationPreview(Contract):
    """What a migration would do now; nothing is changed."""

    project: ProjectId
    source: TaxonomyReference | None = Field(default=None, description="The project's version now.")
    target: TaxonomyReference
    counts: MigrationCounts


class MigrationRequest(Contract):
    """Asks for a migration."""

    target: TaxonomyReference


class MigrationState(StrEnum):
    """Where a migration is."""

    RUNNING = "running"
    PAUSED = "paused"
    COMPLETED = "completed"
    CANCELLED = "cancelled"


LIVE_MIGRATIONS = frozenset({MigrationState.RUNNING, MigrationState.PAUSED})


class TaxonomyMigration(Contract):
    """A migration of a project's samples to a taxonomy version, and how far it is."""

    migration_id: UUID
    project: ProjectId
    source: TaxonomyReference | None = Field(default=None, description="The project's version before.")
    target: TaxonomyReference
    crosswalk_sha256: Sha256 = Field(description="Of every step it goes by, in canonical form.")
    state: MigrationState
    total: Annotated[int, Field(ge=0)] = Field(description="Samples of the project when it started.")
    done: MigrationCounts = Field(default_factory=MigrationCounts)
    cursor: Identifier | None = Field(default=None, description="The last sample that was looked at, by sample id.")
    started_by: Identifier
    started_at: UtcDatetime
    ended_at: UtcDatetime | None = None


class CarriedOver(Contract):
    """That a migration opened a sample revision, and what it was made of."""

    migration_id: UUID
    outcome: Literal["migrated", "reopened"]
    target: TaxonomyReference
    crosswalk_sha256: Sha256
    revision_before: Version
    content_sha256: Sha256 = Field(description="Of the ground truth before.")
    lineage_sha256: Sha256 = Field(description="Of the lineage before.")


class MigrationInput(Contract):
    """What a migration's workflow, and its activity, are given."""

    project: ProjectId
    migration_id: UUID


class MigrationStep(Contract):
    """What the activity answers the workflow: where the migration is."""

    state: MigrationState
    seen: Annotated[int, Field(ge=0)] = 0
    total: Annotated[int, Field(ge=0)] = 0


class MigrationChanged(Contract):
    """A past fact told to the workflow: somebody started, paused, resumed or cancelled the migration."""

    message_id: Identifier


class MigrationProgress(Contract):
    """What the workflow's query answers."""

    migration_id: UUID
    step: MigrationStep
    fault: Name | None = Field(default=None, description="Code of the error that holds the migration up, if one does.")


def migration_workflow_id(project: str, migration_id: UUID) -> str:
    """Return the Temporal workflow id of a migration."""
    return f"taxonomy-migration/{project}/{migration_id}"

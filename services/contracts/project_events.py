"""Events out about what concerns a project and no single sample: their types, and the data each carries."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal
from uuid import UUID

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, ProjectId, Sha256, UtcDatetime, Version
from services.contracts.erasure import ErasureCounts
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import TaskKind
from services.contracts.taxonomies import TaxonomyReference, split_reference

Count = Annotated[int, Field(ge=0)]
MAX_TOLD_REVISIONS = 1_000
"""Revisions that one event of an erasure names; an erasure of more is told by several."""


class ProjectEvent(Contract):
    """Data of an event about a project, or about something in it that is no sample.

    Events of one ``subject`` are told in the order in which they became true.
    """

    TYPE: ClassVar[str]

    project: ProjectId
    at: UtcDatetime

    @property
    @abstractmethod
    def subject(self) -> str:
        """What the event is about, as the envelope names it."""

    @property
    @abstractmethod
    def occasion(self) -> str:
        """What tells this event from others of its type and subject; the same however often it is told."""

    @property
    def event_id(self) -> str:
        """The event's id."""
        return f"{self.project}/{self.subject}/{self.occasion}"


class DatasetVersioned(ProjectEvent):
    """A dataset has a new version, which never changes."""

    TYPE = "concord.dataset.versioned.v1"

    dataset: Identifier
    version: Version
    merkle_root: Sha256
    manifest_sha256: Sha256
    samples: Count
    labels: Count
    splits: dict[Name, Count] = Field(description="Samples of each split.")
    created_by: Identifier

    @property
    def subject(self) -> str:
        """The dataset."""
        return f"datasets/{self.dataset}"

    @property
    def occasion(self) -> str:
        """The version."""
        return f"versions/{self.version}"


class AuditAnchored(ProjectEvent):
    """The newest link of the project's audit chain: whoever keeps it holds everything up to it in place."""

    TYPE = "concord.audit.anchored.v1"

    sequence: Annotated[int, Field(ge=1)]
    sha256: Sha256

    @property
    def subject(self) -> str:
        """The chain."""
        return "audit"

    @property
    def occasion(self) -> str:
        """The link."""
        return str(self.sequence)


class ErasureProposed(ProjectEvent):
    """Content has expired and waits for somebody to apply its erasure."""

    TYPE = "concord.erasure.proposed.v1"

    erasure_id: UUID
    revisions: Count
    keep_days: Annotated[int, Field(ge=1)]

    @property
    def subject(self) -> str:
        """The erasure."""
        return f"erasures/{self.erasure_id}"

    @property
    def occasion(self) -> str:
        """It is proposed once."""
        return "proposed"


class SubjectErased(ProjectEvent):
    """Content was erased. What it said, and whom it was about, is not among this."""

    TYPE = "concord.subject.erased.v1"

    erasure_id: UUID
    kind: Literal["samples", "context", "expired", "person", "entries"]
    counts: ErasureCounts
    revisions: Annotated[tuple[RevisionRef, ...], Field(max_length=MAX_TOLD_REVISIONS)] = Field(
        default=(), description="Sample revisions with a tombstone in the place of their content."
    )
    part: Annotated[int, Field(ge=1)] = Field(default=1, description="Which of the events that tell of it, from 1.")
    parts: Annotated[int, Field(ge=1)] = 1

    @property
    def subject(self) -> str:
        """The erasure."""
        return f"erasures/{self.erasure_id}"

    @property
    def occasion(self) -> str:
        """The end of the erasure; one that is taken up again has another."""
        return f"{self.at.isoformat()}/{self.part}"


class PersonResumed(ProjectEvent):
    """A person who was paused is given tasks again."""

    TYPE = "concord.reviewer.resumed.v1"

    actor_id: Identifier
    queue: Identifier
    kind: TaskKind
    resumed_by: Identifier = Field(description="Who ended the pause; concord where its reasons have grown old.")

    @property
    def subject(self) -> str:
        """The person."""
        return f"reviewers/{self.actor_id}"

    @property
    def occasion(self) -> str:
        """The end of the pause."""
        return f"{self.queue}/{self.kind}/resumed/{self.at.isoformat()}"


class RulesActivated(ProjectEvent):
    """The project goes by another rule set from now on."""

    TYPE = "concord.rules.activated.v1"

    before: RuleReference
    rule_set: RuleReference
    actor: Identifier

    @property
    def subject(self) -> str:
        """The project's rules."""
        return "rules"

    @property
    def occasion(self) -> str:
        """The moment: a project may go back to rules it had before."""
        return self.at.isoformat()


class DefinitionApplied(ProjectEvent):
    """The project was made what a definition says."""

    TYPE = "concord.definition.applied.v1"

    version: Version
    origin: Literal["applied", "reverted"]
    reverts_to: Version | None = None
    definition_sha256: Sha256
    rule_set: RuleReference
    changes: Count = Field(description="Places that were changed.")
    actor: Identifier

    @property
    def subject(self) -> str:
        """The project's definition."""
        return "definition"

    @property
    def occasion(self) -> str:
        """The version."""
        return f"versions/{self.version}"


class TaxonomyAnnounced(ProjectEvent):
    """A version was published of the taxonomy that the project goes by; the project's own stays what it is."""

    TYPE = "concord.taxonomy.published.v1"

    taxonomy: TaxonomyReference
    sha256: Sha256
    classes: Annotated[int, Field(ge=1)]
    published_by: Identifier
    current: TaxonomyReference = Field(description="The version that the project goes by.")

    @property
    def subject(self) -> str:
        """The taxonomy."""
        return f"taxonomies/{split_reference(self.taxonomy)[0]}"

    @property
    def occasion(self) -> str:
        """The version."""
        return f"versions/{split_reference(self.taxonomy)[1]}"


PROJECT_EVENTS: Mapping[str, type[ProjectEvent]] = MappingProxyType(
    {
        model.TYPE: model
        for model in (
            DatasetVersioned,
            AuditAnchored,
            ErasureProposed,
            SubjectErased,
            PersonResumed,
            RulesActivated,
            DefinitionApplied,
            TaxonomyAnnounced,
        )
    }
)
"""By type the data of every event about a project."""

"""A project as one document that people write, read and keep beside their code: ``concord.project/1``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Identifier, Name, ProjectId, Sha256, Text, UtcDatetime, Version
from services.contracts.findings import RuleReference
from services.contracts.queues import MAX_QUEUES, ReviewQueue
from services.contracts.records import ProjectSettings
from services.contracts.rule_changes import Activation, DryRun
from services.rules.context_gate import ContextField
from services.rules.coverage import RequiredStream
from services.rules.rule_set import RuleSet

MAX_CHANGES = 10_000
DefinitionOrigin = Literal["applied", "reverted", "found"]


class RequiredContext(Contract):
    """Facts that must be known of every sample, and the values they may have."""

    required: Annotated[tuple[ContextField, ...], Field(max_length=100)] = ()
    allowed: Annotated[dict[ContextField, tuple[Name, ...]], Field(max_length=100)] = Field(default_factory=dict)


class ProjectDefinition(Contract):
    """A use case: what is decided with the labels, what every sample must have, and how people agree on it."""

    format: Literal["concord.project/1"] = "concord.project/1"
    id: ProjectId
    name: Name
    purpose: Text = Field(default="", description="What a model must detect, classify, retrieve or decide.")
    decision: Text = Field(default="", description="The decision that rests on it, and what an error would cost.")
    domain: Name = "general"
    streams: Annotated[tuple[RequiredStream, ...], Field(max_length=200)] = Field(
        default=(), description="Streams that every sample must have, with sensor, clock, frame and calibration."
    )
    context: RequiredContext = Field(default_factory=RequiredContext)
    rules: RuleSet | None = Field(
        default=None,
        description="The rule set, whole; streams and context are added to it. None: the built-in default with them.",
    )
    settings: ProjectSettings = Field(
        default_factory=ProjectSettings, description="Overlap, deadlines, models and all else that is set."
    )
    queues: Annotated[tuple[ReviewQueue, ...], Field(max_length=MAX_QUEUES)] = ()

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [queue.name for queue in self.queues]
        for index, name in enumerate(names):
            if name in names[:index]:
                raise ValueError(f"queues/{index}/name: {name!r} is there twice; names are unique")
        return self


class DefinitionChange(Contract):
    """One difference between what a project is and what a definition makes of it."""

    action: Literal["add", "change", "remove"]
    path: Text = Field(description="Where, as a JSON pointer: /purpose, /rules/clock/tolerance_s, /queues/spatial.")
    before: Any = None
    after: Any = None


class RuleChange(Contract):
    """That a project goes over to other rules, and what that would change for its stored samples."""

    before: RuleReference
    after: RuleReference
    dry_run: DryRun | None = Field(default=None, description="By the rules, settings and queues of the definition.")
    not_tried: Text = Field(default="", description="Why there is no dry run.")


class DefinitionPlan(Contract):
    """What applying a definition would change; nothing is changed by asking."""

    project: ProjectId
    creates: bool = Field(description="Whether the project is not there yet.")
    state_sha256: Sha256 = Field(description="Of what the project is now; an apply may ask that it still is so.")
    changes: Annotated[tuple[DefinitionChange, ...], Field(max_length=MAX_CHANGES)]
    rule_set: Identifier = Field(description="ID@VERSION that the project would go by.")
    rules: RuleChange | None = Field(
        default=None, description="Where the project goes by other rules now: an apply activates these."
    )


class DefinitionVersion(Contract):
    """A definition as it was applied."""

    project: ProjectId
    version: Version
    definition: ProjectDefinition
    origin: DefinitionOrigin = Field(
        description="found: the state before the first apply, kept so that it can be returned to."
    )
    reverts_to: Version | None = None
    actor: Identifier
    at: UtcDatetime


class AppliedDefinition(Contract):
    """What an apply or a revert did."""

    plan: DefinitionPlan
    version: Version | None = Field(
        default=None, description="Under which it is kept; none where nothing was to be changed."
    )
    activation: Activation | None = Field(
        default=None, description="Of the rules, where they are others than before: what is checked again."
    )

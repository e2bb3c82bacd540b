"""What several people said of one sample, and what they say together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.annotations import Annotation, Annotations
from services.contracts.base import Contract, Fraction, Identifier, Name, UtcDatetime
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import RevisionRef

ConsensusState = Literal["agreed", "disputed", "single", "accepted"]
Dispute = Literal["few_supporters", "class_tied", "class_split", "place_apart"]


class Answer(Contract):
    """One person's labels of a sample. An answer without labels says that there is nothing."""

    annotator: Identifier
    team: Name | None = None
    answered_at: UtcDatetime | None = None
    annotations: Annotations = ()


class Support(Contract):
    """Who labelled a thing, and with which labels of theirs."""

    annotator: Identifier
    annotation_ids: Annotated[tuple[Identifier, ...], Field(min_length=1)] = Field(
        description="More than one where the person gave the same label twice."
    )
    label: Name = Field(description="The class they gave it.")
    voted: Name | None = Field(default=None, description="What they voted for where it is not the class: a value.")


class ConsensusLabel(Contract):
    """One label with what stands behind it."""

    annotation: Annotation
    state: ConsensusState = Field(
        description="agreed or disputed by the rules; single where too few answered to tell; accepted where it was "
        "accepted before and therefore stays as it is."
    )
    agreement: Fraction | None = Field(
        default=None,
        description="Share of people who labelled it, times how close they are, times the share of its class; none "
        "where fewer than two answered.",
    )
    support: tuple[Support, ...] = Field(description="By annotator.")
    absent: tuple[Identifier, ...] = Field(default=(), description="Who answered and did not label it.")
    place: Fraction | None = Field(default=None, description="Mean closeness of any two who labelled it, if two did.")
    place_range: tuple[Fraction, Fraction] | None = Field(
        default=None, description="Closeness of the two who are farthest apart and of the two who are closest."
    )
    near: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="How many are as close as the rules ask to the label that is closest to all."
    )
    votes: dict[Name, Annotated[float, Field(ge=0)]] = Field(description="Weight of each class.")
    disputes: tuple[Dispute, ...] = Field(default=(), description="What the rules are not met in.")


class Consensus(Contract):
    """The labels of a sample that several people labelled."""

    annotators: tuple[Identifier, ...]
    labels: tuple[ConsensusLabel, ...]

    @property
    def annotations(self) -> tuple[Annotation, ...]:
        """The labels alone."""
        return tuple(item.annotation for item in self.labels)


class JoinedAnswers(Contract):
    """What the answers of a revision said together when nobody was at work on another one."""

    ref: RevisionRef
    answers: Annotated[int, Field(ge=2)] = Field(description="How many there were.")
    rule: RuleReference
    consensus: Consensus
    weights: dict[Identifier, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict, description="Weights of the votes; empty where everybody's counted alike."
    )
    label_version: int | None = Field(
        default=None, description="The labels that were made of it; none where one more person was asked."
    )
    joined_at: UtcDatetime

"""Why a higher tier is asked: the rule that fired, where it sends the task, and the facts that it fired on."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Identifier, Name, Tier
from services.contracts.findings import RuleReference, Severity
from services.contracts.manifest import Modality, Risk

EscalatingVerdict = Literal["approve", "fix", "accept_conflict", "escalate"]
"""What may lead to a higher tier; what is rejected goes back to its author."""

EXPERT_TIER = "expert"
OVERDUE_RULE = "overdue"
"""Names the project's deadlines as the rule that moved a task; no escalation rule may have this id."""


class EscalationTarget(Contract):
    """Where an escalation goes; the project's queues are asked first, as for every task."""

    tier: Tier = Field(
        default=EXPERT_TIER,
        description="The task goes to the queue <queue>.<tier>. Where a queue of the project takes it in, expert is "
        "that queue, and another tier is <that queue>.<tier>.",
    )
    queue: Identifier | None = Field(
        default=None, description="This queue instead of <queue>.<tier>, where no queue of the project takes it in."
    )
    skill: Name | None = Field(
        default=None, description="What a person must be able to do to be given it; a queue can ask for a level too."
    )


class EscalationFacts(Contract):
    """What an escalation rule is held against: one finding, or a whole sample where a task is about no finding."""

    finding_id: Identifier | None = None
    check: Name | None = None
    finding_kind: Name | None = None
    severity: Severity | None = None
    modalities: Annotated[tuple[Modality, ...], Field(max_length=8)] = Field(
        default=(), description="Of the streams that the finding names, or of all."
    )
    domain: Name | None = None
    risk: Risk
    confidence: Fraction | None = Field(
        default=None, description="The least one of the labels concerned, as they were; none: no label has one."
    )
    verdict: EscalatingVerdict | None = Field(
        default=None, description="What a person said about it; none: asked before anybody decides."
    )
    disagrees: bool = Field(default=False, description="Whether reviewers have said different things about it.")
    rounds_over: bool = Field(
        default=False,
        description="Whether reviewers had the project's max_review_rounds on it, or an expert has decided on it.",
    )


class TaskCause(Contract):
    """The escalation rule that opened a task, with what it fired on; kept with the task and with its decision."""

    rule: Identifier = Field(description="Its id; overdue: the project's deadlines.")
    rule_set: RuleReference
    to: EscalationTarget = EscalationTarget()
    four_eyes: bool = Field(default=False, description="Whether the task is a second look that hides the first.")
    facts: EscalationFacts

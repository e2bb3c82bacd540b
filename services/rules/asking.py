"""What one more answer may cost, and what a wrong label costs."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from services.contracts.base import Contract, Fraction
from services.contracts.findings import Severity
from services.contracts.manifest import Risk

Weight = Annotated[float, Field(ge=0, le=1_000)]


class AskingRules(Contract):
    """Whom to ask next, and when to stop: an answer is asked for while it is worth more than it costs.

    What price and pooling make the most of a number of votes is measured by ``concord bench votes``: hard questions ask
    for a lower price than easy ones.
    """

    price: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.005, description="Cost of an answer, in units of the loss of one wrong label of full weight."
    )
    min_answers: Annotated[int, Field(ge=1, le=100)] = Field(
        default=2, description="Answers that are always asked for."
    )
    max_answers: Annotated[int, Field(ge=1, le=100)] = Field(default=7, description="Answers after which it ends.")
    lookahead: Annotated[int, Field(ge=1, le=50)] = Field(
        default=7, description="How many further answers are thought ahead: one alone may be unable to turn a vote."
    )
    pooling: Annotated[float, Field(ge=0, le=1e9)] = Field(
        default=10.0, description="Judgements of each class everybody is taken to have made as people on the whole do."
    )
    model_trust: Fraction = Field(
        default=0.5, description="Share of a model's stated confidence that is believed before anybody answered."
    )
    severity_weights: dict[Severity, Weight] = Field(
        default={"info": 0.25, "minor": 0.5, "major": 1.0, "critical": 4.0},
        description="What a wrong label costs by the gravest finding about it.",
    )
    no_finding_weight: Weight = Field(default=0.5, description="The same where nothing was found.")
    risk_weights: dict[Risk, Weight] = Field(
        default={"low": 0.5, "medium": 1.0, "high": 2.0}, description="By how much the sample's risk multiplies it."
    )

"""How many people label the same sample."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from services.contracts.base import Contract, Fraction

MAX_ANSWERS = 20


class Overlap(Contract):
    """How many independent answers a sample gets. Nobody answers a sample twice, or sees another's answer first."""

    answers: Annotated[int, Field(ge=1, le=MAX_ANSWERS)] = Field(
        default=1, description="Answers of a sample that is chosen to have several; the others have one."
    )
    share: Fraction = Field(
        default=1.0,
        description="Share of the samples that are chosen, by a hash of project, sample and rule set: the same samples "
        "whenever it is asked, and others under another version of the rules.",
    )
    max_answers: Annotated[int, Field(ge=1, le=MAX_ANSWERS)] | None = Field(
        default=None,
        description="While people do not settle on a label and another answer is worth its price, one more is "
        "asked, up to so many; none: never.",
    )
    min_agreement: Fraction = Field(
        default=0.6, description="Agreement on a disputed label below which one more is asked about it."
    )

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.max_answers is not None and self.max_answers < self.answers:
            raise ValueError(f"max_answers {self.max_answers} must be at least answers {self.answers}")
        return self

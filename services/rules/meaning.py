"""When a word that a taxonomy does not name is taken for one of its classes, by its meaning."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from services.contracts.base import Contract, Fraction, Name


class MeaningRules(Contract):
    """How near a name must be to a class, for a sentence model; needs the extra ``semantic``.

    The defaults were chosen on one half of a list of paraphrases and scored on the other: ``concord bench detection``.
    """

    min_similarity: Fraction = Field(
        default=0.6, description="Least similarity (cosine of the vectors) to the nearest class."
    )
    min_margin: Fraction = Field(
        default=0.2, description="By how much the nearest class must be nearer than any that is no kind of it."
    )
    other_things: Annotated[tuple[Name, ...], Field(max_length=10_000)] = Field(
        default=(), description="Things that are none of the classes; what is nearer to one of them is not mapped."
    )


class PhraseMeaningRules(MeaningRules):
    """How phrases of a text are mapped, and how grave a finding may be that rests on it."""

    max_severity: Literal["minor", "major"] = Field(
        default="minor", description="Greatest severity of a finding about a mapped phrase."
    )

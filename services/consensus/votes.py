"""Voting on values: majority, weighted or not.

The tie rule, everywhere: the value with the greatest weight wins; among equal weights the value that sorts first by its
text. Such a win is arbitrary, so ``tied`` says it and nobody is told that it was agreed.
"""

from __future__ import annotations

import statistics
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from services.contracts.base import Scalar

Value = TypeVar("Value", bound=Hashable)

_SAME = 1e-9


@dataclass(frozen=True, slots=True)
class Vote(Generic[Value]):
    """What a vote gave.

    Attributes:
        winner: The value.
        share: Its share of all weight, 0 to 1.
        tied: Whether another value has as much weight.
        weights: The weight of each value, by its text.
    """

    winner: Value
    share: float
    tied: bool
    weights: dict[Value, float]


def majority(votes: Iterable[tuple[str, Value]], weights: Mapping[str, float] | None = None) -> Vote[Value]:
    """Return what most weight is for.

    Args:
        votes: (who, value), at least one; who is in no list of weights has weight 1.
        weights: Weight of each voter, 0 or more.

    Raises:
        ValueError: Nobody voted.
    """
    # Summed in one order, so that rounding does not hang on who came first.
    ballots = sorted(((str(value), who, value) for who, value in votes), key=lambda ballot: ballot[:2])
    if not ballots:
        raise ValueError("a vote needs at least one voter")
    given: dict[Value, float] = {}
    for _, who, value in ballots:
        given[value] = given.get(value, 0.0) + (1.0 if weights is None else weights.get(who, 1.0))
    total = sum(given.values())
    if total <= 0:
        # Nobody's word counts, so everybody's does: a thing that was labelled has a class.
        given = {value: float(sum(1 for ballot in ballots if ballot[2] == value)) for value in given}
        total = sum(given.values())
    most = max(given.values())
    best = [value for value, weight in given.items() if weight >= most - _SAME * total]
    return Vote(best[0], given[best[0]] / total, len(best) > 1, given)


def common_attributes(members: Iterable[tuple[str, Mapping[str, Scalar]]]) -> dict[str, Scalar]:
    """Return the attributes of a thing that several people described.

    Numbers are the lower median, which somebody gave; everything else is a majority, for which leaving an attribute
    out is a vote too, and loses a tie.

    Args:
        members: (who, attributes).
    """
    given = list(members)
    found: dict[str, Scalar] = {}
    for name in sorted({name for _, attributes in given for name in attributes}):
        values = [(who, attributes[name]) for who, attributes in given if name in attributes]
        if 2 * len(values) < len(given):
            continue
        numbers = [value for _, value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        if len(numbers) == len(values):
            found[name] = statistics.median_low(numbers)
        else:
            # True and 1 are equal to Python and not to a person, so the kind of value votes along.
            found[name] = majority((who, (type(value).__name__, value)) for who, value in values).winner[1]
    return found

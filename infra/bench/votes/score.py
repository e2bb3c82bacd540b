"""How many votes it takes to be as right as with all of them, on questions that nothing was chosen on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Annotated

import numpy as np
from pydantic import Field

from infra.bench.votes.replay import People, Replayed, asked_by_value, courses, fixed, learned
from infra.bench.votes.sets import VoteSet
from services.agreement.ratings import Floats, Ints
from services.contracts.base import Contract
from services.rules.asking import AskingRules

PRICES = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
POOLINGS = (0.0, 10.0, 100.0)
MAX_SHARE = 0.5
"""The claim that is tested: no worse with at most this share of all votes."""

BUDGET = 0.45
"""Share of all votes that prices are chosen for: some less, since another half of the questions may need more."""

MARGIN = 0.01
"""What is held to be the same accuracy: no more than this below, in the mean over seeds."""

_TUNING_REPLAYS = 2
_RESAMPLES = 2_000
ALL_MAJORITY = "all votes, by majority"
ALL_PROBABILITY = "all votes, by probability"
BY_VALUE = "by value, from a queue"


class PolicyScore(Contract):
    """One way to ask and to decide, on the halves that it was not chosen on."""

    policy: str
    accuracy: float = Field(description="Mean over seeds.")
    accuracy_low: float
    accuracy_high: float = Field(description="95 % of the mean over seeds lie between, by bootstrap.")
    votes: float = Field(description="Mean votes a question.")
    share: float = Field(description="Of all votes.")
    share_low: float
    share_high: float
    gain: float = Field(
        description="Accuracy less that of all votes, decided in the better of both ways; mean over seeds."
    )
    gain_low: float
    gain_high: float


class VotesScore(Contract):
    """All policies on one set of votes."""

    name: str
    about: str
    questions: int
    people: int
    seeds: int
    policies: tuple[PolicyScore, ...]
    chosen: dict[str, Annotated[int, Field(ge=0)]] = Field(
        description="How often each price and pooling made the most of the budget, on the half where they were chosen."
    )
    holds: bool = Field(description="Asking by value from a queue: the same accuracy with at most half of the votes.")


class VotesReport(Contract):
    """Replays of real votes."""

    margin: float = MARGIN
    max_share: float = MAX_SHARE
    sets: tuple[VotesScore, ...]


def score_votes(data: VoteSet, *, seeds: int, tell: Callable[[str], None]) -> VotesScore:
    """Tune on one random half of the questions, score on the other, for each seed."""
    rows: dict[str, list[tuple[float, float]]] = defaultdict(list)
    chosen: dict[str, int] = defaultdict(int)
    for seed in range(seeds):
        tell(f"{data.name}: seed {seed + 1} of {seeds}")
        for policy, right, votes in _one_seed(data, seed, chosen):
            rows[policy].append((right, votes))
    total = float((data.votes >= 0).sum() / len(data.votes))
    # Against the better way to use all votes: there is no merit in being as right as the worse one.
    alls = [np.array([right for right, _ in rows[policy]]) for policy in (ALL_PROBABILITY, ALL_MAJORITY)]
    reference = max(alls, key=lambda one: float(one.mean()))
    policies = tuple(_score(policy, np.array(own), reference, total) for policy, own in rows.items())
    by_value = next(one for one in policies if one.policy == BY_VALUE)
    return VotesScore(
        name=data.name, about=data.about, questions=len(data.truth), people=data.votes.shape[1], seeds=seeds,
        policies=policies, chosen=dict(sorted(chosen.items())),
        holds=by_value.gain >= -MARGIN and by_value.share <= MAX_SHARE,
    )  # fmt: skip


def _one_seed(data: VoteSet, seed: int, chosen: dict[str, int]) -> Iterator[tuple[str, float, float]]:
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(data.truth))
    tune, score = order[: len(order) // 2], order[len(order) // 2 :]
    classes = len(data.classes)
    every = data.votes.shape[1]
    known = {pooling: learned(data.votes[tune], classes, pooling) for pooling in POOLINGS}

    def measured(replayed: Replayed) -> tuple[float, float]:
        return float((replayed.decided == data.truth[score]).mean()), float(replayed.votes.mean())

    def by_value(rules: AskingRules, *, choose: bool) -> tuple[float, float]:
        found = courses(data.votes[score], known[rules.pooling], rules, rng, choose=choose)
        return measured(asked_by_value(found, rules))

    queue = _tuned(data, tune, known, rng, choose=False)
    chosen[f"price {queue.price:g}, pooling {queue.pooling:g}"] += 1
    people = known[queue.pooling]
    yield ALL_MAJORITY, *measured(fixed(data.votes[score], classes, every, rng, None))
    yield ALL_PROBABILITY, *measured(fixed(data.votes[score], classes, every, rng, people))
    right, votes = by_value(queue, choose=False)
    yield BY_VALUE, right, votes
    yield "as many, fixed, by majority", *measured(fixed(data.votes[score], classes, votes, rng, None))
    yield "as many, fixed, by probability", *measured(fixed(data.votes[score], classes, votes, rng, people))
    yield "by value, and whom is chosen", *by_value(_tuned(data, tune, known, rng, choose=True), choose=True)
    default = AskingRules(max_answers=min(100, every))
    yield "by value, from a queue, default rules", *by_value(default, choose=False)


def _tuned(
    data: VoteSet, tune: Ints, known: dict[float, People], rng: np.random.Generator, *, choose: bool
) -> AskingRules:
    """Return the price and the pooling that make the most of the budget, on the half that may be looked at.

    Of each pooling the lowest price whose votes are within the budget; of these the one that is most often right, and
    of equal ones the one with the most pooling, which believes least of what few answers tell of somebody.
    """
    votes, truth = data.votes[tune], data.truth[tune]
    budget = BUDGET * float((votes >= 0).sum(axis=1).mean())
    best: tuple[float, float, AskingRules] | None = None
    for pooling, people in known.items():
        every = AskingRules(price=min(PRICES), pooling=pooling, max_answers=min(100, votes.shape[1]))
        replays = [courses(votes, people, every, rng, choose=choose) for _ in range(1 if choose else _TUNING_REPLAYS)]
        for price in PRICES:
            rules = every.model_copy(update={"price": price})
            asked = [asked_by_value(found, rules) for found in replays]
            if np.mean([one.votes for one in asked]) <= budget or price == max(PRICES):
                right = float(np.mean([one.decided == truth for one in asked]))
                if best is None or (right, pooling) > best[:2]:
                    best = (right, pooling, rules)
                break
    if best is None:
        raise ValueError("there is nothing to tune")
    return best[2]


def _score(policy: str, rows: Floats, reference: Floats, total: float) -> PolicyScore:
    right, share = rows[:, 0], rows[:, 1] / total
    (right_low, right_high), (share_low, share_high) = _interval(right), _interval(share)
    gain_low, gain_high = _interval(right - reference)
    return PolicyScore(
        policy=policy, accuracy=_short(right.mean()), accuracy_low=right_low, accuracy_high=right_high,
        votes=_short(rows[:, 1].mean()), share=_short(share.mean()), share_low=share_low, share_high=share_high,
        gain=_short((right - reference).mean()), gain_low=gain_low, gain_high=gain_high,
    )  # fmt: skip


def _interval(values: Floats) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = values[rng.integers(0, len(values), (_RESAMPLES, len(values)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return _short(low), _short(high)


def _short(value: float) -> float:
    return round(float(value), 4)

"""How often people are right, learned from their answers to the same things alone. Pure functions.

Expectation maximisation as of A. P. Dawid and A. M. Skene, "Maximum likelihood estimation of observer error-rates using
the EM algorithm", Applied Statistics 28(1), 1979, with one number a person and class: who does not say the true class
says each of the others equally likely. The whole matrices of :mod:`services.consensus.dawid_skene` would take a
number for every two classes, and more answers than anybody gives about a rare class.

A person's number is drawn towards that of everybody for the class, and that towards everybody's for all classes, by as
many judgements as ``pooling`` says (a hierarchical prior): somebody new is as good as people are on the whole. Where an
expert or a known answer says what a thing is, that is taken as it is.

Only what somebody said, or is known, can be true of a thing: what nobody said of it is left out of the sums.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.agreement.intervals import wilson_interval
from services.agreement.ratings import Floats, Ints
from services.contracts.consensus import ConsensusLabel
from services.contracts.quality import AnnotatorSkill
from services.review.worth import NOTHING, SHARE_BEFORE_ANY

_MAX_TURNS = 100
_TOLERANCE = 1e-6
_SURE = 1e-6


@dataclass(frozen=True, slots=True)
class Unit:
    """One thing that people were asked about.

    Attributes:
        said: What each person said it is; :data:`services.review.worth.NOTHING` who did not label it.
        known: What it is, where an expert or a known answer says so.
    """

    said: Mapping[str, str]
    known: str | None = None


def unit_of(item: ConsensusLabel, known: str | None = None) -> Unit | None:
    """Return a label of a consensus as a unit; None of a typed field, whose values are no classes."""
    if item.annotation.type == "metadata_field":
        return None
    said = {one.annotator: one.label for one in item.support} | dict.fromkeys(item.absent, NOTHING)
    return Unit(said, known) if said else None


def learn_skills(units: Sequence[Unit], pooling: float) -> tuple[AnnotatorSkill, ...]:
    """Return how often each person is right about each class, and everybody together; everybody first.

    Args:
        units: What people said, in any order.
        pooling: As how many judgements what is known of everybody counts.
    """
    if not units:
        return ()
    votes = _Votes.of(units)
    shares = votes.shares(*votes.counts(votes.by_majority()), pooling)
    posterior = votes.by_majority()
    for _ in range(_MAX_TURNS):
        after = votes.posterior(shares, posterior)
        moved = float(np.abs(after - posterior).max())
        posterior = after
        shares = votes.shares(*votes.counts(posterior), pooling)
        if moved <= _TOLERANCE:
            break
    judged, right = votes.counts(posterior)
    return votes.skills(judged, right, shares)


@dataclass(frozen=True, slots=True)
class _Shares:
    """Probabilities to be right: of everybody; by class; by person; by person and class."""

    everybody: float
    classes: Floats
    people: Floats
    both: Floats


@dataclass(frozen=True, slots=True)
class _Votes:
    """Every possible truth of every unit against every vote on it, flat.

    Attributes:
        people: Names, sorted.
        classes: Names, sorted.
        unit: Shape (candidates,): whose truth it may be, ascending.
        truth: Shape (candidates,): the class that may be true.
        candidate: Shape (pairs,): index of a candidate.
        person: Shape (pairs,): who voted on its unit.
        hit: Shape (pairs,): whether the vote says the candidate's class.
    """

    people: tuple[str, ...]
    classes: tuple[str, ...]
    unit: Ints
    truth: Ints
    candidate: Ints
    person: Ints
    hit: Floats

    @classmethod
    def of(cls, units: Sequence[Unit]) -> _Votes:
        people = tuple(sorted({person for unit in units for person in unit.said}))
        named = {name for unit in units for name in unit.said.values()}
        classes = tuple(sorted({NOTHING, *named, *(unit.known for unit in units if unit.known is not None)}))
        person_of = {name: code for code, name in enumerate(people)}
        class_of = {name: code for code, name in enumerate(classes)}
        candidates: list[tuple[int, int]] = []
        pairs: list[tuple[int, int, bool]] = []
        for number, unit in enumerate(units):
            for truth in [unit.known] if unit.known is not None else sorted(set(unit.said.values())):
                pairs += [(len(candidates), person_of[who], said == truth) for who, said in sorted(unit.said.items())]
                candidates.append((number, class_of[truth]))
        flat = np.array(pairs, dtype=np.intp).reshape(-1, 3)
        possible = np.array(candidates, dtype=np.intp).reshape(-1, 2)
        hit = flat[:, 2].astype(np.float64)
        return cls(people, classes, possible[:, 0], possible[:, 1], flat[:, 0], flat[:, 1], hit)

    def by_majority(self) -> Floats:
        """Return the share of the votes that each candidate has."""
        return self._normal(_sums(self.candidate, self.hit, len(self.unit)))

    def posterior(self, shares: _Shares, before: Floats) -> Floats:
        """Return the probability of each candidate, of all of its unit."""
        prior = np.bincount(self.truth, weights=before, minlength=len(self.classes)) + 1.0
        right = np.clip(shares.both[self.person, self.truth[self.candidate]], _SURE, 1.0 - _SURE)
        wrong = (1.0 - right) / max(1, len(self.classes) - 1)
        logs = np.log(np.where(self.hit > 0, right, wrong))
        sums = (
            np.bincount(self.candidate, weights=logs, minlength=len(self.unit))
            + np.log(prior / prior.sum())[self.truth]
        )
        most = np.full(int(self.unit[-1]) + 1, -np.inf)
        np.maximum.at(most, self.unit, sums)
        return self._normal(np.exp(sums - most[self.unit]))

    def counts(self, posterior: Floats) -> tuple[Floats, Floats]:
        """Return the expected judgements, and the right ones among them: each of shape (people, classes)."""
        shape = (len(self.people), len(self.classes))
        place = self.person * shape[1] + self.truth[self.candidate]
        given = posterior[self.candidate]
        judged = _sums(place, given, shape[0] * shape[1])
        right = _sums(place, given * self.hit, shape[0] * shape[1])
        return judged.reshape(shape), right.reshape(shape)

    def shares(self, judged: Floats, right: Floats, pooling: float) -> _Shares:
        """Return the probabilities to be right, each drawn towards what is known of more."""
        # At least one judgement, so that nobody is taken to be infallible for want of any other.
        weight = max(1.0, pooling)
        everybody = (right.sum() + weight * SHARE_BEFORE_ANY) / (judged.sum() + weight)
        classes = (right.sum(axis=0) + weight * everybody) / (judged.sum(axis=0) + weight)
        people = (right.sum(axis=1) + weight * everybody) / (judged.sum(axis=1) + weight)
        both = (right + weight * classes) / (judged + weight)
        return _Shares(float(everybody), classes, people, both)

    def skills(self, judged: Floats, right: Floats, shares: _Shares) -> tuple[AnnotatorSkill, ...]:
        """Return everything that can be told of somebody."""
        found = [_skill(None, None, judged.sum(), right.sum(), shares.everybody)]
        for code, name in enumerate(self.classes):
            found.append(_skill(None, name, judged[:, code].sum(), right[:, code].sum(), shares.classes[code]))
        for row, person in enumerate(self.people):
            found.append(_skill(person, None, judged[row].sum(), right[row].sum(), shares.people[row]))
            found += [
                _skill(person, name, judged[row, code], right[row, code], shares.both[row, code])
                for code, name in enumerate(self.classes)
            ]
        return tuple(skill for skill in found if skill.judged > 0)

    def _normal(self, weights: Floats) -> Floats:
        totals = np.bincount(self.unit, weights=weights)
        # A known class that nobody named has no vote, and is true all the same.
        return np.asarray(np.where(totals[self.unit] > 0, weights / np.maximum(totals[self.unit], 1e-300), 1.0))


def _sums(places: Ints, values: Floats, length: int) -> Floats:
    return np.asarray(np.bincount(places, weights=values, minlength=length), dtype=np.float64)


def _skill(actor_id: str | None, label: str | None, judged: float, right: float, share: float) -> AnnotatorSkill:
    low, high = wilson_interval(float(right), float(judged)) if judged > 0 else (0.0, 1.0)
    return AnnotatorSkill(
        actor_id=actor_id,
        label=label,
        judged=round(float(judged), 6),
        right=round(float(right), 6),
        share=min(1.0, float(share)),
        low=low,
        high=high,
    )

"""Whose agreement a number is of: everybody's, one person's with all others, one team's, two teams', a time's."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations

from services.contracts.agreement import AgreementView
from services.report.agreement_units import Gathered, Unit

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Row = tuple[Unit, tuple[int, ...]]
"""A thing and the places of at least two of its judgements."""


@dataclass(frozen=True, slots=True)
class View:
    """Some of the people.

    Attributes:
        view: Which of the ways to choose.
        name: Whom or what it chose, for people.
        people: Only what these say of each other; everybody if left out.
        one: Only pairs in which this person is one.
        between: Only pairs of somebody of the first and somebody of the second.
        window: Only answers of these days since 1970, the second excluded.
        only_class: Only things that somebody calls so.
    """

    view: AgreementView
    name: str
    people: frozenset[str] | None = None
    one: str | None = None
    between: tuple[frozenset[str], frozenset[str]] | None = None
    window: tuple[int, int] | None = None
    only_class: str | None = None
    _gathered: Gathered = field(default_factory=Gathered, repr=False)

    def includes(self, sample: int, a: str, b: str) -> bool:
        """Whether two people's answers to a sample are compared."""
        if self.one is not None:
            return self.one in (a, b)
        if self.between is not None:
            first, second = self.between
            return (a in first and b in second) or (b in first and a in second)
        return self._inside(sample, a) and self._inside(sample, b)

    def _inside(self, sample: int, person: str) -> bool:
        if self.window is not None:
            day = self._gathered.windows.get((sample, person))
            return day is not None and self.window[0] <= day < self.window[1]
        return self.people is None or person in self.people

    def rows(self, units: list[Unit]) -> Iterator[Row]:
        """Yield what is compared: where everybody is meant all labels of a thing at once, else pair by pair."""
        for unit in units:
            names = [judgement.person for judgement in unit.judgements]
            if self.only_class is not None and all(one.label != self.only_class for one in unit.judgements):
                continue
            if self.one is None and self.between is None:
                inside = tuple(i for i, name in enumerate(names) if self._inside(unit.sample, name))
                if len(inside) > 1:
                    yield unit, inside
            else:
                for i, j in combinations(range(len(names)), 2):
                    if self.includes(unit.sample, names[i], names[j]):
                        yield unit, (i, j)


def views_of(gathered: Gathered, units: list[Unit], window_days: int) -> list[View]:
    """Return the views of one kind of label that could have anything to compare."""
    people = sorted({one.person for unit in units if len(unit.judgements) > 1 for one in unit.judgements})
    found = [View("all", "all", _gathered=gathered)]
    classes = sorted({one.label for unit in units for one in unit.judgements})
    if len(classes) > 1:
        found += [View("class", name, only_class=name, _gathered=gathered) for name in classes]
    if len(people) > 2:
        found += [View("person", name, one=name, _gathered=gathered) for name in people]
    met = sorted({
        (a.person, b.person) for unit in units for a, b in combinations(unit.judgements, 2)
    })  # fmt: skip
    found += [
        View("pair", f"{a} / {b}", between=(frozenset((a,)), frozenset((b,))), _gathered=gathered) for a, b in met
    ]
    teams: dict[str, set[str]] = {}
    for person in people:
        if person in gathered.teams:
            teams.setdefault(gathered.teams[person], set()).add(person)
    found += [
        View("team", name, people=frozenset(own), _gathered=gathered)
        for name, own in sorted(teams.items())
        if len(own) > 1
    ]
    found += [
        View("teams", f"{a} / {b}", between=(frozenset(teams[a]), frozenset(teams[b])), _gathered=gathered)
        for a, b in combinations(sorted(teams), 2)
    ]
    starts = sorted({day // window_days for day in gathered.windows.values()})
    found += [
        View(
            "window", _dates(start * window_days, window_days), _gathered=gathered,
            window=(start * window_days, (start + 1) * window_days),
        )
        for start in starts
    ]  # fmt: skip
    return found


def _dates(first: int, days: int) -> str:
    start = _EPOCH + timedelta(days=first)
    return f"{start.date().isoformat()} to {(start + timedelta(days=days - 1)).date().isoformat()}"

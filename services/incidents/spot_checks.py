"""Which samples of an incident people look at one by one. A pure function of the members, the same every time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.contracts.canonical import content_sha256


@dataclass(frozen=True, slots=True)
class Candidate:
    """A finding of an incident that may become a spot check.

    Attributes:
        sample_id: Its sample.
        finding_id: The finding.
        position: Its value on the incident's axis; None where the cause has no value.
        kept: It is a spot check that somebody holds or has decided, and stays one.
    """

    sample_id: str
    finding_id: str
    position: float | None = None
    kept: bool = False


def choose_spot_checks(candidates: Sequence[Candidate], count: int, seed: str) -> frozenset[tuple[str, str]]:
    """Return (sample id, finding id) of the spot checks: what is kept, both extremes, and one a stratum between.

    The members are put in order of their value and cut into as many equal strata as there are places left beside the
    extremes; from each, the one with the smallest hash is taken. Whatever the order of the candidates, the same are
    chosen; where values are missing, the hash alone chooses. A sample is a spot check once, by one of its findings.

    Args:
        candidates: Members that wait, and spot checks that stay.
        count: How many there are to be; what is kept counts, also beyond it.
        seed: Tells incidents apart, so that not the same samples are taken every time.
    """
    kept = {(item.sample_id, item.finding_id) for item in candidates if item.kept}
    taken = {sample_id for sample_id, _ in kept}
    rest = _one_a_sample([item for item in candidates if item.sample_id not in taken], seed)
    places = max(0, count - len(kept))
    chosen: list[Candidate] = []
    valued = [item for item in rest if item.position is not None]
    if places and valued:
        chosen.append(valued[-1])
    if places > 1 and len(valued) > 1:
        chosen.append(valued[0])
    left = [item for item in rest if item not in chosen]
    strata = min(places - len(chosen), len(left))
    for number in range(strata):
        stratum = left[number * len(left) // strata : (number + 1) * len(left) // strata]
        chosen.append(min(stratum, key=lambda item: _rank(item, seed)))
    return frozenset(kept | {(item.sample_id, item.finding_id) for item in chosen})


def _one_a_sample(candidates: Sequence[Candidate], seed: str) -> list[Candidate]:
    """Return the candidates in order of value, of each sample the one with the smallest hash."""
    by_sample: dict[str, Candidate] = {}
    for item in sorted(candidates, key=lambda item: _rank(item, seed)):
        by_sample.setdefault(item.sample_id, item)
    return sorted(by_sample.values(), key=lambda item: (item.position is None, item.position or 0.0, _rank(item, seed)))


def _rank(item: Candidate, seed: str) -> str:
    return content_sha256([seed, item.sample_id, item.finding_id])

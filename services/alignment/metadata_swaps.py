"""Two samples whose pointers were exchanged: what each says of itself fits the other.

Every sample declares something (the subject of its context, the hash of a stream, its id, the time and place of
its recording) and shows something (the subject of its labels, the hash and EXIF of the bytes, the id in an
address). Where a sample does not show what it declares, and exactly one other sample shows it and declares what
this one shows, the two were swapped. Looked up by value, so the cost is n log n in the number of samples.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

from services.alignment.metadata_source import CHECK, check_metadata_source
from services.alignment.metadata_statements import (
    Moment,
    Place,
    moments_of,
    places_of,
    subjects_of,
)
from services.alignment.sample import CheckSample
from services.contracts.findings import Cause, Finding, Measured, finding_id
from services.rules.metadata_source import MetadataSourceRules
from services.rules.rule_set import RuleSet

_FACTS = ("the GPS", "the camera")
_WIDEST_ZONE = timedelta(hours=14)
_TOKEN = re.compile(r"[^/\\?#&=]+")


@dataclass(frozen=True, slots=True)
class Swap:
    """Two samples that were exchanged.

    Attributes:
        samples: Their ids, sorted.
        signals: What fits only crosswise, such as ``subject patient id``.
        finding: One finding for the pair; it explains the findings of both samples that the swap causes.
    """

    samples: tuple[str, str]
    signals: tuple[str, ...]
    finding: Finding


@dataclass(frozen=True, slots=True)
class _Recording:
    """Times and places that a sample declares, and that its files show."""

    number: int
    declared_at: Moment | None
    shown_at: Moment | None
    declared_place: Place | None
    shown_place: Place | None


def find_swaps(samples: Sequence[CheckSample], rules: RuleSet) -> tuple[Swap, ...]:
    """Return the pairs of samples whose pointers were exchanged, by sample ids.

    Args:
        samples: Samples of one dataset, in any order; ids are unique.
        rules: The section ``metadata_source``.
    """
    section = rules.metadata_source or MetadataSourceRules()
    found: dict[tuple[int, int], list[str]] = {}
    for signal, one, other in (*_by_value(samples, section), *_by_time_and_place(samples, section)):
        pair = (min(one, other), max(one, other))
        if signal not in found.setdefault(pair, []):
            found[pair].append(signal)
    swaps = [_swap(samples[one], samples[other], sorted(signals), rules) for (one, other), signals in found.items()]
    return tuple(sorted(swaps, key=lambda swap: swap.samples))


def _by_value(samples: Sequence[CheckSample], section: MetadataSourceRules) -> Iterator[tuple[str, int, int]]:
    crossed: dict[tuple[str, str, str], list[int]] = {}
    for number, sample in enumerate(samples):
        for signal, declared, shown in _declared_and_shown(sample, section):
            if declared != shown:
                crossed.setdefault((signal, declared, shown), []).append(number)
    ids = {sample.manifest.sample_id: number for number, sample in enumerate(samples)}
    named: dict[int, set[tuple[str, int]]] = {}
    for number, sample in enumerate(samples):
        named[number] = set(_named_in_addresses(sample, number, ids))
    for (signal, declared, shown), numbers in sorted(crossed.items()):
        partners = crossed.get((signal, shown, declared), [])
        if len(numbers) == 1 and len(partners) == 1 and numbers[0] < partners[0]:
            yield signal, numbers[0], partners[0]
    for number, pointers in sorted(named.items()):
        for stream, other in sorted(pointers):
            if number < other and (stream, number) in named[other]:
                yield f"address of {stream}", number, other


def _declared_and_shown(sample: CheckSample, section: MetadataSourceRules) -> Iterator[tuple[str, str, str]]:
    for name, statements in subjects_of(sample, section).items():
        declared = {item.key for item in statements if item.origin.rank == 0}
        shown = {item.key for item in statements if item.origin.rank > 0}
        if len(declared) == 1 and len(shown) == 1:
            yield f"subject {name}", declared.pop(), shown.pop()
    for stream in sample.manifest.streams:
        facts = sample.asset_facts.get(stream.id)
        if stream.sha256 is not None and facts is not None and facts.sha256 is not None:
            yield f"content of {stream.id}", stream.sha256, facts.sha256


def _named_in_addresses(sample: CheckSample, number: int, ids: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Yield (stream, sample) where an address names another sample of the dataset and not its own."""
    for stream in sample.manifest.streams:
        parts = _TOKEN.findall(stream.uri or "")
        words = {*parts, *(part.rsplit(".", 1)[0] for part in parts)}
        named = {ids[word] for word in words if word in ids}
        if len(named) == 1 and number not in named:
            yield stream.id, named.pop()


def _by_time_and_place(samples: Sequence[CheckSample], section: MetadataSourceRules) -> Iterator[tuple[str, int, int]]:
    suspects = [
        recording
        for number, sample in enumerate(samples)
        if sample.asset_facts and not _fits(recording := _recording(number, sample, section), recording, section)
    ]
    timed = sorted(
        ((item.declared_at.at, item.number, item) for item in suspects if item.declared_at is not None),
        key=lambda entry: entry[:2],
    )
    times = [at for at, _, _ in timed]
    reach = timedelta(seconds=section.max_time_difference_s) + _WIDEST_ZONE + timedelta(days=1)
    partners: dict[int, list[int]] = {}
    for item in suspects:
        near = suspects
        if item.shown_at is not None:
            first = bisect_left(times, item.shown_at.at - reach)
            near = [entry[2] for entry in timed[first : bisect_right(times, item.shown_at.at + reach)]]
        partners[item.number] = [
            other.number
            for other in near
            if other is not item and _fits(item, other, section) and _fits(other, item, section)
        ]
    for number, others in partners.items():
        if len(others) == 1 and partners[others[0]] == [number] and number < others[0]:
            yield "time and place of the file", number, others[0]


def _recording(number: int, sample: CheckSample, section: MetadataSourceRules) -> _Recording:
    moments = sorted(moments_of(sample, section), key=lambda item: item.origin.rank)
    places = sorted(places_of(sample), key=lambda item: item.origin.rank)
    return _Recording(
        number,
        next((item for item in moments if not item.origin.what.startswith(_FACTS)), None),
        next((item for item in moments if item.origin.what.startswith(_FACTS)), None),
        next((item for item in places if not item.origin.what.startswith(_FACTS)), None),
        next((item for item in places if item.origin.what.startswith(_FACTS)), None),
    )


def _fits(one: _Recording, other: _Recording, section: MetadataSourceRules) -> bool:
    """Whether what ``one`` declares is what the files of ``other`` show, as far as both say it."""
    compared = False
    if one.declared_at is not None and other.shown_at is not None:
        compared = True
        if one.declared_at.apart_s(other.shown_at) > section.max_time_difference_s:
            return False
    if one.declared_place is not None and other.shown_place is not None:
        compared = True
        if one.declared_place.apart_m(other.shown_place) > section.max_distance_m:
            return False
    return compared or one is other


def _swap(one: CheckSample, other: CheckSample, signals: Sequence[str], rules: RuleSet) -> Swap:
    first, second = sorted((one, other), key=lambda sample: sample.manifest.sample_id)
    names = (first.manifest.sample_id, second.manifest.sample_id)
    section = rules.metadata_source or MetadataSourceRules()
    explained = {
        finding.finding_id: finding
        for sample in (first, second)
        for finding in check_metadata_source(sample, rules).findings
        if _is_explained(finding, signals)
    }
    pair = finding_id(CHECK, "swapped_with", rules.id, place="\n".join(names))
    finding = Finding(
        finding_id=pair,
        check=CHECK,
        kind="swapped_with",
        severity=section.severities.get("swapped_with", "critical"),
        message=f"Samples {names[0]} and {names[1]} were exchanged: what each declares is shown by the other "
        f"({', '.join(signals)}).",
        measured=Measured(value=float(len(signals)), unit="facts that fit only crosswise", threshold=0.0),
        streams=tuple(sorted({stream for item in explained.values() for stream in item.streams})),
        annotations=tuple(sorted({label for item in explained.values() for label in item.annotations})),
        cause=Cause(
            kind="swapped_pointers", group=f"swap:{pair}", estimate={"sample": names[0], "other_sample": names[1]}
        ),
        rule=rules.reference,
        explains=tuple(sorted(explained)),
    )
    return Swap(names, tuple(signals), finding)


def _is_explained(finding: Finding, signals: Sequence[str]) -> bool:
    if finding.kind == "wrong_subject":
        return any(signal.startswith("subject") for signal in signals)
    return finding.kind in ("outside_time_window", "outside_area") and "time and place of the file" in signals

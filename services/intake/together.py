"""Many events in one transaction: new samples, and events that were accepted before.

What is accepted here is what would have been accepted one by one. Anything else is left out, so that the way of a
single event is the only one that refuses, and a bad event keeps no other from being accepted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

from services.contracts.events import AnyReceipt, EventType, IncomingEvent
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest
from services.errors import AssetError, ConcordError, EventConflictError
from services.intake.arrivals import Arrival, answer_again, receipt_of
from services.intake.cloud_events import data_of
from services.lifecycle.opening import Arrived, open_samples
from services.ports.database import Database, EventPair, Transaction

AT_ONCE = 200
"""Events in one transaction: enough that each costs little, few enough that nobody waits long for its locks."""

BYTES_AT_ONCE = 1024 * 1024
"""So many bytes of events in one transaction, unless one alone is larger: others wait while their rows are made."""

AssetCheck = Callable[[SampleManifest], Awaitable[None]]
"""Raises AssetError for a manifest whose assets are not as it says."""

Numbered = tuple[int, Arrival]


class Together:
    """Accepts events many at once.

    Args:
        database: The store of record.
        check_assets: Looks at what a manifest refers to.
    """

    def __init__(self, database: Database, check_assets: AssetCheck) -> None:
        self._database = database
        self._check_assets = check_assets

    async def accept(
        self, arrivals: Sequence[Arrival], *, via: Literal["http", "nats"], projects: tuple[str, ...] | None
    ) -> dict[int, AnyReceipt]:
        """Return the receipts of the events that were accepted, by their places.

        See :meth:`services.intake.inbox.Inbox.accept_together`.
        """
        receipts: dict[int, AnyReceipt] = {}
        seen: list[Numbered] = [
            (number, arrival)
            for number, arrival in enumerate(arrivals)
            if arrival.project is not None and (projects is None or arrival.project in projects)
        ]
        firsts = _first_of_each(_first_of_each(seen, lambda it: it[1].lane(it[0])), lambda it: _pair(it[1].event))
        if len(firsts) < 2:
            return receipts
        for some in _shares(firsts):
            try:
                receipts |= await self._accept_some(some, via)
            except Exception:  # noqa: S112 - whatever it is, it happens again to the event that it is about
                continue
        return receipts

    async def _accept_some(self, events: Sequence[Numbered], via: Literal["http", "nats"]) -> dict[int, AnyReceipt]:
        async with self._database.transaction() as tx:
            known = await tx.inbox.known([_pair(arrival.event) for _, arrival in events], lock=False)
        receipts: dict[int, AnyReceipt] = {}
        new: list[Numbered] = []
        for number, arrival in events:
            stored = known.get(_pair(arrival.event))
            if stored is not None:
                try:
                    receipts[number] = answer_again(arrival.event, stored)
                except EventConflictError:
                    continue
            elif arrival.event.type == EventType.SAMPLE_CREATED:
                new.append((number, arrival))
        manifests = await self._fit(await asyncio.to_thread(_read_manifests, new))
        if manifests:
            receipts |= await self._open(new, manifests, via)
        return receipts

    async def _fit(self, manifests: Mapping[int, SampleManifest]) -> dict[int, SampleManifest]:
        """Return the manifests whose assets are as they say."""

        async def fits(manifest: SampleManifest) -> bool:
            try:
                await self._check_assets(manifest)
            except AssetError:
                return False
            return True

        verdicts = await asyncio.gather(*(fits(manifest) for manifest in manifests.values()))
        return {number: manifests[number] for number, fit in zip(manifests, verdicts, strict=True) if fit}

    async def _open(
        self, new: Sequence[Numbered], manifests: Mapping[int, SampleManifest], via: Literal["http", "nats"]
    ) -> dict[int, AnyReceipt]:
        events = {number: arrival.event for number, arrival in new if number in manifests}
        async with self._database.transaction() as tx:
            # The locks of events first, then those of samples, then those of the audit chains, as everybody takes them.
            known = await tx.inbox.known([_pair(event) for event in events.values()], lock=True)
            unknown = {number: event for number, event in events.items() if _pair(event) not in known}
            refs = await _open_of_projects(tx, unknown, manifests)
            accepted = {number: event for number, event in unknown.items() if number in refs}
            if accepted:
                await tx.inbox.add_all([(event, refs[number]) for number, event in accepted.items()], via=via)
        return {number: receipt_of(event, refs[number], "accepted") for number, event in accepted.items()}


async def _open_of_projects(
    tx: Transaction, events: Mapping[int, IncomingEvent], manifests: Mapping[int, SampleManifest]
) -> dict[int, RevisionRef]:
    refs: dict[int, RevisionRef] = {}
    for name, numbers in groupby(
        sorted(events, key=lambda number: manifests[number].project), key=lambda number: manifests[number].project
    ):
        project = await tx.projects.get(name)
        if project is None:
            continue
        places = list(numbers)
        arrived = [Arrived(manifests[place], events[place]) for place in places]
        opened = await open_samples(tx, name, project.config, arrived)
        refs |= {place: opened[manifests[place].sample_id] for place in places if manifests[place].sample_id in opened}
    return refs


def _read_manifests(new: Iterable[Numbered]) -> dict[int, SampleManifest]:
    """Return the manifests that match the contract, by place."""
    manifests: dict[int, SampleManifest] = {}
    for number, arrival in new:
        try:
            data = data_of(arrival.event)
        except ConcordError:
            continue
        if isinstance(data, SampleManifest):
            manifests[number] = data
    return manifests


def _shares(events: Iterable[Numbered]) -> Iterator[list[Numbered]]:
    """Yield the events, in their order, in shares for one transaction each."""
    share: list[Numbered] = []
    size = 0
    for event in events:
        size += len(event[1].message.body)
        if share and (len(share) == AT_ONCE or size > BYTES_AT_ONCE):
            yield share
            share, size = [], len(event[1].message.body)
        share.append(event)
    if share:
        yield share


def _first_of_each(events: Iterable[Numbered], key: Callable[[Numbered], object]) -> list[Numbered]:
    """Return the first event of each key, in their order."""
    firsts: dict[object, Numbered] = {}
    for event in events:
        firsts.setdefault(key(event), event)
    return list(firsts.values())


def _pair(event: IncomingEvent) -> EventPair:
    return event.source, event.id

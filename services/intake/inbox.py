"""The one way in: every event, on whatever transport, is accepted once or kept with the reason why not."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar
from uuid import UUID, uuid4

from services.contracts.access import Principal
from services.contracts.events import (
    AnyReceipt,
    EventType,
    IncomingEvent,
    SampleWithdrawn,
)
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest
from services.contracts.records import DeadLetter
from services.contracts.taxonomies import TaxonomyReference
from services.errors import (
    AssetError,
    ConcordError,
    ForbiddenError,
    NotFoundError,
    PayloadTooLargeError,
    UnavailableError,
)
from services.intake.arrivals import Arrival, answer_again, named, read_arrival, receipt_of
from services.intake.cloud_events import EventData, EventMessage, data_of, event_of, read_envelope
from services.intake.together import Together
from services.lifecycle.opening import actor_of
from services.lifecycle.revisions import open_revision, submit_labels, withdraw_sample
from services.ports.assets import AssetReader
from services.ports.database import Database, Transaction
from services.taxonomy.registry import publish_version
from services.taxonomy.taxonomy import Taxonomy

Answer = TypeVar("Answer")
Via = Literal["http", "nats"]
Projects = tuple[str, ...] | None
"""The projects a sender may touch; None means every project."""

_CHECKS_AT_ONCE = 8
# Below this a document is read on the spot; above it, in a thread, so that others are not kept waiting.
_READ_ON_THE_SPOT_BYTES = 32 * 1024


class Inbox:
    """Takes events in.

    Args:
        database: The store of record.
        assets: Reads what manifests refer to.
    """

    def __init__(self, database: Database, assets: AssetReader) -> None:
        self._database = database
        self._assets = assets
        self._together = Together(database, self._check_assets)

    async def ready(self) -> None:
        """Raise UnavailableError unless events can be taken in now."""
        await self._database.ping()

    async def receive(self, message: EventMessage, *, via: Via, projects: Projects) -> AnyReceipt:
        """Read and accept one event; what can not be accepted is kept as a dead letter before the error goes on.

        Args:
            message: The event as it came.
            via: The transport.
            projects: Projects the sender may touch.

        Raises:
            UnavailableError: Nothing was decided about the event; it may be sent again.
            ConcordError: Why it was refused.
        """
        arrival = await self.read(message, via=via, projects=projects)
        return await self.take(arrival, via=via, projects=projects)

    async def read(self, message: EventMessage, *, via: Via, projects: Projects) -> Arrival:
        """Read one event without accepting it yet; one that can not be read is kept as :meth:`receive` says."""
        try:
            return await _aside(read_arrival, message)
        except ConcordError as error:
            await self.refuse(message, error, via=via, projects=projects)
            raise

    async def take(self, arrival: Arrival, *, via: Via, projects: Projects) -> AnyReceipt:
        """Accept an event that was read; one that is refused is kept as :meth:`receive` says."""
        try:
            return await self.accept(arrival.event, via=via, projects=projects)
        except UnavailableError:
            raise
        except ConcordError as error:
            await self.refuse(arrival.message, error, via=via, projects=projects)
            raise

    async def accept(self, event: IncomingEvent, *, via: Via, projects: Projects) -> AnyReceipt:
        """Accept an event and do what it says, in one transaction; the same event again is answered alike.

        Nothing is locked while assets are looked at.

        Raises:
            EventConflictError: The pair (source, id) was accepted with other content.
            UnknownEventTypeError, InvalidInputError: The type or the data is not one of the contract.
            NotFoundError: There is no such project or sample, or none that the sender may touch.
            ForbiddenError: It is a taxonomy, and the sender may touch some projects only.
            LabelInUseError: Labels in use would have no class in the taxonomy.
            AlreadyExistsError, StageConflictError, TaskHeldError: The sample does not allow it now.
            AssetError: An asset is missing, forbidden, too large or has another hash.
            UnavailableError: Try again.
        """
        project = named(event.data, "project")
        if project is not None and projects is not None and project not in projects:
            raise _no_project(project)
        if event.type == EventType.TAXONOMY_PUBLISHED and projects is not None:
            raise ForbiddenError("A taxonomy concerns every project; this key is limited to some of them.")
        # Looked up before anything is validated: what was accepted once is answered alike, even when the contract
        # has become stricter or the assets are gone.
        async with self._database.transaction() as tx:
            stored = await tx.inbox.lock(event.source, event.id)
        if stored is not None:
            return answer_again(event, stored)
        data = await asyncio.to_thread(data_of, event)
        if isinstance(data, SampleManifest):
            await self._check_assets(data)
        async with self._database.transaction() as tx:
            stored = await tx.inbox.lock(event.source, event.id)
            if stored is not None:
                return answer_again(event, stored)
            led_to = await _apply(tx, event, data)
            await tx.inbox.add(event, led_to, via=via)
        return receipt_of(event, led_to, "accepted")

    async def accept_together(
        self, arrivals: Sequence[Arrival], *, via: Via, projects: Projects
    ) -> dict[int, AnyReceipt]:
        """Accept many events in few transactions, as far as that goes; return the receipts by their places.

        Accepted are events that open a sample, and those that were accepted before. All others are left as they are,
        also those that have to be refused: they go one by one, by :meth:`take` or :meth:`accept`, after these and in
        their order.

        Args:
            arrivals: Events in the order in which those of one sample must be handled.
            via: The transport.
            projects: Projects the sender may touch.
        """
        return await self._together.accept(arrivals, via=via, projects=projects)

    async def refuse(
        self, message: EventMessage, error: ConcordError, *, via: Via, projects: Projects
    ) -> DeadLetter | None:
        """Keep a refused message with its reason, once; return None for what is not kept.

        Not kept are events refused only for the moment, and what came over HTTP with an envelope nobody can read:
        its sender has the answer, and there is no event to replay.
        """
        if isinstance(error, UnavailableError | PayloadTooLargeError):
            return None
        try:
            envelope = await _aside(read_envelope, message)
        except ConcordError:
            envelope = None
            if via == "http":
                return None
        project = named(envelope.data, "project") if envelope is not None else None
        raw = message.to_bytes()
        async with self._database.transaction() as tx:
            # A letter is shown to those who see its project; nobody may put one before other projects' people.
            known = project if project is not None and (projects is None or project in projects) else None
            if known is not None and await tx.projects.get(known) is None:
                known = None
            letter = DeadLetter(
                dead_letter_id=uuid4(),
                source=envelope.source if envelope is not None else None,
                event_id=envelope.id if envelope is not None else None,
                event_type=envelope.type if envelope is not None else None,
                project=known,
                via=via,
                reason_code=error.code,
                reason=error.detail,
                places=error.places,
                raw_sha256=hashlib.sha256(raw).hexdigest(),
                received_at=await tx.now(),
            )
            return await tx.inbox.add_dead_letter(letter, raw)

    async def dead_letters(self, principal: Principal, *, after: UUID | None, limit: int) -> tuple[DeadLetter, ...]:
        """Return what could not be handled, newest first, as far as the person may see it."""
        async with self._database.transaction() as tx:
            return await tx.inbox.list_dead_letters(projects=principal.projects, after=after, limit=limit)

    async def replay(self, dead_letter_id: UUID, principal: Principal) -> AnyReceipt:
        """Try a dead letter again, from the stored bytes, and note how it went.

        Raises:
            NotFoundError: There is no such letter, or none that the person may see.
            UnavailableError: Nothing was tried.
            ConcordError: It is refused again; the reason may be another one now.
        """
        async with self._database.transaction() as tx:
            kept = await tx.inbox.dead_letter(dead_letter_id)
        if kept is None or not _sees(principal, kept[0]):
            raise NotFoundError(f"there is no dead letter {dead_letter_id}")
        letter, raw = kept
        try:
            event = event_of(read_envelope(EventMessage.from_bytes(raw)))
            receipt = await self.accept(event, via=letter.via, projects=principal.projects)
        except UnavailableError:
            raise
        except ConcordError as error:
            await self._note_replay(dead_letter_id, f"refused: {error.code}")
            raise
        await self._note_replay(dead_letter_id, receipt.outcome)
        return receipt

    async def _note_replay(self, dead_letter_id: UUID, outcome: str) -> None:
        async with self._database.transaction() as tx:
            await tx.inbox.mark_replayed(dead_letter_id, outcome)

    async def _check_assets(self, manifest: SampleManifest) -> None:
        slots = asyncio.Semaphore(_CHECKS_AT_ONCE)

        async def check(place: str, uri: str, sha256: str | None) -> tuple[str, AssetError] | None:
            async with slots:
                try:
                    await self._assets.check(uri, sha256=sha256)
                except AssetError as error:
                    return place, error
            return None

        results = await asyncio.gather(*(check(*asset) for asset in _assets_of(manifest)))
        failed = [result for result in results if result is not None]
        if failed:
            first = failed[0][1]
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            raise type(first)(
                f"{first.detail}{more}", places=tuple((place, error.detail) for place, error in failed[:50])
            )


async def _aside(read: Callable[[EventMessage], Answer], message: EventMessage) -> Answer:
    """Read a message, a large one in a thread."""
    if len(message.body) > _READ_ON_THE_SPOT_BYTES:
        return await asyncio.to_thread(read, message)
    return read(message)


def _assets_of(manifest: SampleManifest) -> Iterator[tuple[str, str, str | None]]:
    for index, stream in enumerate(manifest.streams):
        if stream.uri is not None:
            yield f"/data/streams/{index}/uri", stream.uri, stream.sha256
    for index, file in enumerate(manifest.label_files):
        yield f"/data/label_files/{index}/uri", file.uri, file.sha256


async def _apply(tx: Transaction, event: IncomingEvent, data: EventData) -> RevisionRef | TaxonomyReference:
    if isinstance(data, Taxonomy):
        published = await publish_version(tx, data, published_by=actor_of(event), at="/data")
        return published.reference
    project = await tx.projects.get(data.project)
    if project is None:
        raise _no_project(data.project)
    if isinstance(data, SampleManifest):
        return await open_revision(tx, data, event, config=project.config)
    if isinstance(data, SampleWithdrawn):
        return await withdraw_sample(tx, data, event)
    return await submit_labels(tx, data, config=project.config)


def _no_project(project: str) -> NotFoundError:
    # One answer for a project that does not exist and one that the sender may not see: neither is told apart.
    return NotFoundError(
        f"there is no project {project[:64]!r} that this sender may write to; create it, or use a key that sees it",
        places=(("/data/project", "is not a project this sender may write to"),),
    )


def _sees(principal: Principal, letter: DeadLetter) -> bool:
    return principal.projects is None or (letter.project is not None and principal.sees(letter.project))

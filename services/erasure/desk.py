"""Order an erasure, see what it would meet, apply it in batches; place and release legal holds.

An erasure is ordered once, with the revisions it is about at that moment, and applied as often as it takes: every
revision goes in a transaction of its own, together with its tombstone and the audit entry that tells its hashes.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.erasure import (
    Erasure,
    ErasureCounts,
    ErasureRequest,
    ErasureSubject,
    LegalHold,
    NewHold,
    OfEntries,
    OfExpired,
    OfPerson,
    Tombstone,
)
from services.contracts.records import Project
from services.erasure.applying import apply_batch, audit_subject, finish
from services.erasure.letters import letters_naming, names_of
from services.errors import InvalidInputError, LegalHoldError, NotFoundError
from services.ports.database import Database, Transaction
from services.samples.reader import seen_ref

_LETTERS_A_PAGE = 100


class ErasureDesk:
    """What is done about retention, holds and erasure.

    Every method raises NotFoundError for what is not there, and for what the principal may not see.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def preview(self, principal: Principal, project: str, subject: ErasureSubject) -> ErasureCounts:
        """Count what an erasure would meet; nothing is changed.

        Raises:
            InvalidInputError: The project keeps everything for ever, and what has expired is asked for.
        """
        async with self._database.transaction() as tx:
            known = await _project(tx, principal, project)
            return await tx.erasures.preview(project, subject, keep_days=_keep_days(known, subject))

    async def order(self, principal: Principal, project: str, request: ErasureRequest) -> Erasure:
        """Keep an erasure; nothing goes before it is applied.

        Raises:
            InvalidInputError: The project keeps everything for ever, and what has expired is asked for.
        """
        async with self._database.transaction() as tx:
            known = await _project(tx, principal, project)
            erasure = Erasure(
                erasure_id=uuid4(),
                project=project,
                kind=request.subject.kind,
                reason=request.reason,
                withdraw=request.withdraw,
                requested_by=principal.actor_id,
                requested_at=await tx.now(),
            )
            keep_days = _keep_days(known, request.subject)
            revisions = await tx.erasures.add(erasure, request.subject, keep_days=keep_days)
            letters = await self._note_letters(tx, erasure, request.subject)
            tx.audit.append(
                project,
                actor=principal.actor_id,
                action="erasure.ordered",
                subject=audit_subject(erasure),
                body={
                    "kind": erasure.kind,
                    "revisions": revisions,
                    "withdraw": erasure.withdraw,
                    "keep_days": keep_days,
                    "dead_letters": letters,
                },
                personal={"reason": erasure.reason},
            )
            return await _erasure(tx, project, erasure.erasure_id)

    async def apply(self, principal: Principal, project: str, erasure_id: UUID, *, retry: bool = False) -> Erasure:
        """Erase the next hundred revisions, or all that a person's or an entries' erasure is about.

        Applied again it goes on where it stopped, after a crash too, and changes nothing once nothing waits.

        Args:
            principal: Who applies it; told in tombstones and audit entries.
            project: The project.
            erasure_id: The erasure.
            retry: Look again at revisions that were held or under way.

        Raises:
            LegalHoldError: It is about a person or entries, and a legal hold is in force.
        """
        async with self._database.transaction() as tx:
            await _project(tx, principal, project)
            erasure = await _erasure(tx, project, erasure_id, lock=True)
            if retry:
                await tx.erasures.look_again(erasure_id)
            subject = await tx.erasures.subject(erasure_id)
            if subject is not None:
                if erasure.finished_at is None:
                    await self._apply_at_once(tx, principal, erasure, subject)
                return await _erasure(tx, project, erasure_id)
        return await apply_batch(self._database, principal.actor_id, erasure)

    async def get(self, principal: Principal, project: str, erasure_id: UUID) -> Erasure:
        """Return an erasure with how far it is."""
        async with self._database.transaction() as tx:
            await _project(tx, principal, project)
            return await _erasure(tx, project, erasure_id)

    async def list(
        self, principal: Principal, project: str, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[Erasure, ...]:
        """Return erasures, newest first, before the cursor."""
        async with self._database.transaction() as tx:
            await _project(tx, principal, project)
            return await tx.erasures.list(project, before=before, limit=limit)

    async def tombstone(self, principal: Principal, project: str, sample_id: str, revision: int | None) -> Tombstone:
        """Return what stands in the place of an erased revision's content."""
        async with self._database.transaction() as tx:
            ref = await seen_ref(tx, principal, project, sample_id, revision)
            found = await tx.erasures.tombstone(ref)
        if found is None:
            raise NotFoundError(f"Revision {ref.revision} of sample {sample_id!r} was not erased.")
        return found

    async def place_hold(self, principal: Principal, project: str, new: NewHold) -> LegalHold:
        """Place a legal hold on a sample, which need not have come yet, or on the whole project."""
        async with self._database.transaction() as tx:
            await _project(tx, principal, project)
            hold = LegalHold(
                hold_id=uuid4(),
                project=project,
                sample_id=new.sample_id,
                reason=new.reason,
                placed_by=principal.actor_id,
                placed_at=await tx.now(),
            )
            await tx.erasures.add_hold(hold)
            _audit_hold(tx, hold, principal, "hold.placed")
        return hold

    async def release_hold(self, principal: Principal, project: str, hold_id: UUID) -> LegalHold:
        """Release a legal hold; one that was released before stays as it was."""
        async with self._database.transaction() as tx:
            await _project(tx, principal, project)
            known = await tx.erasures.hold(project, hold_id, lock=True)
            if known is None:
                raise NotFoundError(f"There is no legal hold {str(hold_id)!r} in project {project!r}.")
            if known.released_at is not None:
                return known
            hold = known.model_copy(update={"released_by": principal.actor_id, "released_at": await tx.now()})
            await tx.erasures.release_hold(hold)
            _audit_hold(tx, hold, principal, "hold.released")
        return hold

    async def holds(
        self, principal: Principal, project: str, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[LegalHold, ...]:
        """Return legal holds, newest first, before the cursor."""
        async with self._database.transaction() as tx:
            await _project(tx, principal, project)
            return await tx.erasures.holds(project, before=before, limit=limit)

    @staticmethod
    async def _note_letters(tx: Transaction, erasure: Erasure, subject: ErasureSubject) -> int:
        """Note refused events that name the subject, which is known only now, and return how many; none goes yet."""
        names, noted = names_of(subject), 0
        after: UUID | None = None
        while names and (page := await tx.erasures.letters(erasure.project, names, after=after, limit=_LETTERS_A_PAGE)):
            found = await asyncio.to_thread(letters_naming, page, erasure.project, names)
            await tx.erasures.add_letters(erasure.erasure_id, found)
            noted += len(found)
            after = page[-1].dead_letter_id
        return noted

    async def _apply_at_once(
        self, tx: Transaction, principal: Principal, erasure: Erasure, subject: ErasureSubject
    ) -> None:
        counts: ErasureCounts | None = None
        if isinstance(subject, OfPerson):
            counts = await tx.erasures.erase_person(erasure.project, subject.actor_id, erasure.erasure_id)
        elif isinstance(subject, OfEntries):
            texts = await tx.erasures.erase_entries(erasure.project, subject.sequences, erasure.erasure_id)
            counts = None if texts is None else ErasureCounts(texts=texts)
        if counts is None:
            raise LegalHoldError(f"A legal hold is in force in {erasure.project!r}; release it, then apply again.")
        await finish(tx, principal.actor_id, erasure.model_copy(update={"counts": counts}))


async def _project(tx: Transaction, principal: Principal, project: str) -> Project:
    ensure_sees(principal, project)
    known = await tx.projects.get(project)
    if known is None:
        raise project_not_found(project)
    return known


async def _erasure(tx: Transaction, project: str, erasure_id: UUID, *, lock: bool = False) -> Erasure:
    found = await tx.erasures.get(project, erasure_id, lock=lock)
    if found is None:
        raise NotFoundError(f"There is no erasure {str(erasure_id)!r} in project {project!r}.")
    return found


def _keep_days(project: Project, subject: ErasureSubject) -> int | None:
    if not isinstance(subject, OfExpired):
        return None
    if project.config.retention is None:
        raise InvalidInputError(f"Project {project.id!r} keeps everything for ever; set config.retention first.")
    return project.config.retention.keep_days


def _audit_hold(tx: Transaction, hold: LegalHold, principal: Principal, action: str) -> None:
    tx.audit.append(
        hold.project,
        actor=principal.actor_id,
        action=action,
        subject=f"holds/{hold.hold_id}",
        body={"sample_id": hold.sample_id},
        personal={"reason": hold.reason},
    )

"""Write, read, correct and take back notes.

Whoever may read a sample's history reads every note. People at work read the threads they wrote in or are mentioned
in, and no others: a blind second look would not be blind if the first one's remarks could be read beside it.
"""

from __future__ import annotations

from datetime import datetime
from uuid import UUID, uuid4

from services.access.policy import Permission, may
from services.contracts.access import Principal
from services.contracts.canonical import content_sha256
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest
from services.contracts.notes import (
    NOTE_MENTIONED,
    AnnotationPin,
    Mention,
    NewNote,
    Note,
    NoteMentioned,
    NoteVersion,
    Pin,
    SamplePin,
    mention_event_id,
)
from services.errors import ChangedMeanwhileError, ForbiddenError, InvalidInputError, NotFoundError
from services.lifecycle.journal import subject_of
from services.notes.mentions import mentions_of
from services.ports.database import Database, Transaction
from services.review.sight import sees_own_tasks_only
from services.samples.reader import seen_ref


class NoteBook:
    """What people do with notes.

    Every method raises NotFoundError for what is not there, and for what the principal may not see.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def write(self, principal: Principal, project: str, sample_id: str, new: NewNote) -> Note:
        """Keep a note and tell whom it mentions.

        Raises:
            InvalidInputError: What it is pinned to is not in the sample, or it answers with a pin of its own.
        """
        async with self._database.transaction() as tx:
            ref = await seen_ref(tx, principal, project, sample_id, new.revision)
            began = None if new.thread_id is None else await self._thread(tx, principal, ref, new)
            if began is not None:
                ref = began.ref
            # The lock of the revision: events of one sample are written one after the other.
            revision = await tx.samples.get(ref, lock=True)
            if revision is None:
                raise NotFoundError(f"There is no revision {ref.revision} of sample {sample_id!r}.")
            pin = began.pin if began is not None else new.pin or SamplePin()
            if began is None:
                await _ensure_there(tx, principal, ref, revision.manifest, pin)
            note_id = uuid4()
            note = Note(
                note_id=note_id,
                thread_id=note_id if began is None else began.thread_id,
                ref=ref,
                author=principal.actor_id,
                body=new.body,
                pin=pin,
                mentions=mentions_of(new.body, await tx.notes.people(project)),
                version=1,
                created_at=await tx.now(),
            )
            await tx.notes.add(note)
            _audit(tx, note, principal.actor_id, "note.written")
            await _tell(tx, note, note.mentions, note.created_at)
        return note

    async def list(
        self,
        principal: Principal,
        project: str,
        sample_id: str,
        *,
        revision: int | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[Note, ...]:
        """Return the notes on a sample that the principal may read, oldest first; on all revisions if none is named."""
        async with self._database.transaction() as tx:
            ref = await seen_ref(tx, principal, project, sample_id, revision)
            return await tx.notes.of_sample(
                ref, all_revisions=revision is None, reader=_reader(principal), after=after, limit=limit
            )

    async def history(
        self, principal: Principal, project: str, sample_id: str, note_id: UUID
    ) -> tuple[NoteVersion, ...]:
        """Return everything a note said, oldest first."""
        async with self._database.transaction() as tx:
            await self._seen(tx, principal, project, sample_id, note_id)
            return await tx.notes.versions(note_id)

    async def get(self, principal: Principal, project: str, sample_id: str, note_id: UUID) -> Note:
        """Return a note."""
        async with self._database.transaction() as tx:
            return await self._seen(tx, principal, project, sample_id, note_id)

    async def edit(
        self, principal: Principal, project: str, sample_id: str, note_id: UUID, body: str, *, expected: str | None
    ) -> Note:
        """Replace what a note says; only its author may, and what it said before is kept.

        Raises:
            ForbiddenError: Another wrote it.
            ChangedMeanwhileError: It was changed since ``expected``.
        """
        async with self._database.transaction() as tx:
            known = await self._own(tx, principal, project, sample_id, note_id, expected)
            if known.body == body:
                return known
            now = await tx.now()
            mentions = mentions_of(body, await tx.notes.people(project))
            changed = known.model_copy(
                update={"body": body, "mentions": mentions, "version": known.version + 1, "edited_at": now}
            )
            await tx.notes.change(changed, actor=principal.actor_id)
            _audit(tx, changed, principal.actor_id, "note.edited")
            await _tell(tx, changed, tuple(name for name in mentions if name not in known.mentions), now)
        return changed

    async def delete(
        self, principal: Principal, project: str, sample_id: str, note_id: UUID, *, expected: str | None
    ) -> Note:
        """Take a note back; only its author may. Its place in the thread and what it said stay in its history.

        Raises:
            ForbiddenError: Another wrote it.
            ChangedMeanwhileError: It was changed since ``expected``.
        """
        async with self._database.transaction() as tx:
            known = await self._own(tx, principal, project, sample_id, note_id, expected)
            now = await tx.now()
            changed = known.model_copy(
                update={"body": "", "mentions": (), "version": known.version + 1, "deleted_at": now}
            )
            await tx.notes.change(changed, actor=principal.actor_id)
            _audit(tx, changed, principal.actor_id, "note.deleted")
        return changed

    async def mentions(
        self, principal: Principal, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[Mention, ...]:
        """Return where the principal is mentioned, newest first, in the projects of their key."""
        async with self._database.transaction() as tx:
            return await tx.notes.mentions(principal.actor_id, projects=principal.projects, before=before, limit=limit)

    async def _thread(self, tx: Transaction, principal: Principal, ref: RevisionRef, new: NewNote) -> Note:
        assert new.thread_id is not None  # noqa: S101 - narrows for the type checker
        began = await self._seen(tx, principal, ref.project, ref.sample_id, new.thread_id)
        if began.thread_id != began.note_id:
            raise _invalid("/thread_id", f"is an answer; name the note that began the thread, {began.thread_id}")
        if new.pin is not None and new.pin != began.pin:
            raise _invalid("/pin", "must be left out of an answer: it is about what its thread is about")
        if new.revision is not None and new.revision != began.ref.revision:
            raise _invalid("/revision", f"must be {began.ref.revision}, as the thread's, or be left out")
        return began

    async def _seen(
        self, tx: Transaction, principal: Principal, project: str, sample_id: str, note_id: UUID, *, lock: bool = False
    ) -> Note:
        await seen_ref(tx, principal, project, sample_id, None)
        note = await tx.notes.get(project, sample_id, note_id, lock=lock)
        reader = _reader(principal)
        if note is None or (reader is not None and not await tx.notes.takes_part(note.thread_id, reader)):
            raise NotFoundError(f"There is no note {str(note_id)!r} on sample {sample_id!r}.")
        return note

    async def _own(
        self,
        tx: Transaction,
        principal: Principal,
        project: str,
        sample_id: str,
        note_id: UUID,
        expected: str | None,
    ) -> Note:
        ref = (await self._seen(tx, principal, project, sample_id, note_id)).ref
        # In the order of writing a note: the revision, then the note.
        await tx.samples.get(ref, lock=True)
        note = await self._seen(tx, principal, project, sample_id, note_id, lock=True)
        if note.author != principal.actor_id:
            raise ForbiddenError(f"Note {note_id} was written by {note.author}; only its author changes it.")
        if note.deleted_at is not None:
            raise NotFoundError(f"Note {note_id} was deleted.")
        if expected is not None and expected != str(note.version):
            raise ChangedMeanwhileError(f"Note {note_id} was changed since you read it; read it again.")
        return note


def _reader(principal: Principal) -> str | None:
    """Return whose threads alone are shown; None where every note is."""
    return None if may(principal.role, Permission.HISTORY_READ) else principal.actor_id


async def _ensure_there(
    tx: Transaction, principal: Principal, ref: RevisionRef, manifest: SampleManifest, pin: Pin
) -> None:
    stream = getattr(pin, "stream", None)
    known = [item.id for item in manifest.streams]
    if stream is not None and stream not in known:
        raise _invalid("/pin/stream", f"is no stream of the sample; streams are {', '.join(known)[:500]}")
    if isinstance(pin, AnnotationPin):
        if await sees_own_tasks_only(tx, principal, ref.project):
            # Which labels are the newest is not for who sees a sample by way of a task: theirs may be older.
            versions = await tx.samples.label_sets(ref)
        else:
            newest = await tx.samples.label_set(ref)
            versions = () if newest is None else (newest,)
        if all(label.id != pin.annotation_id for labels in versions for label in labels.annotations):
            raise _invalid("/pin/annotation_id", "is no label of this revision's newest labels")


def _invalid(pointer: str, sentence: str) -> InvalidInputError:
    return InvalidInputError(f"The note is not valid: {pointer}: {sentence}", places=((pointer, sentence),))


def _audit(tx: Transaction, note: Note, actor: str, action: str) -> None:
    body = {
        "note_id": str(note.note_id),
        "version": note.version,
        "mentions": list(note.mentions),
    }
    tx.audit.append(
        note.ref.project,
        actor=actor,
        action=action,
        subject=subject_of(note.ref),
        body=body,
        # The text itself stays in the note: its bare hash could be found by trying, and goes with an erasure too.
        personal={"text_sha256": content_sha256(note.body)},
    )


async def _tell(tx: Transaction, note: Note, mentioned: tuple[str, ...], at: datetime) -> None:
    others = tuple(name for name in mentioned if name != note.author)
    if not others:
        return
    told = NoteMentioned(
        project=note.ref.project,
        sample_id=note.ref.sample_id,
        revision=note.ref.revision,
        note_id=note.note_id,
        thread_id=note.thread_id,
        note_version=note.version,
        author=note.author,
        mentions=others,
        body=note.body,
        at=at,
    )
    await tx.outbox.add(
        "event",
        note.ref,
        told.model_dump(mode="json", exclude_none=True),
        event_type=NOTE_MENTIONED,
        event_id=mention_event_id(told),
    )

"""Notes on samples, and where one is mentioned."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.etags import IfMatch, expected_version
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, NumberKey, TimeKey, cut_page, decode_cursor, slice_page
from api.policies import requires
from api.schemas import Page, ProjectPath, RevisionQuery, SamplePath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.notes import Mention, NewNote, Note, NoteChange, NoteVersion
from services.notes.book import NoteBook
from services.ports.database import Database

router = APIRouter(prefix="/v1", tags=["notes"])
_OF_SAMPLE = "/projects/{project}/samples/{sample_id}/notes"
_NOTE = {
    "body": "The left edge is the car behind, @rita.",
    "pin": {"kind": "region", "stream": "cam_left", "frame": 12, "box_px": [120.0, 80.5, 260.0, 190.0]},
}

NotePath = Annotated[UUID, Path(description="Id of the note.")]
MayRead = Annotated[Principal, Depends(requires(Permission.NOTES_READ))]
MayWrite = Annotated[Principal, Depends(requires(Permission.NOTES_WRITE))]


def _told(note: Note, *, status: int = 200) -> Response:
    return reply(note, status=status, headers={"ETag": f'"{note.version}"'})


@router.post(_OF_SAMPLE, status_code=201, response_model=Note)
async def write_note(
    principal: MayWrite,
    project: ProjectPath,
    sample_id: SamplePath,
    new: Annotated[NewNote, Depends(json_body(NewNote, what="note", example=_NOTE))],
    once: Idempotent,
) -> Response:
    """Write a note, pinned to the sample, a stream, a frame, a time, a region or a label; or answer in a thread.

    Who is mentioned by @name finds the note in their mentions, and an event tells of it.
    """

    async def call(database: Database) -> Response:
        return _told(await NoteBook(database).write(principal, project, sample_id, new), status=201)

    return await once.run(principal, call)


@router.get(_OF_SAMPLE, response_model=Page[Note])
async def list_notes(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    sample_id: SamplePath,
    revision: RevisionQuery = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the notes on a sample, oldest first, on all its revisions unless one is named.

    People at work see the threads they wrote in or are mentioned in.
    """
    found = await NoteBook(services.database).list(
        principal,
        project,
        sample_id,
        revision=revision,
        after=decode_cursor("notes", TimeKey, cursor),
        limit=limit + 1,
    )
    return page_reply(*cut_page(found, "notes", lambda item: (item.created_at, item.note_id), limit=limit))


@router.get(f"{_OF_SAMPLE}/{{note_id}}", response_model=Note)
async def get_note(
    services: Services, principal: MayRead, project: ProjectPath, sample_id: SamplePath, note_id: NotePath
) -> Response:
    """Return a note with its ETag."""
    return _told(await NoteBook(services.database).get(principal, project, sample_id, note_id))


@router.put(f"{_OF_SAMPLE}/{{note_id}}", response_model=Note)
async def edit_note(
    principal: MayWrite,
    project: ProjectPath,
    sample_id: SamplePath,
    note_id: NotePath,
    change: Annotated[NoteChange, Depends(json_body(NoteChange, what="note"))],
    once: Idempotent,
    if_match: IfMatch = None,
) -> Response:
    """Replace what a note says; only its author may, and what it said is kept."""

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "note")
        return _told(
            await NoteBook(database).edit(principal, project, sample_id, note_id, change.body, expected=expected)
        )

    return await once.run(principal, call)


@router.delete(f"{_OF_SAMPLE}/{{note_id}}", response_model=Note)
async def delete_note(
    principal: MayWrite,
    project: ProjectPath,
    sample_id: SamplePath,
    note_id: NotePath,
    once: Idempotent,
    if_match: IfMatch = None,
) -> Response:
    """Take a note back; only its author may. Its place in the thread stays, and its history with it."""

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "note")
        return _told(await NoteBook(database).delete(principal, project, sample_id, note_id, expected=expected))

    return await once.run(principal, call)


@router.get(f"{_OF_SAMPLE}/{{note_id}}/history", response_model=Page[NoteVersion])
async def list_note_versions(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    sample_id: SamplePath,
    note_id: NotePath,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List everything a note said, oldest first."""
    versions = await NoteBook(services.database).history(principal, project, sample_id, note_id)
    return page_reply(
        *slice_page(versions, "versions", lambda item: (item.version,), cursor=cursor, kind=NumberKey, limit=limit)
    )


@router.get("/mentions", response_model=Page[Mention])
async def list_mentions(
    services: Services, principal: MayRead, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List where you are mentioned, newest first."""
    found = await NoteBook(services.database).mentions(
        principal, before=decode_cursor("mentions", TimeKey, cursor), limit=limit + 1
    )
    return page_reply(*cut_page(found, "mentions", lambda item: (item.at, item.note.note_id), limit=limit))

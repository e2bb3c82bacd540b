"""The notes of one sample, and one's mentions, over the typed client."""

from __future__ import annotations

from uuid import UUID

from infra.api_pages import Page, PagedCaller, path_part
from services.contracts.notes import Mention, NewNote, Note, NoteVersion


class NoteCalls:
    """What is called below ``/v1/projects/{project}/samples/{sample}/notes``.

    Args:
        client: An open client.
        project: The project.
        sample_id: The sample.
    """

    def __init__(self, client: PagedCaller, project: str, sample_id: str) -> None:
        self._client = client
        self._base = f"/v1/projects/{path_part(project)}/samples/{path_part(sample_id)}/notes"

    async def write(self, note: NewNote) -> Note:
        """Write a note."""
        return Note.model_validate(await self._client.call("POST", self._base, note))

    async def list(self, revision: int | None = None) -> tuple[Note, ...]:
        """Return all notes that the key may read, oldest first."""
        return await self._client.all_of(Note, self._base, revision=revision)

    async def get(self, note_id: UUID) -> Note:
        """Return a note."""
        return Note.model_validate(await self._client.call("GET", f"{self._base}/{note_id}"))

    async def history(self, note_id: UUID) -> tuple[NoteVersion, ...]:
        """Return everything a note said."""
        return await self._client.all_of(NoteVersion, f"{self._base}/{note_id}/history")

    async def edit(self, note_id: UUID, body: str) -> Note:
        """Replace what a note says."""
        return Note.model_validate(await self._client.call("PUT", f"{self._base}/{note_id}", {"body": body}))

    async def delete(self, note_id: UUID) -> Note:
        """Take a note back."""
        return Note.model_validate(await self._client.call("DELETE", f"{self._base}/{note_id}"))


async def mentions(client: PagedCaller, *, cursor: str | None = None, limit: int | None = None) -> Page[Mention]:
    """Return a page of where the person behind the key is mentioned, newest first."""
    return await client.page_of(Mention, "/v1/mentions", cursor=cursor, limit=limit)

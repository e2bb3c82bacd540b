"""Erasures and legal holds of one project, over the typed client."""

from __future__ import annotations

from uuid import UUID

from infra.api_pages import VERIFY_WITHIN_S, PagedCaller, path_part
from services.contracts.erasure import (
    ApplyRequest,
    Erasure,
    ErasureCounts,
    ErasureRequest,
    ErasureSubject,
    LegalHold,
    NewHold,
    PreviewRequest,
    Tombstone,
)


class ErasureCalls:
    """What is called below ``/v1/projects/{project}`` about erasure.

    Args:
        client: An open client.
        project: The project.
    """

    def __init__(self, client: PagedCaller, project: str) -> None:
        self._client = client
        self._base = f"/v1/projects/{path_part(project)}"

    async def preview(self, subject: ErasureSubject) -> ErasureCounts:
        """Count what an erasure would meet."""
        path, request = f"{self._base}/erasures/preview", PreviewRequest(subject=subject)
        return ErasureCounts.model_validate(await self._client.call("POST", path, request))

    async def order(self, request: ErasureRequest) -> Erasure:
        """Order an erasure."""
        return Erasure.model_validate(await self._client.call("POST", f"{self._base}/erasures", request))

    async def apply(self, erasure_id: UUID, *, retry: bool = False) -> Erasure:
        """Erase the next batch; the answer says whether anything waits still."""
        path = f"{self._base}/erasures/{erasure_id}/apply"
        answer = await self._client.call("POST", path, ApplyRequest(retry=retry), timeout_s=VERIFY_WITHIN_S)
        return Erasure.model_validate(answer)

    async def list(self) -> tuple[Erasure, ...]:
        """Return all erasures, newest first."""
        return await self._client.all_of(Erasure, f"{self._base}/erasures")

    async def get(self, erasure_id: UUID) -> Erasure:
        """Return an erasure with how far it is."""
        return Erasure.model_validate(await self._client.call("GET", f"{self._base}/erasures/{erasure_id}"))

    async def tombstone(self, sample_id: str, *, revision: int | None = None) -> Tombstone:
        """Return what stands in the place of an erased revision's content; the newest revision if none is named."""
        path = f"{self._base}/samples/{path_part(sample_id)}/tombstone"
        return Tombstone.model_validate(await self._client.call("GET", path, query={"revision": revision}))

    async def place_hold(self, hold: NewHold) -> LegalHold:
        """Place a legal hold."""
        return LegalHold.model_validate(await self._client.call("POST", f"{self._base}/legal-holds", hold))

    async def release_hold(self, hold_id: UUID) -> LegalHold:
        """Release a legal hold."""
        return LegalHold.model_validate(await self._client.call("POST", f"{self._base}/legal-holds/{hold_id}/release"))

    async def holds(self) -> tuple[LegalHold, ...]:
        """Return all legal holds, newest first."""
        return await self._client.all_of(LegalHold, f"{self._base}/legal-holds")

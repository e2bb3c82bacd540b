"""What ground truth rests on, and what rests on something, over the typed client."""

from __future__ import annotations

from infra.api_pages import Page, PagedCaller, path_part
from services.contracts.lineage import Dependent, DependentsSummary, Origin, VersionOfDependents


class RecallCalls:
    """What is called below ``/v1/projects/{project}/dependents``.

    Args:
        client: An open client.
        project: The project.
    """

    def __init__(self, client: PagedCaller, project: str) -> None:
        self._client = client
        self._base = f"/v1/projects/{path_part(project)}/dependents"

    async def page(self, origin: Origin, *, cursor: str | None = None, limit: int | None = None) -> Page[Dependent]:
        """Return a page of the committed records that rest on something."""
        return await self._client.page_of(
            Dependent, self._base, kind=origin.kind.value, key=origin.key, cursor=cursor, limit=limit
        )

    async def summary(self, origin: Origin) -> DependentsSummary:
        """Count all committed records that rest on something."""
        query = {"kind": origin.kind.value, "key": origin.key}
        return DependentsSummary.model_validate(await self._client.call("GET", f"{self._base}/summary", query=query))

    async def dataset_versions(
        self, origin: Origin, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[VersionOfDependents]:
        """Return a page of the dataset versions with records that rest on something."""
        path = f"{self._base}/dataset-versions"
        return await self._client.page_of(
            VersionOfDependents, path, kind=origin.kind.value, key=origin.key, cursor=cursor, limit=limit
        )

"""The datasets of a project, over the typed client."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from infra.api_calls import ApiProblem
from infra.api_pages import VERIFY_WITHIN_S, Page, PagedCaller, path_part
from services.contracts.canonical import parse_json
from services.contracts.dataset_diff import DiffSummary, SampleChange
from services.contracts.datasets import (
    Dataset,
    DatasetVersionView,
    DependentVersion,
    InclusionProof,
    MemberRecord,
    MemberView,
    NewDataset,
    NewVersion,
    Standing,
)
from services.progress import Tell, tell_nobody

_RECORDS_A_PAGE = 100


class DatasetCalls:
    """What is called below ``/v1/projects/{project}/datasets``.

    Args:
        client: An open client.
        project: The project.
    """

    def __init__(self, client: PagedCaller, project: str) -> None:
        self._client = client
        self._project = f"/v1/projects/{path_part(project)}"
        self._base = f"{self._project}/datasets"

    async def create(self, new: NewDataset) -> Dataset:
        """Define a dataset."""
        return Dataset.model_validate(await self._client.call("POST", self._base, new))

    async def list(self) -> tuple[Dataset, ...]:
        """Return all datasets of the project, by name."""
        return await self._client.all_of(Dataset, self._base)

    async def get(self, name: str) -> Dataset:
        """Return a dataset."""
        return Dataset.model_validate(await self._client.call("GET", f"{self._base}/{path_part(name)}"))

    async def of_sample(self, sample_id: str) -> tuple[DependentVersion, ...]:
        """Return every version that holds a record of a sample, with whether the record is still the newest."""
        return await self._client.all_of(DependentVersion, f"{self._project}/samples/{path_part(sample_id)}/datasets")

    async def make_version(self, name: str, new: NewVersion, *, tell: Tell = tell_nobody) -> DatasetVersionView:
        """Keep what is committed now as the next version; returns when it is kept, ``tell`` hears how far it is."""
        path = f"{self._base}/{path_part(name)}/versions"
        answer = await self._client.call_with_progress("POST", path, new, tell=tell)
        return DatasetVersionView.model_validate(answer)

    async def versions(self, name: str) -> tuple[DatasetVersionView, ...]:
        """Return all versions of a dataset, newest first."""
        return await self._client.all_of(DatasetVersionView, f"{self._base}/{path_part(name)}/versions")

    async def version(self, name: str, version: int) -> DatasetVersionView:
        """Return a version."""
        return DatasetVersionView.model_validate(await self._client.call("GET", self._version(name, version)))

    async def members(
        self, name: str, version: int, *, standing: Standing | None = None, split: str | None = None
    ) -> AsyncIterator[MemberView]:
        """Yield the members of a version, by sample id."""

        async def page(cursor: str | None) -> Page[MemberView]:
            path = f"{self._version(name, version)}/members"
            return await self._client.page_of(
                MemberView, path, standing=standing, split=split, cursor=cursor, limit=500
            )

        async for item in self._client.each(page):
            yield item

    async def proof(self, name: str, version: int, sample_id: str) -> InclusionProof:
        """Return the proof that a sample's record is in a version."""
        path = f"{self._version(name, version)}/members/{path_part(sample_id)}/proof"
        return InclusionProof.model_validate(await self._client.call("GET", path))

    async def records(
        self, name: str, version: int, *, split: str | None = None, cursor: str | None = None, limit: int | None = None
    ) -> Page[MemberRecord]:
        """Return a page of members with their records, by sample id."""
        path = f"{self._version(name, version)}/records"
        return await self._client.page_of(MemberRecord, path, split=split, cursor=cursor, limit=limit)

    async def all_records(self, name: str, version: int) -> AsyncIterator[MemberRecord]:
        """Yield all members with their records, by sample id."""

        async def page(cursor: str | None) -> Page[MemberRecord]:
            return await self.records(name, version, cursor=cursor, limit=_RECORDS_A_PAGE)

        async for item in self._client.each(page):
            yield item

    async def lines(
        self, name: str, version: int, *, split: str | None = None, after: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """Yield the records of a version as the lines of its JSON Lines export, by sample id, in one stream.

        A stream that breaks off is asked for again behind the last whole line, as long as each brings at least one.

        Args:
            name: The dataset.
            version: Its version.
            split: Only members of this split.
            after: Only members behind this sample.
        """
        while True:
            before = after
            try:
                async for line in self._client.lines(
                    f"{self._version(name, version)}/export", query={"split": split, "after": after}
                ):
                    record: dict[str, Any] = parse_json(line.encode())
                    yield record
                    after = record["sample_id"]
            except ApiProblem as problem:
                if problem.status or after == before:
                    raise
            else:
                return

    async def diff(self, name: str, versions: tuple[int, int]) -> AsyncIterator[SampleChange]:
        """Yield the samples that differ between two versions, by sample id."""

        async def page(cursor: str | None) -> Page[SampleChange]:
            path = f"{self._base}/{path_part(name)}/diff"
            query = {"from": versions[0], "to": versions[1], "cursor": cursor}
            return await self._client.page_of(SampleChange, path, **query)

        async for item in self._client.each(page):
            yield item

    async def summary(self, name: str, versions: tuple[int, int]) -> DiffSummary:
        """Return a diff, counted."""
        path = f"{self._base}/{path_part(name)}/diff/summary"
        query = {"from": versions[0], "to": versions[1]}
        return DiffSummary.model_validate(await self._client.call("GET", path, query=query, timeout_s=VERIFY_WITHIN_S))

    def _version(self, name: str, version: int) -> str:
        return f"{self._base}/{path_part(name)}/versions/{version}"

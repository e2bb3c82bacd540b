"""What is found by words, in all that a key may read."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from infra.api_pages import Page
from infra.client_taxonomies import TaxonomyCalls
from services.contracts.findings import Severity
from services.contracts.search import HitKind, SearchHit


class SearchCalls(TaxonomyCalls):
    """The part of the API that finds things."""

    async def search(
        self,
        words: str | None = None,
        *,
        kinds: Iterable[HitKind] = (),
        project: str | None = None,
        sample_id: str | None = None,
        actor: str | None = None,
        severity: Severity | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[SearchHit]:
        """Return a page of samples, findings, notes, tasks and people, newest first.

        Args:
            words: Beginnings of words, all of which must occur.
            kinds: Only these; all that the key may read if left out.
            project: Only what lies in it.
            sample_id: Only what is about this sample.
            actor: Only notes of this person.
            severity: Only findings of it.
            since: Only what came about then or later; with its time zone.
            until: Only what came about before; with its time zone.
            cursor: Of the page before.
            limit: Most of a page.
        """
        return await self.page_of(
            SearchHit,
            "/v1/search",
            q=words,
            kind=tuple(kind.value for kind in kinds),
            project=project,
            sample_id=sample_id,
            actor=actor,
            severity=severity,
            since=None if since is None else since.isoformat(),
            until=None if until is None else until.isoformat(),
            cursor=cursor,
            limit=limit,
        )

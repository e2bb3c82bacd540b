"""The store's search, as the product sees it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from services.contracts.search import SearchFilter, SearchHit


class SearchRepository(Protocol):
    """Finds what the store holds."""

    async def find(
        self, wanted: SearchFilter, *, before: tuple[datetime, int] | None, limit: int
    ) -> tuple[SearchHit, ...]:
        """Return what matches, newest first, by (at, entry) before the cursor."""
        ...

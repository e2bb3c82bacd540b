"""The store of known answers, as the product sees it. What people work with never reads it."""

from __future__ import annotations

from typing import Protocol

from services.contracts.quality import StoredGoldAnswer


class QualityRepository(Protocol):
    """Known answers."""

    async def put_gold(self, gold: StoredGoldAnswer) -> None:
        """Keep the known answer of a sample, or replace it."""
        ...

    async def drop_gold(self, project: str, sample_id: str) -> bool:
        """Forget a known answer; False if there is none."""
        ...

    async def gold(self, project: str, sample_ids: tuple[str, ...]) -> dict[str, StoredGoldAnswer]:
        """Return the known answers of these samples, by sample id."""
        ...

    async def list_gold(self, project: str, *, after: str | None, limit: int) -> tuple[StoredGoldAnswer, ...]:
        """Return known answers by sample id after the cursor."""
        ...

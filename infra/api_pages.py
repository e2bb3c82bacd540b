"""Lists of the HTTP API, page by page, and answers that may grow."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, TypeAdapter

from infra.api_calls import ApiCaller

Item = TypeVar("Item")
VERIFY_WITHIN_S = 3_600.0
"""For calls that read a whole project."""


class Answer(BaseModel):
    """What the API answers; members that this program does not know are left out."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Page(Answer, Generic[Item]):
    """A part of a list, and where the next part begins."""

    items: tuple[Item, ...]
    next_cursor: str | None = None


class PagedCaller(ApiCaller):
    """Calls that return lists."""

    async def each(self, page: Callable[[str | None], Awaitable[Page[Item]]]) -> AsyncIterator[Item]:
        """Yield every item of a list: ``client.each(lambda cursor: client.samples("p", cursor=cursor))``."""
        cursor: str | None = None
        while True:
            part = await page(cursor)
            for item in part.items:
                yield item
            cursor = part.next_cursor
            if cursor is None:
                return

    async def _object(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        answer: dict[str, Any] = await self.call(method, path, body)
        return answer

    async def page_of(self, kind: type[Item], path: str, /, **query: Any) -> Page[Item]:
        """Return a page of a list."""
        answer = await self.call("GET", path, query=query)
        items = TypeAdapter(tuple[kind, ...]).validate_python(answer["items"])  # type: ignore[valid-type]
        cursor = answer.get("next_cursor")
        return Page(items=items, next_cursor=None if cursor is None else str(cursor))

    async def all_of(self, kind: type[Item], path: str, /, **query: Any) -> tuple[Item, ...]:
        """Return every item of a list."""

        async def part(cursor: str | None) -> Page[Item]:
            return await self.page_of(kind, path, cursor=cursor, **query)

        return tuple([item async for item in self.each(part)])


def path_part(value: object) -> str:
    """Return a value as one part of a path."""
    return quote(str(value), safe="")

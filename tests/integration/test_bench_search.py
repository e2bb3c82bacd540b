"""The benchmark of the search on a small store: it fills what it says, and no page reads a table whole."""

from __future__ import annotations

from infra.bench.search import measure_in
from infra.stack.directory import StackUrls
from tests.databases import cloned_database


async def test_pages_of_a_filled_store_are_read_by_indexes(stack_urls: StackUrls) -> None:
    heard: list[str] = []
    async with cloned_database(stack_urls.database_url, "template0") as url:
        measured = await measure_in(url, 20_000, heard.append)
    assert (measured.tasks, measured.entries) == (20_000, 20_200)
    assert heard == ["20000 of 20000 tasks"]
    assert not measured.faulty, measured
    rows = {page.what: page.rows for page in measured.pages}
    assert rows["search: no words"] == rows["search: a word of every task"] == rows["list of tasks"] == 101
    assert rows["search: a word of one in 1,000"] == 20
    assert rows["search: a word of one task"] == 1
    assert all(page.indexes for page in measured.pages)

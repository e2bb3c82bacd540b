"""The benchmark of recall on a small store: it fills what it says, and no plan reads a table whole."""

from __future__ import annotations

from infra.bench.recall import measure_in
from infra.stack.directory import StackUrls
from tests.databases import cloned_database


async def test_recall_in_a_filled_store_is_answered_by_indexes(stack_urls: StackUrls) -> None:
    heard: list[str] = []
    async with cloned_database(stack_urls.database_url, "template0") as url:
        measured = await measure_in(url, 20_000, heard.append)
    assert (measured.records, measured.origins) == (20_000, 280_000)
    assert heard[0] == "20000 of 20000 records"
    assert {question.what: question.records for question in measured.questions} == {
        "one asset": 1,
        "a calibration": 200,
        "an annotator": 20,
        "a reviewer of every fourth": 5_000,
        "a model of every second": 10_000,
        "the rules of all": 20_000,
        "nobody": 0,
    }
    assert all(question.whole_tables == () for question in measured.questions), measured
    assert all(len(question.plans) == 3 for question in measured.questions)

"""A version as one stream of JSON Lines: the lines of the export, from any place on, also over a bad connection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from infra.client import ConcordClient
from infra.dataset_calls import DatasetCalls
from infra.datasets.export import ExportOptions, export_version
from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.canonical import parse_json
from services.contracts.datasets import NewDataset, NewVersion
from services.contracts.erasure import ErasureRequest, OfSamples
from services.datasets import lines as dataset_lines
from services.datasets.shelf import DatasetShelf
from services.erasure.desk import ErasureDesk
from tests.dataset_world import PROJECT, a_box, add_project, commit
from tests.review_world import ApiWorld, open_client, open_transport, principal, problem_code

pytestmark = pytest.mark.servers

BASE = f"/v1/projects/{PROJECT}/datasets/d/versions/1/export"
SAMPLES = 9
OWNER = principal("olga", Role.ADMIN)
ODD = "one\u2028line\u0085still"


@pytest.fixture
async def world(database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[ApiWorld]:
    """A version of nine records, read two at a time; a text in them has ends of lines that are none in JSON Lines."""
    monkeypatch.setattr(dataset_lines, "_RECORDS_A_PAGE", 2)
    await add_project(database)
    for number in range(SAMPLES):
        await commit(database, f"s{number}", [a_box(attributes={"note": ODD})])
    shelf = DatasetShelf(database)
    await shelf.create(OWNER, PROJECT, NewDataset(name="d"))
    await shelf.make_version(OWNER, PROJECT, "d", NewVersion())
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("vera", Role.VIEWER, PROJECT)
        await made.key("rita", Role.REVIEWER, PROJECT)
        await made.key("olga", Role.OPERATIONS, "elsewhere")
        yield made


async def streamed(world: ApiWorld, query: str = "") -> list[bytes]:
    answer = await world.call("vera", "GET", f"{BASE}?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-ndjson"), answer.text
    assert answer.headers["content-disposition"] == 'attachment; filename="d-1.jsonl"'
    return answer.content.split(b"\n")[:-1]


async def test_the_stream_has_the_lines_of_the_export_from_any_place_on(world: ApiWorld, tmp_path: Path) -> None:
    transport = open_transport(world.database)
    async with ConcordClient("http://concord.test", world.secrets["vera"], transport=transport) as client:
        calls = DatasetCalls(client, PROJECT)
        dataset, version = await calls.get("d"), await calls.version("d", 1)
        await export_version(calls, dataset, version, tmp_path, ExportOptions("jsonl", 3))
    files = sorted((tmp_path / "data").iterdir())
    exported = sorted(line for file in files for line in file.read_bytes().split(b"\n")[:-1])
    whole = await streamed(world)
    assert sorted(whole) == exported
    ids = [parse_json(line)["sample_id"] for line in whole]
    assert ids == [f"s{number}" for number in range(SAMPLES)]
    for number in range(SAMPLES):
        assert await streamed(world, f"after=s{number}") == whole[number + 1 :]
    train = [line for line in whole if parse_json(line)["split"] == "train"]
    assert await streamed(world, "split=train&format=jsonl") == train


async def test_what_is_not_there_or_not_seen_is_told_before_anything_is_sent(world: ApiWorld) -> None:
    for who, path, status, code in (
        ("vera", f"{BASE}?after=s99", 404, "not-found"),
        ("vera", BASE.replace("versions/1", "versions/2"), 404, "not-found"),
        ("vera", f"{BASE}?format=parquet", 422, "invalid-input"),
        ("olga", BASE, 404, "not-found"),
        ("rita", BASE, 403, "forbidden"),
    ):
        answer = await world.call(who, "GET", path)
        assert (answer.status_code, problem_code(answer)) == (status, code), path


async def test_erased_records_have_no_line(world: ApiWorld) -> None:
    admin = principal("ada", Role.ADMIN)
    erasures = ErasureDesk(world.database)
    request = ErasureRequest(subject=OfSamples(sample_ids=("s3",)), reason="asked for")
    await erasures.apply(admin, PROJECT, (await erasures.order(admin, PROJECT, request)).erasure_id)
    ids = [parse_json(line)["sample_id"] for line in await streamed(world)]
    assert ids == [f"s{number}" for number in range(SAMPLES) if number != 3]


class _BreaksOff(httpx.AsyncBaseTransport):
    """Loses every stream after some bytes."""

    def __init__(self, database: PostgresDatabase, after_bytes: int) -> None:
        self._inner = open_transport(database)
        self._after_bytes = after_bytes
        self.asked: list[str | None] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.params.get("after"))
        answer = await self._inner.handle_async_request(request)
        whole = await answer.aread()
        most = self._after_bytes

        async def cut() -> AsyncIterator[bytes]:
            yield whole[:most]
            if len(whole) > most:
                raise httpx.ReadError("the connection is lost", request=request)

        return httpx.Response(answer.status_code, headers=answer.headers, content=cut())


async def test_a_client_goes_on_behind_the_last_whole_line_where_the_connection_broke(world: ApiWorld) -> None:
    whole = [parse_json(line) for line in await streamed(world)]
    size = len((await streamed(world))[0])
    transport = _BreaksOff(world.database, int(size * 3.5))
    async with ConcordClient("http://concord.test", world.secrets["vera"], transport=transport) as client:
        found = [line async for line in client.datasets(PROJECT).lines("d", 1)]
    assert found == whole
    assert found[0]["body"]["annotations"][0]["attributes"]["note"] == ODD
    assert transport.asked == [None, "s2", "s5"]

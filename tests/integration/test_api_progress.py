"""Answers that take long tell how far they are, and are the plain answers at the end."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from infra.api_calls import ApiProblem
from infra.client import ConcordClient
from infra.dataset_calls import DatasetCalls
from infra.db.engine import PostgresDatabase
from services.contracts.datasets import NewDataset, NewVersion, Selection, SplitPolicy
from services.contracts.progress import Progress
from services.datasets.shelf import DatasetShelf
from tests.api_server import served
from tests.dataset_world import PROJECT, a_box, add_project, commit
from tests.integration.test_dataset_export import OPS, a_key
from tests.review_world import open_client

SAMPLES = 60


@pytest.fixture
async def store(database: PostgresDatabase) -> PostgresDatabase:
    await add_project(database)
    for number in range(SAMPLES):
        await commit(database, f"s{number:03}", [a_box()])
    await DatasetShelf(database).create(OPS, PROJECT, NewDataset(name="cars"))
    return database


@pytest.fixture
async def client(store: PostgresDatabase) -> AsyncIterator[ConcordClient]:
    secret = await a_key(store)
    async with served(store) as port, ConcordClient(f"http://127.0.0.1:{port}", secret) as client:
        yield client


async def test_making_a_version_tells_how_far_it_is_up_to_the_end(client: ConcordClient) -> None:
    heard: list[Progress] = []
    calls = DatasetCalls(client, PROJECT)
    version = await calls.make_version("cars", NewVersion(card_samples=20), tell=heard.append)
    assert version.content.samples == SAMPLES
    assert await calls.version("cars", 1) == version
    assert heard[-1] == Progress(phase="card", done=20, total=20)
    assert {(one.phase, one.total) for one in heard} <= {("records", SAMPLES), ("card", 20)}
    report_heard: list[Progress] = []
    report = await client.verify(PROJECT, tell=report_heard.append)
    assert report.verified
    assert report_heard[-1] == Progress(phase="datasets", done=SAMPLES, total=SAMPLES)
    assert report == await client.verify(PROJECT)


async def test_only_the_records_that_are_asked_for_are_counted(store: PostgresDatabase) -> None:
    heard: list[Progress] = []
    asked = Selection(sample_ids=("s000", "s001"))
    await DatasetShelf(store).make_version(
        OPS, PROJECT, "cars", NewVersion(selection=asked, card_samples=0), tell=heard.append
    )
    assert heard == [
        Progress(phase="records", done=0, total=2),
        Progress(phase="records", done=2, total=2),
        Progress(phase="card", done=0, total=0),
    ]


async def test_what_is_refused_while_it_streams_is_the_same_problem(client: ConcordClient) -> None:
    calls = DatasetCalls(client, PROJECT)
    by_drive = SplitPolicy.model_validate({"group_by": ["context.attributes.drive"]})
    await calls.create(NewDataset(name="drives", split=by_drive))
    with pytest.raises(ApiProblem) as caught:
        await calls.make_version("drives", NewVersion())
    assert (caught.value.code, caught.value.status) == ("invalid-input", 422)
    assert "has no context.attributes.drive" in caught.value.detail
    assert await calls.versions("drives") == ()
    with pytest.raises(ApiProblem) as caught:
        await calls.make_version("nothing", NewVersion())
    assert caught.value.code == "not-found"
    with pytest.raises(ApiProblem) as caught:
        await client.verify("nowhere")
    assert caught.value.code == "not-found"


class Broken(httpx.AsyncBaseTransport):
    """Loses the connection behind the first event of the first streams."""

    def __init__(self, inner: httpx.AsyncBaseTransport, times: int) -> None:
        self._inner = inner
        self.left = times
        self.keys: list[str] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        response = await self._inner.handle_async_request(request)
        if "text/event-stream" not in response.headers.get("Content-Type", ""):
            return response
        self.keys.append(request.headers["Idempotency-Key"])
        self.left -= 1
        if self.left < 0:
            return response
        # The service has done its work; its answer is lost on the way.
        await response.aread()
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=_Cut())


class _Cut(httpx.AsyncByteStream):
    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield b'event: progress\ndata: {"phase":"records","done":1,"total":2}\n\n'
        raise httpx.ReadError("gone")


async def test_a_stream_that_breaks_is_asked_for_again_and_one_version_is_made(store: PostgresDatabase) -> None:
    secret = await a_key(store)
    broken = Broken(open_client(store)._transport, times=2)
    async with ConcordClient("http://concord.test", secret, transport=broken) as client:
        calls = DatasetCalls(client, PROJECT)
        version = await calls.make_version("cars", NewVersion(card_samples=0))
        assert version.content.version == 1
        assert len(await calls.versions("cars")) == 1
    assert broken.left == -1
    assert len(set(broken.keys)) == 1


async def test_a_client_that_goes_away_leaves_nothing_half_done(store: PostgresDatabase) -> None:
    secret = await a_key(store)
    headers = {"Authorization": f"Bearer {secret}", "Accept": "text/event-stream"}
    async with served(store) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
        path = f"/v1/projects/{PROJECT}/datasets/cars/versions"
        async with http.stream("POST", path, headers=headers, json={}) as response:
            async for line in response.aiter_lines():
                if line == "event: progress":
                    break
        # The connection is closed; either the version was kept just before, or there is none of it.
        async with store.transaction() as tx:
            await tx.datasets.get(PROJECT, "cars", lock=True)
            newest = await tx.datasets.newest(PROJECT, "cars")
            assert await tx.datasets.count_members(PROJECT) == newest * SAMPLES
            assert await tx.datasets.dangling(PROJECT, limit=10) == []

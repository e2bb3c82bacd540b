"""Our side of the benchmark beside Label Studio: copies of one sample that the product itself has brought so far."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest

from api.app import create_app
from api.services import ApiServices
from infra.bench.label_studio.fill import copy_template, tidy
from infra.bench.label_studio.payload import IMAGE
from infra.bench.label_studio.sides import TEMPLATE, WORKED, Concord
from infra.client import ConcordClient
from infra.db.engine import PostgresDatabase
from infra.storage.assets import FileAssetReader
from infra.webhooks.http import WebhookHttp
from services.contracts.access import Role
from services.contracts.lifecycle import RevisionRef
from services.contracts.search import HitKind
from services.ground_truth.commit import commit_ground_truth
from services.intake.inbox import Inbox
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.desk import ReviewDesk
from services.rules.rule_set import DEFAULT_RULE_SET
from services.search.finder import Finder
from tests.committed import ChecksHere
from tests.integration.lifecycle_world import no_models, person
from tests.review_world import ApiWorld

pytestmark = pytest.mark.servers

TASKS = 1_000


@pytest.fixture
async def ours(database: PostgresDatabase, database_url: str, tmp_path: Path) -> AsyncIterator[Concord]:
    (tmp_path / IMAGE).write_bytes(b"an image")
    inbox = Inbox(database, FileAssetReader((tmp_path,), 1_000_000, 20.0))
    app = create_app(ApiServices(database, inbox, 1_000_000, WebhookHttp((), 20)))
    async with database.transaction() as tx:
        await tx.projects.add_rule_set(DEFAULT_RULE_SET)
    async with AsyncExitStack() as stack:

        async def client_of(key: str) -> ConcordClient:
            transport = httpx.ASGITransport(app=app)
            return await stack.enter_async_context(ConcordClient("http://concord.test", key, transport=transport))

        async with httpx.AsyncClient() as unused:
            key = await ApiWorld(database, unused).key("root", Role.ADMIN)
        yield Concord(await client_of(key), client_of, database_url)


async def test_copies_are_tasks_that_are_listed_claimed_and_end_as_ground_truth(
    ours: Concord, database: PostgresDatabase, database_url: str, tmp_path: Path
) -> None:
    assets = FileAssetReader((tmp_path,), 1_000_000, 20.0)
    template = RevisionRef(project=WORKED, sample_id=TEMPLATE, revision=1)

    async def prepare_template() -> None:
        async with asyncio.timeout(60):
            while True:
                async with database.transaction() as tx:
                    if await tx.samples.get(template) is not None:
                        break
                await asyncio.sleep(0.01)
        await prepare_sample(database, assets, no_models, template)

    await asyncio.gather(ours.open(), prepare_template())
    await copy_template(database_url, TASKS - 1, lambda _: None)
    await tidy(database_url)
    await ours.begin_work(TASKS)
    await ours.first_page()
    await ours.deep_page()
    olga = person("olga", Role.OPERATIONS)
    (queue,) = await ReviewDesk(database).queues(olga)
    assert (queue.project, queue.open) == (WORKED, TASKS)
    found = await Finder(database).find(olga, query="s-999", project=WORKED, limit=10)
    assert {HitKind.SAMPLE, HitKind.TASK} <= {hit.kind for hit in found}

    taken = [await ours.next_task() for _ in range(2)]
    assert [task["ref"]["sample_id"] for task in taken] == [TEMPLATE, "s-1"]
    for task in taken:
        await ours.submit(task)

    assert await ours.finished() == 2
    for task in taken:
        ref = RevisionRef.model_validate(task["ref"])
        await settle_review(database, ref)
        await check_alignment(database, ChecksHere(), ref)
        await commit_ground_truth(database, ref, workflow_run_id="run-1")

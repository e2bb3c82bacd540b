"""The heads of audit chains are told as events: at a distance, once, and each is a link that the chain has."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from infra.db.engine import PostgresDatabase
from services.access.keys import SYSTEM_PROJECT
from services.audit.telling import AnchorTeller
from services.audit.verify import verify_project
from services.contracts.project_events import AuditAnchored
from services.contracts.verification import Anchor
from tests.committed import committed_sample
from tests.intake_events import PROJECT, add_project

pytestmark = pytest.mark.servers

DAY_S = 86_400.0


async def told(database: PostgresDatabase) -> list[AuditAnchored]:
    async with database.transaction() as tx:
        messages = await tx.outbox.pending(("event",), limit=10_000)
    return [AuditAnchored.model_validate(item.body) for item in messages if item.event_type == AuditAnchored.TYPE]


async def a_day_later(database_url: str) -> None:
    connection = await asyncpg.connect(database_url)
    await connection.execute("UPDATE told_anchors SET told_at = told_at - interval '1 day'")
    await connection.close()


async def test_a_chain_is_told_of_once_a_day_if_it_has_grown(database: PostgresDatabase, database_url: str) -> None:
    await add_project(database)
    await add_project(database, "silent")
    await committed_sample(database, "s-1")
    tellers = [AnchorTeller(database, DAY_S) for _ in range(4)]
    await asyncio.gather(*(teller.step() for teller in tellers))
    assert [item.project for item in await told(database)] == [PROJECT]
    await a_day_later(database_url)
    assert not await tellers[0].step(), "a chain that has not grown has nothing new to be told"
    await committed_sample(database, "s-2")
    async with database.transaction() as tx:
        tx.audit.append(SYSTEM_PROJECT, actor="ann", action="test.done", subject="one", body={})
    for _ in range(2):
        await asyncio.gather(*(teller.step() for teller in tellers))
    await committed_sample(database, "s-3")
    await tellers[0].step()
    anchors = await told(database)
    assert sorted(item.project for item in anchors) == [PROJECT, PROJECT, SYSTEM_PROJECT]
    links = [Anchor(sequence=item.sequence, sha256=item.sha256) for item in anchors if item.project == PROJECT]
    assert links[0].sequence < links[1].sequence
    assert (await verify_project(database, PROJECT, anchors=links)).faults == ()
    forged = links[0].model_copy(update={"sha256": "ab" * 32})
    assert (await verify_project(database, PROJECT, anchors=[forged])).faults != ()

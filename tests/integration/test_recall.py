"""From what a record rests on back to the record: written with the commit, read by page, held against the lineage."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from alembic import command
from sqlalchemy.pool import NullPool

from infra.client import ApiProblem, ConcordClient
from infra.db.connect import create_engine
from infra.db.engine import PostgresDatabase
from infra.db.migrate import alembic_config, migrate
from services.access.keys import SYSTEM_PROJECT
from services.audit.verify import verify_project
from services.contracts.access import Role
from services.contracts.datasets import NewDataset, NewVersion
from services.contracts.erasure import ErasureRequest, OfSamples
from services.contracts.events import EventType
from services.contracts.lineage import Origin, OriginKind
from services.contracts.search import HitKind
from services.ground_truth.origins import origins_of
from services.intake.inbox import Inbox
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.committed import committed_sample
from tests.intake_events import PROJECT, NoAssets, add_project, structured
from tests.intake_events import event as an_event
from tests.intake_events import manifest as a_manifest
from tests.review_world import ApiWorld, open_client, problem_code

RULES = f"{DEFAULT_RULE_SET.id}@{DEFAULT_RULE_SET.version}"
BASE = f"/v1/projects/{PROJECT}/dependents"


async def replace_sample(database: PostgresDatabase, sample_id: str) -> None:
    update = structured(an_event(a_manifest(sample_id), EventType.SAMPLE_UPDATED, id=f"update-{sample_id}"))
    await Inbox(database, NoAssets()).receive(update, via="http", projects=None)


async def samples_of(database: PostgresDatabase, kind: OriginKind, key: str) -> list[str]:
    async with database.transaction() as tx:
        found = await tx.ground_truth.dependents(PROJECT, Origin(kind=kind, key=key), after=None, limit=100)
    return [one.ref.sample_id for one in found]


async def test_a_commit_is_found_from_everything_it_rests_on(database: PostgresDatabase) -> None:
    await add_project(database)
    records = [await committed_sample(database, name) for name in ("s-1", "s-2")]
    for record in records:
        origins = origins_of(record)
        assert {origin.kind for origin in origins} >= {
            OriginKind.EVENT,
            OriginKind.PERSON,
            OriginKind.RULE_SET,
            OriginKind.DECISION,
            OriginKind.LABEL_SET,
            OriginKind.WORKFLOW,
        }
        for origin in origins:
            assert record.ref.sample_id in await samples_of(database, origin.kind, origin.key)
    assert await samples_of(database, OriginKind.PERSON, "rex") == ["s-1", "s-2"]
    assert await samples_of(database, OriginKind.WORKFLOW, "run-s-2") == ["s-2"]
    assert await samples_of(database, OriginKind.PERSON, "nobody") == []


async def test_dependents_are_listed_counted_and_told_apart_over_http(database: PostgresDatabase) -> None:
    await add_project(database)
    for name in ("s-1", "s-2", "s-3"):
        await committed_sample(database, name)
    await replace_sample(database, "s-2")
    async with open_client(database) as http:
        world = ApiWorld(database, http)
        await world.key("vera", Role.VIEWER, PROJECT)
        await world.key("rita", Role.REVIEWER, PROJECT)
        await world.key("olga", Role.OPERATIONS, "elsewhere")
        wanted = f"kind=rule_set&key={RULES}"
        first = (await world.call("vera", "GET", f"{BASE}?{wanted}&limit=2")).json()
        rest = (await world.call("vera", "GET", f"{BASE}?{wanted}&limit=2&cursor={first['next_cursor']}")).json()
        listed = [(item["ref"]["sample_id"], item["stage"]) for item in first["items"] + rest["items"]]
        assert listed == [("s-1", "committed"), ("s-2", "reopened"), ("s-3", "committed")]
        assert rest["next_cursor"] is None
        summary = (await world.call("vera", "GET", f"{BASE}/summary?{wanted}")).json()
        assert summary == {
            "origin": {"kind": "rule_set", "key": RULES},
            "records": 3,
            "superseded": 1,
            "revisions": [{"revision": 1, "records": 3}],
        }
        nobody = (await world.call("vera", "GET", f"{BASE}/summary?kind=person&key=nobody")).json()
        assert (nobody["records"], nobody["superseded"], nobody["revisions"]) == (0, 0, [])
        for who, query, status in (
            ("vera", "kind=rumour&key=x", 422),
            ("vera", "kind=asset", 422),
            ("vera", "kind=asset&key=%00", 422),
            ("rita", wanted, 403),
            ("olga", wanted, 404),
        ):
            for path in (BASE, f"{BASE}/summary"):
                assert (await world.call(who, "GET", f"{path}?{query}")).status_code == status, (who, query)
        wrong = await world.call("vera", "GET", f"{BASE}?{wanted}&cursor=abc")
        assert problem_code(wrong) == "invalid-input"


async def test_records_of_the_old_schema_are_found_too(database: PostgresDatabase, database_url: str) -> None:
    await add_project(database)
    await committed_sample(database, "s-1")
    connection = await asyncpg.connect(database_url)
    try:
        query = "SELECT project, kind, key, sample_id, revision FROM ground_truth_origins ORDER BY 1, 2, 3, 4, 5"
        before = await connection.fetch(query)
        assert before
        engine = create_engine(database_url, poolclass=NullPool, statement_timeout_s=60)
        async with engine.begin() as migrating:
            await migrating.run_sync(lambda sync: command.downgrade(alembic_config(sync), "20261129_1310"))
        await engine.dispose()
        await migrate(database_url)
        assert await connection.fetch(query) == before
    finally:
        await connection.close()
    assert (await verify_project(database, PROJECT)).faults == ()


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("DELETE FROM ground_truth_origins WHERE sample_id = 's-1' AND kind = 'person'", {"origin-missing"}),
        ("DELETE FROM ground_truth_origins", {"origin-missing"}),
        ("UPDATE ground_truth_origins SET key = 'eve' WHERE key = 'rex'", {"origin-missing", "origin-stray"}),
        ("INSERT INTO ground_truth_origins VALUES ('calls', 'asset', 'x', 's-1', 1)", {"origin-stray"}),
        ("INSERT INTO ground_truth_origins VALUES ('calls', 'asset', 'x', 's-0', 1)", {"origin-stray"}),
        ("INSERT INTO ground_truth_origins VALUES ('calls', 'asset', 'x', 's-9', 1)", {"origin-stray"}),
        ("UPDATE ground_truth_origins SET kind = 'rumour' WHERE key = 'rex'", {"record-unreadable"}),
    ],
)
async def test_verify_finds_every_difference_between_origins_and_lineage(
    database: PostgresDatabase, database_url: str, statement: str, expected: set[str]
) -> None:
    await add_project(database)
    for name in ("s-1", "s-2"):
        await committed_sample(database, name)
    connection: asyncpg.Connection[Any] = await asyncpg.connect(database_url)
    try:
        with pytest.raises(asyncpg.PostgresError):
            await connection.execute("DELETE FROM ground_truth_origins")
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("ALTER TABLE ground_truth_origins DROP CONSTRAINT ck_ground_truth_origins_kind")
        await connection.execute(statement)
    finally:
        await connection.close()
    report = await verify_project(database, PROJECT)
    assert {item.kind for item in report.faults} == expected
    assert not report.lineage_verified
    assert (await verify_project(database, SYSTEM_PROJECT)).faults == ()


def client_of(world: ApiWorld, actor_id: str) -> ConcordClient:
    return ConcordClient("http://concord.test", world.secrets[actor_id], transport=world.http._transport)


async def test_dataset_versions_that_hold_such_records_are_listed(database: PostgresDatabase) -> None:
    await add_project(database)
    rules = Origin(kind=OriginKind.RULE_SET, key=RULES)
    async with open_client(database) as http:
        world = ApiWorld(database, http)
        await world.key("ada", Role.ADMIN)
        await world.key("rita", Role.REVIEWER, PROJECT)
        async with client_of(world, "ada") as client:
            datasets, recall = client.datasets(PROJECT), client.recall(PROJECT)
            await committed_sample(database, "s-1")
            for name in ("whole", "other"):
                await datasets.create(NewDataset(name=name))
            await datasets.make_version("whole", NewVersion())
            of_first = Origin(kind=OriginKind.WORKFLOW, key="run-s-1")
            of_second = Origin(kind=OriginKind.WORKFLOW, key="run-s-2")
            await committed_sample(database, "s-2")
            for name in ("whole", "other"):
                await datasets.make_version(name, NewVersion())
            await replace_sample(database, "s-2")

            async def versions(origin: Origin) -> list[tuple[str, int, int]]:
                first = await recall.dataset_versions(origin, limit=1)
                items = list(first.items)
                if first.next_cursor is not None:
                    items += (await recall.dataset_versions(origin, cursor=first.next_cursor)).items
                return [(one.dataset, one.version, one.records) for one in items]

            assert await versions(rules) == [("other", 1, 2), ("whole", 1, 1), ("whole", 2, 2)]
            assert await versions(of_first) == [("other", 1, 1), ("whole", 1, 1), ("whole", 2, 1)]
            assert await versions(of_second) == [("other", 1, 1), ("whole", 2, 1)], "a version keeps its revision"
            assert await versions(Origin(kind=OriginKind.PERSON, key="nobody")) == []
        async with client_of(world, "rita") as client:
            with pytest.raises(ApiProblem, match="permission"):
                await client.recall(PROJECT).dataset_versions(rules)


async def test_the_client_finds_by_words_and_reads_tombstones(database: PostgresDatabase) -> None:
    await add_project(database)
    record = await committed_sample(database, "visit-1")
    await committed_sample(database, "visit-2")
    async with open_client(database) as http:
        world = ApiWorld(database, http)
        await world.key("ada", Role.ADMIN)
        async with client_of(world, "ada") as client:
            kinds = (HitKind.SAMPLE, HitKind.FINDING)
            page = await client.search("visit", kinds=kinds, project=PROJECT, limit=1)
            rest = await client.search("visit", kinds=kinds, project=PROJECT, cursor=page.next_cursor)
            found = {(hit.kind, hit.subject) for hit in (*page.items, *rest.items)}
            assert {(HitKind.SAMPLE, "visit-1"), (HitKind.SAMPLE, "visit-2")} <= found
            assert {kind for kind, _ in found} <= set(kinds)
            since = record.committed_at + timedelta(days=1)
            assert (await client.search("visit", since=since)).items == ()
            assert (await client.search("visit", until=since)).items != ()

            calls = client.erasure(PROJECT)
            request = ErasureRequest(subject=OfSamples(sample_ids=("visit-1",)), reason="asked for")
            ordered = await calls.order(request)
            await calls.apply(ordered.erasure_id)
            for tombstone in (await calls.tombstone("visit-1"), await calls.tombstone("visit-1", revision=1)):
                assert (tombstone.ref, tombstone.erased_by) == (record.ref, "ada")
                assert tombstone.hashes.content == record.content_sha256
            with pytest.raises(ApiProblem) as refused:
                await calls.tombstone("visit-2")
            assert refused.value.code == "not-found"

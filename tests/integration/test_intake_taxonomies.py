"""Taxonomies that come in as events: accepted once, refused with every place, kept for replay."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from httpx import Response

from infra.db.engine import PostgresDatabase
from services.access.keys import SYSTEM_PROJECT
from services.contracts.access import Principal, Role
from services.contracts.events import EventType, TaxonomyReceipt
from services.contracts.project_events import TaxonomyAnnounced
from services.contracts.records import DeadLetter, ProjectConfig
from services.errors import (
    AlreadyExistsError,
    ConcordError,
    EventConflictError,
    ForbiddenError,
    InvalidInputError,
    LabelInUseError,
)
from services.intake.cloud_events import BATCH_TYPE, STRUCTURED_TYPE, EventMessage
from services.intake.inbox import Inbox
from services.lifecycle.outgoing import outgoing
from services.taxonomy.registry import TaxonomyRegistry
from tests.intake_events import PROJECT, NoAssets, add_project, created, event, structured, take_in
from tests.review_world import ApiWorld, open_client, problem_code
from tests.taxonomy_events import published, taxonomy

pytestmark = pytest.mark.servers

ADMIN = Principal(actor_id="ada", key_id="k", role=Role.ADMIN, projects=None)
OPERATOR = Principal(actor_id="op", key_id="k", role=Role.OPERATIONS, projects=None)
LOCAL = Principal(actor_id="lo", key_id="k", role=Role.OPERATIONS, projects=(PROJECT,))


@pytest.fixture
def inbox(database: PostgresDatabase) -> Inbox:
    return Inbox(database, NoAssets())


async def send(inbox: Inbox, message: EventMessage, projects: tuple[str, ...] | None = None) -> TaxonomyReceipt:
    receipt = await inbox.receive(message, via="http", projects=projects)
    assert isinstance(receipt, TaxonomyReceipt)
    return receipt


async def refused(inbox: Inbox, message: EventMessage, projects: tuple[str, ...] | None = None) -> ConcordError:
    with pytest.raises(ConcordError) as caught:
        await inbox.receive(message, via="http", projects=projects)
    return caught.value


async def versions(database: PostgresDatabase) -> list[tuple[int, str]]:
    return [(item.version, item.published_by) for item in await TaxonomyRegistry(database).list()]


async def letters(inbox: Inbox, principal: Principal = OPERATOR) -> tuple[DeadLetter, ...]:
    return await inbox.dead_letters(principal, after=None, limit=100)


async def announced(database: PostgresDatabase) -> list[dict[str, Any]]:
    async with database.transaction() as tx:
        waiting = await tx.outbox.pending(("event",), limit=1_000)
    return [message.body for message in waiting if message.event_type == TaxonomyAnnounced.TYPE]


async def test_a_taxonomy_is_published_once_however_often_it_is_sent(database: PostgresDatabase, inbox: Inbox) -> None:
    receipts = await asyncio.gather(*(send(inbox, published()) for _ in range(8)))
    assert sorted(receipt.outcome for receipt in receipts) == ["accepted"] + ["duplicate"] * 7
    assert {receipt.taxonomy for receipt in receipts} == {"av@1"}
    assert await versions(database) == [(1, "source:cameras-fleet-7")]
    async with database.transaction() as tx:
        entries = await tx.audit.list(SYSTEM_PROJECT, after=0, limit=10)
    assert [(entry.actor, entry.action) for entry in entries] == [("source:cameras-fleet-7", "taxonomy.published")]
    assert await letters(inbox) == ()


async def test_the_same_pair_with_another_taxonomy_is_refused(inbox: Inbox) -> None:
    await send(inbox, published())
    assert isinstance(await refused(inbox, published(1, "auto", event_id="av-1")), EventConflictError)
    [letter] = await letters(inbox)
    assert (letter.reason_code, letter.event_type) == ("event-conflict", EventType.TAXONOMY_PUBLISHED)


async def test_what_a_person_has_published_already_is_accepted_and_changes_nothing(
    database: PostgresDatabase, inbox: Inbox
) -> None:
    await send(inbox, published(event_id="a"))
    assert (await send(inbox, published(event_id="b"))).outcome == "accepted"
    assert isinstance(await refused(inbox, published(1, "tram", event_id="c")), AlreadyExistsError)
    assert len(await versions(database)) == 1


async def test_every_place_of_a_bad_taxonomy_is_named_where_it_stands_in_the_event(inbox: Inbox) -> None:
    bad = {"id": "av", "version": 0, "classes": [{"id": "a", "modalities": ["smell"]}, {}], "colour": "red"}
    error = await refused(inbox, structured(event(bad, EventType.TAXONOMY_PUBLISHED)))
    assert {place for place, _ in error.places} >= {
        "/data/version", "/data/classes/0/modalities/0", "/data/classes/1/id", "/data/colour",
    }  # fmt: skip
    twice = taxonomy(1, "car", "Car", "truck")
    twice["classes"][2]["synonyms"] = ["car"]
    error = await refused(inbox, structured(event(twice, EventType.TAXONOMY_PUBLISHED, id="e-2")))
    assert isinstance(error, InvalidInputError)
    assert len(error.places) >= 2
    assert {place.split("/")[1] for place, _ in error.places} == {"data"}
    assert [len(letter.places) for letter in await letters(inbox)] == [len(error.places), 4]


async def test_a_key_of_some_projects_may_not_publish_and_sees_nothing_of_it(
    database: PostgresDatabase, inbox: Inbox
) -> None:
    await add_project(database)
    assert isinstance(await refused(inbox, published(), projects=(PROJECT,)), ForbiddenError)
    assert await versions(database) == []
    [letter] = await letters(inbox)
    assert (letter.reason_code, letter.project) == ("forbidden", None)
    assert await letters(inbox, LOCAL) == ()
    with pytest.raises(ConcordError):
        await inbox.replay(letter.dead_letter_id, LOCAL)
    assert (await inbox.replay(letter.dead_letter_id, OPERATOR)).outcome == "accepted"
    assert await versions(database) == [(1, "source:cameras-fleet-7")]


async def test_a_class_in_use_can_not_vanish_and_the_version_is_replayed_when_it_is_no_longer(
    database: PostgresDatabase, inbox: Inbox
) -> None:
    await send(inbox, published(1, "greeting", "complaint"))
    await add_project(database, config=ProjectConfig(taxonomy="av@1"))
    await take_in(inbox, created())
    error = await refused(inbox, published(2, "complaint"))
    assert isinstance(error, LabelInUseError)
    assert {place for place, _ in error.places} == {"/data/steps"}
    [letter] = await letters(inbox)
    with pytest.raises(LabelInUseError):
        await inbox.replay(letter.dead_letter_id, OPERATOR)
    gone = {"project": PROJECT, "sample_id": "s-1", "reason": "a test drive"}
    await take_in(inbox, structured(event(gone, EventType.SAMPLE_WITHDRAWN, id="gone")))
    receipt = await inbox.replay(letter.dead_letter_id, OPERATOR)
    assert (receipt.outcome, receipt.traced) == ("accepted", {"taxonomy": "av@2"})
    assert (await inbox.replay(letter.dead_letter_id, OPERATOR)).outcome == "duplicate"
    assert [(item.reason_code, item.replay_outcome) for item in await letters(inbox)] == [("label-in-use", "duplicate")]
    assert [version for version, _ in await versions(database)] == [1, 2]


async def test_projects_that_go_by_the_taxonomy_are_told_of_a_version(database: PostgresDatabase, inbox: Inbox) -> None:
    await send(inbox, published(1))
    await add_project(database, "road", ProjectConfig(taxonomy="av@1"))
    await add_project(database, "hall")
    await send(inbox, published(2))
    [told] = await announced(database)
    assert (told["project"], told["taxonomy"], told["current"]) == ("road", "av@2", "av@1")
    async with database.transaction() as tx:
        [message] = [item for item in await tx.outbox.pending(("event",), limit=10) if item.subject]
    out = outgoing(message)
    assert (out.id, out.subject) == (
        "road/taxonomies/av/versions/2",
        "concord.events.road.concord.taxonomy.published.v1",
    )


async def test_versions_of_one_taxonomy_in_a_batch_keep_their_order(inbox: Inbox) -> None:
    arrivals = [await inbox.read(published(number), via="http", projects=None) for number in (1, 2)]
    assert len({arrival.lane(number) for number, arrival in enumerate(arrivals)}) == 1
    other = structured(event({"id": 5}, EventType.TAXONOMY_PUBLISHED, id="odd"))
    assert (await inbox.read(other, via="http", projects=None)).lane(7) == (7,)


async def test_over_http_keys_for_all_projects_publish_and_others_are_told_why_not(database: PostgresDatabase) -> None:
    await add_project(database)
    async with open_client(database) as http:
        world = ApiWorld(database, http)
        await world.key("upstream", Role.UPSTREAM)
        await world.key("local", Role.UPSTREAM, PROJECT)
        await world.key("rita", Role.REVIEWER)

        async def post(actor: str, content: bytes, media_type: str = STRUCTURED_TYPE) -> Response:
            return await world.call(actor, "POST", "/v1/events", content=content, headers={"Content-Type": media_type})

        for actor in ("local", "rita"):
            answer = await post(actor, published().body)
            assert (answer.status_code, problem_code(answer)) == (403, "forbidden")
        answer = await post("upstream", published().body)
        receipt = {"source": "/cameras/fleet-7", "id": "av-1", "outcome": "accepted", "taxonomy": "av@1"}
        assert (answer.status_code, answer.json()) == (202, receipt)
        batch = [
            json.loads(message.body) for message in (published(2), published(3, classes=[]), created(), published(2))
        ]
        answer = await post("upstream", json.dumps(batch).encode(), BATCH_TYPE)
        results = answer.json()["results"]
        assert answer.status_code == 207
        assert [result["outcome"] for result in results] == ["accepted", "refused", "accepted", "duplicate"]
        assert (results[0]["taxonomy"], results[2]["sample_id"]) == ("av@2", "s-1")
        assert results[1]["problem"]["places"][0]["pointer"] == "/data/classes"

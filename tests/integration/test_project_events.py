"""Events about projects: told in their transaction, in order per subject, over NATS and by webhooks alike."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import nats.errors
import pytest
from jsonschema import Draft202012Validator
from nats.aio.client import Client
from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from infra.messaging.nats import EVENTS_STREAM, ensure_streams, open_nats
from infra.messaging.relay import EventRelay
from services.contracts.access import Principal, Role
from services.contracts.datasets import NewDataset, NewVersion
from services.contracts.definition import ProjectDefinition
from services.contracts.erasure import ErasureRequest, OfPerson, OfSamples
from services.contracts.project_events import (
    AuditAnchored,
    DatasetVersioned,
    DefinitionApplied,
    ProjectEvent,
    RulesActivated,
    SubjectErased,
)
from services.contracts.records import Project
from services.contracts.rule_changes import ActivationRequest
from services.contracts.webhooks import DeliveryState
from services.datasets.shelf import DatasetShelf
from services.definitions.applying import ProjectDefinitions
from services.erasure import applying
from services.erasure.desk import ErasureDesk
from services.lifecycle.outgoing import OutgoingEvent, outgoing
from services.lifecycle.project_events import tell_project
from services.projects.registry import ProjectRegistry
from services.rule_changes.activation import activate
from services.rules.rule_set import DEFAULT_RULE_SET
from services.schemas import asyncapi_document, published_schema
from tests import dataset_world
from tests.http_server import http
from tests.integration.db_samples import PROJECT, put_project
from tests.integration.webhook_world import add_endpoint, deliveries_of, failing, sending, until_told, walk
from tests.nats_server import OwnNats, own_nats
from tests.webhook_receiver import Receiver, receiving

pytestmark = pytest.mark.servers

ADMIN = Principal(actor_id="ada", key_id="key-ada", role=Role.ADMIN, projects=None)
REASON = "asked for by Mrs. Miller"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[OwnNats]:
    async with own_nats(tmp_path) as running:
        yield running


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as opened:
        yield opened


async def anchor(database: PostgresDatabase, sequence: int, project: str = PROJECT) -> AuditAnchored:
    async with database.transaction() as tx:
        told = AuditAnchored(project=project, at=await tx.now(), sequence=sequence, sha256="ab" * 32)
        await tell_project(tx, told)
    return told


async def waiting(database: PostgresDatabase) -> list[OutgoingEvent]:
    async with database.transaction() as tx:
        return [outgoing(message) for message in await tx.outbox.pending(("event",), limit=1_000)]


async def told_of(database: PostgresDatabase, kind: type[ProjectEvent]) -> list[dict[str, Any]]:
    """The events of a type, each held against its published schemas."""
    found = [json.loads(event.body) for event in await waiting(database) if event.type == kind.TYPE]
    document = asyncapi_document()
    payload = {**document["components"]["messages"][kind.TYPE]["payload"], "components": document["components"]}
    for event in found:
        Draft202012Validator(payload).validate(event)
        Draft202012Validator(published_schema(_schema_name(kind))).validate(event["data"])
    return found


def _schema_name(kind: type[ProjectEvent]) -> str:
    return "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in kind.__name__).strip("-")


async def test_an_event_that_fails_holds_back_its_own_subject_only(database: PostgresDatabase) -> None:
    await put_project(database)
    for sequence in (1, 2):
        await anchor(database, sequence)
        await anchor(database, sequence, "other")
    await walk(database, "s1")
    async with database.transaction() as tx:
        first = (await tx.outbox.pending(("event",), limit=10))[0]
        await tx.outbox.mark_failed(first.message_id, "no stream")
    ids = [event.id for event in await waiting(database)]
    assert ids == ["other/audit/1", "other/audit/2", f"{PROJECT}/s1/1"]


async def test_the_relay_publishes_them_next_to_those_of_samples(database: PostgresDatabase, server: OwnNats) -> None:
    await put_project(database)
    await anchor(database, 1)
    await walk(database, "s1", steps=1)
    await anchor(database, 2)
    async with open_nats(server.url, name="test") as client:
        await ensure_streams(client)
        while await EventRelay(database, client).relay_once():
            pass
        js = client.jetstream()
        subscription = await js.subscribe("concord.events.>", ordered_consumer=True)
        count = (await js.stream_info(EVENTS_STREAM)).state.messages
        messages = [await subscription.next_msg(timeout=10) for _ in range(count)]
    anchors = [json.loads(message.data) for message in messages if "audit" in message.subject]
    assert [event["id"] for event in anchors] == [f"{PROJECT}/audit/1", f"{PROJECT}/audit/2"]
    assert len(messages) == 4
    assert anchors[0]["subject"] == "audit"
    assert anchors[0]["partitionkey"] == f"{PROJECT}/audit"
    assert {message.subject for message in messages} > {f"concord.events.{PROJECT}.concord.audit.anchored.v1"}
    assert await waiting(database) == []


async def test_webhooks_get_what_they_ask_for_in_order_and_in_the_same_envelope(
    database: PostgresDatabase, receiver: Receiver
) -> None:
    endpoint = await add_endpoint(database, receiver.url, event_types=(AuditAnchored.TYPE,))
    deaf = await add_endpoint(database, event_types=(DatasetVersioned.TYPE,))
    receiver.answer = failing(2, http(b"broken", "500 Internal Server Error"))
    for sequence in range(1, 6):
        await anchor(database, sequence)
    await anchor(database, 1, "other")
    await walk(database, "s1")
    envelopes = [event.body for event in await waiting(database) if event.id.startswith(f"{PROJECT}/audit/")]
    async with sending(database, receiver, senders=2):
        await until_told(database, endpoint)
    taken = [item.body for item in receiver.received]
    assert taken == [envelopes[0], envelopes[0], *envelopes]
    assert await deliveries_of(database, deaf) == []
    kept = await deliveries_of(database, endpoint)
    assert {(item.state, item.sample_id, item.subject) for item in kept} == {(DeliveryState.DELIVERED, None, "audit")}


async def test_a_dataset_version_is_told_with_its_root(database: PostgresDatabase) -> None:
    await dataset_world.add_project(database)
    await dataset_world.commit(database, "s1", [dataset_world.a_box()])
    shelf = DatasetShelf(database)
    await shelf.create(ADMIN, dataset_world.PROJECT, NewDataset(name="cars"))
    made = [await shelf.make_version(ADMIN, dataset_world.PROJECT, "cars", NewVersion()) for _ in range(2)]
    told = await told_of(database, DatasetVersioned)
    assert [event["id"] for event in told] == [f"own/datasets/cars/versions/{number}" for number in (1, 2)]
    data = told[0]["data"]
    assert (data["merkle_root"], data["manifest_sha256"]) == (
        made[0].content.merkle_root,
        made[0].manifest_sha256,
    )
    assert (data["samples"], data["labels"], sum(data["splits"].values())) == (1, 1, 1)


async def test_an_erasure_tells_what_is_gone_and_nothing_of_whom(
    database: PostgresDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "MAX_TOLD_REVISIONS", 2)
    await dataset_world.add_project(database)
    names = ("s1", "s2", "s3")
    for name in names:
        await dataset_world.commit(database, name, [dataset_world.a_box()])
    desk = ErasureDesk(database)
    request = ErasureRequest(subject=OfSamples(sample_ids=(*names, "s9")), reason=REASON)
    ordered = await desk.order(ADMIN, dataset_world.PROJECT, request)
    assert await told_of(database, SubjectErased) == []
    for _ in range(2):
        await desk.apply(ADMIN, dataset_world.PROJECT, ordered.erasure_id)
    told = await told_of(database, SubjectErased)
    assert [(event["data"]["part"], event["data"]["parts"]) for event in told] == [(1, 2), (2, 2)]
    gone = [ref["sample_id"] for event in told for ref in event["data"]["revisions"]]
    assert gone == [*names]
    assert {event["data"]["counts"]["erased"] for event in told} == {3}
    person = ErasureRequest(subject=OfPerson(actor_id="mrs-miller"), reason=REASON)
    for is_known in (False, True):
        if is_known:
            async with database.transaction() as tx:
                await tx.people.ensure(dataset_world.PROJECT, "mrs-miller")
        ordered = await desk.order(ADMIN, dataset_world.PROJECT, person)
        await desk.apply(ADMIN, dataset_world.PROJECT, ordered.erasure_id)
        assert len(await told_of(database, SubjectErased)) == 2 + is_known, "where nothing was there, nothing is told"
    [*_, last] = await told_of(database, SubjectErased)
    assert (last["data"]["kind"], last["data"]["revisions"]) == ("person", [])
    assert "iller" not in json.dumps([*told, last])


async def test_other_rules_are_told_once(database: PostgresDatabase) -> None:
    registry = ProjectRegistry(database)
    rules = DEFAULT_RULE_SET.model_copy(update={"id": "own", "version": 1})
    await registry.add_rule_set(ADMIN, rules)
    project = Project(id="own", name="Own")
    await registry.create(ADMIN, project)
    for reference in (rules.reference, rules.reference, DEFAULT_RULE_SET.reference):
        await activate(database, ADMIN, "own", ActivationRequest(rule_set=reference))
    told = await told_of(database, RulesActivated)
    ways = [(event["data"]["before"]["id"], event["data"]["rule_set"]["id"]) for event in told]
    assert ways == [("default", "own"), ("own", "default")]
    assert len({event["id"] for event in told}) == 2


async def test_a_definition_is_told_when_it_was_applied_and_taken_back(database: PostgresDatabase) -> None:
    definitions = ProjectDefinitions(database)
    first = ProjectDefinition.model_validate({"id": "own", "name": "Own", "streams": [{"modality": "lidar"}]})
    await definitions.apply(ADMIN, first)
    await definitions.apply(ADMIN, first)
    await definitions.apply(ADMIN, ProjectDefinition(id="own", name="Own", purpose="Brake."))
    await definitions.revert(ADMIN, "own", 1)
    told = [event["data"] for event in await told_of(database, DefinitionApplied)]
    assert [(data["version"], data["origin"], data.get("reverts_to")) for data in told] == [
        (1, "applied", None),
        (2, "applied", None),
        (3, "reverted", 1),
    ]
    assert all(data["changes"] > 0 for data in told)
    rules = [event["data"]["rule_set"] for event in await told_of(database, RulesActivated)]
    assert rules == [{"id": "default", "version": 1}, {"id": "own", "version": 2}]


async def test_an_event_that_the_server_refuses_is_not_overtaken_by_the_next_of_its_subject(
    database: PostgresDatabase, server: OwnNats
) -> None:
    await put_project(database)
    for sequence in (1, 2):
        for project in (PROJECT, "other"):
            await anchor(database, sequence, project)
    async with open_nats(server.url, name="test") as client:
        await ensure_streams(client)
        refusing = _Refusing(client.jetstream(), f'"id":"{PROJECT}/audit/1"'.encode())
        assert await EventRelay(database, cast("Client", refusing)).relay_once()
        assert refusing.stored == ["other/audit/1", "other/audit/2"]
        assert [event.id for event in await waiting(database)] == [], "both wait: the first for its pause to end"
        refusing.refused = b"nothing"
        await _end_pauses(database)
        assert await EventRelay(database, cast("Client", refusing)).relay_once()
    assert refusing.stored[2:] == [f"{PROJECT}/audit/1", f"{PROJECT}/audit/2"]


class _Refusing:
    """A connection whose stream refuses one event."""

    def __init__(self, stream: Any, refused: bytes) -> None:
        self._stream = stream
        self.refused = refused
        self.stored: list[str] = []

    def jetstream(self) -> _Refusing:
        return self

    async def publish(self, subject: str, payload: bytes, **options: Any) -> Any:
        if self.refused in payload:
            raise nats.errors.MaxPayloadError
        answer = await self._stream.publish(subject, payload, **options)
        self.stored.append(json.loads(payload)["id"])
        return answer


async def _end_pauses(database: PostgresDatabase) -> None:
    async with database._engine.begin() as connection:
        await connection.execute(
            text("UPDATE outbox SET next_attempt_at = clock_timestamp() WHERE published_at IS NULL")
        )

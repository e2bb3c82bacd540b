"""Incidents over HTTP, with the client that the command line uses."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from api.app import create_app
from api.services import ApiServices
from infra.client import ApiProblem, ConcordClient
from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.incidents import DismissRequest, FixRequest, IncidentState, MemberState, TimeCorrection
from services.intake.inbox import Inbox
from services.ports.checks import CheckRunner
from tests.intake_events import NoAssets
from tests.integration.incident_world import SHARED_RULES, IncidentWorld, keep_checked
from tests.integration.lifecycle_world import PROJECT
from tests.review_world import ApiWorld, problem_code


def http_of(world: IncidentWorld, runner: CheckRunner | None) -> httpx.AsyncClient:
    services = ApiServices(database=world.database, inbox=Inbox(world.database, NoAssets()), runner=runner)
    transport = httpx.ASGITransport(app=create_app(services), raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://concord.test")


@pytest.fixture
async def world(database: PostgresDatabase) -> IncidentWorld:
    world = IncidentWorld(database)
    await world.open_project(SHARED_RULES)
    for number in range(5):
        await keep_checked(world, f"s-{number}", 1.5 + 0.01 * number, SHARED_RULES)
    return world


@pytest.fixture
async def api(world: IncidentWorld) -> AsyncIterator[ApiWorld]:
    async with http_of(world, world.shared) as http:
        made = ApiWorld(world.database, http)
        await made.key("olga", Role.OPERATIONS, PROJECT)
        await made.key("vic", Role.VIEWER, PROJECT)
        yield made


def client_of(api: ApiWorld, actor_id: str) -> ConcordClient:
    return ConcordClient("http://concord.test", api.secrets[actor_id], transport=api.http._transport)


async def test_an_incident_from_the_list_to_its_fix(api: ApiWorld, world: IncidentWorld) -> None:
    async with client_of(api, "olga") as client:
        (listed,) = (await client.incidents(PROJECT, state=IncidentState.OPEN)).items
        assert (await client.incidents(PROJECT, state=IncidentState.CLOSED)).items == ()
        incident_id = listed.incident.incident_id
        assert await client.incident(PROJECT, incident_id) == listed
        pages = client.each(lambda cursor: client.incident_samples(PROJECT, incident_id, cursor=cursor, limit=2))
        assert [member.ref.sample_id async for member in pages] == [f"s-{number}" for number in range(5)]
        spot_checks = await client.incident_samples(PROJECT, incident_id, spot_checks=True)
        assert len(spot_checks.items) == 2
        with pytest.raises(ApiProblem, match="not previewed") as refused:
            await client.fix_incident(PROJECT, incident_id, FixRequest())
        assert (refused.value.status, refused.value.code) == (409, "incident-conflict")
        preview = await client.preview_fix(PROJECT, incident_id, FixRequest())
        assert (preview.explained, preview.sufficient) == (2, True)
        assert (await client.incident(PROJECT, incident_id)).incident.state is IncidentState.OPEN
        ordered = await client.fix_incident(PROJECT, incident_id, FixRequest(correction=preview.correction))
        assert (ordered.incident.state, ordered.progress.ordered) == (IncidentState.FIXING, 5)
        await world.pump()
        done = await client.incident(PROJECT, incident_id)
        assert (done.incident.state, done.share_checked) == (IncidentState.CLOSED, 1.0)
        explained = await client.incident_samples(PROJECT, incident_id, state=MemberState.EXPLAINED)
        assert {member.label_version for member in explained.items} == {2}


async def test_a_fix_sent_twice_with_one_key_is_ordered_once(api: ApiWorld, world: IncidentWorld) -> None:
    (incident,) = await world.all_incidents()
    path = f"/v1/projects/{PROJECT}/incidents/{incident.incident_id}/fix"
    correction = TimeCorrection(offset_s=-1.52).model_dump()
    assert (await api.call("olga", "POST", path, {"dry_run": True, "correction": correction})).status_code == 200
    headers = {"Idempotency-Key": "fix-1"}
    first = await api.call("olga", "POST", path, {"correction": correction}, headers=headers)
    await world.pump()
    second = await api.call("olga", "POST", path, {"correction": correction}, headers=headers)
    assert (first.status_code, second.status_code) == (200, 200)
    assert first.content == second.content, "byte for byte, though the incident has gone on meanwhile"
    assert (await world.actions()).count("incident.fix_ordered") == 1


async def test_a_dismissal_says_why(api: ApiWorld, world: IncidentWorld) -> None:
    (incident,) = await world.all_incidents()
    async with client_of(api, "olga") as client:
        given = DismissRequest(reason_code="not_a_fault", note="The jingle is cut.")
        told = await client.dismiss_incident(PROJECT, incident.incident_id, given)
        assert (told.incident.state, told.incident.reason_code) == (IncidentState.DISMISSED, "not_a_fault")
        assert told.incident.closed_by == "olga"
        with pytest.raises(ApiProblem, match="only an open one"):
            await client.preview_fix(PROJECT, incident.incident_id, FixRequest())


async def test_who_reads_does_not_fix_and_what_is_not_there_is_not_found(api: ApiWorld, world: IncidentWorld) -> None:
    (incident,) = await world.all_incidents()
    base = f"/v1/projects/{PROJECT}/incidents"
    assert (await api.call("vic", "GET", f"{base}/{incident.incident_id}")).status_code == 200
    for part, body in (("fix", {}), ("dismiss", {"reason_code": "x"})):
        answer = await api.call("vic", "POST", f"{base}/{incident.incident_id}/{part}", body)
        assert (answer.status_code, problem_code(answer)) == (403, "forbidden")
    answer = await api.call("olga", "GET", f"{base}/{uuid4()}")
    assert (answer.status_code, problem_code(answer)) == (404, "not-found")
    both = {"kind": "calibration", "sensor": "cam", "turned": {"yaw_deg": 1}, "calibration": {}}
    answer = await api.call("olga", "POST", f"{base}/{incident.incident_id}/fix", {"correction": both})
    assert (answer.status_code, problem_code(answer)) == (422, "invalid-input")
    assert "one of the two" in answer.json()["detail"]


async def test_a_server_without_checks_says_so(world: IncidentWorld) -> None:
    (incident,) = await world.all_incidents()
    async with http_of(world, None) as http:
        bare = ApiWorld(world.database, http)
        await bare.key("olga", Role.OPERATIONS)
        path = f"/v1/projects/{PROJECT}/incidents/{incident.incident_id}/fix"
        answer = await bare.call("olga", "POST", path, {"dry_run": True})
        assert (answer.status_code, problem_code(answer)) == (503, "unavailable")

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.webhooks import MAX_ENDPOINTS, DeliveryState, NextStep, WebhookAttempt
from services.webhooks.registry import record_attempt
from tests.review_world import OTHER, OWN, ApiWorld, add_projects, add_sample, open_client, problem_code

BASE = f"/v1/projects/{OWN}/webhooks"
URL = "https://hooks.example/concord?token=hidden"


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database, webhook_hosts=("hooks.example", "10.1.2.3:8443")) as http:
        made = ApiWorld(database, http)
        await made.key("root", Role.ADMIN)
        await made.key("ops", Role.OPERATIONS, OWN)
        yield made


async def create(world: ApiWorld, **settings: Any) -> dict[str, Any]:
    response = await world.call("root", "POST", BASE, {"url": URL, **settings})
    assert response.status_code == 201, response.text
    made: dict[str, Any] = response.json()
    return made


async def deliver(world: ApiWorld, step: NextStep, **attempt: Any) -> list[UUID]:
    """Let a sender's claims end so."""
    async with world.database.transaction() as tx:
        claimed = await tx.webhooks.claim(limit=100, per_endpoint=100, lease_s=60)
        for item in claimed:
            await tx.webhooks.endpoint(item.project, item.endpoint_id, lock=True)
            log = WebhookAttempt(number=item.fence, started_at=item.claimed_at, latency_ms=2.5, **attempt)
            assert await record_attempt(tx, item, log, step)
    return [item.delivery_id for item in claimed]


async def get(world: ApiWorld, path: str) -> Any:
    response = await world.call("ops", "GET", f"{BASE}{path}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_secret_is_told_with_the_creation_and_never_again(world: ApiWorld) -> None:
    made = await create(world, event_types=["concord.sample.committed.v1"], description="training")
    webhook, secret = made["webhook"], made["secret"]
    assert secret.startswith("whsec_")
    assert (webhook["state"], webhook["version"], webhook["failures"]) == ("active", 1, 0)
    path = f"/{webhook['endpoint_id']}"
    listed = await get(world, "")
    assert listed == {"items": [webhook], "next_cursor": None}
    response = await world.call("ops", "GET", f"{BASE}{path}")
    assert response.json() == webhook
    assert response.headers["ETag"] == '"1"'
    trail = (await world.call("ops", "GET", f"/v1/projects/{OWN}/audit")).text
    assert "webhook.created" in trail
    assert secret not in trail
    assert "token=hidden" not in trail


async def test_repeated_creation_makes_one_endpoint_and_tells_no_secret_twice(world: ApiWorld) -> None:
    headers = {"Idempotency-Key": "make-1"}
    first = await world.call("root", "POST", BASE, {"url": URL}, headers=headers)
    again = await world.call("root", "POST", BASE, {"url": URL}, headers=headers)
    assert first.status_code == 201
    assert (again.status_code, problem_code(again)) == (409, "secret-told")
    assert again.json()["endpoint_id"] == first.json()["webhook"]["endpoint_id"]
    assert first.json()["secret"] not in again.text
    assert len((await get(world, ""))["items"]) == 1
    rotate = f"{BASE}/{again.json()['endpoint_id']}/rotate"
    turned = await world.call("root", "POST", rotate, {"overlap_s": 60}, headers={"Idempotency-Key": "turn-1"})
    repeated = await world.call("root", "POST", rotate, {"overlap_s": 60}, headers={"Idempotency-Key": "turn-1"})
    assert turned.json()["secret"] != first.json()["secret"]
    assert "old_secret_until" in turned.json()["webhook"]
    assert problem_code(repeated) == "secret-told"
    assert (await get(world, ""))["items"][0]["version"] == 2


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("https://other.example/", "not among the allowed hosts"),
        ("http://hooks.example/", "use https:"),
        ("https://127.0.0.1/", "not among the allowed hosts"),
        ("https://10.1.2.3/", "not among the allowed hosts"),
        ("https://user@hooks.example/", "user name"),
        ("https://hooks.example@127.0.0.1/", "user name"),
        ("ftp://hooks.example/", "must begin with"),
        ("https://hooks.example/#x", "fragment"),
        ("https://0x7f.1/", "plain name"),
    ],
)
async def test_address_that_may_not_be_told_is_refused_at_once(world: ApiWorld, url: str, hint: str) -> None:
    made = await create(world)
    for method, path in (("POST", BASE), ("PUT", f"{BASE}/{made['webhook']['endpoint_id']}")):
        response = await world.call("root", method, path, {"url": url})
        assert (response.status_code, problem_code(response)) == (422, "invalid-input")
        assert response.json()["places"][0]["pointer"] == "/url"
        assert hint in response.json()["detail"]


async def test_without_a_list_of_hosts_there_are_no_webhooks(database: PostgresDatabase) -> None:
    await add_projects(database)
    async with open_client(database) as http:
        world = ApiWorld(database, http)
        await world.key("root", Role.ADMIN)
        response = await world.call("root", "POST", BASE, {"url": URL})
    assert problem_code(response) == "invalid-input"
    assert "CONCORD_WEBHOOK_HOSTS" in response.json()["detail"]


async def test_unknown_event_type_is_refused_with_the_known_ones(world: ApiWorld) -> None:
    response = await world.call("root", "POST", BASE, {"url": URL, "event_types": ["concord.sample.approved.v1"]})
    assert problem_code(response) == "invalid-input"
    assert response.json()["places"][0]["pointer"] == "/event_types/0"
    assert "concord.sample.committed.v1" in response.json()["detail"]


async def test_change_from_a_stale_version_is_refused(world: ApiWorld) -> None:
    path = f"{BASE}/{(await create(world))['webhook']['endpoint_id']}"
    changed = await world.call("root", "PUT", path, {"url": URL, "description": "a"}, headers={"If-Match": '"1"'})
    assert (changed.status_code, changed.headers["ETag"]) == (200, '"2"')
    late = await world.call("root", "PUT", path, {"url": URL, "description": "b"}, headers={"If-Match": '"1"'})
    assert (late.status_code, problem_code(late)) == (412, "changed-meanwhile")
    weak = await world.call("root", "PUT", path, {"url": URL}, headers={"If-Match": 'W/"2"'})
    assert problem_code(weak) == "changed-meanwhile"
    same = await world.call("root", "PUT", path, {"url": URL, "description": "a"}, headers={"If-Match": "*"})
    assert same.json()["version"] == 2, "nothing changed"


async def test_deliveries_are_listed_with_their_attempts_and_begun_again(world: ApiWorld) -> None:
    endpoint = (await create(world))["webhook"]["endpoint_id"]
    await add_sample(world.database, "s1")
    failed = NextStep(delivery=DeliveryState.FAILED)
    for _ in range(4):
        await deliver(world, failed, status=500, error="HTTP status 500", excerpt="oh no")
    page = await get(world, f"/{endpoint}/deliveries?limit=3")
    rest = await get(world, f"/{endpoint}/deliveries?limit=3&cursor={page['next_cursor']}")
    assert [item["event_id"] for item in page["items"] + rest["items"]] == [f"{OWN}/s1/{n}" for n in (4, 3, 2, 1)]
    assert rest["next_cursor"] is None
    oldest = rest["items"][0]
    log = await get(world, f"/{endpoint}/deliveries/{oldest['delivery_id']}")
    assert log["delivery"] == oldest
    [attempt] = log["attempts"]
    assert {**attempt, "started_at": None} == {
        "number": 1, "started_at": None, "latency_ms": 2.5, "status": 500, "error": "HTTP status 500",
        "excerpt": "oh no",
    }  # fmt: skip

    again = await world.call("ops", "POST", f"{BASE}/{endpoint}/deliveries/{oldest['delivery_id']}/redeliver")
    assert (again.status_code, again.json()["state"], again.json()["attempts"]) == (202, "waiting", 0)
    assert again.json()["webhook_id"] == oldest["webhook_id"]
    assert len((await get(world, f"/{endpoint}/deliveries?state=failed"))["items"]) == 3
    body = {"since": "2026-01-01T00:00:00Z"}
    begun = await world.call("ops", "POST", f"{BASE}/{endpoint}/redeliver", body)
    assert (begun.status_code, begun.json()) == (202, {"count": 3, "more": False})
    assert [item["state"] for item in (await get(world, f"/{endpoint}/deliveries"))["items"]] == ["waiting"] * 4
    turned = await world.call("ops", "POST", f"{BASE}/{endpoint}/redeliver", {**body, "until": body["since"]})
    assert problem_code(turned) == "invalid-input"
    assert turned.json()["places"][0]["pointer"] == "/until"


async def test_ping_is_a_delivery_of_its_own_and_repeats_with_its_key(world: ApiWorld) -> None:
    endpoint = (await create(world))["webhook"]["endpoint_id"]
    headers = {"Idempotency-Key": "ping-1"}
    first = await world.call("ops", "POST", f"{BASE}/{endpoint}/ping", headers=headers)
    again = await world.call("ops", "POST", f"{BASE}/{endpoint}/ping", headers=headers)
    assert first.status_code == again.status_code == 202
    assert first.content == again.content
    async with world.database.transaction() as tx:
        [claimed] = await tx.webhooks.claim(limit=10, per_endpoint=10, lease_s=1)
    assert claimed.body is not None
    assert (claimed.body["type"], claimed.body["source"]) == ("concord.webhook.ping.v1", "/concord")
    assert claimed.body["data"]["actor"] == "ops"
    assert claimed.body["id"] == first.json()["event_id"]


async def test_disabled_endpoint_sends_nothing_until_it_is_enabled(world: ApiWorld) -> None:
    endpoint = (await create(world))["webhook"]["endpoint_id"]
    await add_sample(world.database, "s1")
    disabled = await world.call("root", "POST", f"{BASE}/{endpoint}/disable")
    assert (disabled.json()["state"], disabled.json()["reason"]) == ("disabled", "Disabled by root.")
    assert (await world.call("root", "POST", f"{BASE}/{endpoint}/disable")).json() == disabled.json()
    deliveries = (await get(world, f"/{endpoint}/deliveries"))["items"]
    assert {item["state"] for item in deliveries} == {"cancelled"}
    refused = [
        await world.call("ops", "POST", f"{BASE}/{endpoint}/ping"),
        await world.call("ops", "POST", f"{BASE}/{endpoint}/deliveries/{deliveries[0]['delivery_id']}/redeliver"),
        await world.call("ops", "POST", f"{BASE}/{endpoint}/redeliver", {"since": "2026-01-01T00:00:00Z"}),
    ]
    for response in refused:
        assert problem_code(response) == "invalid-input"
        assert "enable it" in response.json()["detail"]
    enabled = await world.call("root", "POST", f"{BASE}/{endpoint}/enable")
    assert enabled.json()["state"] == "active"
    assert "reason" not in enabled.json()
    trail = (await world.call("ops", "GET", f"/v1/projects/{OWN}/audit")).json()["items"]
    actions = [entry["action"] for entry in trail if entry["subject"] == f"webhooks/{endpoint}"]
    assert actions == ["webhook.created", "webhook.disabled", "webhook.enabled"]


async def test_endpoint_of_another_project_or_none_reads_like_none(world: ApiWorld) -> None:
    endpoint = (await create(world))["webhook"]["endpoint_id"]
    elsewhere = [
        await world.call("root", "GET", f"/v1/projects/{OTHER}/webhooks/{endpoint}"),
        await world.call("root", "GET", f"{BASE}/{uuid4()}"),
        await world.call("root", "GET", f"{BASE}/{endpoint}/deliveries/{uuid4()}"),
        await world.call("root", "GET", f"{BASE}/no-uuid"),
        await world.call("ops", "GET", f"/v1/projects/{OTHER}/webhooks"),
    ]
    assert {problem_code(response) for response in elsewhere} == {"not-found"}


async def test_project_has_only_so_many(world: ApiWorld) -> None:
    for _ in range(MAX_ENDPOINTS):
        await create(world)
    response: httpx.Response = await world.call("root", "POST", BASE, {"url": URL})
    assert problem_code(response) == "already-exists"
    page = await get(world, "?limit=60")
    rest = await get(world, f"?limit=60&cursor={page['next_cursor']}")
    assert (len(page["items"]), len(rest["items"])) == (60, 40)

"""Audit filters, anchors, erasure and legal holds over HTTP: what is answered, and to whom."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from tests.committed import committed_sample
from tests.intake_events import PROJECT, add_project
from tests.review_world import ApiWorld, open_client, problem_code

BASE = f"/v1/projects/{PROJECT}"
ORDER = {"subject": {"kind": "samples", "sample_ids": ["s-1"]}, "reason": "asked for"}


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_project(database)
    for name in ("s-1", "s-2"):
        await committed_sample(database, name)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("root", Role.ADMIN)
        await made.key("ops", Role.OPERATIONS, PROJECT)
        await made.key("vera", Role.VIEWER, PROJECT)
        await made.key("rita", Role.REVIEWER, PROJECT)
        await made.key("olga", Role.ADMIN, "elsewhere")
        yield made


async def got(world: ApiWorld, path: str, who: str = "root") -> Any:
    response = await world.call(who, "GET", f"{BASE}{path}")
    assert response.status_code == 200, response.text
    return response.json()


async def test_audit_is_filtered_by_who_what_about_what_and_when(world: ApiWorld) -> None:
    every = (await got(world, "/audit?limit=500"))["items"]
    by_rex = (await got(world, "/audit?actor=rex"))["items"]
    assert by_rex == [entry for entry in every if entry["actor"] == "rex"] != []
    committed = (await got(world, "/audit?action=sample.committed&subject=samples/s-2/revisions/1"))["items"]
    assert [entry["subject"] for entry in committed] == ["samples/s-2/revisions/1"]
    at = committed[0]["at"]
    since = (await got(world, f"/audit?since={at}&limit=500"))["items"]
    until = (await got(world, f"/audit?until={at}&limit=500"))["items"]
    assert sorted(entry["sequence"] for entry in since + until) == [entry["sequence"] for entry in every]
    assert all(entry["at"] >= at for entry in since)
    first = await got(world, "/audit?action=task.opened&limit=1")
    rest = await got(world, f"/audit?action=task.opened&limit=1&cursor={first['next_cursor']}")
    assert first["items"][0]["sequence"] < rest["items"][0]["sequence"]
    for query in ("since=yesterday", "actor=a%20b", "action="):
        assert (await world.call("root", "GET", f"{BASE}/audit?{query}")).status_code == 422


async def test_decisions_and_changes_tell_from_which_version_to_which(world: ApiWorld) -> None:
    decided = (await got(world, "/audit?action=task.accept_conflict&subject=samples/s-1/revisions/1"))["items"][0]
    assert (decided["body"]["label_version_before"], decided["body"]["label_version_after"]) == (1, 1)
    project = await got(world, "")
    changed = await world.call("root", "PUT", BASE, {**project, "purpose": "another"})
    assert changed.status_code == 200, changed.text
    told = (await got(world, "/audit?action=project.updated"))["items"][0]["body"]
    assert told["before_sha256"] != told["content_sha256"]


async def test_the_head_is_an_anchor_that_verification_takes(world: ApiWorld) -> None:
    head = await got(world, "/audit/head", who="vera")
    entries = (await got(world, "/audit?limit=500"))["items"]
    assert head["anchor"] == {"sequence": entries[-1]["sequence"], "sha256": entries[-1]["sha256"]}
    links = [{"sequence": entry["sequence"], "sha256": entry["sha256"]} for entry in entries]
    good = await world.call("root", "POST", f"{BASE}/verify", {"anchor": links[0], "anchors": links})
    assert good.json()["audit_verified"]
    links[2]["sha256"] = "0" * 64
    bad = (await world.call("root", "POST", f"{BASE}/verify", {"anchors": links})).json()
    assert [item["kind"] for item in bad["faults"]] == ["anchor-mismatch"]


async def test_an_erasure_is_previewed_ordered_once_applied_and_told(world: ApiWorld) -> None:
    preview = await world.call("root", "POST", f"{BASE}/erasures/preview", {"subject": ORDER["subject"]})
    assert preview.json()["erasable"] == 1
    key = {"Idempotency-Key": "erase-1"}
    ordered = await world.call("root", "POST", f"{BASE}/erasures", ORDER, headers=key)
    assert ordered.status_code == 201
    again = await world.call("root", "POST", f"{BASE}/erasures", ORDER, headers=key)
    assert again.json() == ordered.json()
    one = ordered.json()["erasure_id"]
    assert ordered.json()["counts"]["waiting"] == 1
    applied = await world.call("root", "POST", f"{BASE}/erasures/{one}/apply")
    assert applied.json()["counts"]["erased"] == 1
    assert applied.json()["finished_at"]
    assert (await world.call("root", "POST", f"{BASE}/erasures/{one}/apply", {})).json() == applied.json()
    assert await got(world, f"/erasures/{one}", who="vera") == applied.json()
    assert (await got(world, "/erasures", who="vera"))["items"] == [applied.json()]
    tombstone = await got(world, "/samples/s-1/tombstone", who="vera")
    assert tombstone["hashes"]["content"] == (await got(world, "/samples/s-1/ground-truth"))["content_sha256"]
    assert (await world.call("root", "GET", f"{BASE}/samples/s-2/tombstone")).status_code == 404
    report = (await world.call("ops", "POST", f"{BASE}/verify")).json()
    assert (report["audit_verified"], report["lineage_verified"], report["erased"]) == (True, True, 1)
    told = [entry["action"] for entry in (await got(world, "/audit?actor=root"))["items"]]
    assert told == ["erasure.ordered", "content.erased", "erasure.finished"]
    # What depended on what is still answered.
    counted = await got(world, "/dependents/summary?kind=person&key=rex")
    assert counted["records"] == 2


async def test_holds_are_placed_listed_and_released(world: ApiWorld) -> None:
    placed = await world.call("root", "POST", f"{BASE}/legal-holds", {"sample_id": "s-1", "reason": "case 12"})
    assert placed.status_code == 201
    assert await got(world, "/legal-holds", who="vera") == {"items": [placed.json()], "next_cursor": None}
    one = (await world.call("root", "POST", f"{BASE}/erasures", ORDER)).json()["erasure_id"]
    refused = (await world.call("root", "POST", f"{BASE}/erasures/{one}/apply")).json()
    assert refused["counts"]["held"] == 1
    await world.call("root", "POST", f"{BASE}/legal-holds", {"reason": "all"})
    person = {"subject": {"kind": "person", "actor_id": "rex"}, "reason": "asked for"}
    two = (await world.call("root", "POST", f"{BASE}/erasures", person)).json()["erasure_id"]
    held = await world.call("root", "POST", f"{BASE}/erasures/{two}/apply")
    assert (held.status_code, problem_code(held)) == (409, "legal-hold")
    for hold in (await got(world, "/legal-holds"))["items"]:
        released = await world.call("root", "POST", f"{BASE}/legal-holds/{hold['hold_id']}/release")
        assert released.json()["released_by"] == "root"
    retried = (await world.call("root", "POST", f"{BASE}/erasures/{one}/apply", {"retry": True})).json()
    assert (retried["counts"]["held"], retried["counts"]["erased"]) == (0, 1)
    assert (await world.call("root", "POST", f"{BASE}/erasures/{two}/apply")).json()["finished_at"]


async def test_only_admins_of_the_project_erase(world: ApiWorld) -> None:
    some = uuid4()
    unsafe: tuple[tuple[str, Any], ...] = (
        ("/erasures/preview", {"subject": ORDER["subject"]}),
        ("/erasures", ORDER),
        (f"/erasures/{some}/apply", None),
        ("/legal-holds", {"reason": "x"}),
        (f"/legal-holds/{some}/release", None),
    )
    for path, body in unsafe:
        for who, status in (("ops", 403), ("vera", 403), ("rita", 403), ("olga", 404)):
            assert (await world.call(who, "POST", f"{BASE}{path}", body)).status_code == status, (path, who)
    for path in ("/erasures", f"/erasures/{some}", "/legal-holds", "/audit/head", "/samples/s-1/tombstone"):
        assert (await world.call("rita", "GET", f"{BASE}{path}")).status_code == 403
        assert (await world.call("olga", "GET", f"{BASE}{path}")).status_code == 404
    for path in (f"/erasures/{some}/apply", f"/legal-holds/{some}/release"):
        assert (await world.call("root", "POST", f"{BASE}{path}")).status_code == 404
    for subject in ({"kind": "rumour"}, {"kind": "samples", "sample_ids": []}, {"kind": "expired"}):
        wrong = await world.call("root", "POST", f"{BASE}/erasures", {"subject": subject, "reason": "x"})
        assert wrong.status_code == 422
    assert (await world.call("root", "POST", f"{BASE}/erasures", {**ORDER, "reason": ""})).status_code == 422

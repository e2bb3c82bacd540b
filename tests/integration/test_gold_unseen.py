"""Nobody at work can tell a known answer: every route they may call answers as for a task like any other."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from time import monotonic
from typing import Any

import pytest

from api.pace import wait_s
from api.policies import policies_of
from infra.db.engine import PostgresDatabase
from services.access.policy import ROLE_PERMISSIONS
from services.contracts.access import Role
from services.contracts.calibration import GoldPolicy
from services.contracts.quality import GoldAnswer
from services.quality.desk import QualityDesk
from tests.gold_world import OLGA, finish, is_probe, open_project
from tests.review_world import OWN, ApiWorld, add_sample, open_client, open_task, problem_code

_LATER = timedelta(days=2)
_TIMES = re.compile(r'"((?:\w+_)?at)":"[^"]*"')
_IDS = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_HASHES = re.compile(r'"(manifest_sha256|content_sha256|labels_sha256)":"[0-9a-f]{64}"')
_SAMPLES = re.compile(r"kitti-\d{4}")
_COVERED_ELSEWHERE = {
    "/healthz", "/readyz", "/v1/openapi.json", "/v1/schemas/{name}", "/v1/rule-sets",
    "/v1/rule-sets/{rule_set_id}/owners", "/v1/projects/{project}/rule-sets/activations",
    "/v1/rule-sets/{rule_set_id}/{version}", "/v1/taxonomies", "/v1/taxonomies/{taxonomy_id}/{version}",
    "/v1/taxonomies/{taxonomy_id}/{version}/diff", "/v1/taxonomies/{taxonomy_id}/draft",
    "/v1/projects/{project}/taxonomy-migrations", "/v1/projects/{project}/taxonomy-migrations/{migration_id}",
}  # fmt: skip
"""They tell nothing of a project's answers."""

# What a curious person does with a task they hold; {note} is the note that they write first.
_HOLDING: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/v1/tasks/{task}", None),
    ("POST", "/v1/tasks/{task}/claim", None),
    ("POST", "/v1/tasks/{task}/heartbeat", {"fence": 1}),
    ("POST", "/v1/tasks/{task}/heartbeat", {"fence": 9}),
    ("PUT", "/v1/tasks/{task}/draft", {"fence": 1, "body": {"verdict": "approve"}}),
    ("PUT", "/v1/tasks/{task}/draft", {"fence": 2, "body": {"verdict": "approve"}}),
    ("GET", "/v1/tasks/{task}", None),
    ("GET", "/v1/tasks", None),
    ("GET", "/v1/tasks?state=claimed", None),
    ("GET", "/v1/tasks?state=open", None),
    ("GET", "/v1/tasks?state=completed&limit=1", None),
    ("GET", "/v1/queues", None),
    ("GET", "/v1/projects", None),
    ("GET", "/v1/projects/own", None),
    ("GET", "/v1/projects/own/queues", None),
    ("GET", "/v1/projects/own/queues/spatial", None),
    ("GET", "/v1/projects/own/samples", None),
    ("GET", "/v1/projects/own/samples?stage=in_review", None),
    ("GET", "/v1/projects/own/samples/{sample}", None),
    ("GET", "/v1/projects/own/samples/{sample}?revision=2", None),
    ("GET", "/v1/projects/own/samples/{sample}/ground-truth", None),
    ("GET", "/v1/projects/own/ground-truth", None),
    ("GET", "/v1/search?q={sample}", None),
    ("GET", "/v1/search?kind=sample", None),
    ("GET", "/v1/projects/own/samples/{sample}/notes", None),
    ("POST", "/v1/projects/own/samples/{sample}/notes",
     {"body": "See the left edge.", "pin": {"kind": "annotation", "annotation_id": "a1"}}),
    ("POST", "/v1/projects/own/samples/{sample}/notes",
     {"body": "No such label.", "pin": {"kind": "annotation", "annotation_id": "a9"}}),
    ("GET", "/v1/projects/own/samples/{sample}/notes", None),
    ("GET", "/v1/projects/own/samples/{sample}/notes/{note}", None),
    ("PUT", "/v1/projects/own/samples/{sample}/notes/{note}", {"body": "See the right edge."}),
    ("GET", "/v1/projects/own/samples/{sample}/notes/{note}/history", None),
    ("DELETE", "/v1/projects/own/samples/{sample}/notes/{note}", None),
    ("GET", "/v1/mentions", None),
    ("GET", "/v1/whoami", None),
    ("GET", "/metrics", None),
    # Not for people at work.
    ("GET", "/v1/projects/own/gold", None),
    ("GET", "/v1/projects/own/quality", None),
    ("GET", "/v1/projects/own/reviewers", None),
    ("GET", "/v1/projects/own/audit", None),
    ("GET", "/v1/projects/own/operations", None),
    ("GET", "/v1/projects/own/samples/{sample}/timeline", None),
    ("GET", "/v1/projects/own/samples/{sample}/labels", None),
    ("GET", "/v1/projects/own/samples/{sample}/findings", None),
    ("GET", "/v1/projects/own/samples/{sample}/lineage", None),
    # A decision that does not fit, a release, the task again.
    ("POST", "/v1/tasks/{task}/decide", {"verdict": "submit", "fence": 1}),
    ("POST", "/v1/tasks/{task}/decide", {"verdict": "fix", "fence": 1, "patch": {"upsert": [], "remove": []}}),
    ("POST", "/v1/tasks/{task}/decide", {"verdict": "approve", "fence": 1, "label_version": 7}),
    ("POST", "/v1/tasks/{task}/decide", {"verdict": "approve", "fence": 1,
                                         "remarks": [{"pin": {"stream": "lidar"}, "text": "Where?"}]}),
    ("POST", "/v1/tasks/{task}/escalate", {"fence": 7, "note": "An expert should look."}),
    ("POST", "/v1/tasks/{task}/release", {"fence": 1}),
    ("POST", "/v1/tasks/{task}/release", {"fence": 1}),
    ("POST", "/v1/tasks/{task}/heartbeat", {"fence": 1}),
    ("GET", "/v1/tasks", None),
    ("GET", "/v1/tasks/{task}", None),
    ("POST", "/v1/tasks/claim", None),
)  # fmt: skip
_DONE: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/v1/tasks/{task}", None),
    ("POST", "/v1/tasks/{task}/claim", None),
    ("POST", "/v1/tasks/{task}/heartbeat", {"fence": 2}),
    ("PUT", "/v1/tasks/{task}/draft", {"fence": 2, "body": {"verdict": "reject"}}),
    ("POST", "/v1/tasks/{task}/decide", {"verdict": "reject", "fence": 2, "note": "No."}),
    ("POST", "/v1/tasks/{task}/release", {"fence": 2}),
    ("GET", "/v1/tasks", None),
    ("GET", "/v1/tasks?state=completed", None),
    ("GET", "/v1/queues", None),
    ("GET", "/v1/projects/own/samples/{sample}", None),
    ("GET", "/v1/projects/own/samples/{sample}/ground-truth", None),
    ("GET", "/v1/search?q={sample}", None),
    ("GET", "/v1/mentions", None),
    ("GET", "/metrics", None),
)
_DECISIONS = (
    {"verdict": "approve", "fence": 2},
    {"verdict": "accept_conflict", "fence": 2, "reason_code": "occlusion"},
    {"verdict": "fix", "fence": 2, "label_version": 1, "patch": {"remove": ["a1"]}},
    {"verdict": "reject", "fence": 2, "note": "The box is on another car.",
     "remarks": [{"pin": {"stream": "cam"}, "text": "Here."}]},
    {"verdict": "escalate", "fence": 2, "note": "I can not tell."},
)  # fmt: skip


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await open_project(database, GoldPolicy(rate=0.5, bar=0))
    # Names of one kind, in the order of nothing: known answers are no younger, no older and no different.
    # More real ones than a long run of draws uses up.
    for number in range(70):
        sample_id = f"kitti-{number:04}"
        if number % 2:
            await finish(database, sample_id)
            await QualityDesk(database).put_gold(OLGA, OWN, GoldAnswer.model_validate(
                {"sample_id": sample_id, "verdict": "reject"}))  # fmt: skip
        else:
            ref = await add_sample(database, sample_id)
            async with database.transaction() as tx:
                now = await tx.now()
            await open_task(database, ref, due_at=now + _LATER, start_by_at=now + _LATER / 2)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("rex", Role.REVIEWER)
        await made.key("zoe", Role.REVIEWER)
        await made.key("olga", Role.OPERATIONS)
        yield made


def plain(text: str) -> str:
    """An answer without moments, ids made at random, names of samples, and hashes over these."""
    text = _TIMES.sub(r'"\1":"…"', text)
    return _SAMPLES.sub("SAMPLE", _HASHES.sub(r'"\1":"#"', _IDS.sub("ID", text)))


class Watcher:
    """Somebody who looks at everything."""

    def __init__(self, world: ApiWorld) -> None:
        self.world = world
        self.called: set[tuple[str, str]] = set()

    async def tell(
        self, calls: tuple[tuple[str, str, Any], ...], task: dict[str, Any], actor: str = "rex"
    ) -> list[tuple[str, int, dict[str, str], str]]:
        """Make the calls; return what is the same for all tasks of one kind."""
        seen = []
        sample, note = task["ref"]["sample_id"], "00000000-0000-4000-8000-000000000000"
        for method, path, body in calls:
            address = path.format(task=task["task_id"], sample=sample, note=note)
            answer = await self.world.call(actor, method, address, body)
            assert answer.status_code < 500, answer.text
            if path.endswith("/notes") and answer.status_code == 201:
                note = answer.json()["note_id"]
            headers = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
            text = answer.text
            if path == "/metrics":
                # Requests and their times: what one has called oneself.
                text = "\n".join(
                    line for line in text.splitlines() if not re.match(r"#|concord_http|concord_outbox", line)
                )
                headers.pop("content-length")
            seen.append((f"{method} {path}", answer.status_code, headers, plain(text)))
            self.called.add((method, path.partition("?")[0]))
        return seen


async def next_task(world: ApiWorld, *, probe: bool) -> dict[str, Any]:
    """Claim until there is a task of the wanted sort; others are approved."""
    for _ in range(30):
        answer = await world.call("rex", "POST", "/v1/tasks/claim")
        assert answer.status_code == 200, answer.text
        task: dict[str, Any] = answer.json()["task"]
        if await is_probe(world.database, task["task_id"]) is probe:
            return task
        await world.call("rex", "POST", f"/v1/tasks/{task['task_id']}/decide", {"verdict": "approve", "fence": 1})
    raise AssertionError("none came")


async def test_every_answer_about_a_known_one_is_that_of_a_real_task(world: ApiWorld) -> None:
    watcher = Watcher(world)
    for decision in _DECISIONS:
        told = []
        for probe in (True, False):
            task = await next_task(world, probe=probe)
            seen = await watcher.tell(_HOLDING, task)
            seen += await watcher.tell((("POST", "/v1/tasks/{task}/decide", decision),), task)
            seen += await watcher.tell((("POST", "/v1/tasks/{task}/decide", decision),), task)
            assert [status for _, status, _, _ in seen[-2:]] == [200, 200]
            seen += await watcher.tell(_DONE, task)
            told.append(seen)
        for one, other in zip(*told, strict=True):
            assert one == other, decision


async def test_every_route_that_a_reviewer_may_call_is_looked_at(world: ApiWorld) -> None:
    watcher = Watcher(world)
    await watcher.tell(_HOLDING, await next_task(world, probe=False))
    transport: Any = world.http._transport
    allowed = {permission.value for permission in ROLE_PERMISSIONS[Role.REVIEWER]} | {"public"}
    routes = {route for route, policy in policies_of(transport.app).items() if policy in allowed}
    missing = []
    for method, path in sorted(routes):
        pattern = re.sub(r"\{[a-z_]+\}", "[^/]+", path)
        if path not in _COVERED_ELSEWHERE and not any(
            called == method and re.fullmatch(pattern, address.replace("{", "").replace("}", ""))
            for called, address in watcher.called
        ):
            missing.append((method, path))
    assert [route for route in missing if route[1] != "/v1/tasks/{task_id}/escalate"] == []


async def test_what_is_given_is_in_the_order_and_of_the_age_of_real_tasks(world: ApiWorld) -> None:
    given = []
    for _ in range(24):
        answer = await world.call("rex", "POST", "/v1/tasks/claim")
        task = answer.json()["task"]
        evidence = (await world.call("rex", "GET", f"/v1/tasks/{task['task_id']}")).json()
        given.append((await is_probe(world.database, task["task_id"]), task, evidence))
        await world.call("rex", "POST", f"/v1/tasks/{task['task_id']}/decide", {"verdict": "approve", "fence": 1})
    assert {probe for probe, _, _ in given} == {True, False}
    moments = [datetime.fromisoformat(task["created_at"]) for _, task, _ in given]
    assert moments == sorted(moments), "the oldest first, whatever it is"
    assert {task["priority"] for _, task, _ in given} == {100}
    left = {datetime.fromisoformat(task["due_at"]) - datetime.fromisoformat(task["created_at"]) for _, task, _ in given}
    # Two may meet by chance; were the one made of the other, every probe would share its limit with a real task.
    assert len(left) > len(given) * 3 // 4, "hardly two tasks with one limit to the microsecond"
    for probe, task, evidence in given:
        created = datetime.fromisoformat(task["created_at"])
        due, start = (datetime.fromisoformat(task[name]) for name in ("due_at", "start_by_at"))
        assert timedelta(0) <= created - (due - _LATER) < timedelta(minutes=1), probe
        assert timedelta(0) <= created - (start - _LATER / 2) < timedelta(minutes=1), probe
        (finding,) = evidence["findings"]
        assert finding["found_at"] == finding["updated_at"]
        assert timedelta(0) <= created - datetime.fromisoformat(finding["found_at"]) < timedelta(minutes=1), probe
        assert evidence["stage"] == "in_review"
        assert "decisions" not in evidence or evidence["decisions"] == []


async def test_a_task_of_somebody_else_is_not_there(world: ApiWorld) -> None:
    told = []
    for probe in (True, False):
        task = await next_task(world, probe=probe)
        address = f"/v1/tasks/{task['task_id']}"
        answers = [
            await world.call("zoe", "GET", address),
            await world.call("zoe", "POST", f"{address}/claim"),
            await world.call("zoe", "POST", f"{address}/heartbeat", {"fence": 1}),
            await world.call("zoe", "POST", f"{address}/decide", {"verdict": "approve", "fence": 1}),
        ]
        told.append([(answer.status_code, problem_code(answer), _IDS.sub("ID", answer.text)) for answer in answers])
    assert told[0] == told[1]
    assert [code for _, code, _ in told[0]] == ["not-found", "not-found", "stale-fence", "stale-fence"]


async def test_the_policy_is_told_to_managers_only(world: ApiWorld) -> None:
    await world.key("vic", Role.VIEWER)
    for actor, told in (("rex", False), ("vic", False), ("olga", True)):
        project = (await world.call(actor, "GET", f"/v1/projects/{OWN}")).json()
        listed = (await world.call(actor, "GET", "/v1/projects")).json()["items"]
        assert [("gold" in one["config"], actor) for one in (project, *listed)] == [(told, actor)] * 2


async def test_no_known_answer_is_exported_or_counted(world: ApiWorld) -> None:
    before = (await world.call("olga", "GET", f"/v1/projects/{OWN}/operations")).json()
    task = await next_task(world, probe=True)
    real = (await world.call("olga", "GET", f"/v1/projects/{OWN}/operations")).json()
    await world.call("rex", "POST", f"/v1/tasks/{task['task_id']}/decide", {"verdict": "approve", "fence": 1})
    after = (await world.call("olga", "GET", f"/v1/projects/{OWN}/operations")).json()
    moving = {"as_of", "since", "buckets"}
    numbers = [re.sub(r'"(oldest_s|forecast)":[^,}]*', "", json.dumps(
        {name: part for name, part in view.items() if name not in moving})) for view in (real, after)]  # fmt: skip
    digits = [re.findall(r'"(?:count|open|claimed|decided|completed)": \d+', text) for text in numbers]
    assert digits[0] == digits[1]
    assert before
    assert (await world.call("olga", "GET", f"/v1/projects/{OWN}/ground-truth")).json()["items"] == []


async def test_answers_about_tasks_come_at_an_even_pace_where_known_answers_are_mixed_in(
    database: PostgresDatabase,
) -> None:
    await open_project(database, GoldPolicy(rate=0.5))
    async with open_client(database, pace_s=0.4) as http:
        world = ApiWorld(database, http)
        await world.key("rex", Role.REVIEWER, OWN)
        began = monotonic()
        assert (await world.call("rex", "POST", "/v1/tasks/claim")).status_code == 404
        assert monotonic() - began >= 0.4, "errors too"


def test_a_wait_ends_at_a_multiple_of_the_pace() -> None:
    for taken in (0.0, 0.01, 0.149, 0.15, 0.31):
        whole = (taken + wait_s(taken, 0.15)) / 0.15
        assert abs(whole - round(whole)) < 1e-9
    assert wait_s(0.2, 0.0) == 0.0

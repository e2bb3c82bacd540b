"""Known answers: managers see how often people are right, and who works on tasks sees nothing of it."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.client import ApiProblem, ConcordClient
from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.quality import GoldAnswer
from services.contracts.review import Verdict
from tests.review_world import OTHER, OWN, ApiWorld, add_projects, add_sample, open_client, open_task, problem_code

_CHANGING = re.compile(
    r'"(task_id|decision_id|lease_expires_at|created_at|found_at|updated_at|decided_at|saved_at|completed_at'
    r'|manifest_sha256)":"[^"]*"'
)
"""Moments, ids made at random, and the one hash that covers the name of the project."""


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("olga", Role.OPERATIONS, OWN)
        await made.key("rex", Role.REVIEWER, OWN)
        await made.key("zoe", Role.REVIEWER, OTHER)
        await made.key("vic", Role.VIEWER, OWN)
        yield made


def client_of(world: ApiWorld, actor_id: str) -> ConcordClient:
    return ConcordClient("http://concord.test", world.secrets[actor_id], transport=world.http._transport)


async def answers_of(world: ApiWorld, person: str, project: str) -> list[tuple[int, dict[str, str], str]]:
    """Everything a reviewer is answered on the way through one task, without what differs between any two tasks."""
    calls: list[tuple[str, str, Any]] = [("POST", "/v1/tasks/claim", {})]
    task_id = ""
    answers = []
    steps: list[tuple[str, str, Any]] = [
        ("GET", "/v1/queues", None),
        ("GET", "/v1/tasks", None),
        ("GET", "/v1/tasks/{task}", None),
        ("POST", "/v1/tasks/{task}/claim", {}),
        ("POST", "/v1/tasks/{task}/heartbeat", {"fence": 1}),
        ("PUT", "/v1/tasks/{task}/draft", {"fence": 1, "body": {"verdict": "approve"}}),
        ("GET", f"/v1/projects/{project}/samples/s-1", None),
        ("GET", f"/v1/projects/{project}/samples/s-1/ground-truth", None),
        ("GET", f"/v1/projects/{project}/gold", None),
        ("GET", f"/v1/projects/{project}/quality", None),
        ("POST", "/v1/tasks/{task}/decide", {"verdict": "approve", "fence": 1}),
        ("GET", "/v1/tasks/{task}", None),
    ]
    for method, path, body in [*calls, *steps]:
        answer = await world.call(person, method, path.format(task=task_id), body)
        if path == "/v1/tasks/claim":
            task_id = answer.json()["task"]["task_id"]
        # The names of the two people and projects are not equally long.
        headers = {
            name: value for name, value in answer.headers.items() if name not in ("x-request-id", "content-length")
        }
        text = _CHANGING.sub(r'"\1":"…"', answer.text).replace(task_id, "T").replace(person, "P")
        text = text.replace(f'"{project}"', '"PROJECT"')
        answers.append((answer.status_code, headers, re.sub(r"urn:concord:request:[0-9a-f-]+", "R", text)))
    return answers


async def test_no_answer_to_a_reviewer_tells_that_the_right_verdict_is_known(world: ApiWorld) -> None:
    """The same way through a sample with a known answer and one without: every byte and header is the same."""
    seen = []
    for person, project in (("rex", OWN), ("zoe", OTHER)):
        await open_task(world.database, await add_sample(world.database, "s-1", project=project))
        if project == OWN:
            async with client_of(world, "olga") as olga:
                await olga.put_gold(OWN, GoldAnswer(sample_id="s-1", verdict=Verdict.FIX))
        seen.append(await answers_of(world, person, project))
    statuses = [status for status, _, _ in seen[0]]
    assert (statuses.count(200), statuses.count(403), statuses.count(404)) == (10, 2, 1), statuses
    for one, other in zip(*seen, strict=True):
        assert one == other


async def test_accuracy_is_told_by_known_answers_with_the_wrong_verdicts(world: ApiWorld) -> None:
    async with client_of(world, "olga") as olga:
        for number, verdict in enumerate((Verdict.APPROVE, Verdict.APPROVE, Verdict.REJECT)):
            sample_id = f"s-{number}"
            await olga.put_gold(OWN, GoldAnswer(sample_id=sample_id, verdict=verdict))
            task = await open_task(world.database, await add_sample(world.database, sample_id))
            async with client_of(world, "rex") as rex:
                claimed = await rex.claim(task.task_id)
                await rex.call(
                    "POST", f"/v1/tasks/{task.task_id}/decide", {"verdict": "approve", "fence": claimed.lease.fence}
                )
        report = await olga.quality(OWN)
        (rex_all,) = report.people
        assert (report.gold_samples, rex_all.judged, rex_all.right) == (3, 3, 2)
        assert rex_all.low < rex_all.share < rex_all.high
        (wrong,) = report.wrong
        assert (wrong.ref.sample_id, wrong.verdict, wrong.expected) == ("s-2", Verdict.APPROVE, Verdict.REJECT)
        assert [one.answer.sample_id for one in (await olga.gold(OWN, limit=2)).items] == ["s-0", "s-1"]
        await olga.drop_gold(OWN, "s-2")
        assert (await olga.quality(OWN)).wrong == ()
        with pytest.raises(ApiProblem) as refused:
            await olga.drop_gold(OWN, "s-2")
        assert refused.value.status == 404


async def test_what_is_learned_about_annotators_is_for_managers(world: ApiWorld) -> None:
    async with client_of(world, "olga") as olga:
        before = await olga.annotator_quality(OWN)
        assert (before.learned_at, before.skills) == (None, ())
        learned = await olga.learn_annotators(OWN)
        assert (learned.samples, learned.skills) == (0, ())
        assert learned.learned_at is not None
        assert await olga.annotator_quality(OWN) == learned
        with pytest.raises(ApiProblem) as hidden:
            await olga.learn_annotators(OTHER)
        assert hidden.value.status == 404
    for method, path in (("GET", "annotators"), ("POST", "annotators/learn")):
        refused = await world.call("rex", method, f"/v1/projects/{OWN}/quality/{path}")
        assert (refused.status_code, problem_code(refused)) == (403, "forbidden")


async def test_the_audit_trail_does_not_tell_which_sample_has_an_answer(world: ApiWorld) -> None:
    async with client_of(world, "olga") as olga:
        await olga.put_gold(OWN, GoldAnswer(sample_id="secret-sample", verdict=Verdict.APPROVE))
    told = await world.call("vic", "GET", f"/v1/projects/{OWN}/audit")
    assert "gold.given" in told.text
    assert "secret-sample" not in json.dumps(told.json())
    refused = await world.call("vic", "GET", f"/v1/projects/{OWN}/gold")
    assert (refused.status_code, problem_code(refused)) == (403, "forbidden")

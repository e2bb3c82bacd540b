from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra.cli.review import fence_of, resolution_of
from infra.client import ApiProblem, ConcordClient
from services.contracts.review import Verdict
from services.errors import InvalidInputError

TASK_ID = "11111111-1111-4111-8111-111111111111"


def client_of(**task: Any) -> ConcordClient:
    evidence = {
        "task": {
            "task_id": TASK_ID,
            "ref": {"project": "p", "sample_id": "s-1", "revision": 1},
            "kind": "review",
            "queue": "spatial",
            "fence": 4,
            "created_at": "2026-03-01T12:00:00Z",
            **task,
        },
        "stage": "in_review",
        "context": {},
        "streams": [],
        "findings": [],
        "label_version": 1,
        "annotations": [],
    }
    rita = {"actor_id": "rita", "key_id": "key-rita", "role": "reviewer", "projects": ["p"], "skills": []}

    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json=rita if request.url.path == "/v1/whoami" else evidence)

    return ConcordClient("http://concord.test/", "ck_" + "x" * 43, transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("task", [{"state": "claimed", "held_by": "rita"}, {"state": "completed"}])
async def test_the_fence_of_what_one_holds_or_has_decided_is_found(task: dict[str, Any]) -> None:
    async with client_of(**task) as client:
        assert await fence_of(client, TASK_ID) == 4


@pytest.mark.parametrize("task", [{"state": "open"}, {"state": "claimed", "held_by": "ron"}])
async def test_who_does_not_hold_a_task_is_told_to_claim_it(task: dict[str, Any]) -> None:
    async with client_of(**task) as client:
        with pytest.raises(ApiProblem, match="claim it first"):
            await fence_of(client, TASK_ID)


def test_a_resolution_is_read_from_one_word() -> None:
    told = resolution_of("f-1=accept_conflict:occlusion")
    assert (told.finding_id, told.verdict, told.reason_code) == ("f-1", Verdict.ACCEPT_CONFLICT, "occlusion")
    assert resolution_of("f-1=approve").reason_code is None


@pytest.mark.parametrize("text", ["f-1", "=approve", "f-1=reject", "f-1=accept"])
def test_a_resolution_that_says_nothing_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="FINDING=approve"):
        resolution_of(text)

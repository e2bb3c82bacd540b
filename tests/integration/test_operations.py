"""The operations view over HTTP: every number is the length of the list that it names."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from urllib.parse import quote

import pytest
from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.deadlines import DeadlinePolicy, DeadlineRule
from services.contracts.findings import LabelPatch
from services.contracts.lifecycle import Stage
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import DecisionInput, ReviewTask, TaskKind, TaskState, Verdict
from services.lifecycle.journal import move
from services.review.desk import ReviewDesk
from tests.review_world import (
    OTHER,
    OWN,
    ApiWorld,
    add_projects,
    add_sample,
    box,
    open_client,
    open_task,
    principal,
    problem_code,
)

RITA, RON, EVE = principal("rita", Role.REVIEWER), principal("ron", Role.REVIEWER), principal("eve", Role.EXPERT)
VIEW = f"/v1/projects/{OWN}/operations"


async def decide(database: PostgresDatabase, task: ReviewTask, who: Any, verdict: Verdict, **given: Any) -> Any:
    desk = ReviewDesk(database)
    claimed = await desk.claim(who, task.task_id)
    return await desk.decide(who, task.task_id, DecisionInput(verdict=verdict, fence=claimed.fence, **given))


async def fill(database: PostgresDatabase) -> None:
    """Six samples: approved, rejected with two reworks, escalated, seen twice, held, and one in another project."""
    first, second, third, fourth, fifth = [await add_sample(database, f"s{number}") for number in range(1, 6)]
    approved = await open_task(database, first)
    await decide(database, approved, RITA, Verdict.APPROVE)
    async with database.transaction() as tx:
        revision = await tx.samples.get(first, lock=True)
        assert revision is not None
        await move(tx, revision, Stage.CHECKING, Stage.ACCEPTED, Stage.COMMITTED, actor="concord")
    rejected = await decide(database, await open_task(database, second), RITA, Verdict.REJECT, note="Again.")
    await open_task(database, second, kind=TaskKind.REWORK, queue="rework", origin_decision_id=rejected.decision_id)
    await open_task(database, second, kind=TaskKind.REWORK, queue="rework")
    escalated = await decide(database, await open_task(database, third), RON, Verdict.ESCALATE, note="Too thin.")
    expert = {"kind": TaskKind.ADJUDICATE, "queue": "spatial.expert"}
    await open_task(database, third, **expert, origin_decision_id=escalated.decision_id)
    for ref, verdict in ((fourth, Verdict.APPROVE), (fifth, Verdict.ACCEPT_CONFLICT)):
        seen = await decide(database, await open_task(database, ref), RITA, Verdict.APPROVE)
        look = await open_task(database, ref, **expert, origin_decision_id=seen.decision_id)
        reason = {"reason_code": "occlusion"} if verdict is Verdict.ACCEPT_CONFLICT else {}
        await decide(database, look, EVE, verdict, **reason)
    held = await open_task(database, await add_sample(database, "s6"))
    await ReviewDesk(database).claim(RON, held.task_id)
    async with database.transaction() as tx:
        now = await tx.now()
    late = await open_task(database, await add_sample(database, "s7"), due_at=now - timedelta(hours=1))
    cancelled = await open_task(database, late.ref, queue="other")
    async with database.transaction() as tx:
        await tx.review.close_task(cancelled.task_id, TaskState.CANCELLED)
    await open_task(database, await add_sample(database, "elsewhere", project=OTHER))


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        for actor_id, role, *projects in (
            ("olga", Role.OPERATIONS), ("rita", Role.REVIEWER), ("vic", Role.VIEWER), ("upton", Role.UPSTREAM),
            ("ollie", Role.OPERATIONS, OTHER),
        ):  # fmt: skip
            await made.key(actor_id, role, *projects)
        yield made


async def view(world: ApiWorld, who: str = "olga", query: str = "") -> Any:
    answer = await world.call(who, "GET", f"{VIEW}{query}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def numbers(part: Any, place: str = "") -> Iterator[tuple[str, int, str]]:
    """Every number of a view with the place where it stands and its list."""
    if isinstance(part, dict) and set(part) == {"value", "list"}:
        yield place, part["value"], part["list"]
    elif isinstance(part, dict):
        for name, inner in part.items():
            yield from numbers(inner, f"{place}/{name}")
    elif isinstance(part, list):
        for index, inner in enumerate(part):
            yield from numbers(inner, f"{place}/{index}")


async def rows(world: ApiWorld, address: str) -> list[dict[str, Any]]:
    """Walk a list in small pages and return its items, each once."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        mark = "&" if "?" in address else "?"
        answer = await world.call("olga", "GET", f"{address}{mark}limit=2{cursor}")
        assert answer.status_code == 200, answer.text
        found += answer.json()["items"]
        if answer.json()["next_cursor"] is None:
            assert len(found) == len({json.dumps(item, sort_keys=True) for item in found})
            return found
        cursor = f"&cursor={answer.json()['next_cursor']}"


async def length(world: ApiWorld, address: str) -> int:
    return len(await rows(world, address))


async def worked_out(world: ApiWorld, place: str, address: str, as_of: datetime) -> float:
    """A number of seconds, made again of the rows of its list."""
    found = await rows(world, address)
    if place.endswith("/oldest_s"):
        (oldest,) = found
        return (as_of - datetime.fromisoformat(oldest["created_at"])).total_seconds()
    if place.endswith("/active_s"):
        return float(sum(one["active_s"] for one in found))
    assert place.endswith("/handling_s")
    of_task: dict[str, float] = defaultdict(float)
    for one in found:
        of_task[one["task_id"]] += one["active_s"]
    return median(of_task.values())


async def test_every_number_is_the_length_of_its_list(world: ApiWorld) -> None:
    await fill(world.database)
    told = await view(world, query="?window_s=3600&pieces=3")
    found = [one for one in numbers(told) if not one[0].endswith("_s")]
    assert len(found) > 40
    wrong = [
        (place, value, address)
        for place, value, address in found
        if (value, address) not in {(length_, address) for length_ in (await length(world, address),)}
    ]
    assert wrong == []
    # The lists stand still for what is past: work that is done later changes no number of a window that has ended.
    assert all(value for place, value, _ in found if place.endswith("/tasks"))


async def test_every_time_is_worked_out_of_its_list(world: ApiWorld) -> None:
    await fill(world.database)
    async with world.database._engine.begin() as connection:
        await connection.execute(text("UPDATE task_activity SET active_s = 10 + length(actor_id) * random()"))
    told = await view(world, query="?window_s=3600&pieces=1")
    as_of = datetime.fromisoformat(told["as_of"])
    times = [one for one in numbers(told) if one[0].endswith("_s")]
    assert {place.rsplit("/", 1)[-1] for place, _, _ in times} == {"oldest_s", "active_s", "handling_s"}
    for place, value, address in times:
        assert await worked_out(world, place, address, as_of) == pytest.approx(value), place
    active = sum(one["active_s"]["value"] for one in told["people"])
    assert active == pytest.approx(sum(one["active_s"] for one in await rows(world, f"{VIEW}/activity")))


async def test_active_time_is_told_by_person_and_by_task(world: ApiWorld) -> None:
    await fill(world.database)
    async with world.database._engine.begin() as connection:
        await connection.execute(text("UPDATE task_activity SET active_s = 30"))
        await connection.execute(
            text("""
            UPDATE task_activity SET active_s = 7, updated_at = updated_at - interval '2 days' WHERE actor_id = 'eve'
        """)
        )
    since = quote((datetime.now(UTC) - timedelta(days=1)).isoformat())
    for query, expected in (
        ("", {"eve": (2, 14.0), "rita": (4, 120.0), "ron": (2, 60.0)}),
        (f"?since={since}", {"rita": (4, 120.0), "ron": (2, 60.0)}),
        (f"?before={since}", {"eve": (2, 14.0)}),
        ("?actor=ron&queue=spatial", {"ron": (2, 60.0)}),
    ):
        people = await rows_of(world, f"{VIEW}/active-time/people{query}")
        assert {one["actor_id"]: (one["tasks"]["value"], one["active_s"]["value"]) for one in people} == expected
        for one in people:
            behind = await rows(world, one["tasks"]["list"])
            assert (len(behind), sum(work["active_s"] for work in behind)) == expected[one["actor_id"]]
    tasks = await rows(world, f"{VIEW}/active-time/tasks")
    assert len(tasks) == 8
    assert sum(one["active_s"]["value"] for one in tasks) == 194.0
    for one in tasks:
        behind = await rows(world, one["active_s"]["list"])
        assert len(behind) == one["people"]["value"] == 1
        assert sum(work["active_s"] for work in behind) == one["active_s"]["value"]
    (adjudicated, *_) = await rows(world, f"{VIEW}/active-time/tasks?kind=adjudicate")
    assert (adjudicated["queue"], adjudicated["state"]) == ("spatial.expert", "completed")


async def rows_of(world: ApiWorld, address: str) -> list[dict[str, Any]]:
    """The items of a list that has one page."""
    answer = await world.call("olga", "GET", address)
    assert (answer.status_code, answer.json()["next_cursor"]) == (200, None), answer.text
    return list(answer.json()["items"])


async def test_the_numbers_are_those_of_what_happened(world: ApiWorld) -> None:
    await fill(world.database)
    told = await view(world, query="?window_s=3600&pieces=3")
    queues = {(one["queue"], one["kind"]): one for one in told["queues"]}
    spatial = queues["spatial", "review"]
    counts = {name: spatial[name]["value"] for name in ("open", "held", "late", "arrived", "completed", "cancelled")}
    assert counts == {"open": 2, "held": 1, "late": 1, "arrived": 7, "completed": 5, "cancelled": 0}
    assert queues["other", "review"]["cancelled"]["value"] == 1
    assert spatial["forecast"]["breach_in_s"] > 3_600, "what is late is no breach to come, and more comes than goes"
    assert {one["stage"]: one["samples"]["value"] for one in told["stages"]} == {"in_review": 6, "committed": 1}
    assert told["committed"]["value"] == 1
    assert (told["rework"]["value"], told["rework_loops"]["value"]) == (2, 1)
    escalations = {
        (one["cause"], one["check"], one["finding_kind"]): one["tasks"]["value"] for one in told["escalations"]
    }
    assert escalations == {
        ("second_look", "lidar_camera", "low_overlap"): 2,
        ("by_person", "lidar_camera", "low_overlap"): 1,
    }
    assert told["first_pass_approved"]["value"] == pytest.approx(3 / 5)
    assert told["first_pass_rejected"]["value"] == pytest.approx(1 / 5)
    assert told["second_looks_agree"]["value"] == pytest.approx(1 / 2)
    people = {one["actor"]: (one["decided"]["value"], one["held"]["value"]) for one in told["people"]}
    assert people == {"rita": (4, 0), "ron": (1, 1), "eve": (2, 0)}
    last = told["buckets"][-1]
    assert last["open"]["value"] == sum(one["open"]["value"] for one in told["queues"])
    assert {one["stage"]: one["samples"]["value"] for one in last["stages"]} == {"in_review": 6, "committed": 1}
    waiting = {one["kind"]: one["open"]["value"] for one in last["kinds"]}
    assert waiting == {"review": 2, "rework": 2, "adjudicate": 1}
    assert told["buckets"][0]["open"]["value"] == 0
    assert told["buckets"][0]["kinds"] == []
    assert told["buckets"][0]["stages"] == []


async def test_the_next_breach_is_that_of_a_task_that_is_not_late_yet_by_its_own_limits(world: ApiWorld) -> None:
    rule = DeadlineRule(risks=("high",), start_within_s=600, finish_within_s=3_600)
    config = ProjectConfig(deadlines=DeadlinePolicy(rules=(rule,)))
    async with world.database.transaction() as tx:
        await tx.projects.update_config(Project(id=OWN, name=OWN, config=config))
        now = await tx.now()
    first = await add_sample(world.database, "s1")
    await open_task(world.database, first, due_at=now - timedelta(hours=1))
    await open_task(world.database, first, due_at=now + timedelta(hours=9), start_by_at=now - timedelta(minutes=1))
    later = await open_task(
        world.database, first, due_at=now + timedelta(hours=5), start_by_at=now + timedelta(hours=3)
    )
    held = await open_task(world.database, first, due_at=now + timedelta(hours=4), start_by_at=now + timedelta(hours=1))
    await ReviewDesk(world.database).claim(RITA, held.task_id)
    (spatial,) = (await view(world))["queues"]
    assert spatial["late"]["value"] == 2
    assert await length(world, spatial["late"]["list"]) == 2
    # Nobody has finished anything: the soonest of what is not late is the next to be, and the held one was begun.
    assert datetime.fromisoformat(spatial["forecast"]["breach_at"]) == later.start_by_at
    # What is to come of high risk is to be begun within ten minutes.
    await open_task(world.database, first, risk="high")
    told = await view(world)
    (spatial,) = told["queues"]
    assert datetime.fromisoformat(spatial["forecast"]["breach_at"]) == datetime.fromisoformat(
        told["as_of"]
    ) + timedelta(minutes=10)


async def test_a_second_look_that_approves_what_was_fixed_upholds_it(world: ApiWorld) -> None:
    database = world.database
    outcomes = []
    for number, (first, second) in enumerate(
        ((Verdict.FIX, Verdict.APPROVE), (Verdict.FIX, Verdict.FIX), (Verdict.ACCEPT_CONFLICT, Verdict.APPROVE))
    ):
        ref = await add_sample(database, f"s{number}")
        seen = await decide(database, await open_task(database, ref), RITA, first, **_needed(first, 5.0))
        look = await open_task(
            database, ref, kind=TaskKind.ADJUDICATE, queue="spatial.expert", origin_decision_id=seen.decision_id
        )
        await decide(database, look, EVE, second, **_needed(second, 7.0))
        agree = (await view(world))["second_looks_agree"]
        outcomes.append((agree["part"]["value"], agree["whole"]["value"]))
        assert await length(world, agree["part"]["list"]) == agree["part"]["value"]
    assert outcomes == [(1, 1), (1, 2), (1, 3)]
    others = f"{VIEW}/decisions?second_look=true&agrees=false"
    assert await length(world, others) == 2


def _needed(verdict: Verdict, x_min: float) -> dict[str, Any]:
    if verdict is Verdict.FIX:
        return {"patch": LabelPatch(upsert=(box("a1", x_min),))}
    return {"reason_code": "occlusion"} if verdict is Verdict.ACCEPT_CONFLICT else {}


async def test_an_empty_project_has_numbers_too(world: ApiWorld) -> None:
    told = await view(world)
    assert (told["queues"], told["people"], told["committed"]["value"]) == ([], [], 0)
    assert "value" not in told["first_pass_approved"]
    assert len(told["buckets"]) == 24


async def test_what_labels_cost_follows_from_active_time(world: ApiWorld) -> None:
    async with world.database.transaction() as tx:
        config = ProjectConfig(cost_per_hour=36.0, currency="EUR")
        await tx.projects.update_config(Project(id=OWN, name=OWN, config=config))
    await fill(world.database)
    async with world.database._engine.begin() as connection:
        await connection.execute(text("UPDATE task_activity SET active_s = 50"))
    told = await view(world)
    # One committed sample with two labels, on which one person worked for 50 s at a cent a second.
    effort = told["effort"]
    assert (effort["active_s"]["value"], effort["labels"]["value"], effort["active_s_per_label"]) == (50.0, 2, 25.0)
    assert (effort["cost_per_label"], effort["currency"]) == (pytest.approx(0.25), "EUR")
    labels = await rows(world, effort["labels"]["list"])
    assert [(one["annotation_id"], one["type"], one["place"]) for one in labels] == [("a1", "box", 1), ("a2", "box", 2)]
    spatial = next(one for one in told["queues"] if one["queue"] == "spatial")
    assert spatial["forecast"]["handling_s"]["value"] == 50.0
    assert spatial["forecast"]["people"] > 0


@pytest.mark.parametrize(
    "path",
    ["", "/live?for_s=0", "/tasks", "/samples", "/decisions", "/activity", "/active-time/people", "/active-time/tasks"],
)
async def test_who_may_look(world: ApiWorld, path: str) -> None:
    assert (await world.call("vic", "GET", f"{VIEW}{path}")).status_code == 200
    for who in ("rita", "upton"):
        assert problem_code(await world.call(who, "GET", f"{VIEW}{path}")) == "forbidden"
    assert problem_code(await world.call("ollie", "GET", f"{VIEW}{path}")) == "not-found"
    unknown = VIEW.replace(OWN, "nowhere")
    assert problem_code(await world.call("olga", "GET", f"{unknown}{path}")) == "not-found"


@pytest.mark.parametrize("query", ["window_s=5", "pieces=0", "pieces=1000", "window_s=abc"])
async def test_a_window_that_can_not_be_is_refused(world: ApiWorld, query: str) -> None:
    assert problem_code(await world.call("olga", "GET", f"{VIEW}?{query}")) == "invalid-input"


@pytest.mark.parametrize("query", ["kind=nothing", "made_up=1", "open_at=yesterday", "cursor=abc"])
async def test_a_selection_that_can_not_be_is_refused(world: ApiWorld, query: str) -> None:
    assert problem_code(await world.call("olga", "GET", f"{VIEW}/tasks?{query}")) == "invalid-input"


async def test_the_live_view_tells_what_changes(world: ApiWorld) -> None:
    asking = asyncio.create_task(world.call("olga", "GET", f"{VIEW}/live?every_s=0.5&for_s=4"))
    task = await open_task(world.database, await add_sample(world.database, "s1"))
    answer = await asking
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = [block for block in answer.text.split("\n\n") if "event: operations" in block]
    last = json.loads(
        next(line for line in events[-1].splitlines() if line.startswith("data: ")).removeprefix("data: ")
    )
    assert [one["open"]["value"] for one in last["queues"]] == [1]
    assert str(task.task_id) not in answer.text
    # Nothing but the clock moved between the other looks.
    assert len(events) <= 3

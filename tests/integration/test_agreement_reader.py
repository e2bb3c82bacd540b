"""The agreement of a project, from what is stored, over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.agreement import AgreementReport
from services.contracts.label_base import Author
from services.contracts.review import TaskKind
from tests.review_world import OWN, ApiWorld, add_projects, add_sample, box, open_client, open_task, problem_code


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        for actor_id, role in (
            ("olga", Role.OPERATIONS), ("rita", Role.REVIEWER), ("ana", Role.ANNOTATOR), ("ben", Role.ANNOTATOR),
        ):  # fmt: skip
            await made.key(actor_id, role)
        yield made


async def answer(world: ApiWorld, sample_id: str, *people: tuple[str, str]) -> None:
    """Open an annotate task for each person and let them submit one box of the class they name."""
    ref = await add_sample(world.database, sample_id)
    for person, label in people:
        task = await open_task(
            world.database, ref, kind=TaskKind.ANNOTATE, queue="annotate", finding_ids=(), excluded_actors=(),
            assignee=person,
        )  # fmt: skip
        claimed = await world.call(person, "POST", f"/v1/tasks/{task.task_id}/claim", {})
        assert claimed.status_code == 200, claimed.text
        body = {
            "verdict": "submit",
            "fence": claimed.json()["lease"]["fence"],
            "annotations": [box("b1", 1.5, label=label).model_dump(mode="json", exclude_none=True)],
        }
        decided = await world.call(person, "POST", f"/v1/tasks/{task.task_id}/decide", body)
        assert decided.status_code == 200, decided.text


async def read(world: ApiWorld, query: str = "") -> AgreementReport:
    response = await world.call("olga", "GET", f"/v1/projects/{OWN}/agreement{query}")
    assert response.status_code == 200, response.text
    return AgreementReport.model_validate_json(response.content)


async def test_what_people_submitted_is_compared_with_the_list_behind_each_number(world: ApiWorld) -> None:
    assert (await read(world)).measures == ()
    await answer(world, "s1", ("ana", "car"), ("ben", "car"))
    await answer(world, "s2", ("ana", "van"), ("ben", "car"))
    await answer(world, "s3", ("ana", "van"))
    found = await read(world)
    assert (found.samples, found.people, found.left_out) == (2, ("ana", "ben"), 1)
    (kappa,) = [one for one in found.measures if one.metric == "cohen_kappa"]
    assert (kappa.compared, kappa.differing, [entry.sample_id for entry in kappa.entries]) == (2, 1, ["s2"])
    assert any(one.view == "window" for one in found.measures)
    cut = await read(world, "?samples=1&listed=0")
    assert cut.samples + cut.left_out == 3
    assert not any(one.entries for one in cut.measures)


async def test_of_a_sample_that_came_labelled_each_author_is_an_answer(world: ApiWorld) -> None:
    ref = await add_sample(world.database, "s1")
    people = [Author(kind="human", id=name, team="blue") for name in ("ana", "ben")]
    labels = tuple(box(f"b{i}", 1.5, author=person) for i, person in enumerate(people))
    async with world.database.transaction() as tx:
        await tx.samples.add_label_set(ref, labels, origin="label_files", author=Author(kind="importer", id="files"))
        # What was made after seeing others' labels is no answer.
        await tx.samples.add_label_set(ref, (), origin="reviewer", author=people[0], decision_id=None)
    found = await read(world)
    assert (found.samples, found.people) == (1, ("ana", "ben"))


async def test_only_who_may_read_histories_sees_it(world: ApiWorld) -> None:
    for actor in ("rita", "ana"):
        refused = await world.call(actor, "GET", f"/v1/projects/{OWN}/agreement")
        assert (refused.status_code, problem_code(refused)) == (403, "forbidden")
    missing = await world.call("olga", "GET", f"/v1/projects/nothing-{uuid4().hex[:8]}/agreement")
    assert (missing.status_code, problem_code(missing)) == (404, "not-found")
    wrong = await world.call("olga", "GET", f"/v1/projects/{OWN}/agreement?window_days=0")
    assert (wrong.status_code, problem_code(wrong)) == (422, "invalid-input")

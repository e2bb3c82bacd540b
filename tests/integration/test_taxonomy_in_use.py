"""A project does not leave the taxonomy version that has the classes of its labels, by whatever way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from infra.bench.taxonomy.fill import AFTER, NEW, OLD, OWNER, PROJECT, commit_samples, manifest_of, open_project
from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.taxonomies import MigrationInput, MigrationRequest, MigrationState
from services.errors import LabelInUseError
from services.intake.inbox import Inbox
from services.taxonomy.applying import migrate_samples
from services.taxonomy.migrations import MigrationDesk
from services.taxonomy.registry import TaxonomyRegistry
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass
from tests.intake_events import NoAssets, event, structured, take_in
from tests.review_world import ApiWorld, open_client, problem_code

pytestmark = pytest.mark.servers

PATH = f"/v1/projects/{PROJECT}"


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    """Six committed samples by the first version, a seventh on its way, and the second version."""
    await open_project(database)
    await commit_samples(database, 6)
    await take_in(Inbox(database, NoAssets()), structured(event(manifest_of(1_000), id="late")))
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        await made.key("olga", Role.ADMIN)
        yield made


async def migrated(database: PostgresDatabase, target: str = NEW) -> None:
    migration = await MigrationDesk(database).start(OWNER, PROJECT, MigrationRequest(target=target))
    given = MigrationInput(project=PROJECT, migration_id=migration.migration_id)
    while (await migrate_samples(database, given, workflow_run_id="run-1")).state is MigrationState.RUNNING:
        pass


async def ways(world: ApiWorld, taxonomy: str | None) -> list[Any]:
    """Try to name a taxonomy, or none, by a PUT, a plan, an apply; return the answers."""
    project = (await world.call("olga", "GET", PATH)).json()
    project["config"]["taxonomy"] = taxonomy
    definition = (await world.call("olga", "GET", f"{PATH}/definition")).json()
    definition["settings"]["taxonomy"] = taxonomy
    return [
        await world.call("olga", "PUT", PATH, project),
        await world.call("olga", "POST", f"{PATH}/definition/plan", definition),
        await world.call("olga", "PUT", f"{PATH}/definition", definition),
    ]


async def test_a_project_does_not_go_back_or_without_while_labels_have_classes_that_would_vanish(
    world: ApiWorld,
) -> None:
    await migrated(world.database)
    for taxonomy, classes in (
        (OLD, "car, pedestrian, rider"),
        (None, "auto, car, pedestrian, rider, sign, tree, truck"),
    ):
        for answer in await ways(world, taxonomy):
            assert (answer.status_code, problem_code(answer)) == (409, "label-in-use"), answer.text
            told = answer.json()
            assert told["classes"] == classes
            assert "'car' is the class of labels in 2 committed and 0 open samples of 'road'" in told["detail"]
            assert "concord taxonomy migration start" in told["detail"]
            assert told["places"][0]["pointer"] in ("/config/taxonomy", "/settings/taxonomy")
    assert (await world.call("olga", "GET", PATH)).json()["config"]["taxonomy"] == NEW
    history = (await world.call("olga", "GET", f"{PATH}/definitions")).json()["items"]
    assert history == []


async def test_a_definition_is_not_returned_to_if_its_taxonomy_lacks_classes_in_use(world: ApiWorld) -> None:
    definition = (await world.call("olga", "GET", f"{PATH}/definition")).json()
    applied = await world.call("olga", "PUT", f"{PATH}/definition", {**definition, "purpose": "Brake."})
    assert applied.status_code == 200, applied.text
    await migrated(world.database)
    back = await world.call("olga", "POST", f"{PATH}/definition/revert", {"version": 1})
    assert (back.status_code, problem_code(back)) == (409, "label-in-use")


async def test_open_samples_count_and_what_has_its_classes_may_go(world: ApiWorld) -> None:
    small = Taxonomy(id="road", version=3, classes=AFTER.classes[:1], steps=())
    with pytest.raises(LabelInUseError):
        await TaxonomyRegistry(world.database).publish(OWNER, small)
    for answer in await ways(world, None):
        assert answer.json()["open_samples"] > 0
    # Forward, where the steps say what becomes of every label, nothing vanishes.
    assert [answer.status_code for answer in await ways(world, NEW)] == [200, 200, 200]


async def test_no_taxonomy_is_named_or_left_while_a_migration_goes_on(world: ApiWorld) -> None:
    await MigrationDesk(world.database).start(OWNER, PROJECT, MigrationRequest(target=NEW))
    for answer in await ways(world, OLD):
        assert (answer.status_code, problem_code(answer)) == (409, "migration-conflict")
        assert "let the migration end, or cancel it" in answer.json()["detail"]


async def test_a_migration_to_a_taxonomy_that_labels_are_not_led_to_is_refused(world: ApiWorld) -> None:
    other = Taxonomy(id="city", version=1, classes=tuple(TaxonomyClass(id=name) for name in ("auto", "tree")))
    await TaxonomyRegistry(world.database).publish(OWNER, other)
    with pytest.raises(LabelInUseError, match="can not go by city@1, which has no class for labels in use"):
        await MigrationDesk(world.database).start(OWNER, PROJECT, MigrationRequest(target="city@1"))


async def test_a_project_without_such_labels_goes_where_it_wants(database: PostgresDatabase) -> None:
    await open_project(database)
    async with open_client(database) as http:
        world = ApiWorld(database, http)
        await world.key("olga", Role.ADMIN)
        for taxonomy in (NEW, OLD, None):
            assert [answer.status_code for answer in await ways(world, taxonomy)] == [200, 200, 200]

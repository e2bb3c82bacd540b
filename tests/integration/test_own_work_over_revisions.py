"""Nobody judges in a later revision of a sample what they made, or decided, in an earlier one."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Principal, Role
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.records import ProjectConfig
from services.contracts.review import DecisionInput, ReviewTask, TaskKind, Verdict
from services.errors import NoTaskAvailableError, SelfReviewError
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.leases import ClaimWish
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, World, label, no_models, person
from tests.integration.revision_world import advanced, migrated, publish, updated

PEOPLE = ("p0", "p1")
RITA, BEN = person("rita"), person("ben")
EXPERT = person("exa", Role.EXPERT)
ANNOTATE = ClaimWish(kinds=(TaskKind.ANNOTATE,))
OTHER_WORDS = [{"id": "note", "modality": "text", "inline": "good evening"}]


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


async def answered(world: World, *labels: dict[str, Any]) -> RevisionRef:
    """A sample that two people have labelled, checked."""
    ref = await world.post("s-1", annotations=[])
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    given = tuple(Intent.model_validate(one) for one in labels)
    for name in PEOPLE:
        who = person(name, Role.ANNOTATOR)
        task = await world.desk.claim_next(who, ANNOTATE)
        answer = DecisionInput(verdict=Verdict.SUBMIT, fence=task.fence, annotations=given)
        await world.desk.decide(who, task.task_id, answer)
        await settle_review(world.database, ref)
    await check_alignment(world.database, world.runner, ref)
    return ref


async def committed(world: World, *labels: dict[str, Any]) -> RevisionRef:
    """Such a sample, committed after rita has decided on it; nobody labels the next revision again."""
    ref = await answered(world, *labels)
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, RITA, Verdict.APPROVE)
    await advanced(world, ref)
    assert await world.stage(ref) is Stage.ACCEPTED
    await commit_ground_truth(world.database, ref, workflow_run_id="run-1")
    async with world.database.transaction() as tx:
        project = await tx.projects.get(PROJECT)
        assert project is not None
        settings = project.config.model_dump(exclude={"annotate", "overlap"})
        config = ProjectConfig(**settings, annotate="never")
        await tx.projects.update_config(project.model_copy(update={"config": config}))
    return ref


async def labels_of(world: World, ref: RevisionRef) -> list[dict[str, Any]]:
    """The labels as upstream has them from the record: without their authors."""
    async with world.database.transaction() as tx:
        labels = await tx.samples.label_set(ref)
    assert labels is not None
    return [one.model_dump(mode="json", exclude_none=True, exclude={"author"}) for one in labels.annotations]


async def refused(world: World, task: ReviewTask, *people: str) -> None:
    for name in people:
        who: Principal = person(name, Role.EXPERT)
        with pytest.raises(SelfReviewError):
            await world.desk.claim(who, task.task_id)
        with pytest.raises(NoTaskAvailableError):
            await world.desk.claim_next(who, ClaimWish(kinds=(TaskKind.REVIEW, TaskKind.ADJUDICATE)))


async def test_who_labelled_the_sample_does_not_judge_the_labels_that_upstream_sends_again(world: World) -> None:
    await world.open_project(annotate="always", overlap={"answers": 2})
    first = await committed(world, label("a1", "wrong"))
    # Another recording under the same labels.
    ref = await updated(world, first, *await labels_of(world, first), streams=OTHER_WORDS)
    task = await world.only_task(ref, TaskKind.REVIEW)
    assert task.excluded_actors == ("p0", "p1", "rita")
    await refused(world, task, *PEOPLE)


async def test_who_decided_a_finding_is_not_asked_when_it_is_opened_again(world: World) -> None:
    await world.open_project(annotate="always", overlap={"answers": 2})
    first = await committed(world, label("a1", "wrong"))
    ref = await updated(world, first, label("a1", "wrong again"))
    task = await world.only_task(ref, TaskKind.REVIEW)
    assert task.excluded_actors == ("rita",), "the label is nobody's of the first revision"
    await refused(world, task, "rita")
    # Whoever decides it now: the next time rita may.
    await world.decide(task.task_id, BEN, Verdict.APPROVE)
    await advanced(world, ref)
    third = await updated(world, ref, label("a1", "wrong once more"))
    assert (await world.only_task(third, TaskKind.REVIEW)).excluded_actors == ("ben",)


async def test_who_labelled_the_sample_does_not_judge_what_a_migration_leaves_to_people(world: World) -> None:
    await publish(world)
    await world.open_project(annotate="always", overlap={"answers": 2}, taxonomy="words@1")
    first = await committed(world, label("a1", "wrong_time"), label("a2", "wrong"), label("a3", "open"))
    await migrated(world)
    ref = first.model_copy(update={"revision": 2})
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    await check_alignment(world.database, world.runner, ref)
    task = await world.only_task(ref, TaskKind.REVIEW)
    assert task.excluded_actors == ("p0", "p1", "rita")
    await refused(world, task, *PEOPLE)


async def test_neither_do_they_give_the_second_verdict_or_one_that_a_reviewer_hands_on(world: World) -> None:
    await world.open_project(annotate="always", overlap={"answers": 2})
    first = await committed(world, label("a1", "wrong"))
    ref = await updated(world, first, *await labels_of(world, first), streams=OTHER_WORDS)
    task = await world.only_task(ref, TaskKind.REVIEW)
    await world.decide(task.task_id, BEN, Verdict.ESCALATE, note="Is it the same voice?")
    await settle_review(world.database, ref)
    handed_on = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert handed_on.excluded_actors == ("ben", "p0", "p1", "rita")
    await refused(world, handed_on, *PEOPLE, "rita")

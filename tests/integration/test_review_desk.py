"""The review desk on a real database: leases, fences, decisions, drafts, evidence."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.findings import LabelPatch
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import DecisionInput, FindingState, ReviewTask, TaskKind, TaskState, Verdict
from services.errors import (
    ChangedMeanwhileError,
    ConcordError,
    DecisionInvalidError,
    ForbiddenError,
    NoTaskAvailableError,
    NotFoundError,
    SelfReviewError,
    StaleFenceError,
    TaskFinishedError,
    TaskHeldError,
)
from services.review.authorship import concerned_sha256
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish
from tests.review_world import OTHER, OWN, add_projects, add_sample, box, lapse, open_task, principal, task_now

REVIEWER = principal("reviewer", Role.REVIEWER, projects=(OWN,))
SECOND = principal("second", Role.REVIEWER, projects=(OWN,))
EXPERT = principal("expert", Role.EXPERT, projects=(OWN,))
AUTHOR = principal("author", Role.REVIEWER, projects=(OWN,))
APPROVE = {"verdict": "approve"}


def decision(fence: int, **content: Any) -> DecisionInput:
    return DecisionInput.model_validate({"fence": fence, **(content or APPROVE)})


@pytest.fixture
async def ref(database: PostgresDatabase) -> RevisionRef:
    await add_projects(database)
    return await add_sample(database, "s1")


@pytest.fixture
async def task(database: PostgresDatabase, ref: RevisionRef) -> ReviewTask:
    return await open_task(database, ref)


@pytest.fixture
def desk(database: PostgresDatabase) -> ReviewDesk:
    return ReviewDesk(database)


async def state_of(database: PostgresDatabase, ref: RevisionRef, finding_id: str = "f-1") -> FindingState:
    async with database.transaction() as tx:
        return next(f.state for f in await tx.review.findings(ref) if f.finding.finding_id == finding_id)


async def draft_of(database: PostgresDatabase, task_id: UUID, actor_id: str) -> dict[str, Any] | None:
    async with database.transaction() as tx:
        draft = await tx.review.draft(task_id, actor_id)
    return None if draft is None else draft.body


async def test_a_claimed_task_is_nobody_elses_until_it_is_released(desk: ReviewDesk, task: ReviewTask) -> None:
    claimed = await desk.claim_next(REVIEWER, ClaimWish())
    assert (claimed.task_id, claimed.held_by, claimed.fence) == (task.task_id, "reviewer", 1)
    with pytest.raises(NoTaskAvailableError):
        await desk.claim_next(SECOND, ClaimWish())
    with pytest.raises(TaskHeldError):
        await desk.claim(SECOND, task.task_id)
    await desk.release(REVIEWER, task.task_id, claimed.fence)
    await desk.release(REVIEWER, task.task_id, claimed.fence)
    again = await desk.claim_next(SECOND, ClaimWish(queue="spatial", project=OWN, kinds=(TaskKind.REVIEW,)))
    assert again.fence == 2
    with pytest.raises(StaleFenceError):
        await desk.release(REVIEWER, task.task_id, 1)


async def test_a_lease_lasts_as_long_as_the_project_says(
    database: PostgresDatabase, desk: ReviewDesk, task: ReviewTask
) -> None:
    async with database.transaction() as tx:
        project = await tx.projects.get(OWN)
        assert project is not None
        config = project.config.model_copy(update={"lease_s": 60})
        await tx.projects.update_config(project.model_copy(update={"config": config}))
    for claim in (desk.claim_next(REVIEWER, ClaimWish()), desk.claim(REVIEWER, task.task_id)):
        claimed = await claim
        async with database.transaction() as tx:
            now = await tx.now()
        assert claimed.lease_expires_at is not None
        assert claimed.fence == 1
        assert 30 < (claimed.lease_expires_at - now).total_seconds() <= 60


async def test_a_heartbeat_extends_a_live_lease_only(
    database: PostgresDatabase, desk: ReviewDesk, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    lease = await desk.heartbeat(REVIEWER, task.task_id, claimed.fence)
    assert claimed.lease_expires_at is not None
    assert lease.lease_expires_at >= claimed.lease_expires_at
    with pytest.raises(StaleFenceError):
        await desk.heartbeat(SECOND, task.task_id, claimed.fence)
    await lapse(database, task.task_id)
    with pytest.raises(StaleFenceError, match="claim the task again"):
        await desk.heartbeat(REVIEWER, task.task_id, claimed.fence)


async def test_the_author_may_neither_claim_nor_look_nor_decide(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    with pytest.raises(NoTaskAvailableError):
        await desk.claim_next(AUTHOR, ClaimWish())
    for call in (desk.claim(AUTHOR, task.task_id), desk.evidence(AUTHOR, task.task_id)):
        with pytest.raises(SelfReviewError):
            await call
    with pytest.raises(SelfReviewError):
        await desk.decide(AUTHOR, task.task_id, decision(1))
    # A task that was opened without naming the author is no way around it.
    unguarded = await open_task(database, ref, excluded_actors=())
    with pytest.raises(SelfReviewError):
        await desk.claim(AUTHOR, unguarded.task_id)
    taken = await desk.claim_next(AUTHOR, ClaimWish())
    with pytest.raises(SelfReviewError):
        await desk.decide(AUTHOR, unguarded.task_id, decision(taken.fence))
    assert (await task_now(database, unguarded.task_id)).state is not TaskState.COMPLETED


async def test_roles_skills_assignment_and_projects_limit_what_one_takes(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    viewer, annotator = principal("v", Role.VIEWER), principal("n", Role.ANNOTATOR)
    for person in (viewer, annotator):
        with pytest.raises(ForbiddenError):
            await desk.claim(person, task.task_id)
    with pytest.raises(ForbiddenError):
        await desk.claim_next(viewer, ClaimWish())
    with pytest.raises(ForbiddenError):
        await desk.claim_next(annotator, ClaimWish(kinds=(TaskKind.ADJUDICATE,)))
    outsider = principal("o", Role.REVIEWER, projects=(OTHER,))
    for attempt in (desk.claim(outsider, task.task_id), desk.evidence(outsider, task.task_id)):
        with pytest.raises(NotFoundError):
            await attempt
    with pytest.raises(NotFoundError):
        await desk.claim_next(outsider, ClaimWish(project=OWN))
    skilled = await open_task(database, ref, skill="speech", queue="speech")
    with pytest.raises(ForbiddenError, match="speech"):
        await desk.claim(REVIEWER, skilled.task_id)
    assigned = await open_task(database, ref, assignee="second", queue="direct")
    with pytest.raises(ForbiddenError):
        await desk.claim(REVIEWER, assigned.task_id)


async def test_a_decision_is_stored_whole_and_the_same_again_answers_it(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    made = await desk.decide(REVIEWER, task.task_id, decision(claimed.fence))
    assert await desk.decide(REVIEWER, task.task_id, decision(claimed.fence)) == made
    assert await desk.decide(REVIEWER, task.task_id, decision(99)) == made, "the fence is no part of the content"
    assert await state_of(database, ref) is FindingState.DISMISSED
    assert (await task_now(database, task.task_id)).state is TaskState.COMPLETED
    async with database.transaction() as tx:
        entries = await tx.audit.list(OWN, after=0, limit=100)
        signals = list(await tx.outbox.pending(("workflow_signal",), limit=10))
    assert [entry.action for entry in entries if entry.action.startswith("task.")] == ["task.approve"]
    assert [message.body["message_id"] for message in signals] == [str(made.decision_id)]
    with pytest.raises(TaskFinishedError):
        await desk.decide(REVIEWER, task.task_id, decision(claimed.fence, verdict="approve", note="other"))
    with pytest.raises(TaskFinishedError):
        await desk.decide(SECOND, task.task_id, decision(claimed.fence))


async def test_a_fix_makes_new_labels_by_the_person_and_keeps_the_rest(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    other = await open_task(database, ref, queue="second-opinion", finding_ids=("f-1",))
    claimed = await desk.claim(REVIEWER, task.task_id)
    forged = box("a1", 9.0, author={"kind": "human", "id": "somebody"})
    made = await desk.decide(
        REVIEWER,
        task.task_id,
        DecisionInput(verdict=Verdict.FIX, fence=claimed.fence, patch=LabelPatch(upsert=(forged, box("a3")))),
    )
    assert (made.label_version_before, made.label_version_after) == (1, 2)
    async with database.transaction() as tx:
        labels = await tx.samples.label_set(ref)
        finding = (await tx.review.findings(ref))[0]
    assert labels is not None
    authors = [(label.id, label.author.id if label.author else None) for label in labels.annotations]
    assert authors == [("a1", "reviewer"), ("a2", "author"), ("a3", "reviewer")]
    assert (labels.origin, labels.decision_id) == ("reviewer", made.decision_id)
    assert (finding.state, finding.fixed_by_label_version) == (FindingState.FIXED, 2)
    assert finding.labels_sha256 == concerned_sha256(finding.finding, labels.annotations)
    assert "reviewer" in (await task_now(database, other.task_id)).excluded_actors


@pytest.mark.parametrize(
    ("content", "pointer"),
    [
        ({"verdict": "submit", "annotations": []}, "/verdict"),
        ({"verdict": "discard", "note": "unusable"}, "/verdict"),
        ({"verdict": "reject"}, "/note"),
        ({"verdict": "reject", "note": "  "}, "/note"),
        ({"verdict": "escalate"}, "/note"),
        ({"verdict": "accept_conflict"}, "/reason_code"),
        ({"verdict": "accept_conflict", "reason_code": "because"}, "/reason_code"),
        ({"verdict": "approve", "patch": {}}, "/patch"),
        ({"verdict": "approve", "annotations": []}, "/annotations"),
        ({"verdict": "fix"}, "/patch"),
        ({"verdict": "fix", "patch": {}}, "/patch"),
        ({"verdict": "fix", "patch": {"remove": ["a9"]}}, "/patch/remove/0"),
        (
            {"verdict": "fix", "patch": {"upsert": [box("a1", 7.0, stream="lidar").model_dump(mode="json")]}},
            "/patch/upsert/0/stream",
        ),
        ({"verdict": "approve", "label_version": 77}, "/label_version"),
    ],
)
async def test_a_decision_that_does_not_fit_is_refused_with_its_place(
    database: PostgresDatabase,
    desk: ReviewDesk,
    ref: RevisionRef,
    task: ReviewTask,
    content: dict[str, Any],
    pointer: str,
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    with pytest.raises(DecisionInvalidError) as refused:
        await desk.decide(REVIEWER, task.task_id, decision(claimed.fence, **content))
    assert refused.value.places[0][0] == pointer
    after = await task_now(database, task.task_id)
    assert (after.state, after.held_by) == (TaskState.CLAIMED, "reviewer")
    async with database.transaction() as tx:
        labels = await tx.samples.label_set(ref)
        assert await tx.review.decisions(ref) == ()
    assert labels is not None
    assert labels.version == 1


async def test_an_accepted_conflict_keeps_its_reason(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    made = await desk.decide(
        REVIEWER, task.task_id, decision(claimed.fence, verdict="accept_conflict", reason_code="occlusion")
    )
    assert made.reason_code == "occlusion"
    assert await state_of(database, ref) is FindingState.ACCEPTED


async def test_a_late_decision_is_refused_and_kept_as_a_draft(
    database: PostgresDatabase, desk: ReviewDesk, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    await lapse(database, task.task_id)
    late = decision(claimed.fence, verdict="reject", note="the box floats")
    with pytest.raises(StaleFenceError) as refused:
        await desk.decide(REVIEWER, task.task_id, late)
    assert refused.value.facts["draft_kept"] is True
    assert await draft_of(database, task.task_id, "reviewer") == {"verdict": "reject", "note": "the box floats"}
    taken = await desk.claim(SECOND, task.task_id)
    assert taken.fence == claimed.fence + 1
    with pytest.raises(StaleFenceError, match="somebody else"):
        await desk.decide(REVIEWER, task.task_id, late)
    await desk.decide(SECOND, task.task_id, decision(taken.fence))
    with pytest.raises(TaskFinishedError):
        await desk.decide(REVIEWER, task.task_id, late)
    assert await draft_of(database, task.task_id, "reviewer") is not None
    assert await draft_of(database, task.task_id, "second") is None


async def test_a_draft_outlives_the_lease_and_is_ones_own(
    database: PostgresDatabase, desk: ReviewDesk, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    await desk.save_draft(REVIEWER, task.task_id, claimed.fence, {"step": 1})
    await lapse(database, task.task_id)
    with pytest.raises(StaleFenceError) as refused:
        await desk.save_draft(REVIEWER, task.task_id, claimed.fence, {"step": 2})
    assert refused.value.facts["draft_kept"] is True
    again = await desk.claim(REVIEWER, task.task_id)
    assert again.fence == claimed.fence + 1
    evidence = await desk.evidence(REVIEWER, task.task_id)
    assert evidence.draft is not None
    assert evidence.draft.body == {"step": 2}
    with pytest.raises(StaleFenceError) as never:
        await desk.save_draft(SECOND, task.task_id, 99, {"step": 3})
    assert "draft_kept" not in never.value.facts
    assert await draft_of(database, task.task_id, "second") is None


async def test_labels_that_changed_since_they_were_seen_refuse_the_decision(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    async with database.transaction() as tx:
        labels = await tx.samples.label_set(ref)
        assert labels is not None
        first, second = labels.annotations
        unrelated = (first, second.model_copy(update={"label": "van"}))
        await tx.samples.add_label_set(ref, unrelated, origin="external", author=labels.author)
        concerned = (first.model_copy(update={"label": "van"}), unrelated[1])
        await tx.samples.add_label_set(ref, concerned, origin="external", author=labels.author)
    with pytest.raises(ChangedMeanwhileError):
        await desk.decide(REVIEWER, task.task_id, decision(claimed.fence, verdict="approve", label_version=2))
    await desk.decide(REVIEWER, task.task_id, decision(claimed.fence, verdict="approve", label_version=3))


async def test_a_change_elsewhere_does_not_refuse_the_decision(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    async with database.transaction() as tx:
        labels = await tx.samples.label_set(ref)
        assert labels is not None
        unrelated = (labels.annotations[0], labels.annotations[1].model_copy(update={"label": "van"}))
        await tx.samples.add_label_set(ref, unrelated, origin="external", author=labels.author)
    made = await desk.decide(REVIEWER, task.task_id, decision(claimed.fence, verdict="approve", label_version=1))
    assert (made.label_version_before, made.label_version_after) == (2, 2)


async def test_labelling_takes_a_whole_set_or_a_patch(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef
) -> None:
    annotator = principal("ann", Role.ANNOTATOR)
    rework = await open_task(
        database, ref, kind=TaskKind.REWORK, queue="rework", assignee="author", excluded_actors=(), reason="wrong"
    )
    with pytest.raises(ForbiddenError):
        await desk.claim(annotator, rework.task_id)
    held = await desk.claim(AUTHOR, rework.task_id)
    assert held.reason == "wrong"
    for content in ({"verdict": "submit"}, {"verdict": "submit", "patch": {}, "annotations": []}):
        with pytest.raises(DecisionInvalidError):
            await desk.decide(AUTHOR, rework.task_id, decision(held.fence, **content))
    made = await desk.decide(
        AUTHOR,
        rework.task_id,
        DecisionInput(verdict=Verdict.SUBMIT, fence=held.fence, patch=LabelPatch(remove=("a2",))),
    )
    assert made.label_version_after == 2
    annotate = await open_task(
        database, ref, kind=TaskKind.ANNOTATE, queue="annotate", finding_ids=(), excluded_actors=()
    )
    evidence = await desk.evidence(annotator, annotate.task_id)
    assert [label.id for label in evidence.annotations] == ["a1"]
    held = await desk.claim(annotator, annotate.task_id)
    await desk.decide(
        annotator,
        annotate.task_id,
        DecisionInput(verdict=Verdict.SUBMIT, fence=held.fence, annotations=(box("b1"), *evidence.annotations)),
    )
    async with database.transaction() as tx:
        labels = await tx.samples.label_set(ref)
        states = [item.state for item in await tx.review.findings(ref)]
    assert labels is not None
    assert [(item.id, item.author.id if item.author else "") for item in labels.annotations] == [
        ("b1", "ann"),
        ("a1", "author"),
    ]
    assert (labels.origin, states) == ("annotator", [FindingState.OPEN])


async def test_a_second_look_is_blind_and_an_escalation_is_not(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    first = await desk.decide(
        REVIEWER,
        task.task_id,
        decision(claimed.fence, verdict="fix", patch={"upsert": [box("a1", 9.0).model_dump(mode="json")]}),
    )
    look = await open_task(
        database, ref, kind=TaskKind.ADJUDICATE, queue="spatial.expert",
        origin_decision_id=first.decision_id, excluded_actors=("author", "reviewer"),
    )  # fmt: skip
    held = await desk.claim_next(EXPERT, ClaimWish())
    assert (held.origin_decision_id, held.excluded_actors) == (None, ())
    evidence = await desk.evidence(EXPERT, look.task_id)
    assert evidence.decisions == ()
    assert [item.state for item in evidence.findings] == [FindingState.OPEN]
    assert evidence.findings[0].decision_id is None
    assert [label.author for label in evidence.annotations] == [None, None]
    assert "reviewer" not in evidence.model_dump_json()
    with pytest.raises(ForbiddenError):
        await desk.evidence(EXPERT, task.task_id)
    operations = await desk.evidence(principal("ops", Role.OPERATIONS), look.task_id)
    assert [item.decision_id for item in operations.decisions] == [first.decision_id]

    await desk.decide(EXPERT, look.task_id, decision(held.fence, verdict="reject", note="still floats"))
    assert await state_of(database, ref) is FindingState.OPEN
    third = await open_task(database, ref, queue="again", excluded_actors=())
    held = await desk.claim(SECOND, third.task_id)
    assert len((await desk.evidence(SECOND, third.task_id)).decisions) == 2
    escalated = await desk.escalate(SECOND, third.task_id, held.fence, "not mine to say")
    fourth = await open_task(
        database,
        ref,
        kind=TaskKind.ADJUDICATE,
        queue="spatial.expert",
        origin_decision_id=escalated.decision_id,
        excluded_actors=(),
    )
    other_expert = principal("other-expert", Role.EXPERT)
    shown = await desk.evidence(other_expert, fourth.task_id)
    assert [item.decision_id for item in shown.decisions][-1] == escalated.decision_id
    with pytest.raises(SelfReviewError):
        await desk.claim(EXPERT, fourth.task_id)


async def test_a_person_is_listed_what_they_could_take(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    hidden = [
        await open_task(database, ref, kind=TaskKind.ADJUDICATE, queue="x"),
        await open_task(database, ref, queue="y", assignee="second"),
        await open_task(database, await add_sample(database, "s2", project=OTHER)),
    ]
    listed, following = await desk.list_tasks(REVIEWER)
    assert [item.task_id for item in listed] == [task.task_id]
    assert listed[0].excluded_actors == ()
    assert following is None
    everything, _ = await desk.list_tasks(principal("ops", Role.OPERATIONS))
    assert {item.task_id for item in everything} == {task.task_id, *(item.task_id for item in hidden)}
    await desk.claim(SECOND, task.task_id)
    assert (await desk.list_tasks(REVIEWER))[0] == ()
    first, after = await desk.list_tasks(principal("ops", Role.OPERATIONS), limit=3)
    second, end = await desk.list_tasks(principal("ops", Role.OPERATIONS), limit=3, after=after)
    assert (len(first), len(second), end) == (3, 1, None)


async def test_of_many_decisions_at_once_exactly_one_counts(
    database: PostgresDatabase, desk: ReviewDesk, ref: RevisionRef, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    same = [desk.decide(REVIEWER, task.task_id, decision(claimed.fence)) for _ in range(5)]
    other = [
        desk.decide(SECOND, task.task_id, decision(claimed.fence, verdict="reject", note="no")),
        desk.decide(REVIEWER, task.task_id, decision(claimed.fence, verdict="reject", note="no")),
    ]
    results = await asyncio.gather(*same, *other, return_exceptions=True)
    kept = {result.decision_id for result in results if not isinstance(result, BaseException)}
    assert len(kept) == 1
    assert all(isinstance(result, ConcordError) for result in results if isinstance(result, BaseException))
    async with database.transaction() as tx:
        assert len(await tx.review.decisions(ref)) == 1
        assert len(await tx.outbox.pending(("workflow_signal",), limit=10)) == 1


async def test_many_claimers_never_share_a_task(database: PostgresDatabase, desk: ReviewDesk) -> None:
    await add_projects(database)
    for number in range(6):
        await open_task(database, await add_sample(database, f"s{number}"))
    people = [principal(f"p{number}", Role.REVIEWER) for number in range(10)]
    results = await asyncio.gather(*(desk.claim_next(person, ClaimWish()) for person in people), return_exceptions=True)
    taken = [result.task_id for result in results if isinstance(result, ReviewTask)]
    assert len(taken) == len(set(taken)) == 6
    assert all(isinstance(result, ReviewTask | NoTaskAvailableError) for result in results)


async def test_a_cancelled_task_takes_no_decision_but_keeps_the_work(
    database: PostgresDatabase, desk: ReviewDesk, task: ReviewTask
) -> None:
    claimed = await desk.claim(REVIEWER, task.task_id)
    async with database.transaction() as tx:
        await tx.review.close_task(task.task_id, TaskState.CANCELLED)
    with pytest.raises(TaskFinishedError, match="kept as your draft"):
        await desk.decide(REVIEWER, task.task_id, decision(claimed.fence))
    assert await draft_of(database, task.task_id, "reviewer") == {"verdict": "approve"}
    with pytest.raises(TaskFinishedError):
        await desk.claim(REVIEWER, task.task_id)

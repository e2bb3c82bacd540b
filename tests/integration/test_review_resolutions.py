"""One verdict for a task, another for some of its findings, and remarks pinned to their places."""

from __future__ import annotations

from typing import Any

import pytest

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.findings import LabelPatch
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import NextStep, RevisionRef
from services.contracts.pins import Pin
from services.contracts.review import (
    DecisionInput,
    FindingResolution,
    FindingState,
    Remark,
    ReviewTask,
    TaskKind,
    Verdict,
)
from services.errors import DecisionInvalidError
from services.lifecycle.settle import settle_review
from tests.integration.lifecycle_world import World, label, person, wording_finding

BEN, EXA, ANN = person("ben"), person("exa", Role.EXPERT), person("ann", Role.ANNOTATOR)


@pytest.fixture
async def world(database: PostgresDatabase) -> World:
    made = World(database)
    await made.open_project()
    return made


async def two_findings(world: World, risk: str = "low") -> tuple[RevisionRef, ReviewTask, str, str]:
    """A sample with two wrong labels in one review task."""
    ref = await world.checked("s-1", label("a1", "wrong-1"), label("a2", "wrong-2"), context={"risk": risk})
    names = [wording_finding(name).finding_id for name in ("a1", "a2")]
    return ref, await world.only_task(ref, TaskKind.REVIEW), names[0], names[1]


async def states(world: World, ref: RevisionRef) -> dict[str, FindingState]:
    return {item.finding.finding_id: item.state for item in await world.findings(ref)}


async def test_one_finding_is_fixed_and_the_other_accepted_in_one_decision(world: World) -> None:
    ref, task, first, second = await two_findings(world)
    claimed = await world.desk.claim(BEN, task.task_id)
    resolution = FindingResolution(finding_id=second, verdict=Verdict.ACCEPT_CONFLICT, reason_code="occlusion")
    given = DecisionInput(
        verdict=Verdict.FIX,
        fence=claimed.fence,
        patch=LabelPatch(upsert=(Intent.model_validate(label("a1", "greeting")),)),
        resolutions=(resolution,),
    )
    decision = await world.desk.decide(BEN, task.task_id, given)
    assert await states(world, ref) == {first: FindingState.FIXED, second: FindingState.ACCEPTED}
    async with world.database.transaction() as tx:
        (stored,) = await tx.review.decisions(ref)
    assert stored == decision
    assert stored.resolutions == (resolution,)
    assert stored.judged_by_verdict == (first,)
    # The same again is the same decision.
    assert await world.desk.decide(BEN, task.task_id, given) == decision


async def test_only_what_is_rejected_goes_back(world: World) -> None:
    ref, task, first, second = await two_findings(world)
    resolution = FindingResolution(finding_id=first, verdict=Verdict.APPROVE)
    remark = Remark(pin=Pin(stream="note", annotation="a2"), text="Not a greeting.")
    await world.decide(
        task.task_id, BEN, Verdict.REJECT, note="The second is wrong.", resolutions=(resolution,), remarks=(remark,)
    )
    assert (await settle_review(world.database, ref)).next_step is NextStep.WAIT
    assert await states(world, ref) == {first: FindingState.DISMISSED, second: FindingState.OPEN}
    rework = await world.only_task(ref, TaskKind.REWORK)
    assert rework.finding_ids == (second,)
    # Whoever makes the labels again sees what is wrong, and where.
    evidence = await world.desk.evidence(ANN, rework.task_id)
    assert [item.remarks for item in evidence.decisions] == [(remark,)]


async def test_only_what_is_escalated_goes_to_the_experts(world: World) -> None:
    ref, task, first, second = await two_findings(world)
    resolution = FindingResolution(finding_id=second, verdict=Verdict.APPROVE)
    await world.decide(task.task_id, BEN, Verdict.ESCALATE, note="Which one?", resolutions=(resolution,))
    await settle_review(world.database, ref)
    assert (await world.only_task(ref, TaskKind.ADJUDICATE)).finding_ids == (first,)


@pytest.mark.parametrize(
    ("verdict", "given", "place", "says"),
    [
        ("approve", {"resolutions": [{"finding_id": "f-none", "verdict": "approve"}]}, "/resolutions/0/finding_id",
         "this task is not about 'f-none'"),
        ("approve", {"resolutions": [{"finding_id": "1", "verdict": "accept_conflict"}]},
         "/resolutions/0/reason_code", "is required for accept_conflict"),
        ("approve", {"resolutions": [{"finding_id": "1", "verdict": "approve"}] * 2}, "/resolutions/1/finding_id",
         "stands here twice"),
        ("reject", {"resolutions": [{"finding_id": one, "verdict": "approve"} for one in "12"]}, "/resolutions",
         "leave nothing to reject"),
        ("reject", {"remarks": [{"pin": {"stream": "video"}, "text": "Here."}]}, "/remarks/0/pin/stream",
         "there is no stream 'video' in this sample"),
        ("reject", {"remarks": [{"pin": {"annotation": "a9"}, "text": "Here."}]}, "/remarks/0/pin/annotation",
         "there is no label 'a9' in this sample"),
    ],
    ids=["another's", "no reason", "twice", "nothing left", "no stream", "no label"],
)  # fmt: skip
async def test_what_does_not_fit_names_the_place(
    world: World, verdict: str, given: dict[str, Any], place: str, says: str
) -> None:
    _, task, first, second = await two_findings(world)
    ids = {"1": first, "2": second}
    for resolution in given.get("resolutions", ()):
        resolution["finding_id"] = ids.get(resolution["finding_id"], resolution["finding_id"])
    claimed = await world.desk.claim(BEN, task.task_id)
    note = {"note": "Again."} if verdict == "reject" else {}
    whole = DecisionInput.model_validate({"verdict": verdict, "fence": claimed.fence, **note, **given})
    with pytest.raises(DecisionInvalidError, match=says) as refused:
        await world.desk.decide(BEN, task.task_id, whole)
    assert refused.value.places[0][0] == place


async def test_four_eyes_see_every_finding(world: World) -> None:
    ref, task, first, second = await two_findings(world, risk="high")
    resolution = FindingResolution(finding_id=first, verdict=Verdict.APPROVE)
    with pytest.raises(DecisionInvalidError, match="reject hands on all findings where verdicts are judged again"):
        await world.decide(task.task_id, BEN, Verdict.REJECT, note="Again.", resolutions=(resolution,))
    accepted = FindingResolution(finding_id=first, verdict=Verdict.ACCEPT_CONFLICT, reason_code="occlusion")
    await world.decide(task.task_id, BEN, Verdict.APPROVE, resolutions=(accepted,))
    await settle_review(world.database, ref)
    second_look = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert set(second_look.finding_ids) == {first, second}
    evidence = await world.desk.evidence(EXA, second_look.task_id)
    assert evidence.decisions == ()
    assert {item.state for item in evidence.findings} == {FindingState.OPEN}


@pytest.mark.parametrize(
    "pin",
    [{}, {"frame": 3}, {"stream": "cam", "interval_s": [2, 1]}, {"stream": "cam", "box": [1, 1, 1, 5]}],
    ids=["nothing", "no stream", "backwards", "no area"],
)
def test_a_pin_that_points_nowhere_is_refused(pin: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"pin|belong|interval_s|area"):
        Pin.model_validate(pin)

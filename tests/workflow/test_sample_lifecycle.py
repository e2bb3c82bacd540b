from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowFailureError
from temporalio.exceptions import CancelledError
from temporalio.testing import WorkflowEnvironment

from services.contracts.lifecycle import (
    DecisionRecorded,
    LifecycleState,
    NextStep,
    Stage,
    WithdrawalRecorded,
)
from tests.workflow.doubles import (
    ACCEPTED,
    CHECK,
    REJECTED,
    SHA,
    WITHDRAWN,
    Script,
    annotating,
    broken,
    in_review,
    new_input,
    running,
)

DECIDED = "decision_recorded"
NEVER = timedelta(days=3650)


async def test_sample_without_disagreement_is_committed_by_three_activities(skipping: WorkflowEnvironment) -> None:
    script = Script()
    async with running(skipping.client, script) as handle:
        result = await handle.result()
    assert (result.stage, result.content_sha256) == (Stage.COMMITTED, SHA)
    assert script.names() == ["prepare", "check", "commit"]


async def test_decision_on_a_conflict_leads_to_another_check_and_the_commit(skipping: WorkflowEnvironment) -> None:
    script = Script(check=[in_review(NEVER), ACCEPTED])
    async with running(skipping.client, script) as handle:
        await script.called("check")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        result = await handle.result()
    assert result.stage is Stage.COMMITTED
    assert script.names() == ["prepare", "check", "settle", "check", "commit"]


async def test_labels_of_an_annotator_are_checked(skipping: WorkflowEnvironment) -> None:
    script = Script(prepare=[annotating(NEVER)])
    async with running(skipping.client, script) as handle:
        await script.called("prepare")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        await handle.result()
    assert script.names() == ["prepare", "settle", "check", "commit"]


async def test_message_told_again_is_not_looked_at_again(skipping: WorkflowEnvironment) -> None:
    script = Script(check=[in_review(NEVER), ACCEPTED], settle=[in_review(NEVER), CHECK])
    async with running(skipping.client, script) as handle:
        await script.called("check")
        for _ in range(5):
            await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        await script.called("settle")
        for _ in range(5):
            await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        state = await handle.query("state", result_type=LifecycleState)
        assert (state.messages_seen, state.next_step) == (1, NextStep.WAIT)
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-2"))
        await handle.result()
    assert script.count("settle") == 2


async def test_message_during_an_activity_is_looked_at_after_it(skipping: WorkflowEnvironment) -> None:
    script = Script(check=[in_review(NEVER), ACCEPTED], closed={"check"})
    async with running(skipping.client, script) as handle:
        await script.called("check")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        script.gates["check"].set()
        await handle.result()
    assert script.names() == ["prepare", "check", "settle", "check", "commit"]


async def test_message_during_settling_is_settled_too(skipping: WorkflowEnvironment) -> None:
    script = Script(check=[in_review(NEVER), ACCEPTED], settle=[in_review(NEVER), CHECK], closed={"settle"})
    async with running(skipping.client, script) as handle:
        await script.called("check")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        await script.called("settle")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-2"))
        script.gates["settle"].set()
        await handle.result()
    assert script.count("settle") == 2


async def test_deadline_fires_once_when_it_is_due_and_never_early(skipping: WorkflowEnvironment) -> None:
    due_in, next_due_in = timedelta(days=2), timedelta(days=5)
    script = Script(check=[in_review(due_in), ACCEPTED], escalate=[in_review(next_due_in), CHECK])
    async with running(skipping.client, script) as handle:
        await handle.result()
    assert script.names() == ["prepare", "check", "escalate", "escalate", "check", "commit"]
    _, checked, first, second, *_ = script.calls
    assert [first.given.deadline_round, second.given.deadline_round] == [1, 2]
    assert due_in <= first.at - checked.at < due_in + timedelta(minutes=1)
    assert next_due_in <= second.at - first.at < next_due_in + timedelta(minutes=1)


async def test_decision_moves_the_deadline(skipping: WorkflowEnvironment) -> None:
    script = Script(
        check=[in_review(timedelta(days=2)), ACCEPTED], settle=[in_review(timedelta(days=9))], escalate=[CHECK]
    )
    async with running(skipping.client, script) as handle:
        await script.called("check")
        await skipping.sleep(timedelta(days=1))
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        await handle.result()
    settled = next(call for call in script.calls if call.name == "settle")
    escalated = next(call for call in script.calls if call.name == "escalate")
    assert script.count("escalate") == 1
    assert escalated.at - settled.at >= timedelta(days=9)


async def test_wait_without_a_stated_deadline_ends_after_the_projects_window(skipping: WorkflowEnvironment) -> None:
    script = Script(prepare=[annotating(None)], escalate=[in_review(None), CHECK])
    given = new_input(annotate_within=timedelta(days=3), review_within=timedelta(days=1))
    async with running(skipping.client, script, given) as handle:
        await handle.result()
    prepared, first, second, *_ = script.calls
    assert timedelta(days=3) <= first.at - prepared.at < timedelta(days=3, minutes=1)
    assert timedelta(days=1) <= second.at - first.at < timedelta(days=1, minutes=1)


@pytest.mark.parametrize("stage", ["prepare", "check", "annotating", "in_review", "commit"])
async def test_withdrawal_at_any_stage_ends_the_workflow(skipping: WorkflowEnvironment, stage: str) -> None:
    script = Script(settle=[WITHDRAWN])
    if stage == "annotating":
        script.prepare = [annotating(NEVER)]
    elif stage == "in_review":
        script.check = [in_review(NEVER)]
    else:
        # The activity that runs meanwhile finds out by itself.
        script.closed = {stage}
        setattr(script, stage, [WITHDRAWN])
    async with running(skipping.client, script) as handle:
        await script.called({"annotating": "prepare", "in_review": "check"}.get(stage, stage))
        await handle.signal("withdrawal_recorded", WithdrawalRecorded(message_id="w-1", reason="replaced"))
        script.gates[stage].set()
        result = await handle.result()
    assert result.stage is Stage.WITHDRAWN
    assert result.content_sha256 is None


async def test_discarded_sample_ends_rejected(skipping: WorkflowEnvironment) -> None:
    script = Script(check=[in_review(NEVER)], settle=[REJECTED])
    async with running(skipping.client, script) as handle:
        await script.called("check")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        assert (await handle.result()).stage is Stage.REJECTED


@pytest.mark.parametrize("activity", ["prepare", "check", "commit"])
async def test_failed_activity_holds_the_sample_and_is_tried_again_later(
    skipping: WorkflowEnvironment, activity: str
) -> None:
    script = Script()
    setattr(script, activity, [broken(), broken(), *getattr(script, activity)])
    async with running(skipping.client, script) as handle:
        result = await handle.result()
    assert result.stage is Stage.COMMITTED
    first, second, third = (call.at for call in script.calls if call.name == activity)
    assert timedelta(minutes=5) <= second - first < third - second


async def test_held_sample_names_its_fault_and_a_message_wakes_it(skipping: WorkflowEnvironment) -> None:
    script = Script(check=[in_review(NEVER), ACCEPTED], settle=[broken("integrity"), CHECK])
    async with running(skipping.client, script) as handle:
        await script.called("check")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        await script.called("settle")
        state = await handle.query("state", result_type=LifecycleState)
        while state.fault is None:
            state = await handle.query("state", result_type=LifecycleState)
        assert (state.fault, state.stage) == ("integrity", Stage.IN_REVIEW)
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-2"))
        await script.called("settle", 2)
        settles = [call.at for call in script.calls if call.name == "settle"]
        assert settles[1] - settles[0] < timedelta(minutes=5)
        await handle.result()


async def test_failed_escalation_is_not_forgotten(skipping: WorkflowEnvironment) -> None:
    at_once = in_review(timedelta(0))
    script = Script(check=[in_review(), ACCEPTED], escalate=[broken(), CHECK], settle=[at_once])
    async with running(skipping.client, script) as handle:
        await handle.result()
    assert script.names() == ["prepare", "check", "escalate", "settle", "escalate", "check", "commit"]


async def test_long_history_is_continued_with_what_was_seen(skipping: WorkflowEnvironment) -> None:
    rounds = 150
    script = Script(check=[in_review(NEVER), ACCEPTED], settle=[*[in_review(NEVER)] * (rounds + 20)])
    async with running(skipping.client, script) as handle:
        await script.called("check")
        for number in range(rounds):
            await handle.signal(DECIDED, DecisionRecorded(message_id=f"d-{number}"))
            await script.called("settle", number + 1)
        # Had the continuation forgotten what it was told before, it would now count these again.
        for number in range(rounds):
            await handle.signal(DECIDED, DecisionRecorded(message_id=f"d-{number}"))
        state = await handle.query("state", result_type=LifecycleState)
        assert state.messages_seen == rounds
        latest = skipping.client.get_workflow_handle(handle.id)
        assert (await latest.describe()).run_id != handle.first_execution_run_id
        assert len((await latest.fetch_history()).events) < 1_000
        first = skipping.client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id)
        assert len((await first.fetch_history()).events) < 1_000
        script.settle = [CHECK]
        await handle.signal(DECIDED, DecisionRecorded(message_id="last"))
        result = await latest.result()
    assert result["stage"] == Stage.COMMITTED


async def test_cancelled_workflow_ends_cancelled(skipping: WorkflowEnvironment) -> None:
    script = Script(check=[in_review(NEVER)])
    async with running(skipping.client, script) as handle:
        await script.called("check")
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as failure:
            await handle.result()
        assert isinstance(failure.value.cause, CancelledError)
        assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED


async def test_workflow_that_is_replayed_at_every_task_decides_the_same(skipping: WorkflowEnvironment) -> None:
    script = Script(check=[in_review(NEVER), ACCEPTED], settle=[in_review(NEVER), CHECK])
    async with running(skipping.client, script, max_cached_workflows=0) as handle:
        await script.called("check")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-1"))
        await script.called("settle")
        await handle.signal(DECIDED, DecisionRecorded(message_id="d-2"))
        await handle.result()
    assert script.names() == ["prepare", "check", "settle", "settle", "check", "commit"]

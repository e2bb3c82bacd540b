"""Activities that answer what a test says, and remember when they were asked."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from temporalio import activity
from temporalio.client import Client, WorkflowHandle
from temporalio.exceptions import ApplicationError

from activities import names
from infra.temporal.worker import build_workers, working
from services.contracts.lifecycle import (
    CheckInput,
    CommitInput,
    EscalateInput,
    LifecycleInput,
    LifecycleResult,
    NextStep,
    PrepareInput,
    RevisionRef,
    SettleInput,
    Stage,
    StepResult,
    workflow_id_of,
)

SHA = "a" * 64
CHECK = StepResult(stage=Stage.CHECKING, next_step=NextStep.CHECK)
ACCEPTED = StepResult(stage=Stage.ACCEPTED, next_step=NextStep.COMMIT)
COMMITTED = StepResult(stage=Stage.COMMITTED, next_step=NextStep.STOP, content_sha256=SHA)
WITHDRAWN = StepResult(stage=Stage.WITHDRAWN, next_step=NextStep.STOP)
REJECTED = StepResult(stage=Stage.REJECTED, next_step=NextStep.STOP)


def in_review(due_in: timedelta | None = timedelta(days=2)) -> StepResult:
    return StepResult(stage=Stage.IN_REVIEW, next_step=NextStep.WAIT, open_tasks=1, findings=1, due_in=due_in)


def annotating(due_in: timedelta | None = timedelta(days=7)) -> StepResult:
    return StepResult(stage=Stage.ANNOTATING, next_step=NextStep.ANNOTATE, open_tasks=1, due_in=due_in)


@dataclass(frozen=True)
class Call:
    name: str
    given: Any
    at: datetime


@dataclass
class Script:
    """What each activity answers, in order; the last answer is given from then on. An error is raised."""

    prepare: list[StepResult | Exception] = field(default_factory=lambda: [CHECK])
    check: list[StepResult | Exception] = field(default_factory=lambda: [ACCEPTED])
    settle: list[StepResult | Exception] = field(default_factory=lambda: [CHECK])
    escalate: list[StepResult | Exception] = field(default_factory=lambda: [in_review()])
    commit: list[StepResult | Exception] = field(default_factory=lambda: [COMMITTED])
    calls: list[Call] = field(default_factory=list)
    gates: dict[str, asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))
    closed: set[str] = field(default_factory=set)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def names(self) -> list[str]:
        return [call.name for call in self.calls]

    def count(self, name: str) -> int:
        return self.names().count(name)

    async def called(self, name: str, times: int = 1) -> None:
        """Return once the activity was asked for that often."""
        async with self.changed:
            await self.changed.wait_for(lambda: self.count(name) >= times)

    async def _answer(self, name: str, answers: list[StepResult | Exception], given: Any) -> StepResult:
        async with self.changed:
            self.calls.append(Call(name, given, activity.info().scheduled_time))
            answer = answers[min(self.count(name), len(answers)) - 1]
            self.changed.notify_all()
        if name in self.closed:
            await self.gates[name].wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def activities(self) -> list[Callable[..., Any]]:
        @activity.defn(name=names.PREPARE_SAMPLE)
        async def prepare(given: PrepareInput) -> StepResult:
            return await self._answer("prepare", self.prepare, given)

        @activity.defn(name=names.CHECK_ALIGNMENT)
        async def check(given: CheckInput) -> StepResult:
            return await self._answer("check", self.check, given)

        @activity.defn(name=names.SETTLE_REVIEW)
        async def settle(given: SettleInput) -> StepResult:
            return await self._answer("settle", self.settle, given)

        @activity.defn(name=names.ESCALATE_OVERDUE)
        async def escalate(given: EscalateInput) -> StepResult:
            return await self._answer("escalate", self.escalate, given)

        @activity.defn(name=names.COMMIT_GROUND_TRUTH)
        async def commit(given: CommitInput) -> StepResult:
            return await self._answer("commit", self.commit, given)

        return [prepare, check, settle, escalate, commit]


def broken(code: str = "integrity") -> ApplicationError:
    return ApplicationError("stored facts contradict each other", type=code, non_retryable=True)


def new_input(**update: Any) -> LifecycleInput:
    ref = RevisionRef(project="demo", sample_id=f"s-{uuid4().hex[:8]}", revision=1)
    return LifecycleInput(ref=ref, **update)


@asynccontextmanager
async def running(
    client: Client, script: Script, given: LifecycleInput | None = None, *, max_cached_workflows: int = 100
) -> AsyncIterator[WorkflowHandle[Any, LifecycleResult]]:
    """Start a workflow with workers of its own."""
    given = given or new_input()
    task_queue = f"test-{uuid4().hex}"
    workers = build_workers(
        client,
        task_queue,
        script.activities(),
        graceful_shutdown=timedelta(seconds=0),
        max_cached_workflows=max_cached_workflows,
    )
    async with working(workers):
        yield await client.start_workflow(
            "SampleLifecycle",
            given,
            id=workflow_id_of(given.ref),
            task_queue=task_queue,
            result_type=LifecycleResult,
        )

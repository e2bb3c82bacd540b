"""The lifecycle of one sample revision: it decides and waits, activities do."""

from __future__ import annotations

import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, ApplicationError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities import names
    from services.contracts.base import Contract
    from services.contracts.lifecycle import (
        MAX_SEEN_MESSAGES,
        CarriedState,
        CheckInput,
        CommitInput,
        DecisionRecorded,
        EscalateInput,
        LifecycleInput,
        LifecycleResult,
        LifecycleState,
        NextStep,
        PrepareInput,
        SettleInput,
        Stage,
        StepResult,
        WithdrawalRecorded,
    )
    from workflows.options import patient

CONTINUE_AFTER_EVENTS = 700
"""A longer history is continued as a new one; the next step adds a dozen events at most."""

_BEGINNING = StepResult(stage=Stage.RECEIVED, next_step=NextStep.PREPARE)
_WAITING = frozenset({NextStep.ANNOTATE, NextStep.WAIT})
_SHORTEST_WAIT = timedelta(seconds=1)
_FIRST_PAUSE = timedelta(minutes=5)
_LONGEST_PAUSE = timedelta(hours=12)


@workflow.defn(name="SampleLifecycle")
class SampleLifecycle:
    """One sample revision, from its arrival to its end.

    PostgreSQL says where the sample is; every activity answers with the next step, derived from there. What the
    workflow keeps is which messages it has seen and whether one of them was not looked at yet.
    """

    @workflow.init
    def __init__(self, start: LifecycleInput) -> None:
        carried = start.carried or CarriedState(step=_BEGINNING)
        self._start = start
        self._step = carried.step
        self._deadline_round = carried.deadline_round
        self._seen = dict.fromkeys(carried.seen)
        self._unread = carried.unread
        self._received = 0
        self._fault: str | None = None
        self._pause = _FIRST_PAUSE

    @workflow.run
    async def run(self, start: LifecycleInput) -> LifecycleResult:
        """Follow the sample until it is committed, rejected or withdrawn."""
        while self._step.next_step is not NextStep.STOP:
            if self._history_is_long():
                workflow.continue_as_new(start.model_copy(update={"carried": self._carried()}))
            try:
                self._step = await self._advance()
            except ActivityError as error:
                await self._hold(error)
            else:
                self._fault, self._pause = None, _FIRST_PAUSE
        return LifecycleResult(stage=self._step.stage, content_sha256=self._step.content_sha256)

    @workflow.signal
    def decision_recorded(self, message: DecisionRecorded) -> None:
        """A decision, or labels, are in PostgreSQL."""
        self._receive(message.message_id)

    @workflow.signal
    def withdrawal_recorded(self, message: WithdrawalRecorded) -> None:
        """The revision was withdrawn or replaced."""
        self._receive(message.message_id)

    @workflow.query
    def state(self) -> LifecycleState:
        """Where the sample is, as the workflow knows it."""
        return LifecycleState(
            ref=self._start.ref,
            stage=self._step.stage,
            next_step=self._step.next_step,
            messages_seen=len(self._seen),
            deadline_round=self._deadline_round,
            fault=self._fault,
        )

    async def _advance(self) -> StepResult:
        ref = self._start.ref
        match self._step.next_step:
            case NextStep.PREPARE:
                queue = names.prepare_queue_of(workflow.info().task_queue)
                return await _do(names.PREPARE_SAMPLE, PrepareInput(ref=ref), timedelta(minutes=30), queue)
            case NextStep.CHECK:
                return await _do(names.CHECK_ALIGNMENT, CheckInput(ref=ref), timedelta(minutes=30))
            case NextStep.COMMIT:
                return await _do(names.COMMIT_GROUND_TRUTH, CommitInput(ref=ref), timedelta(minutes=5))
            case _:
                return await self._wait()

    async def _wait(self) -> StepResult:
        """Wait for a message or the first deadline of the open tasks, then see what follows from it."""
        ref = self._start.ref
        try:
            await workflow.wait_condition(
                lambda: self._unread or self._history_is_long(), timeout=self._until_deadline()
            )
        except TimeoutError:
            self._deadline_round += 1
            given = EscalateInput(ref=ref, deadline_round=self._deadline_round)
            return await _do(names.ESCALATE_OVERDUE, given, timedelta(minutes=5))
        if not self._unread:
            return self._step
        # Before the activity, so that a message that arrives while it runs is looked at after it.
        self._unread = False
        return await _do(names.SETTLE_REVIEW, SettleInput(ref=ref), timedelta(minutes=5))

    async def _hold(self, error: ActivityError) -> None:
        """Keep a sample whose activity was given up: it is tried again after a pause, or when a message comes."""
        if is_cancelled_exception(error):
            raise error
        self._fault = error.cause.type if isinstance(error.cause, ApplicationError) else None
        self._fault = self._fault or type(error.cause).__name__
        workflow.logger.error("The sample is held up by %s at stage %s", self._fault, self._step.stage)
        received = self._received
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(lambda: self._received > received, timeout=self._pause)
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)
        # Deadlines have moved on meanwhile: a sample that waits asks again where it stands.
        self._unread = self._unread or self._step.next_step in _WAITING

    def _receive(self, message_id: str) -> None:
        if message_id in self._seen:
            return
        self._seen[message_id] = None
        if len(self._seen) > MAX_SEEN_MESSAGES:
            del self._seen[next(iter(self._seen))]
        self._unread = True
        self._received += 1

    def _until_deadline(self) -> timedelta:
        due_in = self._step.due_in
        if due_in is None:
            annotating = self._step.next_step is NextStep.ANNOTATE
            due_in = self._start.annotate_within if annotating else self._start.review_within
        return max(due_in, _SHORTEST_WAIT)

    def _history_is_long(self) -> bool:
        return workflow.info().get_current_history_length() >= CONTINUE_AFTER_EVENTS

    def _carried(self) -> CarriedState:
        return CarriedState(
            step=self._step,
            deadline_round=self._deadline_round,
            seen=tuple(self._seen),
            # The wait begins anew, so its deadline is asked for again.
            unread=self._unread or self._step.next_step in _WAITING,
        )


async def _do(name: str, given: Contract, attempt_within: timedelta, task_queue: str | None = None) -> StepResult:
    options = patient(attempt_within)
    result: StepResult = await workflow.execute_activity(
        name, given, result_type=StepResult, task_queue=task_queue, **options
    )
    return result

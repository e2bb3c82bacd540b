"""What Temporal is told of sample revisions and migrations: start a workflow, signal it, start it again when lost."""

from __future__ import annotations

from datetime import timedelta

from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from services.contracts.lifecycle import (
    FINAL_STAGES,
    DecisionRecorded,
    LifecycleInput,
    WithdrawalRecorded,
    ref_of_workflow_id,
    workflow_id_of,
)
from services.contracts.records import OutboxMessage
from services.contracts.taxonomies import (
    MigrationChanged,
    MigrationInput,
    TaxonomyMigration,
    migration_workflow_id,
)
from services.errors import IntegrityError, UnavailableError
from services.lifecycle.steps import lifecycle_input, read_project_rules, read_revision
from services.ports.database import Database

WORKFLOW_TYPE = "SampleLifecycle"
MIGRATION_TYPE = "TaxonomyMigration"
_RPC_TIMEOUT = timedelta(seconds=10)
_AWAY = frozenset(
    {
        RPCStatusCode.ABORTED,
        RPCStatusCode.CANCELLED,
        RPCStatusCode.DEADLINE_EXCEEDED,
        RPCStatusCode.RESOURCE_EXHAUSTED,
        RPCStatusCode.UNAVAILABLE,
    }
)


def means_away(error: RPCError) -> bool:
    """Whether Temporal does not answer, or is too busy: nothing about the message itself is wrong."""
    return error.status in _AWAY


class LifecycleTeller:
    """Tells Temporal facts of the store of record. Each call may be repeated at will.

    Args:
        database: Where a lost workflow's input is made from.
        client: Connected to Temporal.
        task_queue: The workers'.
    """

    def __init__(self, database: Database, client: Client, task_queue: str) -> None:
        self._database = database
        self._client = client
        self._task_queue = task_queue

    async def tell(self, message: OutboxMessage) -> None:
        """Tell one message of the outbox.

        Raises:
            RPCError: Temporal did not take it.
            UnavailableError: The database was needed and did not answer.
            IntegrityError: The message is none that a workflow understands.
        """
        body = message.body
        if message.topic == "workflow_start":
            await self.start(LifecycleInput.model_validate(body["input"]))
            return
        signal = _signal(str(body["signal"]), str(body["message_id"]), str(body.get("reason") or ""))
        await self._signal(str(body["workflow_id"]), str(body["signal"]), signal)

    async def start(self, given: LifecycleInput) -> bool:
        """Start a revision's first workflow; False if it was started before, whether or not it has ended."""
        return await self._start(given, WorkflowIDReusePolicy.REJECT_DUPLICATE)

    async def start_again(self, given: LifecycleInput) -> bool:
        """Start a workflow for a live revision; False if one is running."""
        return await self._start(given, WorkflowIDReusePolicy.ALLOW_DUPLICATE)

    async def _start(self, given: LifecycleInput, reuse: WorkflowIDReusePolicy) -> bool:
        try:
            await self._client.start_workflow(
                WORKFLOW_TYPE,
                given,
                id=workflow_id_of(given.ref),
                task_queue=self._task_queue,
                id_reuse_policy=reuse,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                rpc_timeout=_RPC_TIMEOUT,
            )
        except WorkflowAlreadyStartedError:
            return False
        return True

    async def _signal(self, workflow_id: str, name: str, signal: DecisionRecorded | WithdrawalRecorded) -> None:
        try:
            await self._client.get_workflow_handle(workflow_id).signal(name, signal, rpc_timeout=_RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            await self._signal_lost(workflow_id, name, signal)

    async def _signal_lost(self, workflow_id: str, name: str, signal: DecisionRecorded | WithdrawalRecorded) -> None:
        """Signal a workflow that is not there: it has ended with its revision, or Temporal has lost it."""
        ref = ref_of_workflow_id(workflow_id)
        async with self._database.transaction() as tx:
            revision = await read_revision(tx, ref)
            if revision.stage in FINAL_STAGES:
                return
            given = lifecycle_input(ref, (await read_project_rules(tx, ref.project)).config)
        await self._client.start_workflow(
            WORKFLOW_TYPE,
            given,
            id=workflow_id,
            task_queue=self._task_queue,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            start_signal=name,
            start_signal_args=[signal],
            rpc_timeout=_RPC_TIMEOUT,
        )


async def tell_migration(client: Client, task_queue: str, migration: TaxonomyMigration, message_id: str) -> None:
    """Tell a migration's workflow that something changed, and start it where it does not run. May be repeated at will.

    A workflow that is started once too often asks the database and ends.

    Raises:
        RPCError: Temporal did not take it.
    """
    await client.start_workflow(
        MIGRATION_TYPE,
        MigrationInput(project=migration.project, migration_id=migration.migration_id),
        id=migration_workflow_id(migration.project, migration.migration_id),
        task_queue=task_queue,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal="migration_changed",
        start_signal_args=[MigrationChanged(message_id=message_id)],
        rpc_timeout=_RPC_TIMEOUT,
    )


def _signal(name: str, message_id: str, reason: str) -> DecisionRecorded | WithdrawalRecorded:
    if name == "decision_recorded":
        return DecisionRecorded(message_id=message_id)
    if name == "withdrawal_recorded":
        return WithdrawalRecorded(message_id=message_id, reason=reason)
    raise IntegrityError(f"the outbox holds a signal {name[:80]!r} that no workflow has")


def as_unavailable(error: RPCError) -> UnavailableError:
    """Return the error of a Temporal that does not answer, as a business fact."""
    return UnavailableError(f"Temporal does not answer: {error.status.name}")

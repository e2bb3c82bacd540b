"""The outbox relay to Temporal: what was made true in PostgreSQL is told to the workflows."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from dataclasses import dataclass, field

import structlog
from temporalio.client import Client
from temporalio.service import RPCError

from infra.db.engine import PostgresDatabase
from infra.temporal.rebuild import missing_workflows, rebuild
from infra.temporal.telling import LifecycleTeller, as_unavailable, means_away, tell_migration
from services.contracts.access import SYSTEM_ACTOR
from services.contracts.records import OutboxMessage
from services.contracts.taxonomies import TaxonomyMigration
from services.errors import ConcordError, UnavailableError

TOPICS = ("workflow_start", "workflow_signal")
BATCH = 100
_AT_ONCE = 16
# Below the database's limit on how long a transaction may be idle.
_BATCH_WITHIN_S = 30.0
_LOCK = "dispatcher/workflows"
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 2.0
_LOOK_FOR_LOST_EVERY_S = 30.0

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Told:
    """How a batch went."""

    published: list[int] = field(default_factory=list)
    failed: list[tuple[int, str]] = field(default_factory=list)
    away: RPCError | None = None


class WorkflowDispatcher:
    """Relays the topics ``workflow_start`` and ``workflow_signal``, in order for each sample revision.

    A message is told at least once: a start that is known already counts as told, and a workflow counts a signal
    once by its message id. One dispatcher is active at a time; others wait at a lock of the database. While Temporal
    is away messages stay where they are; nothing that waits for a message waits for Temporal.

    Args:
        database: The store of record.
        client: Connected to Temporal.
        task_queue: The workers'.
        look_for_lost_every_s: How often live revisions are compared with running workflows.
    """

    def __init__(
        self,
        database: PostgresDatabase,
        client: Client,
        task_queue: str,
        *,
        look_for_lost_every_s: float = _LOOK_FOR_LOST_EVERY_S,
    ) -> None:
        self._database = database
        self._client = client
        self._task_queue = task_queue
        self._look_for_lost_every_s = look_for_lost_every_s
        self._teller = LifecycleTeller(database, client, task_queue)

    async def run(self, stop: asyncio.Event) -> None:
        """Relay until ``stop`` is set."""
        async with self._database.outbox_listener() as listener, asyncio.TaskGroup() as group:
            rebuilder = group.create_task(self._rebuild_when_lost(stop))

            async def wake_at_stop() -> None:
                await stop.wait()
                listener.wake()

            group.create_task(wake_at_stop())
            pause_s = _FIRST_PAUSE_S
            while not stop.is_set():
                try:
                    told = await self.dispatch_once()
                except ConcordError as error:
                    _log.warning("dispatcher_waits", reason=error.detail)
                    await _sleep(stop, pause_s)
                    pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
                    continue
                pause_s = _FIRST_PAUSE_S
                if told == 0:
                    await listener.wait()
            rebuilder.cancel()

    async def dispatch_once(self) -> int:
        """Tell what waits, at most one batch; return how many messages were looked at.

        Raises:
            UnavailableError: The database or Temporal does not answer; what was told before is noted.
        """
        async with self._database.transaction() as tx:
            # Held to the end: a second dispatcher then finds what this one has told.
            await tx.idempotency.lock(SYSTEM_ACTOR, _LOCK)
            messages = await tx.outbox.pending(TOPICS, limit=BATCH)
            told = await self._tell(messages) if messages else _Told()
            if told.published:
                await tx.outbox.mark_published(tuple(told.published))
            for message_id, reason in told.failed:
                await tx.outbox.mark_failed(message_id, reason)
            untold = await tx.taxonomy_migrations.untold()
        if told.away is not None:
            raise as_unavailable(told.away) from told.away
        await self._tell_migrations(untold)
        return len(messages) + len(untold)

    async def _tell_migrations(self, untold: tuple[tuple[TaxonomyMigration, int], ...]) -> None:
        """Tell migrations what changed; which waits to be told stands in their own rows."""
        for migration, change in untold:
            try:
                await tell_migration(self._client, self._task_queue, migration, f"change-{change}")
            except RPCError as error:
                raise as_unavailable(error) from error
            async with self._database.transaction() as tx:
                await tx.taxonomy_migrations.told(migration.migration_id, change)

    async def _tell(self, messages: tuple[OutboxMessage, ...]) -> _Told:
        by_workflow: dict[str, list[OutboxMessage]] = defaultdict(list)
        for message in messages:
            by_workflow[str(message.body.get("workflow_id"))].append(message)
        slots = asyncio.Semaphore(_AT_ONCE)
        told = _Told()

        async def tell_in_order(queue: list[OutboxMessage]) -> None:
            async with slots:
                for message in queue:
                    if told.away is not None or not await self._tell_one(message, told):
                        return

        try:
            async with asyncio.timeout(_BATCH_WITHIN_S), asyncio.TaskGroup() as group:
                for queue in by_workflow.values():
                    group.create_task(tell_in_order(queue))
        except TimeoutError:
            _log.warning("dispatcher_batch_unfinished", published=len(told.published), of=len(messages))
        return told

    async def _tell_one(self, message: OutboxMessage, told: _Told) -> bool:
        try:
            await self._teller.tell(message)
        except RPCError as error:
            if means_away(error):
                told.away = error
            else:
                self._note_failure(message, f"{error.status.name}: {error.message}", told)
            return False
        except UnavailableError:
            return False
        except (ConcordError, KeyError, ValueError) as error:
            self._note_failure(message, f"{type(error).__name__}: {error}", told)
            return False
        told.published.append(message.message_id)
        return True

    def _note_failure(self, message: OutboxMessage, reason: str, told: _Told) -> None:
        told.failed.append((message.message_id, reason))
        _log.error(
            "workflow_message_failed",
            topic=message.topic,
            project=message.project,
            sample_id=message.sample_id,
            attempts=message.attempts + 1,
            reason=reason[:500],
        )

    async def _rebuild_when_lost(self, stop: asyncio.Event) -> None:
        """Compare now and then; two looks in a row that find workflows missing mean that Temporal has lost them."""
        suspected = False
        while not stop.is_set():
            try:
                missing = await missing_workflows(self._database, self._client)
                if missing and suspected:
                    started = await rebuild(self._database, self._client, self._task_queue)
                    _log.warning("workflows_rebuilt", missing=missing, started=started)
                    missing = 0
                suspected = missing > 0
            except (RPCError, ConcordError) as error:
                _log.warning("rebuild_waits", reason=str(error)[:500])
            await _sleep(stop, self._look_for_lost_every_s)


async def _sleep(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return

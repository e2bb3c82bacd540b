"""The queues of a project: list, change, and try out what other queues would do."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from uuid import UUID

from services.access.policy import ensure_sees
from services.contracts.access import Principal
from services.contracts.canonical import content_sha256
from services.contracts.queues import MAX_QUEUES, ListedQueue, ReviewQueue
from services.contracts.review import ReviewTask
from services.contracts.task_operations import PreviewRequest, RoutedTask, RoutePair, RoutingPreview
from services.errors import ChangedMeanwhileError, InvalidInputError, NotFoundError
from services.ports.database import Database, Transaction
from services.projects.registry import rules_of
from services.review.queueing import listed_queues, place_of, place_of_task
from services.rules.rule_set import RuleSet

TaskCursor = tuple[datetime, UUID]
_SCANNED = 5_000
"""Tasks looked at for one page of those that would move; a page may then be shorter than asked for."""


def version_of_queue(queue: ReviewQueue) -> str:
    """Return what tells one state of a queue from another."""
    return content_sha256(queue)


class QueueRegistry:
    """Lists and changes the queues of projects.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self, principal: Principal, project: str) -> tuple[ListedQueue, ...]:
        """Return a project's queues in the order in which they are asked, then all others that there are.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            return await _listed(tx, project)

    async def get(self, principal: Principal, project: str, name: str) -> ReviewQueue:
        """Return a queue, of the project or of its rule set.

        Raises:
            NotFoundError: There is none.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            return await _known(tx, project, name)

    async def put(
        self, principal: Principal, project: str, queue: ReviewQueue, *, expected: str | None = None
    ) -> ReviewQueue:
        """Set a queue up, or change it. Tasks that are open stay in their queues.

        What it says about who may take tasks, and its ageing, holds for open tasks at once; what it says about which
        tasks it takes in, and their priority, for tasks that are opened from now on (see
        :mod:`services.review.operations` for those that are open).

        Args:
            principal: Who asks.
            project: The project.
            queue: The new content.
            expected: The :func:`version_of_queue` this change was made from; None changes any.

        Raises:
            NotFoundError: There is no such project that the key sees.
            ChangedMeanwhileError: Somebody else has changed it since ``expected``.
            InvalidInputError: The project has as many queues as it may.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            known = await _locked(tx, project, queue.name, expected)
            if known == queue:
                return queue
            if known is None and len(await tx.queues.list(project)) >= MAX_QUEUES:
                raise InvalidInputError(f"A project has at most {MAX_QUEUES} queues of its own; delete one first.")
            await tx.queues.put(project, queue)
            _note(tx, principal, project, "queue.put", queue, known)
        return queue

    async def pause(self, principal: Principal, project: str, name: str, *, paused: bool) -> ReviewQueue:
        """Let a queue give out nothing, or give out tasks again; nothing else about it changes.

        Raises:
            NotFoundError: There is no such queue.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            stored = await _locked(tx, project, name, None)
            before = stored if stored is not None else await _known(tx, project, name)
            queue = before.model_copy(update={"paused": paused})
            if queue != before:
                await tx.queues.put(project, queue)
                _note(tx, principal, project, "queue.paused" if paused else "queue.resumed", queue, stored)
        return queue

    async def delete(self, principal: Principal, project: str, name: str, *, expected: str | None = None) -> None:
        """Remove a queue. Its open tasks stay in a queue of this name that has no settings.

        Raises:
            NotFoundError: The project has no queue of its own of this name.
            ChangedMeanwhileError: Somebody else has changed it since ``expected``.
        """
        ensure_sees(principal, project)
        async with self._database.transaction() as tx:
            known = await _locked(tx, project, name, expected)
            if known is None:
                raise NotFoundError(f"Project {project!r} has no queue {name!r} of its own.")
            await tx.queues.delete(project, name)
            tx.audit.append(
                project,
                actor=principal.actor_id,
                action="queue.deleted",
                subject=f"queues/{name}",
                body={"before_sha256": version_of_queue(known)},
            )

    async def preview(
        self,
        principal: Principal,
        project: str,
        wanted: PreviewRequest,
        *,
        after: TaskCursor | None,
        limit: int,
    ) -> tuple[RoutingPreview, TaskCursor | None]:
        """Return what would be routed where if the project had these queues, and where the next page begins.

        Raises:
            NotFoundError: There is no such project that the key sees.
            InvalidInputError: Two queues have one name.
        """
        ensure_sees(principal, project)
        _ensure_distinct(wanted)
        async with self._database.transaction() as tx:
            rules = await rules_of(tx, project)
            pairs: Counter[tuple[str, str]] = Counter()
            for group in await tx.task_operations.groups(project):
                place = place_of(group.kind, group.risk, group.facts, rules, wanted.queues, group.to)
                pairs[group.queue, place.queue] += group.tasks
            items, following = await _routed(tx, project, rules, wanted, after, limit)
        counted = sorted(pairs.items(), key=lambda pair: (-pair[1], pair[0]))
        preview = RoutingPreview(
            tasks=pairs.total(),
            moved=sum(tasks for (now, would), tasks in pairs.items() if now != would),
            pairs=tuple(RoutePair(now=now, would=would, tasks=tasks) for (now, would), tasks in counted),
            items=items,
        )
        return preview, following


def _ensure_distinct(wanted: PreviewRequest) -> None:
    names = Counter(queue.name for queue in wanted.queues)
    for index, queue in enumerate(wanted.queues):
        if names[queue.name] > 1:
            place, sentence = f"/queues/{index}/name", f"{queue.name!r} is there twice; names are unique"
            raise InvalidInputError(f"The preview is not valid: {place}: {sentence}", places=((place, sentence),))


async def _routed(
    tx: Transaction, project: str, rules: RuleSet, wanted: PreviewRequest, after: TaskCursor | None, limit: int
) -> tuple[tuple[RoutedTask, ...], TaskCursor | None]:
    items: list[RoutedTask] = []
    scanned = 0
    while True:
        found = await tx.task_operations.unfinished(project, after=after, limit=limit + 1)
        for task in found[:limit]:
            item = _routed_task(task, rules, wanted)
            after = (task.created_at, task.task_id)
            scanned += 1
            if item.now != item.would or not wanted.moved_only:
                items.append(item)
            if len(items) == limit or scanned == _SCANNED:
                more = task is not found[-1]
                return tuple(items), after if more else None
        if len(found) <= limit:
            return tuple(items), None


def _routed_task(task: ReviewTask, rules: RuleSet, wanted: PreviewRequest) -> RoutedTask:
    place = place_of_task(task, rules, wanted.queues)
    return RoutedTask(
        task_id=task.task_id,
        ref=task.ref,
        kind=task.kind,
        rule=None if task.caused_by is None else task.caused_by.rule,
        now=task.queue,
        would=place.queue,
        priority_now=task.priority,
        priority_would=place.priority,
    )


async def _listed(tx: Transaction, project: str) -> tuple[ListedQueue, ...]:
    queues, used = await tx.queues.list(project), await tx.queues.used(project)
    return listed_queues(await rules_of(tx, project), queues, used)


async def _known(tx: Transaction, project: str, name: str) -> ReviewQueue:
    for listed in await _listed(tx, project):
        if listed.queue.name == name:
            return listed.queue
    raise NotFoundError(f"There is no queue {name!r} in project {project!r}.")


async def _locked(tx: Transaction, project: str, name: str, expected: str | None) -> ReviewQueue | None:
    """Lock the project's queues and return the one of this name; what the rule set has by itself counts too."""
    # Of a queue that is not stored there is no row to lock.
    await tx.projects.get(project, lock=True)
    await rules_of(tx, project)
    known = await tx.queues.get(project, name, lock=True)
    if expected is not None:
        now = known if known is not None else await _known(tx, project, name)
        if version_of_queue(now) != expected:
            raise ChangedMeanwhileError(f"Queue {name!r} was changed since you read it; read it again.")
    return known


def _note(
    tx: Transaction, principal: Principal, project: str, action: str, queue: ReviewQueue, before: ReviewQueue | None
) -> None:
    tx.audit.append(
        project,
        actor=principal.actor_id,
        action=action,
        subject=f"queues/{queue.name}",
        body={
            "before_sha256": None if before is None else version_of_queue(before),
            "content_sha256": version_of_queue(queue),
            "queue": queue.model_dump(mode="json", exclude_none=True),
        },
    )

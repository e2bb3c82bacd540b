"""Calls about queues, operations on many tasks, and reviewers."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from infra.api_pages import Page, path_part
from infra.client_operations import OperationsCalls
from services.contracts.calibration import ResumePerson
from services.contracts.people import Reviewer, ReviewerProfile
from services.contracts.queues import ListedQueue, ReviewQueue
from services.contracts.review import TaskKind
from services.contracts.task_operations import (
    OperationItem,
    OperationPreview,
    OperationRequest,
    Outcome,
    PreviewRequest,
    RoutingPreview,
    TaskOperation,
)


class QueueCalls(OperationsCalls):
    """The part of the API that operations managers use."""

    async def project_queues(self, project: str) -> tuple[ListedQueue, ...]:
        """Return a project's queues in the order in which they are asked, then those of its rule set."""
        return await self.all_of(ListedQueue, f"{_base(project)}/queues")

    async def project_queue(self, project: str, name: str) -> ReviewQueue:
        """Return a queue."""
        return ReviewQueue.model_validate(await self.call("GET", _queue(project, name)))

    async def put_queue(self, project: str, queue: ReviewQueue) -> ReviewQueue:
        """Set a queue up, or change it."""
        return ReviewQueue.model_validate(await self.call("PUT", _queue(project, queue.name), queue))

    async def delete_queue(self, project: str, name: str) -> None:
        """Remove a queue of the project's own."""
        await self.call("DELETE", _queue(project, name))

    async def pause_queue(self, project: str, name: str, *, paused: bool) -> ReviewQueue:
        """Let a queue give out nothing, or give out tasks again."""
        what = "pause" if paused else "resume"
        return ReviewQueue.model_validate(await self.call("POST", f"{_queue(project, name)}/{what}", {}))

    async def preview_routing(
        self,
        project: str,
        queues: Sequence[ReviewQueue],
        *,
        moved_only: bool = False,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> RoutingPreview:
        """Return what would be routed where if the project had these queues, with a page of the tasks."""
        wanted = PreviewRequest(queues=tuple(queues), moved_only=moved_only)
        query = {"cursor": cursor, "limit": limit}
        answer = await self.call("POST", f"{_base(project)}/routing-preview", wanted, query=query)
        return RoutingPreview.model_validate(answer)

    async def preview_tasks(self, project: str, request: OperationRequest) -> OperationPreview:
        """Count what an operation would do."""
        answer = await self.call("POST", f"{_base(project)}/task-operations/preview", request)
        return OperationPreview.model_validate(answer)

    async def change_tasks(self, project: str, request: OperationRequest) -> TaskOperation:
        """Change all tasks that a filter names."""
        return TaskOperation.model_validate(await self.call("POST", f"{_base(project)}/task-operations", request))

    async def undo_operation(self, project: str, operation_id: UUID | str) -> TaskOperation:
        """Restore what an operation changed, where that has not been changed since."""
        path = f"{_base(project)}/task-operations/{path_part(operation_id)}/undo"
        return TaskOperation.model_validate(await self.call("POST", path, {}))

    async def task_operations(
        self, project: str, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[TaskOperation]:
        """Return a page of a project's operations, oldest first."""
        return await self.page_of(TaskOperation, f"{_base(project)}/task-operations", cursor=cursor, limit=limit)

    async def task_operation(self, project: str, operation_id: UUID | str) -> TaskOperation:
        """Return an operation with what it has done."""
        path = f"{_base(project)}/task-operations/{path_part(operation_id)}"
        return TaskOperation.model_validate(await self.call("GET", path))

    async def operation_items(
        self,
        project: str,
        operation_id: UUID | str,
        *,
        outcome: Outcome | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[OperationItem]:
        """Return a page of what an operation did with each task."""
        path = f"{_base(project)}/task-operations/{path_part(operation_id)}/items"
        return await self.page_of(OperationItem, path, outcome=outcome, cursor=cursor, limit=limit)

    async def reviewers(self, project: str) -> tuple[Reviewer, ...]:
        """Return the people that a project knows."""
        return await self.all_of(Reviewer, f"{_base(project)}/reviewers")

    async def reviewer(self, project: str, actor_id: str) -> Reviewer:
        """Return a person."""
        return Reviewer.model_validate(await self.call("GET", f"{_base(project)}/reviewers/{path_part(actor_id)}"))

    async def put_reviewer(self, project: str, profile: ReviewerProfile) -> Reviewer:
        """Set what a project knows of a person."""
        path = f"{_base(project)}/reviewers/{path_part(profile.actor_id)}"
        return Reviewer.model_validate(await self.call("PUT", path, profile))

    async def resume_reviewer(
        self, project: str, actor_id: str, queue: str, kind: TaskKind = TaskKind.REVIEW
    ) -> Reviewer:
        """Let a paused person have tasks of a queue again."""
        path = f"{_base(project)}/reviewers/{path_part(actor_id)}/resume"
        return Reviewer.model_validate(await self.call("POST", path, ResumePerson(queue=queue, kind=kind)))

    async def delete_reviewer(self, project: str, actor_id: str) -> None:
        """Forget what a project knows of a person."""
        await self.call("DELETE", f"{_base(project)}/reviewers/{path_part(actor_id)}")


def _base(project: str) -> str:
    return f"/v1/projects/{path_part(project)}"


def _queue(project: str, name: str) -> str:
    return f"{_base(project)}/queues/{path_part(name)}"

"""The two sides, each over its own HTTP API: one measured call is what one person's browser or one program sends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from uuid import UUID

import asyncpg
import httpx

from api.paging import encode_cursor
from infra.bench.label_studio.payload import LABEL_CONFIG, our_box, our_event, their_box, their_task
from infra.client import ConcordClient, Page
from services.contracts.access import Role
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import ReviewTask, TaskState
from services.errors import IntegrityError

PAGE = 100
DEEP = 0.9
"""The deep page is the one behind so much of the list."""

IMPORTED, WORKED = "bench-import", "bench"
"""The projects: where samples are brought to, and where people work among many tasks."""

TEMPLATE = "template"
"""Our sample that the others are copies of."""

_CALL_TIMEOUT_S = 600.0
_OPENED_WITHIN_S = 300.0
_LOOK_EVERY_S = 0.02
_UNREST = """
    SELECT (SELECT count(*) FROM assets WHERE project = $1) < $2
        OR EXISTS (SELECT FROM outbox WHERE project = $1 AND published_at IS NULL)
"""


class Side(Protocol):
    """What is measured."""

    async def bring(self, sample_ids: Sequence[str]) -> None:
        """Bring new samples, in one request, until they are acknowledged."""
        ...

    async def wait_workable(self) -> None:
        """Wait until a person can be given each of the samples that were brought."""
        ...

    async def wait_followed(self) -> None:
        """Wait until nothing is left to do about the samples that were brought before a person has answered."""
        ...

    async def next_task(self) -> dict[str, Any]:
        """Take the next task, with everything that a person must see to work on it."""
        ...

    async def submit(self, task: dict[str, Any]) -> None:
        """Hand in the labels of a task that was taken: one box."""
        ...

    async def first_page(self) -> None:
        """Read the first tasks of the list."""
        ...

    async def deep_page(self) -> None:
        """Read tasks far behind in the list."""
        ...


class Concord:
    """Our side.

    Args:
        admin: May make projects, keys and events.
        client_of: Opens a client with a key; who gave it closes it.
        database_url: Where to look whether everything behind an import has come to rest.
    """

    def __init__(
        self, admin: ConcordClient, client_of: Callable[[str], Awaitable[ConcordClient]], database_url: str
    ) -> None:
        self._database_url = database_url
        self._admin = admin
        self._client_of = client_of
        self._annotator = self._manager = admin
        self._brought = 0
        self._deep_cursor = ""

    async def open(self) -> None:
        """Make the projects, and bring one sample to work on, whose task the worker opens."""
        config = ProjectConfig(annotate="always")
        for name in (IMPORTED, WORKED):
            await self._admin.create_project(Project(id=name, name=name, config=config))
        await self._admin.send_event(our_event(WORKED, TEMPLATE))
        await self._opened(WORKED, 1)

    async def begin_work(self, tasks: int) -> None:
        """Make keys for who works and who looks on, which see this project only, and find the deep page of the list.

        Args:
            tasks: How many tasks there are, a millisecond apart.
        """
        self._annotator = await self._client(Role.ANNOTATOR)
        self._manager = await self._client(Role.OPERATIONS)
        first = (await self._page_of(None))["items"][0]
        at = datetime.fromisoformat(first["created_at"]) + timedelta(milliseconds=int(DEEP * tasks))
        self._deep_cursor = encode_cursor("tasks", (at, UUID(int=0)))

    async def _client(self, role: Role) -> ConcordClient:
        made = await self._admin.create_key(f"bench-{role.value}", role, projects=(WORKED,))
        return await self._client_of(made.secret)

    async def bring(self, sample_ids: Sequence[str]) -> None:
        """Post a batch of events."""
        for result in await self._admin.send_events([our_event(IMPORTED, name) for name in sample_ids]):
            if result.outcome != "accepted":
                raise IntegrityError(f"event {result.id} was {result.outcome}: {result.problem}")
        self._brought += len(sample_ids)

    async def wait_workable(self) -> None:
        """Wait until the task of each sample is open."""
        await self._opened(IMPORTED, self._brought)

    async def wait_followed(self) -> None:
        """Wait until each sample's workflow has read its image, and every event is told."""
        connection = await asyncpg.connect(self._database_url)
        try:
            async with asyncio.timeout(_OPENED_WITHIN_S):
                while await connection.fetchval(_UNREST, IMPORTED, self._brought):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise IntegrityError(f"workflows still work on samples after {_OPENED_WITHIN_S:g} s") from None
        finally:
            await connection.close()

    async def _opened(self, project: str, tasks: int) -> None:
        async def opened() -> int:
            return sum(queue.open for queue in await self._admin.queues() if queue.project == project)

        try:
            async with asyncio.timeout(_OPENED_WITHIN_S):
                while await opened() < tasks:  # noqa: ASYNC110 - the worker opens them, which sets no event of ours
                    await asyncio.sleep(_LOOK_EVERY_S)
        except TimeoutError:
            raise IntegrityError(f"{tasks} tasks of {project} are not open after {_OPENED_WITHIN_S:g} s") from None

    async def next_task(self) -> dict[str, Any]:
        """Claim the next task, and read its evidence."""
        claimed = await self._annotator.call("POST", "/v1/tasks/claim", {"project": WORKED})
        task: dict[str, Any] = claimed["task"]
        evidence = await self._annotator.call("GET", f"/v1/tasks/{task['task_id']}")
        if not evidence["annotations"]:
            raise IntegrityError(f"the task {task['task_id']} came without the box that the model drew")
        return task

    async def submit(self, task: dict[str, Any]) -> None:
        """Decide the task with its labels."""
        decision = {"verdict": "submit", "fence": task["fence"], "annotations": [our_box()]}
        await self._annotator.call("POST", f"/v1/tasks/{task['task_id']}/decide", decision)

    async def first_page(self) -> None:
        """Read the first page of tasks."""
        await self._page(None)

    async def deep_page(self) -> None:
        """Read a page behind a cursor."""
        await self._page(self._deep_cursor)

    async def _page(self, cursor: str | None) -> None:
        _whole(len((await self._page_of(cursor))["items"]))

    async def _page_of(self, cursor: str | None) -> dict[str, Any]:
        page: dict[str, Any] = await self._manager.call("GET", "/v1/tasks", query={"limit": PAGE, "cursor": cursor})
        return page

    async def finished(self) -> int:
        """How many tasks have their answer."""

        async def page(cursor: str | None) -> Page[ReviewTask]:
            return await self._manager.tasks(state=TaskState.COMPLETED, cursor=cursor)

        return len([task async for task in self._manager.each(page)])


class LabelStudioSide:
    """Their side: its API as its own documentation has it, with a token of the only user.

    Args:
        http: With Label Studio's address and the token.
    """

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self._project = 0
        self._deep_page = 1

    async def open(self, title: str) -> None:
        """Make a project, to which the calls go; tasks are given out in their order, as Label Studio does by itself."""
        given = {"title": title, "label_config": LABEL_CONFIG, "sampling": "Sequential sampling"}
        self._project = int((await self._call("POST", "/api/projects/", given))["id"])

    def begin_work(self, tasks: int) -> None:
        """Find the number of the deep page among so many tasks."""
        self._deep_page = int(DEEP * tasks) // PAGE

    async def version(self) -> str:
        """Which release it is."""
        return str((await self._call("GET", "/api/version"))["release"])

    async def bring(self, sample_ids: Sequence[str]) -> None:
        """Import tasks with their predictions."""
        tasks = [their_task(name) for name in sample_ids]
        told = await self._call("POST", f"/api/projects/{self._project}/import", tasks)
        if (told["task_count"], told["prediction_count"]) != (len(sample_ids), len(sample_ids)):
            raise IntegrityError(f"Label Studio imported {told['task_count']} of {len(sample_ids)} tasks")

    async def wait_workable(self) -> None:
        """Nothing is left to wait for: an import that was answered is done."""

    async def wait_followed(self) -> None:
        """Nothing is left to do."""

    async def next_task(self) -> dict[str, Any]:
        """Take the next task of the project; it comes with data and predictions."""
        task = await self._call("GET", f"/api/projects/{self._project}/next")
        if not task["predictions"]:
            raise IntegrityError(f"the task {task['id']} came without the box that the model drew")
        return dict(task)

    async def submit(self, task: dict[str, Any]) -> None:
        """Create the annotation of a task."""
        await self._call("POST", f"/api/tasks/{task['id']}/annotations/", {"result": [their_box()], "lead_time": 1.0})

    async def first_page(self) -> None:
        """Read the first page of the project's tasks."""
        await self._page(1)

    async def deep_page(self) -> None:
        """Read a page by its number."""
        await self._page(self._deep_page)

    async def _page(self, number: int) -> None:
        query = {"project": self._project, "page": number, "page_size": PAGE}
        _whole(len((await self._call("GET", "/api/tasks", query=query))["tasks"]))

    async def finished(self) -> int:
        """How many tasks have their annotation."""
        return int((await self._call("GET", f"/api/projects/{self._project}/"))["num_tasks_with_annotations"])

    async def _call(self, method: str, path: str, body: Any = None, *, query: dict[str, Any] | None = None) -> Any:
        try:
            response = await self._http.request(method, path, json=body, params=query, timeout=_CALL_TIMEOUT_S)
        except httpx.HTTPError as error:
            raise IntegrityError(f"Label Studio did not answer {method} {path}: {error!r}") from error
        if response.is_error:
            raise IntegrityError(
                f"Label Studio answered {response.status_code} to {method} {path}: {response.text[:500]}"
            )
        return response.json()


def _whole(rows: int) -> None:
    if rows != PAGE:
        raise IntegrityError(f"a page of the list has {rows} tasks and not {PAGE}")

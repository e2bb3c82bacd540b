"""Calls about the lists behind the numbers of the operations view."""

from __future__ import annotations

from infra.api_pages import Page, PagedCaller, path_part
from services.contracts.active_time import (
    AcceptedLabel,
    ActivitySelection,
    LabelSelection,
    PersonTime,
    TaskTime,
    WorkedTime,
)
from services.contracts.base import Contract
from services.contracts.operations import DecisionSelection, SampleSelection, TaskSelection
from services.contracts.records import SampleSummary
from services.contracts.review import Decision, ReviewTask


class OperationsCalls(PagedCaller):
    """The part of the API that shows what a number counts; ``list`` of the number says what to select."""

    async def counted_tasks(
        self, project: str, wanted: TaskSelection, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[ReviewTask]:
        """Return a page of the tasks that are selected, oldest first."""
        return await self.page_of(ReviewTask, f"{_base(project)}/tasks", cursor=cursor, limit=limit, **_given(wanted))

    async def counted_samples(
        self, project: str, wanted: SampleSelection, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[SampleSummary]:
        """Return a page of the sample revisions that are selected, oldest first."""
        path = f"{_base(project)}/samples"
        return await self.page_of(SampleSummary, path, cursor=cursor, limit=limit, **_given(wanted))

    async def counted_decisions(
        self, project: str, wanted: DecisionSelection, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[Decision]:
        """Return a page of the decisions that are selected, oldest first."""
        return await self.page_of(Decision, f"{_base(project)}/decisions", cursor=cursor, limit=limit, **_given(wanted))

    async def counted_labels(
        self, project: str, wanted: LabelSelection, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[AcceptedLabel]:
        """Return a page of the labels of what became ground truth in a window, by sample."""
        return await self.page_of(
            AcceptedLabel, f"{_base(project)}/labels", cursor=cursor, limit=limit, **_given(wanted)
        )

    async def worked_times(
        self, project: str, wanted: ActivitySelection, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[WorkedTime]:
        """Return a page of who worked how long on what is selected, by the age of the tasks."""
        return await self.page_of(
            WorkedTime, f"{_base(project)}/activity", cursor=cursor, limit=limit, **_given(wanted)
        )

    async def people_times(self, project: str, wanted: ActivitySelection) -> tuple[PersonTime, ...]:
        """Return the active time of each person in what is selected, by person."""
        return await self.all_of(PersonTime, f"{_base(project)}/active-time/people", **_given(wanted))

    async def task_times(
        self, project: str, wanted: ActivitySelection, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[TaskTime]:
        """Return a page of the tasks in what is selected with the active time on each, oldest first."""
        path = f"{_base(project)}/active-time/tasks"
        return await self.page_of(TaskTime, path, cursor=cursor, limit=limit, **_given(wanted))


def _given(wanted: Contract) -> dict[str, object]:
    return wanted.model_dump(mode="json", exclude_none=True)


def _base(project: str) -> str:
    return f"/v1/projects/{path_part(project)}/operations"

"""The store of scored answers and of who is paused for them, as the product sees it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.contracts.calibration import EarnedSkill, PersonPause, ScoredAnswer
from services.contracts.review import TaskKind


class CalibrationRepository(Protocol):
    """Scored answers, what they add up to, and pauses."""

    async def lock_person(self, project: str, actor_id: str) -> None:
        """Let nobody else add up the person's answers until the transaction ends."""
        ...

    async def put_scores(self, decision_ids: Sequence[UUID], scores: Sequence[ScoredAnswer]) -> None:
        """Replace what is kept about these decisions."""
        ...

    async def gold_answers(
        self, project: str, actor_id: str, queue: str, kind: TaskKind, since: datetime, *, least: float = 1.0
    ) -> tuple[int, int]:
        """Return how many tasks with a known answer the person decided since, and how many right in enough of them.

        Args:
            project: The project.
            actor_id: The person.
            queue: The queue.
            kind: The kind of task.
            since: From when on.
            least: Which share of a task's findings, or labels, must be right.
        """
        ...

    async def answers_for(self, project: str, actor_id: str, rule: EarnedSkill, since: datetime) -> tuple[int, int]:
        """Return how many scored answers of the person a rule is about, and how many were right."""
        ...

    async def last_answered(self, project: str, *, after: datetime, before: datetime) -> tuple[str, ...]:
        """Return the people whose newest scored answer was given between two moments, by id."""
        ...

    async def put_pause(self, pause: PersonPause) -> None:
        """Pause a person, or replace the figures of their pause."""
        ...

    async def end_pause(self, project: str, actor_id: str, queue: str, kind: TaskKind) -> bool:
        """End a pause; only what is answered from now on counts for the next. False if there is none."""
        ...

    async def pause_state(
        self, project: str, actor_id: str, queue: str, kind: TaskKind
    ) -> tuple[bool, datetime | None]:
        """Return whether a person is paused, and from when on their answers count."""
        ...

    async def pauses(self, project: str) -> tuple[PersonPause, ...]:
        """Return all pauses of a project that last, by person, queue and kind."""
        ...

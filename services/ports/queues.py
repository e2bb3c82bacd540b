"""The store of queues and of the people who take from them, as the product sees it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from services.contracts.calibration import Figures
from services.contracts.people import Reviewer, ReviewerProfile
from services.contracts.queues import Lane, ReviewQueue
from services.contracts.review import TaskKind


class QueueRepository(Protocol):
    """Queues of projects, and the lanes in which their tasks wait."""

    async def list(self, project: str) -> tuple[ReviewQueue, ...]:
        """Return a project's queues in the order in which they are asked."""
        ...

    async def used(self, project: str) -> tuple[str, ...]:
        """Return the names of all queues in which tasks are or were, in order."""
        ...

    async def get(self, project: str, name: str, *, lock: bool = False) -> ReviewQueue | None:
        """Return a queue; with ``lock`` no other transaction changes it until this one ends."""
        ...

    async def put(self, project: str, queue: ReviewQueue) -> None:
        """Insert or replace a queue; a change of its ageing orders its waiting tasks anew."""
        ...

    async def delete(self, project: str, name: str) -> bool:
        """Remove a queue and its ageing; False if there is none. Its tasks stay where they are."""
        ...

    async def lanes(
        self, actor_id: str, *, kinds: tuple[TaskKind, ...], projects: tuple[str, ...] | None, queue: str | None
    ) -> tuple[Lane, ...]:
        """Return the lanes of these kinds, with what is claimed in them now, by lane id."""
        ...

    async def lanes_in_turn(
        self, actor_id: str, *, kinds: tuple[TaskKind, ...], projects: tuple[str, ...] | None, queue: str | None
    ) -> tuple[tuple[Lane, ...], dict[str, Reviewer]]:
        """Serialise the person's claims until the transaction ends; return the lanes, and who they are, by project.

        What the lanes say of tasks in people's hands may have been counted before the person's turn came.
        """
        ...

    async def hold(self, queues: Collection[tuple[str, str]]) -> None:
        """Keep claims in queues, by project and name, and changes of them waiting until this transaction ends.

        Who holds queues and tasks takes the queues first.
        """
        ...


class PeopleRepository(Protocol):
    """Reviewers as projects know them."""

    async def at_work(self, actor_id: str) -> dict[str, Reviewer]:
        """Serialise the person's claims until the transaction ends, and return who they are, by project."""
        ...

    async def get(self, project: str, actor_id: str, *, lock: bool = False) -> Reviewer | None:
        """Return a person; with ``lock`` no other transaction changes them until this one ends."""
        ...

    async def list(self, project: str) -> tuple[Reviewer, ...]:
        """Return all people of a project, by id."""
        ...

    async def put(self, project: str, profile: ReviewerProfile, *, set_by: str) -> None:
        """Insert or replace what is set by hand for a person; other skills stay."""
        ...

    async def delete(self, project: str, actor_id: str) -> bool:
        """Forget a person; False if there is none."""
        ...

    async def ensure(self, project: str, actor_id: str) -> None:
        """Let the project know a person, without any limit, unless it does."""
        ...

    async def measure_skill(
        self, project: str, actor_id: str, name: str, level: int, figures: Figures, *, set_by: str
    ) -> None:
        """Give a person a skill by what was measured, or another level of it; what was granted by hand stays."""
        ...

    async def forget_measured(self, project: str, actor_id: str, name: str) -> None:
        """Take back a skill that was measured."""
        ...

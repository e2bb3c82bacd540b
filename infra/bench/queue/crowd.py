"""Many people at one queue, with leases that run out under their hands: what is promised is counted afterwards."""

from __future__ import annotations

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TypeVar
from uuid import UUID

from pydantic import Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.bench.queue.fill import PROJECT
from infra.bench.queue.latency import quantile
from infra.db.engine import PostgresDatabase
from services.contracts.access import Principal, Role
from services.contracts.base import Contract
from services.contracts.review import DecisionInput, TakenTask, Verdict
from services.errors import NoTaskAvailableError, StaleFenceError, TaskFinishedError, UnavailableError
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish

_LAID_ASIDE = 0.15
"""The share of claims that a person lays aside, and answers later if the lease allows."""

_PAUSE_S = 0.05
_Answer = TypeVar("_Answer")
_FACTS = text("""
    SELECT (SELECT count(*) FROM review_tasks WHERE state IN ('open', 'claimed')) AS undecided,
           (SELECT count(*) FROM decisions) AS decisions,
           (SELECT count(*) FROM decisions JOIN review_tasks AS task USING (task_id)
            WHERE decisions.actor_id = ANY (task.excluded_actors)) AS self_reviews,
           (SELECT coalesce(sum(surplus), 0) FROM (
               SELECT count(*) - count(DISTINCT actor_id) AS surplus FROM decisions
               GROUP BY project, sample_id, revision, finding_ids) AS answered) AS answered_twice,
           (SELECT count(*) FROM (
               SELECT FROM decisions GROUP BY project, sample_id, revision, finding_ids
               HAVING count(*) > :answers) AS answered) AS over_answered
""")

Progress = Callable[[str], None]


class CrowdReport(Contract):
    """What became of the tasks, and what was counted."""

    people: int
    tasks: int
    seconds: float
    claims: int
    decisions: int
    laid_aside: int
    late_refused: int
    sent_again: int = Field(description="After the store had said that it could not answer now.")
    claim_p50_ms: float
    claim_p99_ms: float
    double_holds: int
    fences_not_rising: int
    self_reviews: int
    answered_twice: int
    over_answered: int
    undecided: int
    people_without_work: int

    @property
    def holds(self) -> bool:
        """Whether every promise was kept."""
        return self.decisions == self.tasks and not (
            self.double_holds
            or self.fences_not_rising
            or self.self_reviews
            or self.answered_twice
            or self.over_answered
            or self.undecided
            or self.people_without_work
        )


@dataclass(frozen=True, slots=True)
class _Hold:
    fence: int
    actor_id: str
    begins: datetime
    ends: datetime


@dataclass(slots=True)
class _Crowd:
    """What is seen while it works."""

    desk: ReviewDesk
    lease: timedelta
    holds: dict[UUID, list[_Hold]] = field(default_factory=lambda: defaultdict(list))
    decided_at: dict[UUID, datetime] = field(default_factory=dict)
    decisions_of: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    claim_s: list[float] = field(default_factory=list)
    laid_aside: int = 0
    late_refused: int = 0
    sent_again: int = 0

    async def work(self, person: Principal, chance: random.Random, left: Callable[[], int]) -> None:
        """Claim and answer until everything is answered."""
        aside: list[TakenTask] = []
        while left() > 0:
            started = time.perf_counter()
            try:
                task = await self._insist(lambda: self.desk.claim_next(person, ClaimWish(project=PROJECT)))
            except NoTaskAvailableError:
                # What is left is in other hands, or is not for this person.
                for late in aside:
                    await self._answer(person, late)
                aside.clear()
                await asyncio.sleep(_PAUSE_S)
                continue
            self.claim_s.append(time.perf_counter() - started)
            if task.lease_expires_at is not None:
                begins = task.lease_expires_at - self.lease
                self.holds[task.task_id].append(_Hold(task.fence, person.actor_id, begins, task.lease_expires_at))
            if chance.random() < _LAID_ASIDE:
                self.laid_aside += 1
                aside.append(task)
                continue
            await self._answer(person, task)
            if aside and chance.random() < 0.5:
                await self._answer(person, aside.pop())

    async def _answer(self, person: Principal, task: TakenTask) -> None:
        try:
            given = DecisionInput(verdict=Verdict.APPROVE, fence=task.fence)
            decision = await self._insist(lambda: self.desk.decide(person, task.task_id, given))
        except (StaleFenceError, TaskFinishedError):
            self.late_refused += 1
            return
        self.decided_at[task.task_id] = decision.decided_at
        self.decisions_of[person.actor_id] += 1

    async def _insist(self, ask: Callable[[], Awaitable[_Answer]]) -> _Answer:
        while True:
            try:
                return await ask()
            except UnavailableError:
                self.sent_again += 1
                await asyncio.sleep(_PAUSE_S)

    def double_holds(self) -> int:
        """How many claims began before the one before was over, by the database's clock."""
        found = 0
        for holds in self.holds.values():
            ordered = sorted(holds, key=lambda hold: hold.fence)
            for before, after in pairwise(ordered):
                found += after.begins < before.ends
        return found

    def fences_not_rising(self) -> int:
        """How many claims of a task have the fence of another."""
        return sum(len(holds) - len({hold.fence for hold in holds}) for holds in self.holds.values())


async def run_crowd(
    database: PostgresDatabase,
    engine: AsyncEngine,
    *,
    people: int,
    tasks: int,
    answers: int,
    lease_s: int,
    seed: int = 1,
    progress: Progress = lambda what: None,
) -> CrowdReport:
    """Let people work on tasks that :func:`infra.bench.queue.fill.fill` made, until all are decided.

    Args:
        database: Where the tasks are.
        engine: For what is counted afterwards.
        people: How many; ``person-0`` and so on.
        tasks: How many there are.
        answers: How many tasks ask about one finding.
        lease_s: The project's lease, seconds.
        seed: Another seed lays other tasks aside.
        progress: Told how it goes on.
    """
    crowd = _Crowd(ReviewDesk(database), timedelta(seconds=lease_s))
    principals = [
        Principal(actor_id=f"person-{n}", key_id=f"key-{n}", role=Role.REVIEWER, projects=None, skills=("spatial",))
        for n in range(people)
    ]
    progress(f"{people} people, {tasks:,} tasks, leases of {lease_s} s")
    started = time.perf_counter()
    await asyncio.gather(
        *(
            crowd.work(person, random.Random(f"{seed}/{person.actor_id}"), lambda: tasks - len(crowd.decided_at))  # noqa: S311
            for person in principals
        )
    )
    seconds = time.perf_counter() - started
    async with engine.connect() as connection:
        facts = (await connection.execute(_FACTS, {"answers": answers})).one()
    return CrowdReport(
        people=people,
        tasks=tasks,
        seconds=round(seconds, 1),
        claims=len(crowd.claim_s),
        decisions=facts.decisions,
        laid_aside=crowd.laid_aside,
        late_refused=crowd.late_refused,
        sent_again=crowd.sent_again,
        claim_p50_ms=round(1e3 * quantile(crowd.claim_s, 0.5), 1),
        claim_p99_ms=round(1e3 * quantile(crowd.claim_s, 0.99), 1),
        double_holds=crowd.double_holds(),
        fences_not_rising=crowd.fences_not_rising(),
        self_reviews=facts.self_reviews,
        answered_twice=int(facts.answered_twice),
        over_answered=facts.over_answered,
        undecided=facts.undecided,
        people_without_work=people - len(crowd.decisions_of),
    )

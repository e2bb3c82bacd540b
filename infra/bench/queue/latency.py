"""Claim and decide, as the API does them, beside a bare ``FOR UPDATE SKIP LOCKED`` in the same run.

``writes`` is one statement that writes the rows of a decision and asks nothing: no decision can cost less.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, AsyncExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from infra.bench.queue.fill import PROJECT, fill
from infra.bench.queue.plan import PlanFacts, claim_plan, lanes_for
from infra.bench.queue.server import bench_postgres, migrated_database
from infra.bench.queue.writes import write_rows
from infra.db.connect import create_engine
from infra.db.engine import PostgresDatabase, open_database
from infra.db.session import statements_sent
from infra.stack.events import EventListener
from services.contracts.access import Principal, Role
from services.contracts.base import Contract
from services.contracts.review import DecisionInput, Verdict
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish

MOST_OF_BARE = 3.0
"""A claim may take so many times as long as the bare statement."""

MOST_GROWTH = 1.3
"""It may take so many times as long among the most open tasks as among the fewest."""

_STATEMENT_TIMEOUT_S = 60
_WARM_UP = 30
_BARE = text("""
    UPDATE bare_tasks
    SET state = 'claimed', held_by = :actor_id, lease_expires_at = clock_timestamp() + interval '15 minutes'
    WHERE task_id = (
        SELECT task_id FROM bare_tasks
        WHERE state IN ('open', 'claimed') AND (state = 'open' OR lease_expires_at <= clock_timestamp())
        ORDER BY priority DESC, created_at, task_id LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING *
""")
_BARE_DONE = text("UPDATE bare_tasks SET state = 'completed' WHERE state = 'claimed'")

Progress = Callable[[str], None]
What = Literal["bare", "claim", "decide", "writes"]
_WHATS: tuple[What, ...] = ("bare", "claim", "decide", "writes")


class Latency(Contract):
    """How long one thing took at one number of open tasks."""

    open_tasks: int
    what: What
    count: int
    p50_ms: float
    p99_ms: float
    of_bare_p50: float = Field(description="p50 as a multiple of the bare statement's.")
    of_bare_p99: float
    statements: int = Field(description="So many are sent between BEGIN and COMMIT.")


class Growth(Contract):
    """How many times as long one thing takes among the most open tasks as among the fewest."""

    what: What
    p50: float
    p99: float


class QueueBenchmark(Contract):
    """What was measured."""

    queues: int
    rounds: int
    durable: bool
    latencies: tuple[Latency, ...]
    growth: tuple[Growth, ...]
    plans: tuple[PlanFacts, ...]
    claim_of_bare: Annotated[float, Field(description="The worst p50 of a claim, in bare statements.")]
    claim_growth: Annotated[float, Field(description="Of the p50 of a claim.")]
    holds: bool = Field(description="Whether plan, multiple and growth of the claim keep their limits.")


@dataclass(frozen=True, slots=True)
class QueueConfig:
    """How much to measure.

    Attributes:
        data_dir: A folder of its own for Postgres.
        sizes: Numbers of open tasks, ascending.
        rounds: Claims and decisions that are measured at each size.
        queues: Over how many queues the tasks are spread.
        durable: Whether the server writes through to the disk, as it does in use.
    """

    data_dir: Path
    sizes: tuple[int, ...]
    rounds: int
    queues: int = 20
    durable: bool = True


@dataclass(slots=True)
class _Side:
    """One database with its open tasks."""

    open_tasks: int
    database: PostgresDatabase
    engine: AsyncEngine
    seconds: dict[What, list[float]] = field(default_factory=lambda: defaultdict(list))
    statements: dict[What, int] = field(default_factory=dict)

    async def turn(self, person: Principal, around: Callable[[What], AbstractContextManager[None]]) -> None:
        """Claim bare, claim, decide, and write what a decision writes: once each."""
        desk = ReviewDesk(self.database)
        with around("bare"):
            async with self.engine.begin() as connection:
                (await connection.execute(_BARE, {"actor_id": person.actor_id})).one()
        async with self.engine.begin() as connection:
            await connection.execute(_BARE_DONE)
        with around("claim"):
            task = await desk.claim_next(person, ClaimWish(project=PROJECT))
        given = DecisionInput(verdict=Verdict.APPROVE, fence=task.fence)
        with around("decide"):
            await desk.decide(person, task.task_id, given)
        task = await desk.claim_next(person, ClaimWish(project=PROJECT))
        with around("writes"):
            await write_rows(self.engine, task.task_id, person.actor_id)

    @contextmanager
    def timed(self, what: What) -> Iterator[None]:
        """Take the time of the block."""
        started = time.perf_counter()
        yield
        self.seconds[what].append(time.perf_counter() - started)

    @contextmanager
    def counted(self, what: What) -> Iterator[None]:
        """Count the statements of the block; nothing else is sent meanwhile."""
        with statements_sent() as sent:
            yield
        # What it is compared with is one statement, which goes another way.
        self.statements[what] = len(sent) or 1

    async def plan(self, person: Principal) -> PlanFacts:
        """Return how a claim of this person is carried out."""
        lanes = await lanes_for(self.database, person)
        async with self.engine.connect() as connection:
            return await claim_plan(connection, lanes, person.actor_id, self.open_tasks)


async def measure_queue(config: QueueConfig, on_event: EventListener, progress: Progress) -> QueueBenchmark:
    """Measure at every size in turn, round by round, so that all see the same machine."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(
            bench_postgres(config.data_dir, durable=config.durable, on_event=on_event)
        )
        sides = []
        for size in config.sizes:
            progress(f"making {size:,} open tasks")
            url = await migrated_database(server, f"bench_{size}")
            await fill(url, tasks=size, queues=config.queues, decided=size // 10)
            database = await stack.enter_async_context(open_database(url, pool_size=2))
            engine = create_engine(url, statement_timeout_s=_STATEMENT_TIMEOUT_S, pool_size=2)
            stack.push_async_callback(engine.dispose)
            sides.append(_Side(size, database, engine))
        person = Principal(actor_id="rev", key_id="key-rev", role=Role.REVIEWER, projects=None, skills=("spatial",))
        for number in range(_WARM_UP + config.rounds):
            if number == _WARM_UP:
                progress(f"{config.rounds} rounds")
            for side in sides if number % 2 else reversed(sides):
                await side.turn(person, side.timed if number >= _WARM_UP else lambda _: nullcontext())
        for side in sides:
            await side.turn(person, side.counted)
        plans = [await side.plan(person) for side in sides]
    return _result(config, sides, plans)


def _result(config: QueueConfig, sides: Sequence[_Side], plans: Sequence[PlanFacts]) -> QueueBenchmark:
    latencies = tuple(_latency(side, what) for side in sides for what in _WHATS)
    first, last = (
        {one.what: one for one in latencies if one.open_tasks == side.open_tasks} for side in (sides[0], sides[-1])
    )
    growth = tuple(
        Growth(
            what=what,
            p50=round(last[what].p50_ms / first[what].p50_ms, 2),
            p99=round(last[what].p99_ms / first[what].p99_ms, 2),
        )
        for what in _WHATS
    )
    claim_of_bare = max(one.of_bare_p50 for one in latencies if one.what == "claim")
    claim_growth = next(one.p50 for one in growth if one.what == "claim")
    return QueueBenchmark(
        queues=config.queues,
        rounds=config.rounds,
        durable=config.durable,
        latencies=latencies,
        growth=growth,
        plans=tuple(plans),
        claim_of_bare=claim_of_bare,
        claim_growth=claim_growth,
        holds=claim_of_bare <= MOST_OF_BARE and claim_growth <= MOST_GROWTH and all(plan.holds for plan in plans),
    )


def _latency(side: _Side, what: What) -> Latency:
    p50, p99 = quantile(side.seconds[what], 0.5), quantile(side.seconds[what], 0.99)
    bare = side.seconds["bare"]
    return Latency(
        open_tasks=side.open_tasks,
        what=what,
        count=len(side.seconds[what]),
        p50_ms=round(1e3 * p50, 3),
        p99_ms=round(1e3 * p99, 3),
        of_bare_p50=round(p50 / quantile(bare, 0.5), 2),
        of_bare_p99=round(p99 / quantile(bare, 0.99), 2),
        statements=side.statements[what],
    )


def quantile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of all values do not exceed (the nearest rank)."""
    rank = max(0, -(-len(values) * round(share * 1_000) // 1_000) - 1)
    return next(islice(sorted(values), rank, None))

"""Search and the list of tasks in a store with a million tasks: how long a page takes, and by which plan.

Tasks are made by SQL through the tables' own triggers, so that the search holds what it would hold. Every page is read
as the API reads it; its plan is asked for beside it, and one that reads a table whole is a fault.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from infra.db.engine import PostgresDatabase, open_database
from infra.db.migrate import migrate
from infra.db.repositories.search import RARE_ENTRIES, find_sql
from infra.stack.stack import EmbeddedStack, StackConfig
from services.contracts.search import HitKind, SearchFilter

PROJECT = "bench"
_LIMIT = 101
_REPEATS = 7
_BATCH = 50_000
_SAMPLES = """
    INSERT INTO samples (project, sample_id, current_revision, event_sequence)
    SELECT 'bench', 'drive-' || n, 1, 0 FROM generate_series(1, $1) AS n
"""
_REVISIONS = """
    INSERT INTO sample_revisions
        (project, sample_id, revision, stage, risk, manifest, manifest_sha256, label_version, prediction_version,
         created_at)
    SELECT 'bench', 'drive-' || n, 1, 'in_review', 'low',
           json_build_object('context', json_build_object('region', 'r' || n % 97)), repeat('0', 64), 0, 0,
           now() - make_interval(secs => n)
    FROM generate_series(1, $1) AS n
"""
# Every tenth word of a rare kind: a search for one that a thousandth of the tasks hold, and for one in a million.
_TASKS = """
    INSERT INTO review_tasks
        (task_id, project, sample_id, revision, kind, queue, risk, priority, state, finding_ids, excluded_actors,
         reason, fence, created_at)
    SELECT gen_random_uuid(), 'bench', 'drive-' || 1 + n % $3, 1, 'review', 'queue-' || n % 20, 'low', 100, 'open',
           ARRAY['f-' || n], '{}',
           'cuboid and box disagree' || CASE WHEN n % 1000 = 0 THEN ' thousandth' ELSE '' END
               || CASE WHEN n = 7 THEN ' unique' ELSE '' END,
           0, now() - make_interval(secs => n)
    FROM generate_series($1::bigint, $2::bigint) AS n
"""


@dataclass(frozen=True, slots=True)
class PageTime:
    """One kind of page.

    Attributes:
        what: What is asked for.
        first_ms: Median time of the first page.
        deep_ms: Median time of a page behind nine tenths of all that matches.
        rows: Rows of the first page.
        indexes: What the plans read.
        whole_tables: Tables that a plan reads whole; none, or a fault.
    """

    what: str
    first_ms: float
    deep_ms: float
    rows: int
    indexes: tuple[str, ...]
    whole_tables: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SearchBenchmark:
    """What was measured.

    Attributes:
        tasks: Tasks in the store.
        entries: Entries of the search.
        filled_s: How long making them took.
        pages: The pages.
    """

    tasks: int
    entries: int
    filled_s: float
    pages: tuple[PageTime, ...]

    @property
    def faulty(self) -> bool:
        """Whether any page reads a table whole."""
        return any(page.whole_tables for page in self.pages)


async def measure_search(data_dir: Path, tasks: int, tell: Callable[[str], None]) -> SearchBenchmark:
    """Start a Postgres in a folder, fill it, and time pages.

    Args:
        data_dir: A folder for the server's data.
        tasks: How many tasks.
        tell: Is told what goes on.
    """
    stack = EmbeddedStack(StackConfig(data_dir=data_dir, durable=False), children=[])
    async with stack:
        return await measure_in(stack.urls.database_url, tasks, tell)


async def measure_in(url: str, tasks: int, tell: Callable[[str], None]) -> SearchBenchmark:
    """Fill an empty database and time pages; see :func:`measure_search`."""
    await migrate(url)
    began = time.monotonic()
    connection = await asyncpg.connect(url)
    try:
        await _fill(connection, tasks, tell)
        filled_s = time.monotonic() - began
        entries = await connection.fetchval("SELECT count(*) FROM search_entries")
        async with open_database(url, pool_size=2) as database:
            pages = [
                await _search_page(database, connection, what, words, kinds)
                for what, words, kinds in (
                    ("search: no words", (), tuple(HitKind)),
                    ("search: a word of every task", ("cuboid",), tuple(HitKind)),
                    ("search: a word of one in 1,000", ("thousandth",), tuple(HitKind)),
                    ("search: a word of one task", ("unique",), tuple(HitKind)),
                    ("search: two words, one of them common", ("cuboid", "drive", "77"), (HitKind.TASK,)),
                )
            ]
            pages.append(await _task_page(database, connection))
    finally:
        await connection.close()
    return SearchBenchmark(tasks=tasks, entries=entries, filled_s=filled_s, pages=tuple(pages))


async def _fill(connection: asyncpg.Connection, tasks: int, tell: Callable[[str], None]) -> None:
    samples = max(1, tasks // 100)
    await connection.execute(
        "INSERT INTO projects (id, name, purpose, decision, domain, config) "
        "VALUES ('bench', 'bench', '', '', 'bench', '{}')"
    )
    await connection.execute(_SAMPLES, samples)
    await connection.execute(_REVISIONS, samples)
    for first in range(1, tasks + 1, _BATCH):
        last = min(first + _BATCH - 1, tasks)
        await connection.execute(_TASKS, first, last, samples, timeout=600)
        tell(f"{last} of {tasks} tasks")
    await connection.execute("VACUUM ANALYZE search_entries", timeout=600)
    await connection.execute("VACUUM ANALYZE review_tasks", timeout=600)


async def _search_page(
    database: PostgresDatabase,
    connection: asyncpg.Connection,
    what: str,
    words: tuple[str, ...],
    kinds: tuple[HitKind, ...],
) -> PageTime:
    wanted = SearchFilter(words=words, kinds=kinds, projects=(PROJECT,))
    count = await connection.fetchval(*positional(_counting(wanted)))
    deep = await connection.fetchrow(*positional(_at_depth(wanted, int(count * 0.9))))
    cursor = None if deep is None else (deep["at"], deep["entry_id"])
    rows = 0
    times: dict[bool, list[float]] = {False: [], True: []}
    for at_depth, before in ((False, None), (True, cursor)):
        for _ in range(_REPEATS):
            began = time.monotonic()
            async with database.transaction() as tx:
                hits = await tx.search.find(wanted, before=before, limit=_LIMIT)
            times[at_depth].append((time.monotonic() - began) * 1_000)
            rows = rows if at_depth else len(hits)
    rare = bool(words) and count <= RARE_ENTRIES
    plans = [
        await _plan(connection, *find_sql(wanted, before=before, limit=_LIMIT, rare=rare)) for before in (None, cursor)
    ]
    return _page_time(what, times, rows, plans)


async def _task_page(database: PostgresDatabase, connection: asyncpg.Connection) -> PageTime:
    count = await connection.fetchval("SELECT count(*) FROM review_tasks")
    deep = await connection.fetchrow(
        "SELECT created_at, task_id FROM review_tasks ORDER BY created_at, task_id OFFSET $1 LIMIT 1", int(count * 0.9)
    )
    cursor = (deep["created_at"], deep["task_id"])
    rows = 0
    times: dict[bool, list[float]] = {False: [], True: []}
    for at_depth, after in ((False, None), (True, cursor)):
        for _ in range(_REPEATS):
            began = time.monotonic()
            async with database.transaction() as tx:
                found = await tx.review.list_tasks(projects=None, queue=None, state=None, after=after, limit=_LIMIT)
            times[at_depth].append((time.monotonic() - began) * 1_000)
            rows = rows if at_depth else len(found)
    statement = "SELECT * FROM review_tasks {} ORDER BY created_at, task_id LIMIT 101"
    plans = [
        json.loads(await connection.fetchval("EXPLAIN (FORMAT JSON) " + statement.format(""))),
        json.loads(
            await connection.fetchval(
                "EXPLAIN (FORMAT JSON) " + statement.format("WHERE (created_at, task_id) > ($1, $2)"), *cursor
            )
        ),
    ]
    return _page_time("list of tasks", times, rows, plans)


def _page_time(what: str, times: dict[bool, list[float]], rows: int, plans: list[Any]) -> PageTime:
    nodes = [node for plan in plans for node in nodes_of(plan)]
    return PageTime(
        what=what,
        first_ms=round(median(times[False]), 2),
        deep_ms=round(median(times[True]), 2),
        rows=rows,
        indexes=tuple(sorted({node["Index Name"] for node in nodes if "Index Name" in node})),
        whole_tables=tuple(sorted({node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"})),
    )


def nodes_of(plan: Any) -> Iterator[dict[str, Any]]:
    """Yield every node of a plan in JSON."""
    if isinstance(plan, list):
        for item in plan:
            yield from nodes_of(item)
    elif isinstance(plan, dict):
        if "Node Type" in plan:
            yield plan
        for value in plan.values():
            yield from nodes_of(value)


async def _plan(connection: asyncpg.Connection, statement: str, values: dict[str, Any]) -> Any:
    text, *arguments = positional((statement, values))
    return json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {text}", *arguments))


def _counting(wanted: SearchFilter) -> tuple[str, dict[str, Any]]:
    statement, values = find_sql(wanted, before=None, limit=10**9)
    return f"SELECT count(*) FROM ({statement}) AS matching", values  # noqa: S608 - the repository's own statement


def _at_depth(wanted: SearchFilter, depth: int) -> tuple[str, dict[str, Any]]:
    statement, values = find_sql(wanted, before=None, limit=10**9)
    return f"SELECT at, entry_id FROM ({statement}) AS matching OFFSET {depth} LIMIT 1", values  # noqa: S608


def positional(statement: tuple[str, dict[str, Any]]) -> tuple[Any, ...]:
    """Return a statement of named parameters as the driver takes it."""
    text, values = statement
    arguments: list[Any] = []
    # The longest first, so that no name is taken for the beginning of another.
    for name in sorted(values, key=len, reverse=True):
        value = values[name]
        kind = "::timestamptz" if isinstance(value, datetime) else "::bigint" if isinstance(value, int) else ""
        arguments.append(value)
        text = text.replace(f":{name}", f"${len(arguments)}{kind}")
    return (text, *arguments)

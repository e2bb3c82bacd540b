"""Recall in a store with a million ground-truth records: how long an answer takes, and by which plan.

Records and what they rest on are made by SQL; every question is asked as the API asks it. Its plans are asked for
beside it, and one that reads a table whole is a fault, as is a median of more than a second.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import asyncpg

from infra.bench.search import nodes_of, positional
from infra.db.engine import PostgresDatabase, open_database
from infra.db.migrate import migrate
from infra.db.repositories.ground_truth import COUNT_DEPENDENTS, DEPENDENTS
from infra.stack.stack import EmbeddedStack, StackConfig
from services.contracts.lineage import Origin, OriginKind

PROJECT = "bench"
MOST_MS = 1_000.0
_LIMIT = 101
_REPEATS = 7
_BATCH = 100_000
_HASH = "encode(sha256(convert_to({}, 'UTF8')), 'hex')"
# One in twenty has a newer revision.
_STAGE = "CASE WHEN n % 20 = 0 THEN 'reopened' ELSE 'committed' END"
_COPIES = (
    """
    INSERT INTO samples (project, sample_id, current_revision, event_sequence)
    SELECT 'bench', 'drive-' || n, 1, 0 FROM generate_series($1::bigint, $2::bigint) AS n
    """,
    f"""
    INSERT INTO sample_revisions
        (project, sample_id, revision, stage, risk, manifest, manifest_sha256, label_version, prediction_version,
         created_at)
    SELECT 'bench', 'drive-' || n, 1, {_STAGE}, 'low', '{{}}', repeat('0', 64), 0, 0, now() - make_interval(secs => n)
    FROM generate_series($1::bigint, $2::bigint) AS n
    """,  # noqa: S608 - constants
    """
    INSERT INTO ground_truth (project, sample_id, revision, content_sha256, lineage_sha256, body, lineage, committed_at)
    SELECT 'bench', 'drive-' || n, 1, repeat('0', 64), repeat('1', 64), json_build_object('text', repeat('x', 1000)),
           '{}', now() - make_interval(secs => n)
    FROM generate_series($1::bigint, $2::bigint) AS n
    """,
    f"""
    INSERT INTO ground_truth_origins (project, kind, key, sample_id, revision)
    SELECT 'bench', origin.kind, origin.key, 'drive-' || n, 1
    FROM generate_series($1::bigint, $2::bigint) AS n
    CROSS JOIN LATERAL (VALUES
        ('event', {_HASH.format("'e' || n")}),
        ('asset', {_HASH.format("'cam' || n")}),
        ('asset', {_HASH.format("'lidar' || n")}),
        ('calibration', {_HASH.format("'c' || n % 100")}),
        ('calibration', 'front@' || {_HASH.format("'c' || n % 100")}),
        ('model', 'detector@' || n % 2),
        ('person', 'annotator-' || n % 1000),
        ('person', 'reviewer-' || n % 4),
        ('rule_set', 'default@1'),
        ('taxonomy', 'av@3'),
        ('label_set', {_HASH.format("'l1' || n")}),
        ('label_set', {_HASH.format("'l2' || n")}),
        ('decision', gen_random_uuid()::text),
        ('workflow', gen_random_uuid()::text)) AS origin (kind, key)
    """,  # noqa: S608
)


@dataclass(frozen=True, slots=True)
class RecallTime:
    """One question.

    Attributes:
        what: What is asked for.
        records: How many records rest on it.
        first_ms: Median time of the first page of 100.
        deep_ms: Median time of the page behind nine tenths of them.
        count_ms: Median time of the exact counts.
        plans: The plan of each statement, as Postgres writes it.
        whole_tables: Tables that a plan reads whole; none, or a fault.
    """

    what: str
    records: int
    first_ms: float
    deep_ms: float
    count_ms: float
    plans: dict[str, str]
    whole_tables: tuple[str, ...]

    @property
    def faulty(self) -> bool:
        """Whether it reads a table whole, or takes more than a second."""
        return bool(self.whole_tables) or max(self.first_ms, self.deep_ms, self.count_ms) > MOST_MS


@dataclass(frozen=True, slots=True)
class RecallBenchmark:
    """What was measured.

    Attributes:
        records: Records in the store.
        origins: Rows of what they rest on.
        megabytes: Size of these rows with their indexes.
        filled_s: How long making everything took.
        questions: The questions.
    """

    records: int
    origins: int
    megabytes: int
    filled_s: float
    questions: tuple[RecallTime, ...]

    @property
    def faulty(self) -> bool:
        """Whether any question is."""
        return any(question.faulty for question in self.questions)


async def measure_recall(data_dir: Path, records: int, tell: Callable[[str], None]) -> RecallBenchmark:
    """Start a Postgres in a folder, fill it, and ask.

    Args:
        data_dir: A folder for the server's data.
        records: How many ground-truth records.
        tell: Is told what goes on.
    """
    stack = EmbeddedStack(StackConfig(data_dir=data_dir, durable=False), children=[])
    async with stack:
        return await measure_in(stack.urls.database_url, records, tell)


async def measure_in(url: str, records: int, tell: Callable[[str], None]) -> RecallBenchmark:
    """Fill an empty database and ask; see :func:`measure_recall`."""
    await migrate(url)
    began = time.monotonic()
    connection = await asyncpg.connect(url, server_settings={"session_replication_role": "replica", "jit": "off"})
    try:
        await _fill(connection, records, tell)
        filled_s = time.monotonic() - began
        origins = await connection.fetchval("SELECT count(*) FROM ground_truth_origins", timeout=600)
        size = await connection.fetchval("SELECT pg_total_relation_size('ground_truth_origins')")
        questions = []
        async with open_database(url, pool_size=2) as database:
            for what, kind, key in (
                ("one asset", OriginKind.ASSET, sha256(b"cam7").hexdigest()),
                ("a calibration", OriginKind.CALIBRATION, sha256(b"c7").hexdigest()),
                ("an annotator", OriginKind.PERSON, "annotator-7"),
                ("a reviewer of every fourth", OriginKind.PERSON, "reviewer-1"),
                ("a model of every second", OriginKind.MODEL, "detector@1"),
                ("the rules of all", OriginKind.RULE_SET, "default@1"),
                ("nobody", OriginKind.PERSON, "nobody"),
            ):
                questions.append(await _ask(database, connection, what, Origin(kind=kind, key=key)))
                tell(f"asked for {what}")
    finally:
        await connection.close()
    return RecallBenchmark(
        records=records, origins=origins, megabytes=size // 2**20, filled_s=filled_s, questions=tuple(questions)
    )


async def _fill(connection: asyncpg.Connection, records: int, tell: Callable[[str], None]) -> None:
    await connection.execute(
        "INSERT INTO projects (id, name, purpose, decision, domain, config) "
        "VALUES ('bench', 'bench', '', '', 'bench', '{}')"
    )
    # Sorted once at the end, in place of a million times.
    await connection.execute("DROP INDEX ix_ground_truth_origins_record")
    await connection.execute("ALTER TABLE ground_truth_origins DROP CONSTRAINT pk_ground_truth_origins")
    for first in range(1, records + 1, _BATCH):
        last = min(first + _BATCH - 1, records)
        for statement in _COPIES:
            await connection.execute(statement, first, last, timeout=600)
        tell(f"{last} of {records} records")
    await connection.execute(
        "ALTER TABLE ground_truth_origins ADD CONSTRAINT pk_ground_truth_origins "
        "PRIMARY KEY (project, kind, key, sample_id, revision)",
        timeout=1_800,
    )
    await connection.execute(
        "CREATE INDEX ix_ground_truth_origins_record ON ground_truth_origins (project, sample_id, revision)",
        timeout=1_800,
    )
    for table in ("samples", "sample_revisions", "ground_truth", "ground_truth_origins"):
        await connection.execute(f"VACUUM ANALYZE {table}", timeout=1_800)
    tell("indexed")


async def _ask(database: PostgresDatabase, connection: asyncpg.Connection, what: str, origin: Origin) -> RecallTime:
    named = {"project": PROJECT, "kind": origin.kind.value, "key": origin.key}
    cursors: dict[str, tuple[str, int] | None] = {"first page": None}
    async with database.transaction() as tx:
        records = (await tx.ground_truth.count_dependents(PROJECT, origin)).records
    deep = await connection.fetchrow(
        "SELECT sample_id, revision FROM ground_truth_origins WHERE project = $1 AND kind = $2 AND key = $3 "
        "ORDER BY sample_id, revision OFFSET $4 LIMIT 1",
        *named.values(),
        records * 9 // 10,
        timeout=600,
    )
    cursors["deep page"] = None if deep is None else tuple(deep)
    times: dict[str, list[float]] = {"first page": [], "deep page": [], "counts": []}
    for _ in range(_REPEATS):
        for page, after in cursors.items():
            began = time.monotonic()
            async with database.transaction() as tx:
                await tx.ground_truth.dependents(PROJECT, origin, after=after, limit=_LIMIT)
            times[page].append(time.monotonic() - began)
        began = time.monotonic()
        async with database.transaction() as tx:
            await tx.ground_truth.count_dependents(PROJECT, origin)
        times["counts"].append(time.monotonic() - began)
    statements: dict[str, tuple[str, dict[str, Any]]] = {
        page: (DEPENDENTS, {**named, **_after(after), "limit": _LIMIT}) for page, after in cursors.items()
    }
    statements["counts"] = (COUNT_DEPENDENTS, named)
    plans, whole = {}, set[str]()
    for name, statement in statements.items():
        text, *values = positional(statement)
        plans[name] = "\n".join(row[0] for row in await connection.fetch(f"EXPLAIN (COSTS OFF) {text}", *values))
        plan = json.loads(await connection.fetchval(f"EXPLAIN (FORMAT JSON) {text}", *values))
        whole |= {node["Relation Name"] for node in nodes_of(plan) if node["Node Type"] == "Seq Scan"}
    first_ms, deep_ms, count_ms = (round(median(found) * 1_000, 2) for found in times.values())
    return RecallTime(
        what=what,
        records=records,
        first_ms=first_ms,
        deep_ms=deep_ms,
        count_ms=count_ms,
        plans=plans,
        whole_tables=tuple(sorted(whole)),
    )


def _after(cursor: tuple[str, int] | None) -> dict[str, Any]:
    sample, revision = cursor or ("", 0)
    return {"after_sample": sample, "after_revision": revision}

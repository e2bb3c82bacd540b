"""Migrate committed samples with the worker killed in the middle, and compare what happened with the preview.

The kill hits a batch that has done all its work and waits to commit: the audit chain is held for that long, so that
nothing but the commit is missing when the worker ends with SIGKILL.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import asyncpg

from infra.bench.taxonomy.fill import NEW, OLD, OWNER, PROJECT, commit_samples, open_project
from infra.db.engine import PostgresDatabase, open_database
from infra.temporal.client import connect_temporal
from infra.temporal.dispatcher import WorkflowDispatcher
from services.audit.verify import verify_project
from services.contracts.base import Contract
from services.contracts.canonical import canonical_json
from services.contracts.lifecycle import Stage
from services.contracts.records import GroundTruth
from services.contracts.taxonomies import (
    LIVE_MIGRATIONS,
    MigrationCounts,
    MigrationRequest,
    TaxonomyMigration,
)
from services.errors import IntegrityError
from services.ground_truth.as_of import as_of
from services.taxonomy.migrations import MigrationDesk

_LOOK_EVERY_S = 0.1
_WITHIN_S = 3_600.0
_PAGE = 200
_HOLD_CHAIN = "SELECT sequence FROM audit_heads WHERE project = $1 FOR UPDATE"
_WAITS_FOR_CHAIN = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%audit_heads%'
"""

Told = Callable[[str], None]
Look = Callable[[], Awaitable[TaxonomyMigration]]


class MigrationProof(Contract):
    """What was seen.

    Attributes:
        samples: Committed samples before the migration.
        preview: What the preview counted.
        done: What the migration counted when it was over.
        seen_at_the_kill: Samples that were done when the worker was killed.
        migrated: Records that the migration committed, counted in the store.
        reopened: Revisions that it opened for people, counted in the store.
        twice: Samples of which it opened more than one revision.
        old_export_sha256: Of the export under the old version, before and after.
        records: Ground-truth records at the end.
        faults: What `verify` finds at the end.
        fill_s: Time to make the samples, seconds.
        preview_s: Of the preview.
        migration_s: Of the migration, the kill and the wait for another worker included.
    """

    samples: int
    preview: MigrationCounts
    done: MigrationCounts
    seen_at_the_kill: int
    migrated: int
    reopened: int
    twice: int
    old_export_sha256: tuple[str, str]
    records: int
    faults: int
    fill_s: float
    preview_s: float
    migration_s: float

    @property
    def holds(self) -> bool:
        """Whether what happened is what the preview said, once each, and the old version exports as before."""
        return (
            self.preview == self.done
            and (self.migrated, self.reopened) == (self.preview.migrated, self.preview.reopened)
            and not self.twice
            and not self.faults
            and self.old_export_sha256[0] == self.old_export_sha256[1]
        )


async def prove_migration(
    database_url: str,
    temporal_address: str,
    samples: int,
    *,
    undecided_every: int = 50,
    kill_after: float = 0.5,
    tell: Told = lambda what: None,
) -> MigrationProof:
    """Fill a migrated database, migrate, kill the worker on the way, and count.

    Args:
        database_url: An empty database with the product's tables.
        temporal_address: ``host:port``.
        samples: How many to commit.
        undecided_every: One sample in so many is left to people.
        kill_after: Share of the samples after which the worker is killed.
        tell: Is told what happens.
    """
    async with open_database(database_url, pool_size=8) as database:
        await open_project(database)
        started = time.perf_counter()
        tell(f"committing {samples:,} samples")
        await commit_samples(database, samples, undecided_every=undecided_every, tell=tell)
        filled = time.perf_counter()
        desk = MigrationDesk(database)
        preview = (await desk.preview(OWNER, PROJECT, NEW)).counts
        previewed = time.perf_counter()
        before = await _export(database, OLD)
        tell("migrating")
        began = time.perf_counter()
        seen, migration = await _migrate(database, database_url, temporal_address, samples, kill_after, tell)
        ended = time.perf_counter()
        after = await _export(database, OLD)
        tell("verifying")
        report = await verify_project(database, PROJECT)
        migrated, reopened, twice = await _opened(database, migration.migration_id)
    return MigrationProof(
        samples=samples,
        preview=preview,
        done=migration.done,
        seen_at_the_kill=seen,
        migrated=migrated,
        reopened=reopened,
        twice=twice,
        old_export_sha256=(before, after),
        records=report.records,
        faults=len(report.faults) + report.faults_left_out,
        fill_s=round(filled - started, 1),
        preview_s=round(previewed - filled, 2),
        migration_s=round(ended - began, 1),
    )


async def _migrate(
    database: PostgresDatabase, database_url: str, temporal_address: str, samples: int, kill_after: float, tell: Told
) -> tuple[int, TaxonomyMigration]:
    """Return how many samples were done at the kill, and the migration when it is over."""
    desk = MigrationDesk(database)
    client = await connect_temporal(temporal_address)
    task_queue = f"taxonomy-{uuid4().hex[:12]}"
    stop = asyncio.Event()
    dispatching = asyncio.create_task(WorkflowDispatcher(database, client, task_queue).run(stop))
    try:
        migration = await desk.start(OWNER, PROJECT, MigrationRequest(target=NEW))

        async def look() -> TaxonomyMigration:
            return await desk.get(OWNER, PROJECT, migration.migration_id)

        async with asyncio.timeout(_WITHIN_S):
            async with _worker(database_url, temporal_address, task_queue) as first:
                await _until(lambda: _has_seen(look, kill_after * samples))
                async with _chain_held(database_url) as waits:
                    await _until(waits)
                    _kill(first)
                    await first.wait()
            seen = (await look()).done.samples
            tell(f"SIGKILL to the worker after {seen:,} samples, before a commit")
            async with _worker(database_url, temporal_address, task_queue):
                await _until(lambda: _is_over(look))
            migration = await look()
    finally:
        stop.set()
        await dispatching
    return seen, migration


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    """Return once a fact of the store holds; it tells nobody when it begins to."""
    while True:
        if await holds():
            return
        await asyncio.sleep(_LOOK_EVERY_S)


async def _has_seen(look: Look, samples: float) -> bool:
    return (await look()).done.samples >= samples


async def _is_over(look: Look) -> bool:
    return (await look()).state not in LIVE_MIGRATIONS


@asynccontextmanager
async def _worker(
    database_url: str, temporal_address: str, task_queue: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the product's worker, in a group of its own with the processes of its checks."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "infra.cli.main",
        "worker",
        env=os.environ
        | {
            "CONCORD_DATABASE_URL": database_url,
            "CONCORD_TEMPORAL_ADDRESS": temporal_address,
            "CONCORD_TEMPORAL_TASK_QUEUE": task_queue,
            "CONCORD_NATS_URL": "nats://unused:unused@127.0.0.1:4222",
            "CONCORD_LOG_LEVEL": "ERROR",
        },
        stdout=asyncio.subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        _kill(process)
        await process.wait()


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)


@asynccontextmanager
async def _chain_held(database_url: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Hold the project's audit chain; yields what tells whether a transaction waits for it."""
    holder, watcher = await asyncpg.connect(database_url), await asyncpg.connect(database_url)
    try:
        async with holder.transaction():
            await holder.fetchval(_HOLD_CHAIN, PROJECT)

            async def waits() -> bool:
                return bool(await watcher.fetchval(_WAITS_FOR_CHAIN))

            yield waits
    finally:
        await holder.close()
        await watcher.close()


async def _records(database: PostgresDatabase) -> AsyncIterator[GroundTruth]:
    after: tuple[str, int] | None = None
    while True:
        async with database.transaction() as tx:
            page = await tx.ground_truth.list(PROJECT, after=after, limit=_PAGE)
        for record in page:
            yield record
        if len(page) < _PAGE:
            return
        after = (page[-1].ref.sample_id, page[-1].ref.revision)


async def _export(database: PostgresDatabase, reference: str) -> str:
    """Return the hash of what `concord export --taxonomy` writes."""
    digest = hashlib.sha256()
    async for record in as_of(_records(database), reference):
        digest.update(canonical_json(record.model_dump(mode="json")) + b"\n")
    return digest.hexdigest()


async def _opened(database: PostgresDatabase, migration_id: UUID) -> tuple[int, int, int]:
    """Count what a migration opened, by what is stored: migrated, reopened, and samples opened more than once."""
    migrated = reopened = twice = 0
    after: str | None = None
    while True:
        async with database.transaction() as tx:
            page = await tx.taxonomy_migrations.page(PROJECT, after=after, limit=_PAGE, lock=False)
            for sample in page:
                carried = await tx.taxonomy_migrations.carried(sample.ref)
                if carried is not None and carried.migration_id == migration_id:
                    migrated += carried.outcome == "migrated"
                    reopened += carried.outcome == "reopened"
                    twice += sample.ref.revision > 2
                    if carried.outcome == "migrated" and sample.stage is not Stage.COMMITTED:
                        raise IntegrityError(f"{sample.ref.sample_id} is at {sample.stage}")
        if len(page) < _PAGE:
            return migrated, reopened, twice
        after = page[-1].ref.sample_id

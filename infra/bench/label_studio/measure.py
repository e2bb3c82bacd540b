"""``concord bench label-studio``: both sides on one machine and one Postgres server, call by call in turns."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

import asyncpg
import httpx
from PIL import Image
from pydantic import Field

from infra.bench.beside.compare import ratio_of
from infra.bench.label_studio.fill import copy_template, tidy
from infra.bench.label_studio.payload import IMAGE, SIZE_PX
from infra.bench.label_studio.server import DATABASE, LabelStudio, prepare_label_studio
from infra.bench.label_studio.sides import IMPORTED, PAGE, WORKED, Concord, LabelStudioSide, Side
from infra.client import ConcordClient
from infra.local import LocalConcord, LocalConfig, run_local
from infra.stack.events import EventListener
from services.contracts.base import Contract
from services.errors import IntegrityError

FILL_BATCH = 1_000
WORKS = {
    "import": "import samples, until acknowledged; ms a sample",
    "workable": "the same, until a person can be given them; ms a sample",
    "followed": "the same, until everything behind it has come to rest; ms a sample",
    "next": "next task, with data and prediction; ms",
    "submit": "submit one box; ms",
    "first_page": f"list: the first {PAGE} tasks; ms",
    "deep_page": f"list: {PAGE} tasks behind nine tenths of all; ms",
}

Told = Callable[[str], None]


class WorkTimes(Contract):
    """One kind of work by both sides.

    Attributes:
        work: One of :data:`WORKS`.
        ours_ms: Median over the rounds.
        theirs_ms: Likewise.
        ratio: Median over the rounds of theirs over ours.
        lowest: The least ratio of a round.
        highest: The greatest.
    """

    work: str
    ours_ms: float
    theirs_ms: float
    ratio: float
    lowest: float
    highest: float


class LabelStudioBenchmark(Contract):
    """What was measured."""

    tasks: int = Field(description="Open tasks on each side while people work and lists are read.")
    rounds: int
    samples_an_import: int
    label_studio: Annotated[str, Field(description="Its release.")]
    postgres: str
    durable: bool
    works: tuple[WorkTimes, ...]


@dataclass(frozen=True, slots=True)
class LabelStudioConfig:
    """How much to measure.

    Attributes:
        python: The interpreter of Label Studio's environment.
        data_dir: A folder of its own for everything.
        tasks: Open tasks on each side.
        rounds: Measured rounds; one more goes before, unmeasured.
        samples: Samples an import; at most 1,000.
        import_rounds: Measured rounds of imports.
        durable: Whether the servers write through to the disk, as they do in use.
    """

    python: Path
    data_dir: Path
    tasks: int
    rounds: int
    samples: int
    import_rounds: int
    durable: bool = True


async def measure_label_studio(config: LabelStudioConfig, on_event: EventListener, tell: Told) -> LabelStudioBenchmark:
    """Run both sides, let them do the same work in turns, and compare.

    Raises:
        UnavailableError: Label Studio could not make its database.
        IntegrityError: One side did not do the work.
    """
    assets = config.data_dir / "assets"
    await asyncio.to_thread(_write_image, assets)
    local = LocalConfig(data_dir=config.data_dir / "concord", asset_roots=(assets,), durable=config.durable)
    async with run_local(local, on_event=on_event) as concord:
        tell("Label Studio makes its tables")
        url = concord.urls.database_url
        label_studio = await prepare_label_studio(config.python, config.data_dir / "label-studio", url)
        async with _sides(concord, label_studio) as (ours, theirs):
            await ours.open()
            await theirs.open(IMPORTED)
            turns = Turns(ours, theirs)
            await _import(turns, config, tell)
            version = await theirs.version()
    # Without a worker: what it would do about the tasks is no part of what is measured, and would take the machine.
    alone = replace(local, processes=("api",))
    async with run_local(alone, on_event=on_event) as concord, _sides(concord, label_studio) as (ours, theirs):
        await theirs.open(WORKED)
        await _fill(theirs, concord.urls.database_url, config, tell)
        await ours.begin_work(config.tasks)
        theirs.begin_work(config.tasks)
        await _work(turns.of(ours, theirs), config, tell)
        for name, finished in (("Concord", await ours.finished()), ("Label Studio", await theirs.finished())):
            if finished != config.rounds + 1:
                raise IntegrityError(f"{name} counts {finished} answered tasks, and was sent {config.rounds + 1}")
        return LabelStudioBenchmark(
            tasks=config.tasks,
            rounds=config.rounds,
            samples_an_import=config.samples,
            label_studio=version,
            postgres=await _postgres_version(concord.urls.database_url),
            durable=config.durable,
            works=tuple(turns.times(work) for work in WORKS),
        )


@asynccontextmanager
async def _sides(concord: LocalConcord, label_studio: LabelStudio) -> AsyncIterator[tuple[Concord, LabelStudioSide]]:
    """Start Label Studio beside a Concord that runs, and open clients of both."""
    await concord.stack.supervisor.start([label_studio.spec()])
    async with AsyncExitStack() as stack:

        async def client_of(key: str) -> ConcordClient:
            return await stack.enter_async_context(ConcordClient(concord.urls.api_url, key))

        token = {"Authorization": f"Token {label_studio.token}"}
        http = httpx.AsyncClient(base_url=label_studio.url, headers=token, trust_env=False)
        theirs = LabelStudioSide(await stack.enter_async_context(http))
        yield Concord(await client_of(concord.admin_key), client_of, concord.urls.database_url), theirs


class Turns:
    """Both sides do one thing after the other, and neither is always the first."""

    def __init__(self, ours: Side, theirs: Side) -> None:
        self._sides = (ours, theirs)
        self._taken_ms: dict[str, tuple[list[float], list[float]]] = {work: ([], []) for work in WORKS}

    def of(self, ours: Side, theirs: Side) -> Self:
        """Go on with the sides of other clients."""
        self._sides = (ours, theirs)
        return self

    async def take(self, number: int, do: Callable[[Side, Clock], Awaitable[None]]) -> None:
        """Let both do a round's work; the times of round 0 are not kept."""
        for place in (0, 1) if number % 2 else (1, 0):
            clock = Clock()
            await do(self._sides[place], clock)
            if number:
                for work, taken_ms in clock.taken_ms.items():
                    self._taken_ms[work][place].append(taken_ms)

    def times(self, work: str) -> WorkTimes:
        """Return what a work took."""
        ours, theirs = self._taken_ms[work]
        ratio = ratio_of(ours, theirs)
        return WorkTimes(
            work=work,
            ours_ms=_shown(statistics.median(ours)),
            theirs_ms=_shown(statistics.median(theirs)),
            ratio=_shown(ratio.median),
            lowest=_shown(ratio.lowest),
            highest=_shown(ratio.highest),
        )


def _shown(value: float) -> float:
    return float(f"{value:.3g}")


class Clock:
    """Takes the times of one side's round."""

    def __init__(self) -> None:
        self.taken_ms: dict[str, float] = {}
        self._began = time.perf_counter()

    def start(self) -> None:
        """What is measured next begins now."""
        self._began = time.perf_counter()

    def note(self, work: str, *, calls: int = 1) -> None:
        """A work took from the start until now, for so many of its unit."""
        self.taken_ms[work] = 1e3 * (time.perf_counter() - self._began) / calls


async def _import(turns: Turns, config: LabelStudioConfig, tell: Told) -> None:
    for number in range(config.import_rounds + 1):
        tell(f"import, round {number} of {config.import_rounds}" if number else "import, warming up")
        names = [f"s-{number}-{index}" for index in range(config.samples)]

        async def do(side: Side, clock: Clock, names: Sequence[str] = names) -> None:
            clock.start()
            await side.bring(names)
            clock.note("import", calls=len(names))
            await side.wait_workable()
            clock.note("workable", calls=len(names))
            # Also so that one side's work behind the scenes never runs into the other's turn.
            await side.wait_followed()
            clock.note("followed", calls=len(names))

        await turns.take(number, do)


async def _fill(theirs: LabelStudioSide, url: str, config: LabelStudioConfig, tell: Told) -> None:
    # One is there already: the template.
    await copy_template(url, config.tasks - 1, tell)
    for first in range(0, config.tasks, FILL_BATCH):
        last = min(first + FILL_BATCH, config.tasks)
        await theirs.bring([f"s-{index}" for index in range(first, last)])
        if last % (10 * FILL_BATCH) == 0 or last == config.tasks:
            tell(f"Label Studio: {last:,} of {config.tasks:,} tasks")
    for address in (url, urlsplit(url)._replace(path=f"/{DATABASE}").geturl()):
        await tidy(address)


async def _work(turns: Turns, config: LabelStudioConfig, tell: Told) -> None:
    async def do(side: Side, clock: Clock) -> None:
        clock.start()
        task = await side.next_task()
        clock.note("next")
        clock.start()
        await side.submit(task)
        clock.note("submit")
        for work, page in (("first_page", side.first_page), ("deep_page", side.deep_page)):
            clock.start()
            await page()
            clock.note(work)

    for number in range(config.rounds + 1):
        if number % 10 == 0:
            tell(
                f"next, submit, list: round {number} of {config.rounds}" if number else "next, submit, list: warming up"
            )
        await turns.take(number, do)


def _write_image(folder: Path) -> None:
    folder.mkdir(parents=True)
    Image.new("RGB", SIZE_PX).save(folder / IMAGE)


async def _postgres_version(url: str) -> str:
    connection = await asyncpg.connect(url)
    try:
        return str(await connection.fetchval("SHOW server_version"))
    finally:
        await connection.close()

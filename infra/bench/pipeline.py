"""Samples per second end to end, against a bare Temporal workflow with as many activities, in the same run."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from uuid import uuid4

from pydantic import Field
from temporalio.api.enums.v1 import EventType as HistoryEvent
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from infra.alive import look_alive
from infra.bench.bare import BareYardstick
from infra.bench.bare_worker import TASK_QUEUE
from infra.client import ConcordClient, cloud_event
from infra.local import LocalConcord, LocalConfig, child_environment, run_local
from infra.stack.events import EventListener
from infra.stack.process import ProcessSpec
from infra.temporal.client import connect_temporal
from services.contracts.base import Contract
from services.contracts.events import EventType
from services.contracts.lifecycle import RevisionRef, Stage, workflow_id_of
from services.contracts.records import Project
from services.errors import IntegrityError
from workflows.sample_lifecycle import SampleLifecycle

PROJECT = "bench"
_BATCH = 100
_ROUND_WITHIN_S = 900.0

# What Temporal counts as an action beyond the start, as far as a history shows it.
_ACTIONS = frozenset(
    {
        HistoryEvent.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED,
        HistoryEvent.EVENT_TYPE_TIMER_STARTED,
        HistoryEvent.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED,
        HistoryEvent.EVENT_TYPE_MARKER_RECORDED,
        HistoryEvent.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES,
        HistoryEvent.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED,
        HistoryEvent.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED,
        HistoryEvent.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
    }
)

Progress = Callable[[str], None]
"""Told what is done next."""


class PipelineBenchmark(Contract):
    """What was measured."""

    samples_a_round: int
    rounds: int
    samples_per_s: tuple[float, ...] = Field(description="Per round, from the first event posted to the last commit.")
    bare_per_s: tuple[float, ...] = Field(description="Per round, bare workflows from first start to last end.")
    median_samples_per_s: float
    median_bare_per_s: float
    ratio: Annotated[float, Field(description="Median of the rounds' own ratios.")]
    activities_per_sample: int
    actions_per_sample: float = Field(description="Temporal actions beyond the start, from the histories; the mean.")
    durable: bool


@dataclass(frozen=True, slots=True)
class PipelineConfig:
    """How much to measure.

    Attributes:
        data_dir: A folder of its own for the embedded stack.
        samples: Samples, and bare workflows, a round.
        rounds: Measured rounds; one more goes before, unmeasured.
        durable: Whether the servers write through to the disk, as they do in use.
    """

    data_dir: Path
    samples: int
    rounds: int
    durable: bool = True


async def measure_pipeline(config: PipelineConfig, on_event: EventListener, progress: Progress) -> PipelineBenchmark:
    """Measure: the two sides take turns in every round, so that both see the same machine."""
    local = LocalConfig(data_dir=config.data_dir, durable=config.durable)
    async with run_local(local, on_event=on_event) as concord:
        await _start_bare_worker(concord, local)
        temporal = await connect_temporal(concord.urls.temporal_address)
        async with ConcordClient(concord.urls.api_url, concord.admin_key) as client:
            await client.create_project(Project(id=PROJECT, name="Benchmark", purpose="Measure the pipeline."))
            run = _Run(client, temporal, config.samples)
            progress("warming up")
            await run.samples()
            activities, actions = await run.count()
            await run.bare(activities)
            pairs: list[tuple[float, float]] = []
            for number in range(1, config.rounds + 1):
                progress(f"round {number} of {config.rounds}")
                if number % 2:  # neither side is always the first
                    ours, bare = await run.samples(), await run.bare(activities)
                else:
                    bare, ours = await run.bare(activities), await run.samples()
                pairs.append((ours, bare))
    return _result(config, pairs, activities=activities, actions=actions)


def _result(
    config: PipelineConfig, pairs: Sequence[tuple[float, float]], *, activities: int, actions: float
) -> PipelineBenchmark:
    return PipelineBenchmark(
        samples_a_round=config.samples,
        rounds=config.rounds,
        samples_per_s=tuple(round(ours, 2) for ours, _ in pairs),
        bare_per_s=tuple(round(bare, 2) for _, bare in pairs),
        median_samples_per_s=round(statistics.median(ours for ours, _ in pairs), 2),
        median_bare_per_s=round(statistics.median(bare for _, bare in pairs), 2),
        ratio=round(statistics.median(ours / bare for ours, bare in pairs), 3),
        activities_per_sample=activities,
        actions_per_sample=round(actions, 2),
        durable=config.durable,
    )


class _Run:
    """One benchmark against a system that is up."""

    def __init__(self, client: ConcordClient, temporal: Client, count: int) -> None:
        self._client = client
        self._temporal = temporal
        self._count = count
        self._last: list[RevisionRef] = []

    async def samples(self) -> float:
        """Post samples and return how many a second came to ground truth."""
        prefix = f"s-{uuid4().hex[:8]}"
        ids = [f"{prefix}-{number}" for number in range(self._count)]
        events = [_event(sample_id) for sample_id in ids]
        self._last = [RevisionRef(project=PROJECT, sample_id=sample_id, revision=1) for sample_id in ids]
        began = time.perf_counter()
        for first in range(0, len(events), _BATCH):
            for result in await self._client.send_events(events[first : first + _BATCH]):
                if result.outcome != "accepted":
                    raise IntegrityError(f"event {result.id} was {result.outcome}: {result.problem}")
        async with asyncio.timeout(_ROUND_WITHIN_S):
            await asyncio.gather(*(self._committed(ref) for ref in self._last))
        return self._count / (time.perf_counter() - began)

    async def _committed(self, ref: RevisionRef) -> None:
        """Wait for the end of a sample's workflow, which begins some time after its event was accepted."""
        handle = self._temporal.get_workflow_handle_for(SampleLifecycle.run, workflow_id_of(ref))
        while True:
            try:
                result = await handle.result()
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
                await asyncio.sleep(0.02)
                continue
            if result.stage is not Stage.COMMITTED:
                raise IntegrityError(f"sample {ref.sample_id} ended as {result.stage}")
            return

    async def bare(self, activities: int) -> float:
        """Run bare workflows and return how many a second came to their end."""
        prefix = uuid4().hex
        began = time.perf_counter()

        async def one(number: int) -> None:
            await self._temporal.execute_workflow(
                BareYardstick.run, activities, id=f"bare/{prefix}/{number}", task_queue=TASK_QUEUE
            )

        async with asyncio.timeout(_ROUND_WITHIN_S):
            await asyncio.gather(*(one(number) for number in range(self._count)))
        return self._count / (time.perf_counter() - began)

    async def count(self) -> tuple[int, float]:
        """Return how many activities the last samples needed, and how many actions: median and mean."""
        activities, actions = [], []
        for ref in self._last:
            history = await self._temporal.get_workflow_handle(workflow_id_of(ref)).fetch_history()
            kinds = [event.event_type for event in history.events]
            activities.append(kinds.count(HistoryEvent.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED))
            actions.append(sum(1 for kind in kinds if kind in _ACTIONS))
        return statistics.median_low(activities), statistics.fmean(actions)


async def _start_bare_worker(concord: LocalConcord, config: LocalConfig) -> None:
    alive = config.data_dir.absolute() / "bare.alive"

    async def shows_life() -> None:
        await look_alive(alive)

    await concord.stack.supervisor.start(
        [
            ProcessSpec(
                name="bare-worker",
                argv=(sys.executable, "-P", "-m", "infra.bench.bare_worker", str(alive)),
                env=child_environment(config, concord.urls),
                probe=shows_life,
            )
        ]
    )


def _event(sample_id: str) -> dict[str, object]:
    manifest = {
        "format": "concord.sample/1",
        "sample_id": sample_id,
        "project": PROJECT,
        "streams": [{"id": "note", "modality": "text", "inline": "good morning"}],
        "annotations": [{"id": "a1", "type": "intent", "stream": "note", "label": "greeting"}],
    }
    return cloud_event(EventType.SAMPLE_CREATED.value, "concord-bench", sample_id, manifest)

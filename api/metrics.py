"""Numbers for Prometheus: requests as they pass, the state of the work as the database has it at the scrape.

``/metrics`` is open on purpose: the API listens on the loopback interface or behind a proxy that keeps the path to
itself, and a scraper has no key. It therefore names no project, no sample and no person, and leaves out the tasks
and stages of projects in which people at work see their own tasks only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client import Counter as CounterMetric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.contracts.lifecycle import Stage
from services.contracts.review import QueueSummary
from services.errors import UnavailableError
from services.ports.database import Database

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class RequestMetrics:
    """Counts requests; one registry for each application, none for the process."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = CounterMetric(
            "concord_http_requests", "Requests answered.", ("route", "method", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "concord_http_request_seconds",
            "Time to the end of the answer.",
            ("route", "method"),
            registry=self._registry,
            buckets=_BUCKETS_S,
        )

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one request; ``route`` is a template, so that the number of series is bounded."""
        method = method if method in _METHODS else "other"
        self._requests.labels(route, method, str(status)).inc()
        self._seconds.labels(route, method).observe(seconds)

    def exposition(self) -> bytes:
        """Return the text format."""
        return generate_latest(self._registry)


@dataclass(frozen=True, slots=True)
class _WorkState:
    queues: tuple[QueueSummary, ...]
    outbox: Mapping[str, int]
    stages: Mapping[Stage, int]
    now: datetime


async def work_exposition(database: Database) -> bytes:
    """Return backlog, oldest items, outbox and stages in the text format, or that the store does not answer."""
    try:
        async with database.transaction() as tx:
            stages: Counter[Stage] = Counter()
            # What anybody can read must not tell people at work what is hidden from them elsewhere.
            told = [project.id for project in await tx.projects.list() if project.config.people_see is None]
            for project in told:
                stages.update(await tx.samples.count_by_stage(project))
            queues = await tx.review.queues(tuple(told))
            state = _WorkState(queues, await tx.outbox.backlog(), stages, await tx.now())
    except UnavailableError:
        state = None
    registry = CollectorRegistry()
    registry.register(_WorkCollector(state))
    return generate_latest(registry)


class _WorkCollector(Collector):
    def __init__(self, state: _WorkState | None) -> None:
        self._state = state

    def collect(self) -> Iterator[GaugeMetricFamily]:
        up = GaugeMetricFamily("concord_store_up", "Whether the database answered this scrape.")
        up.add_metric((), 1.0 if self._state is not None else 0.0)
        yield up
        if self._state is not None:
            yield from _queue_gauges(self._state)
            outbox = GaugeMetricFamily("concord_outbox_backlog", "Messages not told yet.", labels=("topic",))
            for topic in ("event", "workflow_start", "workflow_signal"):
                outbox.add_metric((topic,), self._state.outbox.get(topic, 0))
            yield outbox
            samples = GaugeMetricFamily("concord_samples", "Sample revisions at each stage.", labels=("stage",))
            for stage in Stage:
                samples.add_metric((stage.value,), self._state.stages.get(stage, 0))
            yield samples


def _queue_gauges(state: _WorkState) -> Iterator[GaugeMetricFamily]:
    names = ("queue", "kind")
    tasks = GaugeMetricFamily("concord_review_tasks", "Unfinished tasks.", labels=(*names, "state"))
    overdue = GaugeMetricFamily("concord_review_tasks_overdue", "Unfinished tasks past their time.", labels=names)
    oldest = GaugeMetricFamily("concord_review_oldest_seconds", "Age of the oldest unfinished task.", labels=names)
    merged: dict[tuple[str, str], list[QueueSummary]] = {}
    for summary in state.queues:
        merged.setdefault((summary.queue, summary.kind.value), []).append(summary)
    for key, parts in sorted(merged.items()):
        tasks.add_metric((*key, "open"), sum(part.open for part in parts))
        tasks.add_metric((*key, "claimed"), sum(part.claimed for part in parts))
        overdue.add_metric(key, sum(part.overdue for part in parts))
        created = [part.oldest_created_at for part in parts if part.oldest_created_at is not None]
        oldest.add_metric(key, max(0.0, (state.now - min(created)).total_seconds()) if created else 0.0)
    yield from (tasks, overdue, oldest)

"""The whole system on one machine: the three servers, then the product's own processes."""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from infra.stack.directory import DataDirectory, StackSecrets, StackState, StackUrls
from infra.stack.errors import ServerUnavailableError
from infra.stack.events import EventKind, EventListener, ProcessEvent, ignore_event
from infra.stack.nats import EmbeddedNats, nats_probe
from infra.stack.postgres import EmbeddedPostgres, postgres_probe
from infra.stack.process import Probe, ProcessSpec
from infra.stack.reaper import reap_adopted
from infra.stack.supervisor import RestartPolicy, Supervisor
from infra.stack.temporal import EmbeddedTemporal, temporal_probe

_T = TypeVar("_T")

ChildFactory = Callable[[StackUrls], ProcessSpec]
"""Says how to run one of the product's processes once it is known where the servers are."""

Hook = Callable[[StackUrls], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class StackConfig:
    """What to run.

    Attributes:
        data_dir: Everything that is kept is in here.
        database_url: An existing Postgres database to use instead of an embedded one.
        nats_url: An existing NATS server with JetStream to use instead.
        temporal_address: ``host:port`` of an existing Temporal server to use instead.
        api_port: Wanted port of the API; None keeps a free one.
        durable: Whether what is acknowledged survives a power cut; tests can do without and are faster.
        search_attributes: Temporal search attributes to register, name to type.
        retention: Temporal keeps closed workflows at least so long.
        external_timeout_s: An existing server has to answer within this time.
    """

    data_dir: Path
    database_url: str | None = field(default=None, repr=False)
    nats_url: str | None = field(default=None, repr=False)
    temporal_address: str | None = None
    api_port: int | None = None
    durable: bool = True
    search_attributes: Mapping[str, str] = field(default_factory=dict)
    retention: timedelta = timedelta(days=30)
    external_timeout_s: float = 30.0


class EmbeddedStack:
    """Runs while its ``async with`` block does.

    Entering returns when everything is ready. Leaving, by whatever way, stops everything in reverse order.
    To stop during the start, cancel the task; nothing is left behind.
    """

    def __init__(
        self,
        config: StackConfig,
        *,
        children: Sequence[ChildFactory] = (),
        before_children: Hook | None = None,
        on_event: EventListener = ignore_event,
        policy: RestartPolicy | None = None,
    ) -> None:
        self._config = config
        self._children = children
        self._before_children = before_children
        self._on_event = on_event
        self._policy = policy
        self._directory: DataDirectory | None = None
        self._supervisor: Supervisor | None = None
        self._urls: StackUrls | None = None
        self._secrets: StackSecrets | None = None
        self._reaper: asyncio.Task[None] | None = None
        self._complete = False

    @property
    def urls(self) -> StackUrls:
        """Where everything listens."""
        return _started(self._urls)

    @property
    def secrets(self) -> StackSecrets:
        """The secrets of the data directory."""
        return _started(self._secrets)

    @property
    def supervisor(self) -> Supervisor:
        """What looks after the processes."""
        return _started(self._supervisor)

    def pid(self, name: str) -> int:
        """The number of the process of this name; the servers are ``postgres``, ``nats`` and ``temporal``."""
        return self.supervisor.pid(name)

    async def wait_ready(self, name: str, *, other_than: int | None = None) -> int:
        """Wait until the process is ready, after the death of `other_than` if given; returns its number."""
        return await self.supervisor.wait_ready(name, other_than=other_than)

    async def __aenter__(self) -> Self:
        """Start everything.

        Raises:
            StackError: Something stands in the way; the message says what.
        """
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop everything."""
        await self._stop()

    async def _start(self) -> None:
        config = self._config
        self._directory = directory = DataDirectory.open(config.data_dir)
        await directory.wait_for_orphans()
        has_data = any((directory.path / name).exists() for name in ("postgres", "nats", "temporal"))
        self._secrets = directory.secrets(has_data=has_data)
        self._supervisor = supervisor = Supervisor(
            directory.log_dir, policy=self._policy, on_event=self._heard, keep_open=(directory.children_lock,)
        )
        if os.getpid() == 1:
            self._reaper = asyncio.create_task(reap_adopted(lambda: supervisor.pids().values()), name="reap")
        servers = _Servers(config, directory, self._secrets)
        self._urls = servers.urls
        await asyncio.gather(*(_wait_for_external(name, probe, config) for name, probe in servers.external_probes()))
        await _together(supervisor.start(servers.simple_specs()), self._start_postgres(servers))
        if self._before_children is not None:
            await self._before_children(self._urls)
        await supervisor.start([factory(self._urls) for factory in self._children])
        self._complete = True
        self._publish()

    async def _start_postgres(self, servers: "_Servers") -> None:
        """Its first start makes the cluster, which takes as long as the first start of Temporal."""
        spec = await servers.postgres_spec()
        if spec is not None:
            await self.supervisor.start([spec])

    async def _stop(self) -> None:
        try:
            if self._supervisor is not None:
                await self._supervisor.stop()
        finally:
            if self._reaper is not None:
                self._reaper.cancel()
            if self._directory is not None:
                self._directory.close()
                self._directory = None

    def _heard(self, event: ProcessEvent) -> None:
        if event.kind is EventKind.READY and self._complete:
            self._publish()
        self._on_event(event)

    def _publish(self) -> None:
        """Keep the note for other programs current; a full disk must not stop the supervision."""
        if self._directory is not None:
            with contextlib.suppress(OSError):
                pids = self.supervisor.pids()
                self._directory.publish(StackState(urls=self.urls, supervisor_pid=os.getpid(), pids=pids))


class _Servers:
    """The three servers of a stack: ours, or somebody else's."""

    def __init__(self, config: StackConfig, directory: DataDirectory, secrets: StackSecrets) -> None:
        names = ["postgres", "nats", "nats_monitor", "temporal", "temporal_http", "temporal_metrics", "api"]
        ports = directory.ports(names, {"api": config.api_port} if config.api_port is not None else None)
        self._config = config
        self._postgres = EmbeddedPostgres(
            directory.path,
            directory.log_dir,
            keep_open=(directory.children_lock,),
            port=ports["postgres"],
            password=secrets.postgres_password,
            durable=config.durable,
        )
        self._nats = EmbeddedNats(
            directory.path,
            port=ports["nats"],
            monitor_port=ports["nats_monitor"],
            password=secrets.nats_password,
            durable=config.durable,
        )
        self._temporal = EmbeddedTemporal(
            directory.path,
            port=ports["temporal"],
            http_port=ports["temporal_http"],
            metrics_port=ports["temporal_metrics"],
            durable=config.durable,
            search_attributes=config.search_attributes,
            retention=config.retention,
        )
        self.urls = StackUrls(
            database_url=config.database_url or self._postgres.url,
            nats_url=config.nats_url or self._nats.url,
            temporal_address=config.temporal_address or self._temporal.address,
            api_url=f"http://127.0.0.1:{ports['api']}",
        )

    def external_probes(self) -> list[tuple[str, Probe]]:
        """How to look at those that somebody else runs."""
        config = self._config
        probes: list[tuple[str, Probe]] = []
        if config.database_url is not None:
            probes.append(("Postgres", postgres_probe(config.database_url)))
        if config.nats_url is not None:
            probes.append(("NATS", nats_probe(config.nats_url)))
        if config.temporal_address is not None:
            probes.append(("Temporal", temporal_probe(config.temporal_address)))
        return probes

    def simple_specs(self) -> list[ProcessSpec]:
        """How to run those that are ours and need no preparation."""
        specs: list[ProcessSpec] = []
        if self._config.nats_url is None:
            specs.append(self._nats.spec())
        if self._config.temporal_address is None:
            specs.append(self._temporal.spec())
        return specs

    async def postgres_spec(self) -> ProcessSpec | None:
        """How to run Postgres, if it is ours, once it is prepared."""
        return await self._postgres.spec() if self._config.database_url is None else None


async def _together(*work: Coroutine[Any, Any, None]) -> None:
    """Do all of it; when one part fails, end the others before passing the error on."""
    tasks = [asyncio.create_task(part) for part in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            if not task.cancelling():  # a second one would disturb its clean-up
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _wait_for_external(name: str, probe: Probe, config: StackConfig) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + config.external_timeout_s
    while True:
        try:
            await asyncio.wait_for(probe(), timeout=10)
        except Exception as error:
            if loop.time() > deadline:
                raise ServerUnavailableError(
                    f"The {name} server that was given does not answer ({type(error).__name__}: {error}): "
                    "check its URL, or leave it out to run an embedded one."
                ) from error
        else:
            return
        await asyncio.sleep(0.5)


def _started(value: _T | None) -> _T:
    if value is None:
        raise RuntimeError("the stack has not been started")
    return value

"""The whole system on this machine: the embedded servers, and the product's processes under the same supervisor."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from infra.alive import look_alive
from infra.db.roles import APP_ROLE, app_password, app_url, grant_app_role
from infra.first_key import first_admin_key
from infra.first_start import prepare_store
from infra.stack.directory import StackUrls
from infra.stack.events import EventListener, ignore_event
from infra.stack.process import ProcessSpec
from infra.stack.stack import EmbeddedStack, StackConfig

PROCESSES = ("api", "ingester", "worker")
_GRACE_S = 40.0


@dataclass(frozen=True, kw_only=True)
class LocalConfig:
    """What to run.

    Attributes:
        data_dir: Everything that is kept is in here.
        asset_roots: Folders that assets may be read from.
        asset_hosts: Hosts (``host`` or ``host:port``) that assets may be read from; those of the environment if none.
        database_url: An existing Postgres database to use instead of an embedded one.
        nats_url: An existing NATS server with JetStream to use instead.
        temporal_address: ``host:port`` of an existing Temporal server to use instead.
        api_port: Wanted port of the API; None keeps a free one.
        durable: Whether what is acknowledged survives a power cut.
        check_processes: How many samples are checked at once; what the environment says if None.
        environment: Further settings of the processes, by the name of their variable.
        processes: Which of the product's processes run.
    """

    data_dir: Path
    asset_roots: tuple[Path, ...] = ()
    asset_hosts: tuple[str, ...] = ()
    database_url: str | None = field(default=None, repr=False)
    nats_url: str | None = field(default=None, repr=False)
    temporal_address: str | None = None
    api_port: int | None = None
    durable: bool = True
    check_processes: int | None = None
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    processes: tuple[str, ...] = PROCESSES


@dataclass(frozen=True, kw_only=True)
class LocalConcord:
    """A Concord that runs.

    Attributes:
        urls: Where everything listens.
        admin_key: Secret of the first admin key.
        stack: What looks after its processes.
    """

    urls: StackUrls
    admin_key: str = field(repr=False)
    stack: EmbeddedStack


@asynccontextmanager
async def run_local(config: LocalConfig, on_event: EventListener = ignore_event) -> AsyncIterator[LocalConcord]:
    """Run everything until the block ends.

    Args:
        config: What to run.
        on_event: Is told what happens to every process.

    Raises:
        StackError: Something stands in the way; the message says what.
    """
    stack: EmbeddedStack

    async def prepare(urls: StackUrls) -> None:
        await prepare_store(urls.database_url, bootstrap_key=first_admin_key(stack.secrets))
        if config.database_url is None:
            await grant_app_role(urls.database_url, APP_ROLE, password=app_password(urls.database_url))

    stack = EmbeddedStack(
        StackConfig(
            data_dir=config.data_dir,
            database_url=config.database_url,
            nats_url=config.nats_url,
            temporal_address=config.temporal_address,
            api_port=config.api_port,
            durable=config.durable,
        ),
        children=[_child(name, config) for name in config.processes],
        before_children=prepare,
        on_event=on_event,
    )
    async with stack:
        yield LocalConcord(urls=stack.urls, admin_key=first_admin_key(stack.secrets), stack=stack)


def _child(name: str, config: LocalConfig) -> Callable[[StackUrls], ProcessSpec]:
    def spec(urls: StackUrls) -> ProcessSpec:
        alive = config.data_dir.expanduser().absolute() / f"{name}.alive"
        if config.database_url is None:
            # The database is ours: its owner makes the schema, the product runs under a role that owns nothing.
            urls = replace(urls, database_url=app_url(urls.database_url))

        async def answers() -> None:
            async with httpx.AsyncClient(trust_env=False, timeout=5.0) as client:
                (await client.get(f"{urls.api_url}/readyz")).raise_for_status()

        async def shows_life() -> None:
            await look_alive(alive)

        async def forget() -> None:
            alive.unlink(missing_ok=True)

        return ProcessSpec(
            name=name,
            # -P: a folder that the user happens to stand in must not be imported from.
            argv=(sys.executable, "-P", "-m", "infra.cli.main", name),
            env=child_environment(config, urls) | {"CONCORD_ALIVE_FILE": str(alive)},
            stop_timeout_s=_GRACE_S,
            probe=answers if name == "api" else shows_life,
            before_start=forget,
        )

    return spec


def child_environment(config: LocalConfig, urls: StackUrls) -> dict[str, str]:
    """Return the environment of the product's processes: the user's own, and where everything is."""
    host = urlsplit(urls.api_url)
    roots = [str(root.expanduser().absolute()) for root in config.asset_roots]
    own = {name: value for name, value in os.environ.items() if name not in ("CONCORD_KEY", "CONCORD_URL")}
    return (
        {"CONCORD_LOG_FORMAT": "json"}
        | own
        | {
            "CONCORD_DATABASE_URL": urls.database_url,
            "CONCORD_NATS_URL": urls.nats_url,
            "CONCORD_TEMPORAL_ADDRESS": urls.temporal_address,
            "CONCORD_API_HOST": host.hostname or "127.0.0.1",
            "CONCORD_API_PORT": str(host.port),
        }
        | ({"CONCORD_ASSET_ROOTS": json.dumps(roots)} if roots else {})
        | ({"CONCORD_CHECK_PROCESSES": str(config.check_processes)} if config.check_processes is not None else {})
        | ({"CONCORD_ASSET_HOSTS": json.dumps(config.asset_hosts)} if config.asset_hosts else {})
        | config.environment
    )

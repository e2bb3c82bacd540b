"""``concord up``: the whole system on this machine."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from infra.cli.connection import DEFAULT_DATA_DIR
from infra.cli.console import JsonOption, messages, output, plain, print_facts, print_json_line
from infra.egress_rules import allowed_host
from infra.local import LocalConcord, LocalConfig, run_local
from infra.stack.events import EventKind, ProcessEvent
from infra.stack.signals import run_until_signal
from infra.telemetry.logging import configure_logging
from services.errors import InvalidInputError

_STYLE = {
    EventKind.STARTING: "dim",
    EventKind.READY: "green",
    EventKind.EXITED: "red",
    EventKind.UNHEALTHY: "red",
    EventKind.RESTARTING: "yellow",
    EventKind.STOPPING: "dim",
    EventKind.STOPPED: "dim",
}


def up(
    data_dir: Annotated[
        Path, typer.Option(envvar="CONCORD_DATA_DIR", help="Where everything is kept.")
    ] = DEFAULT_DATA_DIR,
    assets: Annotated[
        list[Path] | None, typer.Option(help="A folder that assets may be read from; may be repeated.")
    ] = None,
    asset_host: Annotated[
        list[str] | None,
        typer.Option(help="A host (host or host:port) that https: assets may be read from; may be repeated."),
    ] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Port of the API; a free one if left out.")] = None,
    check_processes: Annotated[
        int | None, typer.Option(min=1, max=64, help="How many samples are checked at once; 1 if left out.")
    ] = None,
    *,
    database_url: Annotated[
        str | None, typer.Option(envvar="CONCORD_DATABASE_URL", help="Use this Postgres database.", show_envvar=True)
    ] = None,
    nats_url: Annotated[
        str | None, typer.Option(envvar="CONCORD_NATS_URL", help="Use this NATS server with JetStream.")
    ] = None,
    temporal_address: Annotated[
        str | None, typer.Option(envvar="CONCORD_TEMPORAL_ADDRESS", help="Use this Temporal server (host:port).")
    ] = None,
    json_output: JsonOption = False,
) -> None:
    """Run Postgres, NATS, Temporal, the API, the ingester and a worker; Ctrl-C stops them cleanly.

    Data stay in the data directory. With --json one line tells where everything is once it is ready.
    """
    roots = tuple(assets or ())
    for root in roots:
        if not root.is_dir():
            raise InvalidInputError(f"--assets {root} is no folder")
    hosts = tuple(asset_host or ())
    for host in hosts:
        try:
            allowed_host(host)
        except ValueError as error:
            raise InvalidInputError(f"--asset-host: {error}") from None
    config = LocalConfig(
        data_dir=data_dir,
        asset_roots=roots,
        asset_hosts=hosts,
        database_url=database_url,
        nats_url=nats_url,
        temporal_address=temporal_address,
        api_port=port,
        check_processes=check_processes,
    )
    console = messages()
    configure_logging(level="WARNING", form="console")

    async def work() -> None:
        async with run_local(config, on_event=lambda event: _tell(console, event)) as concord:
            _announce(concord, config, json_output=json_output)
            await asyncio.Event().wait()

    asyncio.run(run_until_signal(work()))


def _tell(console: Console, event: ProcessEvent) -> None:
    duration = f"{event.elapsed_s:.1f} s" if event.kind is EventKind.READY else ""
    line = plain(f"  {event.name:<10} {event.kind:<10} {duration} {event.detail}".rstrip())
    console.print(line, style=_STYLE.get(event.kind, "yellow"))


def _announce(concord: LocalConcord, config: LocalConfig, *, json_output: bool) -> None:
    if json_output:
        print_json_line(
            {
                "api_url": concord.urls.api_url,
                "admin_key": concord.admin_key,
                "nats_url": concord.urls.nats_url,
                "temporal_address": concord.urls.temporal_address,
                "data_dir": str(config.data_dir.absolute()),
                "pid": os.getpid(),
            }
        )
        return
    # Who brings a server of their own knows its address, and its password is not ours to print.
    servers = [
        (name, address)
        for name, address, own in (
            ("NATS", concord.urls.nats_url, config.nats_url),
            ("Temporal", concord.urls.temporal_address, config.temporal_address),
        )
        if own is None
    ]
    places = ", ".join([*map(str, config.asset_roots), *config.asset_hosts])
    print_facts(
        [
            ("API", concord.urls.api_url),
            ("API description", f"{concord.urls.api_url}/v1/openapi.json"),
            *servers,
            ("data", config.data_dir.absolute()),
            ("logs", config.data_dir.absolute() / "logs"),
            ("assets from", places or "nowhere; give --assets DIR to let samples refer to files"),
            ("admin key", concord.admin_key),
        ]
    )
    output().print(plain("Ready. Other shells in this folder need no address and no key. Ctrl-C stops everything."))

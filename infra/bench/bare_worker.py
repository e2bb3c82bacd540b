"""``python -m infra.bench.bare_worker ALIVE_FILE``: the yardstick's worker, with the limits of the product's own."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from infra.alive import keep_alive
from infra.bench.bare import BareYardstick, do_nothing
from infra.temporal.client import connect_temporal
from infra.temporal.worker import build_worker

TASK_QUEUE = "concord-bench-bare"


async def work(address: str, alive: Path) -> None:
    """Work until SIGTERM."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    client = await connect_temporal(address)
    async with build_worker(client, TASK_QUEUE, [do_nothing], workflows=[BareYardstick]):
        beating = asyncio.create_task(keep_alive(alive))
        await stop.wait()
        beating.cancel()


if __name__ == "__main__":
    asyncio.run(work(os.environ["CONCORD_TEMPORAL_ADDRESS"], Path(sys.argv[1])))

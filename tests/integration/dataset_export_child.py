"""Exports a version, and is killed by the system after so many samples: ``URL KEY FORMAT FOLDER SAMPLES``."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from itertools import count
from pathlib import Path

from infra.client import ConcordClient
from infra.dataset_calls import DatasetCalls
from infra.datasets.export import ExportOptions, export_version
from tests.dataset_world import PROJECT


async def main(url: str, key: str, form: str, folder: str, samples: str) -> None:
    counted = count(1)

    def advance() -> None:
        if next(counted) == int(samples):
            os.kill(os.getpid(), signal.SIGKILL)

    async with ConcordClient(url, key) as client:
        calls = DatasetCalls(client, PROJECT)
        dataset, version = await calls.get("d"), await calls.version("d", 1)
        options = ExportOptions(form, part_samples=2)
        await export_version(calls, dataset, version, Path(folder), options, advance=advance)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))

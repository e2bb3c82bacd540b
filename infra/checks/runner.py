"""The checks in processes of their own: no event loop and no workflow waits for a computation."""

from __future__ import annotations

import asyncio
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Self

import structlog
from pydantic import TypeAdapter

from infra.checks.process import ReaderConfig, check_in_process, start_child, warm_up
from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport
from services.contracts.manifest import SampleManifest
from services.errors import UnavailableError
from services.rules.rule_set import RuleSet

_START_WITHIN_S = 120.0
_ANNOTATIONS: TypeAdapter[tuple[Annotation, ...]] = TypeAdapter(tuple[Annotation, ...])

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Process:
    """One process, in a pool of its own, so that its end is nobody else's."""

    pool: ProcessPoolExecutor
    pid: int

    def kill(self) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.pool.shutdown(wait=False, cancel_futures=True)


class ProcessCheckRunner:
    """Implements :class:`services.ports.checks.CheckRunner`; used as ``async with``.

    Each process has imported everything before the first sample comes. One that crashes, or takes too long and is
    killed, is replaced; its sample is tried again by the caller.

    Args:
        reader_config: How the processes read assets.
        processes: How many samples are checked at once.
        timeout_s: Longest time for one sample, waiting for a free process aside.
        late: Start a process when the first sample needs it, for programs that may never check one.
    """

    def __init__(self, reader_config: ReaderConfig, processes: int, timeout_s: float, *, late: bool = False) -> None:
        self._config = reader_config
        self._processes = processes
        self._timeout_s = timeout_s
        self._late = late
        # None stands for a process that is still to be started.
        self._free: asyncio.Queue[_Process | None] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        """Start the processes and wait until they are ready, unless they are to start late."""
        if self._late:
            for _ in range(self._processes):
                self._free.put_nowait(None)
            return self
        for process in await asyncio.gather(*(_start() for _ in range(self._processes))):
            self._free.put_nowait(process)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the processes, at once if one is still at work."""
        while not self._free.empty():
            process = self._free.get_nowait()
            if process is not None:
                await asyncio.to_thread(process.pool.shutdown, wait=True, cancel_futures=True)

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        """Return the report of one sample.

        Raises:
            UnavailableError: The process crashed or was killed for taking too long.
        """
        documents = (
            manifest.model_dump_json(exclude_none=True).encode(),
            _ANNOTATIONS.dump_json(annotations, exclude_none=True),
            rules.model_dump_json(exclude_none=True).encode(),
            None if consensus is None else consensus.model_dump_json(exclude_none=True).encode(),
        )
        process = await self._free.get()
        kept: _Process | None = None
        try:
            process = process or await _start()
            async with asyncio.timeout(self._timeout_s):
                report = await asyncio.get_running_loop().run_in_executor(
                    process.pool, check_in_process, self._config, *documents
                )
            kept = process
        except BrokenProcessPool as error:
            raise self._lost(manifest, "the process that ran the checks ended") from error
        except TimeoutError as error:
            raise self._lost(manifest, f"the checks took longer than {self._timeout_s:g} s") from error
        except Exception:
            kept = process  # a check failed, its process did not
            raise
        finally:
            # What was late or given up still runs, and the process that runs it is of no more use.
            if kept is None and process is not None:
                process.kill()
            self._free.put_nowait(kept)
        return CheckReport.model_validate_json(report)

    @staticmethod
    def _lost(manifest: SampleManifest, reason: str) -> UnavailableError:
        _log.error("check_process_lost", project=manifest.project, sample_id=manifest.sample_id, reason=reason)
        return UnavailableError(f"{reason}; the sample is tried again")


async def _start() -> _Process:
    pool = ProcessPoolExecutor(max_workers=1, mp_context=get_context("spawn"), initializer=start_child)
    try:
        async with asyncio.timeout(_START_WITHIN_S):
            return _Process(pool, await asyncio.get_running_loop().run_in_executor(pool, warm_up))
    except (BrokenProcessPool, TimeoutError) as error:
        pool.shutdown(wait=False, cancel_futures=True)
        raise UnavailableError("a process for the checks could not be started") from error

"""Keeps processes running: readiness, order, health, restarts with back-off, and a stop that completes."""

import asyncio
import contextlib
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import structlog

from infra.stack.errors import ProcessStartError
from infra.stack.events import EventKind, EventListener, ProcessEvent, ignore_event
from infra.stack.process import ManagedProcess, ProcessSpec, complete

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class RestartPolicy:
    """How eagerly a process is looked after.

    Attributes:
        first_delay_s: Before the first restart; doubles with each further one.
        max_delay_s: The longest pause.
        stable_after_s: A process that was ready for so long starts over with the first delay.
        start_attempts: A process that was never ready is given up after so many.
        ready_interval_s: Between two looks at a starting process.
        report_interval_s: A process that is still not ready is reported so often, with the reason.
        health_interval_s: Between two looks at a ready one.
        health_failures: So many bad looks in a row and it is restarted.
        probe_timeout_s: A look may take so long.
    """

    first_delay_s: float = 0.1
    max_delay_s: float = 10.0
    stable_after_s: float = 30.0
    start_attempts: int = 3
    ready_interval_s: float = 0.1
    report_interval_s: float = 10.0
    health_interval_s: float = 5.0
    health_failures: int = 3
    probe_timeout_s: float = 10.0


class _Runner:
    """Looks after one process, through all its restarts."""

    def __init__(self, spec: ProcessSpec, owner: "Supervisor") -> None:
        self.spec = spec
        self.process: ManagedProcess | None = None
        self.ready_pid: int | None = None
        self.restarts = 0
        loop = asyncio.get_running_loop()
        self.first_ready: asyncio.Future[None] = loop.create_future()
        self._owner = owner
        self._policy = owner.policy
        self._clock = loop.time
        self._began = self._clock()
        self._ready_since: float | None = None
        self.task = asyncio.create_task(self._run(), name=f"supervise-{spec.name}")

    async def stop(self) -> None:
        """End the process for good, whatever it is doing at the moment."""
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        self._emit(EventKind.STOPPING)
        code = await self._end_process()
        self._emit(EventKind.STOPPED, _describe_exit(code) if code is not None else "")
        if not self.first_ready.done():
            self.first_ready.cancel()

    async def _run(self) -> None:
        delay_s = self._policy.first_delay_s
        attempts = 0
        while True:
            attempts += 1
            try:
                reason = await self._live_once()
            except Exception as error:
                reason = f"{type(error).__name__}: {error}"
            self.ready_pid = None
            tail = self.process.log.tail() if self.process is not None else ""
            await self._end_process()
            if not self.first_ready.done() and attempts >= self._policy.start_attempts:
                self.first_ready.set_exception(ProcessStartError(_start_failure(self.spec.name, reason, tail)))
                return
            if self._ready_since is not None and self._clock() - self._ready_since > self._policy.stable_after_s:
                delay_s = self._policy.first_delay_s
            self._emit(EventKind.RESTARTING, f"{reason}; next start in {delay_s:.1f} s")
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, self._policy.max_delay_s)
            self.restarts += 1

    async def _live_once(self) -> str:
        """Start the process and stay with it; returns why that is over. The process may still run then."""
        self._began, self._ready_since = self._clock(), None
        self._emit(EventKind.STARTING)
        if self.spec.before_start is not None:
            await self.spec.before_start()
        self.process = process = ManagedProcess.spawn(self.spec, self._owner.log_dir, self._owner.keep_open)
        failure = await self._become_ready(process)
        if failure is not None:
            return failure
        self._ready_since = self._clock()
        self.ready_pid = process.pid
        if not self.first_ready.done():
            self.first_ready.set_result(None)
        self._emit(EventKind.READY)
        return await self._stay_healthy(process)

    async def _become_ready(self, process: ManagedProcess) -> str | None:
        deadline = self._clock() + self.spec.start_timeout_s
        report_at = self._clock() + self._policy.report_interval_s
        while True:
            failure = await self._probe(process)
            if process.returncode is not None:
                return self._exited(process.returncode)
            if failure is None:
                return None
            if self._clock() > deadline:
                return f"not ready after {self.spec.start_timeout_s:.0f} s: {failure}"
            if self._clock() > report_at:
                self._emit(EventKind.WAITING, failure)
                report_at = self._clock() + self._policy.report_interval_s
            await process.ended_within(self._policy.ready_interval_s)

    async def _stay_healthy(self, process: ManagedProcess) -> str:
        failures = 0
        while not await process.ended_within(self._policy.health_interval_s):
            process.log.bound()
            failure = await self._probe(process)
            failures = 0 if failure is None else failures + 1
            if failures >= self._policy.health_failures and process.returncode is None:
                self._emit(EventKind.UNHEALTHY, f"{failures} bad looks in a row: {failure}")
                return "unhealthy"
        return self._exited(await process.wait())

    async def _probe(self, process: ManagedProcess) -> str | None:
        """Look at the process once, no longer than it lives.

        Returns:
            None if it is well, else what is wrong.
        """
        if self.spec.probe is None:
            return None
        looking = asyncio.ensure_future(self.spec.probe())
        ending = asyncio.ensure_future(process.wait())
        try:
            done, _ = await asyncio.wait(
                {looking, ending}, timeout=self._policy.probe_timeout_s, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            ending.cancel()
            if not looking.done():
                looking.cancel()
                with contextlib.suppress(BaseException):
                    await asyncio.wait({looking}, timeout=1.0)
        if ending in done:
            return "ended"
        if looking not in done:
            return f"no answer within {self._policy.probe_timeout_s:.0f} s"
        error = looking.exception()
        return None if error is None else f"{type(error).__name__}: {error}"

    def _exited(self, code: int) -> str:
        reason = _describe_exit(code)
        self._emit(EventKind.EXITED, reason)
        return reason

    async def _end_process(self) -> int | None:
        return await self.process.stop() if self.process is not None else None

    def _emit(self, kind: EventKind, detail: str = "") -> None:
        pid = self.process.pid if self.process is not None and kind is not EventKind.STARTING else None
        elapsed_s = self._clock() - self._began
        self._owner.report(ProcessEvent(name=self.spec.name, kind=kind, pid=pid, detail=detail, elapsed_s=elapsed_s))


class Supervisor:
    """Runs groups of processes; what was started later is stopped earlier."""

    def __init__(
        self,
        log_dir: Path,
        *,
        policy: RestartPolicy | None = None,
        on_event: EventListener = ignore_event,
        keep_open: tuple[int, ...] = (),
    ) -> None:
        self.log_dir = log_dir
        self.policy = policy or RestartPolicy()
        self.keep_open = keep_open
        self._on_event = on_event
        self._groups: list[list[_Runner]] = []
        self._changed = asyncio.Event()

    async def start(self, specs: Sequence[ProcessSpec]) -> None:
        """Start processes together and return when all are ready.

        Args:
            specs: None of them may have to wait for another of them.

        Raises:
            ProcessStartError: One of them did not become ready; the others go on until `stop`.
            ValueError: A name is taken.
        """
        names = [spec.name for spec in specs] + list(self._runners())
        if len(set(names)) != len(names):
            raise ValueError(f"process names are unique, got {sorted(names)}")
        group = [_Runner(spec, self) for spec in specs]
        self._groups.append(group)
        await asyncio.gather(*(runner.first_ready for runner in group))

    async def stop(self) -> None:
        """Stop everything, the latest group first; completes even if the caller is cancelled meanwhile."""
        await complete(self._stop_groups())

    def pid(self, name: str) -> int:
        """The number of the process under this name.

        Raises:
            KeyError: Nothing was started under this name.
            ProcessLookupError: It does not run at the moment.
        """
        process = self._runners()[name].process
        if process is None or process.returncode is not None:
            raise ProcessLookupError(f"{name} does not run at the moment")
        return process.pid

    def pids(self) -> dict[str, int]:
        """The numbers of all processes that run at the moment."""
        processes = {name: runner.process for name, runner in self._runners().items()}
        return {name: process.pid for name, process in processes.items() if process and process.returncode is None}

    def restarts(self, name: str) -> int:
        """How often the process was started again."""
        return self._runners()[name].restarts

    async def wait_ready(self, name: str, *, other_than: int | None = None) -> int:
        """Wait until the process is ready.

        Args:
            name: The process.
            other_than: The number of a process that is known to be gone, so that only its successor counts.

        Returns:
            The number of the ready process.
        """
        runner = self._runners()[name]
        while runner.ready_pid is None or runner.ready_pid == other_than:
            await self._changed.wait()
        return runner.ready_pid

    def report(self, event: ProcessEvent) -> None:
        """Pass an event on; a listener that fails does not stop the supervision."""
        try:
            self._on_event(event)
        except Exception:
            _log.exception("stack_event_listener_failed", process=event.name, kind=event.kind)
        self._changed.set()
        self._changed = asyncio.Event()

    def _runners(self) -> dict[str, _Runner]:
        return {runner.spec.name: runner for group in self._groups for runner in group}

    async def _stop_groups(self) -> None:
        while self._groups:
            await asyncio.gather(*(runner.stop() for runner in self._groups[-1]))
            self._groups.pop()


def _describe_exit(code: int) -> str:
    if code >= 0:
        return f"exited with code {code}"
    try:
        return f"ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"ended by signal {-code}"


def _start_failure(name: str, reason: str, tail: str) -> str:
    sentence = f"{name} did not start: {reason}."
    return f"{sentence} Its last words:\n{tail}" if tail else sentence

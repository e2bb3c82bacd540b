"""One operating-system process: started so that it can not outlive us, watched, stopped, reaped."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

_CHILD = Path(__file__).with_name("child.py")
_KILLED_WITHIN_S = 60.0

Probe = Callable[[], Awaitable[None]]
"""Returns when the process does its job; raises anything when it does not (yet)."""


class Identity(StrEnum):
    """As whom a process runs."""

    SAME = "same"
    NAMESPACE = "namespace"
    NOBODY = "nobody"


@dataclass(frozen=True, kw_only=True)
class ProcessSpec:
    """How to run one process.

    Attributes:
        name: Unique in its stack; also names the log file.
        argv: The program and its arguments.
        env: The complete environment; None inherits the supervisor's.
        cwd: Working directory; None inherits.
        stop_signal: What asks the process to end cleanly.
        stop_timeout_s: After this it is killed.
        probe: Says whether it is ready, and later whether it is healthy; None means ready once started.
        before_start: Runs before every start, also before a restart.
        start_timeout_s: It has to be ready within this time.
        identity: As whom it runs.
        log_max_bytes: Bound of each of the two log files that are kept.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout_s: float = 30.0
    probe: Probe | None = None
    before_start: Callable[[], Awaitable[None]] | None = None
    start_timeout_s: float = 120.0
    identity: Identity = Identity.SAME
    log_max_bytes: int = 8 * 1024 * 1024


async def complete(work: Coroutine[Any, Any, None]) -> None:
    """Do the work to its end even if the caller is cancelled meanwhile; the cancellation is passed on afterwards."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


def server_environment() -> dict[str, str]:
    """The environment of a server: the user's own settings for such a server (PG*, TEMPORAL_*) do not reach it."""
    kept = ("PATH", "LD_LIBRARY_PATH")  # the second may be what our own interpreter is found with
    found = {name: os.environ[name] for name in kept if name in os.environ}
    return {"PATH": os.defpath, **found, "LC_ALL": "C", "TZ": "UTC"}


class ProcessLog:
    """What a process writes, kept in a file of bounded size and one older file beside it."""

    def __init__(self, path: Path, max_bytes: int) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def open(self) -> int:
        """A descriptor for the process to append to.

        Returns:
            The descriptor; the caller closes it.
        """
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.bound()
        return os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def bound(self) -> None:
        """Once it is too long, move it to the older file; the process goes on with the same one."""
        with contextlib.suppress(OSError):  # a full disk must not stop the supervision
            if self.path.stat().st_size > self._max_bytes:
                older = self.path.with_suffix(".log.1")
                try:
                    shutil.copyfile(self.path, older)
                    older.chmod(0o600)
                finally:
                    os.truncate(self.path, 0)

    def tail(self, lines: int = 8, width: int = 300) -> str:
        """The last lines, cut to a width, for an error message."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, self.path.stat().st_size - 16_384))
                text = file.read().decode(errors="replace")
        except OSError:
            return ""
        return "\n".join(line if len(line) <= width else f"{line[:width]}…" for line in text.splitlines()[-lines:])


class ManagedProcess:
    """A started process.

    It leads its own session: so Ctrl-C in the terminal reaches the supervisor alone, which then stops things
    in order, and helpers that it leaves behind can be found by their group.
    """

    def __init__(self, spec: ProcessSpec, popen: subprocess.Popen[bytes], log: ProcessLog) -> None:
        self.spec = spec
        self.log = log
        self._popen = popen
        self._loop = asyncio.get_running_loop()
        self._exited: asyncio.Future[int] = self._loop.create_future()
        self._watch()

    @classmethod
    def spawn(cls, spec: ProcessSpec, log_dir: Path, keep_open: tuple[int, ...] = ()) -> "ManagedProcess":
        """Start the process.

        Args:
            spec: What to run.
            log_dir: Where its output goes.
            keep_open: Descriptors it inherits: the lock that says that something of this stack still runs.

        Raises:
            OSError: It could not even be forked.
        """
        log = ProcessLog(log_dir / f"{spec.name}.log", spec.log_max_bytes)
        output = log.open()
        # The kernel ties the life of the child to the thread that forks it: the one that runs the event loop.
        wrapper = (
            sys.executable,
            "-I",
            "-S",
            str(_CHILD),
            str(os.getpid()),
            str(int(spec.stop_signal)),
            spec.identity,
        )
        try:
            popen = subprocess.Popen(  # noqa: S603 - our own programs, no shell
                [*wrapper, *spec.argv],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if spec.env is None else dict(spec.env),
                cwd=spec.cwd,
                start_new_session=True,
                pass_fds=keep_open,
            )
        finally:
            os.close(output)
        return cls(spec, popen, log)

    @property
    def pid(self) -> int:
        """The process id; the wrapper execs, so it is that of the program itself."""
        return self._popen.pid

    @property
    def returncode(self) -> int | None:
        """None while it runs; negative is the signal that ended it."""
        return self._popen.returncode

    async def wait(self) -> int:
        """Wait for the end of the process; cancelling the wait leaves the process alone."""
        return await asyncio.shield(self._exited)

    async def ended_within(self, seconds: float) -> bool:
        """Whether the process ends within this time."""
        await asyncio.wait({self._exited}, timeout=seconds)
        return self._exited.done()

    async def stop(self) -> int:
        """End the process: ask, wait, then kill, even if the caller is cancelled. Does nothing if it has ended.

        Returns:
            Its return code.
        """
        await complete(self._end())
        return await self.wait()

    async def _end(self) -> None:
        if not self._exited.done():
            self.signal(self.spec.stop_signal)
            self.signal(signal.SIGCONT)  # a frozen process would not hear the first one
            if not await self.ended_within(self.spec.stop_timeout_s):
                self.signal(signal.SIGKILL)
                await self.ended_within(_KILLED_WITHIN_S)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal if the process has not been reaped."""
        if self._popen.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _watch(self) -> None:
        try:
            watcher = os.pidfd_open(self.pid)
        except (AttributeError, OSError):  # another system, or an old kernel
            threading.Thread(target=self._wait_in_thread, name=f"wait-{self.spec.name}", daemon=True).start()
            return

        def ended() -> None:
            self._loop.remove_reader(watcher)
            os.close(watcher)
            self._reap()

        self._loop.add_reader(watcher, ended)

    def _wait_in_thread(self) -> None:
        self._popen.wait()
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._reap)

    def _reap(self) -> None:
        if self._popen.returncode is None:
            # Before the zombie is reaped its number can not belong to anybody else.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        code = self._popen.wait()
        if not self._exited.done():
            self._exited.set_result(code)

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from infra.stack.errors import ProcessStartError
from infra.stack.events import EventKind, ProcessEvent
from infra.stack.process import ProcessSpec
from infra.stack.supervisor import RestartPolicy, Supervisor
from tests.unit.stack_programs import is_alive, python_spec, server_spec, until

EAGER = RestartPolicy(first_delay_s=0.01, max_delay_s=0.05, ready_interval_s=0.01, health_interval_s=0.02)


class Recorder:
    def __init__(self) -> None:
        self.events: list[ProcessEvent] = []

    def __call__(self, event: ProcessEvent) -> None:
        self.events.append(event)

    def of(self, kind: EventKind) -> list[str]:
        return [event.name for event in self.events if event.kind is kind]


@pytest.fixture
def events() -> Recorder:
    return Recorder()


@pytest.fixture
async def supervisor(tmp_path: Path, events: Recorder) -> AsyncIterator[Supervisor]:
    supervisor = Supervisor(tmp_path / "logs", policy=EAGER, on_event=events)
    yield supervisor
    await supervisor.stop()


async def test_group_is_started_when_all_of_it_is_ready(supervisor: Supervisor, tmp_path: Path) -> None:
    specs = [server_spec(name, tmp_path / name) for name in ("one", "two")]
    await supervisor.start(specs)
    assert supervisor.pids() == {name: int((tmp_path / name).read_text()) for name in ("one", "two")}
    await supervisor.stop()


async def test_later_groups_stop_first(supervisor: Supervisor, tmp_path: Path, events: Recorder) -> None:
    for name in ("database", "api", "worker"):
        await supervisor.start([server_spec(name, tmp_path / name)])
    pids = supervisor.pids()
    await supervisor.stop()
    assert events.of(EventKind.STOPPED) == ["worker", "api", "database"]
    assert not any(is_alive(pid) for pid in pids.values())
    assert supervisor.pids() == {}


async def test_killed_process_is_started_again(supervisor: Supervisor, tmp_path: Path, events: Recorder) -> None:
    await supervisor.start([server_spec("server", tmp_path / "up")])
    for restarts in (1, 2, 3):
        pid = supervisor.pid("server")
        os.kill(pid, signal.SIGKILL)
        assert await supervisor.wait_ready("server", other_than=pid) == supervisor.pid("server")
        assert supervisor.restarts("server") == restarts
    assert events.of(EventKind.EXITED) == ["server"] * 3
    assert {event.detail for event in events.events if event.kind is EventKind.EXITED} == {"ended by SIGKILL"}
    await supervisor.stop()


async def test_restarts_back_off_up_to_a_bound(supervisor: Supervisor, tmp_path: Path, events: Recorder) -> None:
    never_stable = server_spec("server", tmp_path / "up", "come_up()")
    await supervisor.start([never_stable])
    await until(lambda: supervisor.restarts("server") >= 5)
    await supervisor.stop()
    pauses = [event.detail.rpartition("in ")[2] for event in events.events if event.kind is EventKind.RESTARTING]
    assert pauses[:5] == ["0.0 s", "0.0 s", "0.0 s", "0.1 s", "0.1 s"]


async def test_unhealthy_process_is_replaced(supervisor: Supervisor, tmp_path: Path, events: Recorder) -> None:
    up = tmp_path / "up"
    await supervisor.start([server_spec("server", up)])
    pid = supervisor.pid("server")
    up.unlink()  # what the probe looks at; the new process writes it again
    await supervisor.wait_ready("server", other_than=pid)
    assert events.of(EventKind.UNHEALTHY) == ["server"]
    assert not is_alive(pid)
    await supervisor.stop()


async def test_probe_that_hangs_counts_as_a_bad_look(tmp_path: Path, events: Recorder) -> None:
    answers = asyncio.Event()
    answers.set()

    async def probe() -> None:
        await answers.wait()

    policy = RestartPolicy(first_delay_s=0.01, ready_interval_s=0.01, health_interval_s=0.01, probe_timeout_s=0.05)
    supervisor = Supervisor(tmp_path, policy=policy, on_event=events)
    await supervisor.start([python_spec("server", "stay()", tmp_path / "up", probe=probe)])
    pid = supervisor.pid("server")
    answers.clear()
    await until(lambda: bool(events.of(EventKind.UNHEALTHY)))
    answers.set()
    await supervisor.wait_ready("server", other_than=pid)
    await supervisor.stop()


async def test_process_that_never_starts_is_given_up_with_its_last_words(
    supervisor: Supervisor, tmp_path: Path, events: Recorder
) -> None:
    broken = python_spec("broken", "sys.exit('no such setting')", probe=server_spec("x", tmp_path / "x").probe)
    with pytest.raises(ProcessStartError, match=r"broken did not start: exited with code 1\.(.|\n)*no such setting"):
        await supervisor.start([server_spec("well", tmp_path / "well"), broken])
    assert events.of(EventKind.STARTING).count("broken") == EAGER.start_attempts
    await supervisor.stop()
    assert supervisor.pids() == {}


async def test_process_that_is_never_ready_is_given_up(tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path, policy=RestartPolicy(first_delay_s=0.01, start_attempts=1))
    with pytest.raises(ProcessStartError, match=r"slow did not start: not ready after 0 s: FileNotFoundError"):
        await supervisor.start([server_spec("slow", tmp_path / "up", "stay()", start_timeout_s=0.1)])
    await supervisor.stop()


async def test_failure_before_the_start_counts_as_one(tmp_path: Path) -> None:
    async def before_start() -> None:
        raise OSError("disk is full")

    supervisor = Supervisor(tmp_path, policy=EAGER)
    spec = ProcessSpec(name="server", argv=("true",), before_start=before_start)
    with pytest.raises(ProcessStartError, match="server did not start: OSError: disk is full"):
        await supervisor.start([spec])
    await supervisor.stop()


async def test_stop_during_a_start_leaves_nothing(supervisor: Supervisor, tmp_path: Path) -> None:
    starting = asyncio.create_task(supervisor.start([server_spec("slow", tmp_path / "up", "stay()")]))
    await until(lambda: len(supervisor.pids()) == 1)
    pid = supervisor.pid("slow")
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await supervisor.stop()
    assert not is_alive(pid)


async def test_stop_before_anything_runs_leaves_nothing(supervisor: Supervisor, tmp_path: Path) -> None:
    starting = asyncio.create_task(supervisor.start([server_spec("server", tmp_path / "up")]))
    await asyncio.sleep(0)  # the runner exists and has not run yet
    await supervisor.stop()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not (tmp_path / "up").exists()


async def test_stop_completes_although_its_caller_is_cancelled(supervisor: Supervisor, tmp_path: Path) -> None:
    code = (
        "signal.signal(signal.SIGTERM, lambda *_: (here.with_name('asked').touch(), signal.pause())); come_up(); stay()"
    )
    await supervisor.start([server_spec("slow", tmp_path / "up", code, stop_timeout_s=0.5)])
    pid = supervisor.pid("slow")
    stopping = asyncio.create_task(supervisor.stop())
    await until((tmp_path / "asked").exists)
    stopping.cancel()
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert not is_alive(pid)


async def test_stop_during_a_back_off_does_not_start_again(tmp_path: Path, events: Recorder) -> None:
    supervisor = Supervisor(tmp_path, policy=RestartPolicy(first_delay_s=60), on_event=events)
    await supervisor.start([server_spec("server", tmp_path / "up")])
    pid = supervisor.pid("server")
    os.kill(pid, signal.SIGKILL)
    await until(lambda: bool(events.of(EventKind.RESTARTING)))
    with pytest.raises(ProcessLookupError):
        supervisor.pid("server")
    await supervisor.stop()
    assert events.of(EventKind.STARTING) == ["server"]


async def test_listener_that_fails_does_not_stop_the_supervision(tmp_path: Path) -> None:
    def fail(_event: ProcessEvent) -> None:
        raise RuntimeError("broken display")

    supervisor = Supervisor(tmp_path, policy=EAGER, on_event=fail)
    await supervisor.start([server_spec("server", tmp_path / "up")])
    pid = supervisor.pid("server")
    os.kill(pid, signal.SIGKILL)
    await supervisor.wait_ready("server", other_than=pid)
    await supervisor.stop()


async def test_name_that_is_taken_is_refused(supervisor: Supervisor, tmp_path: Path) -> None:
    await supervisor.start([server_spec("server", tmp_path / "up")])
    with pytest.raises(ValueError, match="unique"):
        await supervisor.start([server_spec("server", tmp_path / "other")])
    await supervisor.stop()


async def test_slow_start_is_reported_with_its_reason(tmp_path: Path, events: Recorder) -> None:
    policy = RestartPolicy(ready_interval_s=0.01, report_interval_s=0.02)
    supervisor = Supervisor(tmp_path, policy=policy, on_event=events)
    starting = asyncio.create_task(supervisor.start([server_spec("slow", tmp_path / "up", "stay()")]))
    await until(lambda: bool(events.of(EventKind.WAITING)))
    (tmp_path / "up").touch()
    await starting
    assert "FileNotFoundError" in next(event.detail for event in events.events if event.kind is EventKind.WAITING)
    await supervisor.stop()

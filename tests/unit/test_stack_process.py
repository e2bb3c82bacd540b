import asyncio
import os
import signal
from pathlib import Path

import pytest

from infra.stack.process import ManagedProcess, ProcessLog, ProcessSpec
from infra.stack.reaper import zombie_children
from tests.unit.stack_programs import IGNORE_TERM, is_alive, python_spec, server_spec, until


async def come_up(spec: ProcessSpec, log_dir: Path) -> ManagedProcess:
    process = ManagedProcess.spawn(spec, log_dir)
    assert spec.probe is not None
    while True:
        try:
            await spec.probe()
        except FileNotFoundError:
            assert not await process.ended_within(0.02), process.log.tail()
        else:
            return process


async def test_process_that_ends_tells_its_code_and_last_words(tmp_path: Path) -> None:
    process = ManagedProcess.spawn(python_spec("short", "print('bye'); sys.exit(3)"), tmp_path)
    assert await process.wait() == 3
    assert process.log.tail() == "bye"


async def test_program_that_does_not_exist_says_so_in_its_log(tmp_path: Path) -> None:
    process = ManagedProcess.spawn(ProcessSpec(name="none", argv=("/no/such/program",)), tmp_path)
    assert await process.wait() == 126
    assert "could not start /no/such/program" in process.log.tail()


async def test_stop_asks_with_the_signal_of_the_process(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGINT, lambda *_: sys.exit(7)); come_up(); stay()"
    process = await come_up(server_spec("polite", tmp_path / "up", code, stop_signal=signal.SIGINT), tmp_path)
    assert await process.stop() == 7
    assert await process.stop() == 7


async def test_stop_of_a_process_that_does_not_listen_kills_it(tmp_path: Path) -> None:
    process = await come_up(server_spec("deaf", tmp_path / "up", IGNORE_TERM, stop_timeout_s=0.2), tmp_path)
    assert await process.stop() == -signal.SIGKILL


async def test_stop_of_a_frozen_process_lets_it_end_by_itself(tmp_path: Path) -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0)); come_up(); stay()"
    process = await come_up(server_spec("frozen", tmp_path / "up", code), tmp_path)
    process.signal(signal.SIGSTOP)
    assert await process.stop() == 0


async def test_killed_process_takes_its_helpers_along(tmp_path: Path) -> None:
    code = """
helper = os.fork()
if helper == 0:
    stay()
here.with_name("helper").write_text(str(helper))
come_up()
stay()
"""
    process = await come_up(server_spec("family", tmp_path / "up", code), tmp_path)
    helper = int((tmp_path / "helper").read_text())
    assert is_alive(helper)
    process.signal(signal.SIGKILL)
    assert await process.wait() == -signal.SIGKILL
    await until(lambda: not is_alive(helper))


async def test_process_ignores_no_signal_and_has_no_input(tmp_path: Path) -> None:
    # The Python that runs this test ignores SIGPIPE, and a shell that started it may ignore SIGINT.
    program = ("sh", "-c", "grep SigIgn /proc/self/status; cat")
    process = ManagedProcess.spawn(ProcessSpec(name="plain", argv=program), tmp_path)
    assert await process.wait() == 0
    assert process.log.tail() == "SigIgn:\t0000000000000000"


async def test_ended_processes_leave_no_zombie(tmp_path: Path) -> None:
    started = [ManagedProcess.spawn(python_spec(f"n{n}", ""), tmp_path) for n in range(4)]
    await asyncio.gather(*(process.wait() for process in started))
    assert not zombie_children(os.getpid()) & {process.pid for process in started}


async def test_cancelled_wait_leaves_the_process_alone(tmp_path: Path) -> None:
    process = await come_up(server_spec("steady", tmp_path / "up"), tmp_path)
    waiting = asyncio.create_task(process.wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert is_alive(process.pid)
    await process.stop()


async def test_stop_completes_although_its_caller_is_cancelled_twice(tmp_path: Path) -> None:
    code = """
signal.signal(signal.SIGTERM, lambda *_: (here.with_name("asked").touch(), signal.pause()))
come_up()
stay()
"""
    process = await come_up(server_spec("slow", tmp_path / "up", code, stop_timeout_s=0.3), tmp_path)
    stopping = asyncio.create_task(process.stop())
    await until((tmp_path / "asked").exists)
    stopping.cancel()
    await asyncio.sleep(0)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert process.returncode == -signal.SIGKILL


def test_log_that_grew_too_long_is_moved_aside_and_stays_private(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "logs" / "x.log", max_bytes=100)
    descriptor = log.open()
    try:
        os.write(descriptor, b"old\n" * 50)
        log.bound()
        os.write(descriptor, b"new\n")
    finally:
        os.close(descriptor)
    assert log.path.read_bytes() == b"new\n"
    older = log.path.with_suffix(".log.1")
    assert older.read_bytes() == b"old\n" * 50
    assert {older.stat().st_mode & 0o777, log.path.stat().st_mode & 0o777} == {0o600}


def test_log_tail_is_short_whatever_was_written(tmp_path: Path) -> None:
    log = ProcessLog(tmp_path / "x.log", max_bytes=10**9)
    log.path.write_bytes(b"\xff" * 100_000 + b"\n" + b"line\n" * 10_000)
    assert log.tail(lines=2) == "line\nline"
    log.path.write_bytes(b"y" * 5_000)
    assert len(log.tail(width=10)) == 11
    log.path.unlink()
    assert log.tail() == ""

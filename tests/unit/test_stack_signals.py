import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from infra.stack.signals import run_until_signal

PROGRAM = """
import asyncio, sys
from infra.stack.signals import run_until_signal

async def work():
    try:
        print("up", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cleaning", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        print("clean", flush=True)

received = asyncio.run(run_until_signal(work()))
print(received.name, flush=True)
"""


@contextmanager
def program() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signal_cancels_the_work_and_further_ones_leave_its_clean_up_alone(number: signal.Signals) -> None:
    with program() as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        process.send_signal(number)
        assert process.stdout.readline() == "cleaning\n"
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.stdout.read() == f"clean\n{number.name}\n"
        assert process.wait() == 0


async def test_work_that_ends_by_itself_received_no_signal() -> None:
    async def work() -> None:
        pass

    assert await run_until_signal(work()) is None


async def test_error_of_the_work_is_passed_on() -> None:
    async def work() -> None:
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await run_until_signal(work())

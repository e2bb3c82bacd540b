"""As whom the stack can be started. Most of these need root, to become somebody else."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = [
    pytest.mark.servers,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user"),
]

PROJECT = Path(__file__).parents[2]
NOBODY = 65534
WITHOUT_NAME = 54321

UP = """
import asyncio, sys
from pathlib import Path
import asyncpg
from infra.stack.errors import StackError
from infra.stack.stack import EmbeddedStack, StackConfig

async def main():
    for _ in range(2):
        async with EmbeddedStack(StackConfig(data_dir=Path(sys.argv[1]), durable=False)) as stack:
            connection = await asyncpg.connect(stack.urls.database_url, ssl=False)
            print(await connection.fetchval("select 1"), flush=True)
            await connection.close()

try:
    asyncio.run(main())
except StackError as error:
    print(error)
"""

# Root as a container has it: the same user numbers, and no further user namespaces.
WITHOUT_NAMESPACES = """
import ctypes, os, sys
libc = ctypes.CDLL(None)
ready, go = os.pipe(), os.pipe()
child = os.fork()
if child == 0:
    assert libc.unshare(0x10000000) == 0
    os.write(ready[1], b"x")
    os.read(go[0], 1)
    os.setgid(0)
    os.setuid(0)
    with open("/proc/sys/user/max_user_namespaces", "w") as limit:
        limit.write("0")
    os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
os.read(ready[0], 1)
for kind in ("uid", "gid"):
    with open(f"/proc/{child}/{kind}_map", "w") as map:
        map.write("0 0 65536")
os.write(go[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""

# As process 1 of its own process namespace, with an orphan that ends after its parent.
AS_PROCESS_ONE = """
import asyncio, os, sys, time
from pathlib import Path
from infra.stack.reaper import reap_adopted, zombie_children

async def main():
    assert os.getpid() == 1
    if (parent := os.fork()) == 0:
        if os.fork() == 0:
            os._exit(0)
        os._exit(0)
    os.waitpid(parent, 0)
    while not zombie_children(1):
        await asyncio.sleep(0.01)
    reaper = asyncio.create_task(reap_adopted(set, interval_s=0.01))
    while zombie_children(1):
        await asyncio.sleep(0.01)
    reaper.cancel()
    print("reaped")

asyncio.run(main())
"""


@pytest.fixture
def open_dir() -> Iterator[Path]:
    """A folder that other users can reach, which those of pytest are not."""
    path = Path(tempfile.mkdtemp(prefix="concord-users-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


def run_as(uid: int, data_dir: Path) -> str:
    result = subprocess.run(
        [sys.executable, "-c", UP, str(data_dir)],
        user=uid,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
        env={**os.environ, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def others_can_run_this() -> bool:
    try:
        code = f"import os; os.listdir({str(PROJECT)!r})"
        return (
            subprocess.run([sys.executable, "-c", code], user=NOBODY, capture_output=True, check=False).returncode == 0
        )
    except PermissionError:
        return False


needs_shared_python = pytest.mark.skipif(
    os.geteuid() == 0 and not others_can_run_this(), reason="this interpreter is closed to other users"
)


@needs_shared_python
def test_ordinary_user_starts_it_directly(open_dir: Path) -> None:
    shutil.chown(open_dir, NOBODY)
    assert run_as(NOBODY, open_dir / "data") == "1\n1\n"


@needs_shared_python
def test_user_without_a_name_starts_it_in_a_user_namespace(open_dir: Path) -> None:
    with pytest.raises(KeyError):
        pwd.getpwuid(WITHOUT_NAME)
    shutil.chown(open_dir, WITHOUT_NAME)
    assert run_as(WITHOUT_NAME, open_dir / "data") == "1\n1\n"


def run_without_namespaces(data_dir: Path) -> str:
    command = [sys.executable, "-c", WITHOUT_NAMESPACES, "-c", UP, str(data_dir)]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    if "max_user_namespaces" in result.stderr or "uid_map" in result.stderr:
        pytest.skip("user namespaces can not be set up here")
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_root_without_user_namespaces_runs_postgres_as_nobody(open_dir: Path) -> None:
    data_dir = open_dir / "data"
    assert run_without_namespaces(data_dir) == "1\n1\n"
    assert (data_dir / "postgres").stat().st_uid == NOBODY
    assert (data_dir / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert data_dir.stat().st_mode & 0o777 == 0o711, "nobody may pass and not look"


def test_root_without_user_namespaces_in_a_closed_folder_is_told_what_to_do(open_dir: Path) -> None:
    closed = open_dir / "closed"
    closed.mkdir(mode=0o700)
    answer = run_without_namespaces(closed / "data")
    assert f"because {closed} is closed to others: choose another data directory" in answer
    assert closed.stat().st_mode & 0o777 == 0o700, "a folder that is not ours is left as it is"


def test_process_one_reaps_what_it_adopts() -> None:
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", AS_PROCESS_ONE]
    result = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    if "unshare failed" in result.stderr or "mount" in result.stderr:
        pytest.skip("process namespaces can not be set up here")
    assert (result.stdout, result.returncode) == ("reaped\n", 0), result.stderr

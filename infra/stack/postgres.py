"""Postgres from the wheel: how its cluster is made, how the server is started and looked at."""

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from infra.stack.errors import ProcessStartError
from infra.stack.postgres_install import (
    Installation,
    PostgresInstaller,
    require_passwd_entry,
)
from infra.stack.process import Identity, Probe, ProcessSpec, server_environment

DATABASE = "concord"
USER = "concord"
_MAX_CONNECTIONS = 200
_CONNECT_TIMEOUT_S = 8.0
# Recovery after a crash takes what it takes; to kill it would only make it start over.
_START_TIMEOUT_S = 600.0
_MIB = 1024 * 1024
_LEAST_BUFFERS_MIB = 128
_MOST_BUFFERS_MIB = 1024
_CGROUP_LIMIT = Path("/sys/fs/cgroup/memory.max")


def buffers_mib(memory: int) -> int:
    """Return how much of a machine's memory (bytes) Postgres keeps its pages in, in MiB: an eighth, within limits.

    Its default, the lower limit, is less than a million tasks and their indexes take; claims among them would wait for
    pages. The rest of the machine belongs to the other programs, and to the system's own cache of the same files.
    """
    return min(max(memory // 8 // _MIB, _LEAST_BUFFERS_MIB), _MOST_BUFFERS_MIB)


def _memory() -> int:
    """Return the memory that this program may use, in bytes: the machine's, or its container's."""
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    try:
        return min(machine, int(_CGROUP_LIMIT.read_text(encoding="ascii")))
    except (OSError, ValueError):
        return machine  # no limit, which reads "max", or no such file


class EmbeddedPostgres:
    """Postgres in a folder of a stack's data directory, on loopback, behind a password."""

    def __init__(
        self,
        data_dir: Path,
        log_dir: Path,
        *,
        port: int,
        password: str,
        durable: bool,
        keep_open: tuple[int, ...] = (),
    ) -> None:
        self._data_dir = data_dir
        self._cluster = data_dir / "postgres"
        self._installer = PostgresInstaller(data_dir, log_dir, self._cluster, keep_open)
        self._port = port
        self._password = password
        self._durable = durable

    @property
    def url(self) -> str:
        """Where it listens, with the password."""
        # Without sslmode the driver looks for certificates in the user's home, which may be closed to it.
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/{DATABASE}?sslmode=disable"

    async def spec(self) -> ProcessSpec:
        """Make the cluster if this is the first start, and say how to run the server.

        Raises:
            UnsuitableUserError: It can not run as any user available here.
            ProcessStartError: The cluster could not be made.
        """
        installation = await self._installer.find()
        if not self._cluster.exists():
            await self._create_cluster(installation)
        durability = () if self._durable else ("-c", "fsync=off", "-c", "full_page_writes=off")
        return ProcessSpec(
            name="postgres",
            argv=(
                str(installation.bin_dir / "postgres"),
                *("-D", str(self._cluster), "-p", str(self._port)),
                *("-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="),
                *("-c", f"max_connections={_MAX_CONNECTIONS}", "-c", "password_encryption=scram-sha-256"),
                *("-c", "logging_collector=off", "-c", "log_destination=stderr"),
                *("-c", f"shared_buffers={buffers_mib(_memory())}MB", *durability),
            ),
            env=server_environment(),
            cwd=self._data_dir,
            stop_signal=signal.SIGINT,  # "fast": ends the sessions and writes a checkpoint
            stop_timeout_s=60.0,
            probe=postgres_probe(self.url, embedded=True),
            before_start=self._forget_dead_postmaster,
            start_timeout_s=_START_TIMEOUT_S,
            identity=installation.identity,
        )

    async def _create_cluster(self, installation: Installation) -> None:
        """Make it beside its place and move it there, so that an interrupted start leaves no half of one."""
        require_passwd_entry(installation.identity)
        new = self._data_dir / "postgres.new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if installation.identity is Identity.NOBODY:
            shutil.chown(new, "nobody")
        with self._password_file(installation.identity) as password_file:
            code, output = await self._installer.run_tool(
                installation.identity,
                installation.bin_dir / "initdb",
                *("-D", str(new), "-U", USER, "--pwfile", str(password_file), "--auth=scram-sha-256"),
                *("--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                "--no-sync",
            )
        if code != 0:
            raise ProcessStartError(f"The Postgres cluster could not be made: {output}")
        if self._durable:
            # One call for all of its thousand files, where initdb would sync them one by one.
            await asyncio.to_thread(os.sync)
        new.rename(self._cluster)

    @contextlib.contextmanager
    def _password_file(self, identity: Identity) -> Iterator[Path]:
        descriptor, name = tempfile.mkstemp(dir=self._data_dir, prefix=".initdb-")
        try:
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(self._password)
            if identity is Identity.NOBODY:
                shutil.chown(name, "nobody")
            yield Path(name)
        finally:
            Path(name).unlink()

    async def _forget_dead_postmaster(self) -> None:
        """Remove a dead server's pid file if another process has its number: Postgres would respect that."""
        pid_file = self._cluster / "postmaster.pid"
        try:
            pid = int(pid_file.read_text(encoding="ascii").split(maxsplit=1)[0])
            folder = os.readlink(f"/proc/{pid}/cwd")
        except (OSError, ValueError, IndexError):
            return  # no such file; or no such process, which Postgres sees for itself
        if folder != str(self._cluster.resolve()):
            pid_file.unlink(missing_ok=True)


def postgres_probe(url: str, *, embedded: bool = False) -> Probe:
    """A probe that connects and asks for one row.

    Args:
        url: The database.
        embedded: It is our own server: without TLS, and the database is created if it is not there yet.
    """
    # The driver would look for client certificates in a home directory that this user may not be able to read.
    ssl = False if embedded else None

    async def probe() -> None:
        try:
            connection = await asyncpg.connect(url, timeout=_CONNECT_TIMEOUT_S, ssl=ssl)
        except asyncpg.InvalidCatalogNameError:
            if not embedded:
                raise
            await _create_database(url)
            return
        try:
            await connection.fetchval("select 1", timeout=_CONNECT_TIMEOUT_S)
        finally:
            await connection.close(timeout=_CONNECT_TIMEOUT_S)

    return probe


async def _create_database(url: str) -> None:
    administrative = urlunsplit(urlsplit(url)._replace(path="/postgres"))
    connection = await asyncpg.connect(administrative, timeout=_CONNECT_TIMEOUT_S, ssl=False)
    try:
        await connection.execute(f'create database "{DATABASE}"')
    finally:
        await connection.close(timeout=_CONNECT_TIMEOUT_S)

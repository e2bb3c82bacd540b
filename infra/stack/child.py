"""Becomes a supervised process: ties its life to the supervisor's, takes its identity, then executes it.

Run by path in a fresh isolated interpreter, never imported by the supervisor, so that nothing of this happens
between fork and exec of a process that has threads:

    python -I -S child.py PARENT_PID SIGNAL IDENTITY PROGRAM [ARGUMENT ...]

IDENTITY is ``same``, ``nobody``, or ``namespace`` (the same files under another uid, see
`enter_user_namespace`).
"""

import ctypes
import os
import pwd
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
CLONE_NEWUSER = 0x10000000
NOBODY = 65534
COULD_NOT_EXECUTE = 126


def enter_user_namespace() -> None:
    """Appear as uid and gid 65534 without any privilege, still owning the files of the user outside.

    Raises:
        OSError: The kernel or its policy does not allow user namespaces here.
    """
    uid, gid = os.geteuid(), os.getegid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWUSER) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"user namespaces are not available: {os.strerror(code)}")
    Path("/proc/self/setgroups").write_text("deny", encoding="ascii")
    Path("/proc/self/uid_map").write_text(f"{NOBODY} {uid} 1", encoding="ascii")
    Path("/proc/self/gid_map").write_text(f"{NOBODY} {gid} 1", encoding="ascii")


def become_nobody() -> None:
    """Give up root for the user ``nobody``, for good."""
    user = pwd.getpwnam("nobody")
    os.setgroups([])
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def die_with_parent(parent_pid: int, death_signal: int) -> None:
    """Have the kernel send `death_signal` when the supervisor is gone, however it went."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, death_signal, 0, 0, 0)
    if os.getppid() != parent_pid:
        # It was gone before the kernel knew that we care.
        sys.exit(COULD_NOT_EXECUTE)


def main(arguments: list[str]) -> None:
    """Set everything up and turn into the program; returns only by ending the process."""
    parent_pid, death_signal, identity, *argv = arguments
    try:
        if identity == "namespace":
            enter_user_namespace()
        elif identity == "nobody":
            become_nobody()
        # After the change of user: the kernel forgets the death signal when credentials change.
        die_with_parent(int(parent_pid), int(death_signal))
        # Python ignores some, a shell ignores SIGINT and SIGQUIT for a background job, and exec keeps what is ignored.
        for number in signal.valid_signals():
            if signal.getsignal(number) is signal.SIG_IGN or number == signal.SIGINT:
                signal.signal(number, signal.SIG_DFL)
        os.execvp(argv[0], argv)  # noqa: S606 - no shell is the point
    except (OSError, KeyError) as error:
        sys.stderr.write(f"could not start {argv[0]}: {error}\n")
        sys.exit(COULD_NOT_EXECUTE)


if __name__ == "__main__":
    main(sys.argv[1:])

"""From a bare clone to a running command, with nothing but Python 3.11: environment, hashed dependencies, command.

``python3 infra/bootstrap.py demo`` runs the main job, ``python3 infra/bootstrap.py check`` formats, lints, type-checks
and tests everything. Any other words go to the ``concord`` command line. Only the standard library is used here.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = ROOT / ".venv"
BIN = ENVIRONMENT / ("Scripts" if os.name == "nt" else "bin")
REQUIREMENTS = ROOT / "infra" / "requirements"


def say(text: str) -> None:
    """Print a line at once, so that it stands before what the next command prints."""
    print(text, file=sys.stderr, flush=True)  # noqa: T201 - there is no logger before the dependencies are there


def prepare(kind: str) -> None:
    """Create the environment and install the pinned dependencies, unless that was done for the same files.

    Args:
        kind: ``runtime`` or ``develop``; the second contains the first.
    """
    wanted = hashlib.sha256()
    for path in (REQUIREMENTS / f"{kind}.txt", ROOT / "pyproject.toml"):
        wanted.update(path.read_bytes())
    stamps = {name: ENVIRONMENT / f".concord-{name}" for name in ("runtime", "develop")}
    stamp = stamps[kind]
    if stamp.exists() and stamp.read_text() == wanted.hexdigest():
        return
    if not (BIN / "python").exists():
        say(f"Creating {ENVIRONMENT.name}/ …")
        try:
            venv.create(ENVIRONMENT, with_pip=True)
        except (subprocess.CalledProcessError, OSError) as error:
            sys.exit(f"Python's venv module cannot create {ENVIRONMENT}: {error}. On Debian, install python3-venv.")
    say("Installing the pinned dependencies (once; a minute or two) …")
    pip = [str(BIN / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    run([*pip, "--no-deps", "--require-hashes", "-r", str(REQUIREMENTS / f"{kind}.txt")])
    run([*pip, "--no-deps", "--no-build-isolation", "--editable", str(ROOT)])
    stamp.write_text(wanted.hexdigest())


def run(command: list[str]) -> None:
    """Run a command in the project's root; stop with its exit code if it fails."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"}
    code = subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode  # noqa: S603 - our own commands
    if code:
        sys.exit(code)


def check(arguments: list[str]) -> None:
    """Format, lint, prove the import rules, type-check, test; CI checks the format instead of changing files."""
    formatting = ["ruff", "format", *(["--check"] if os.environ.get("CI") else [])]
    for step in (
        formatting,
        ["ruff", "check"],
        ["lint-imports"],
        ["mypy"],
        ["pytest", "-n", "2", "--dist", "loadfile", *arguments],
    ):
        say(f"\n── {' '.join(step)}")
        started = time.monotonic()
        run([str(BIN / step[0]), *step[1:]])
        say(f"── {step[0]} passed in {time.monotonic() - started:.0f} s")


def main() -> None:
    """Prepare what the first word asks for, and run it."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this file is what an older Python is told by
        sys.exit(f"Concord needs Python 3.11 or newer; this is {sys.version.split()[0]}.")
    if len(sys.argv) < 2:
        sys.exit("Say what to run: python3 infra/bootstrap.py demo | check | up | …")
    if sys.argv[1] == "check":
        prepare("develop")
        check(sys.argv[2:])
        return
    # An environment for development stays one; either is brought up to date when its pins have changed.
    prepare("develop" if (ENVIRONMENT / ".concord-develop").exists() else "runtime")
    arguments = [str(BIN / "concord"), *sys.argv[1:]]
    os.execv(arguments[0], arguments)  # noqa: S606 - so that Ctrl-C reaches the command itself


if __name__ == "__main__":
    main()

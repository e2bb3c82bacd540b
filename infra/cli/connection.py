"""Which Concord the command line talks to, and as whom."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from infra.client import ConcordClient
from infra.first_key import first_admin_key
from infra.stack.directory import read_secrets, read_stack
from infra.stack.errors import StackError
from services.errors import InvalidInputError

Result = TypeVar("Result")

DEFAULT_DATA_DIR = Path(".concord")
UrlOption = Annotated[
    str | None, typer.Option("--url", envvar="CONCORD_URL", help="Address of the API; the local stack's if left out.")
]
KeyOption = Annotated[
    str | None,
    typer.Option("--key", envvar="CONCORD_KEY", show_envvar=True, help="Secret of an API key (ck_…)."),
]


def find_connection(url: str | None, key: str | None, data_dir: Path) -> tuple[str, str]:
    """Return address and key: those given, else those of the stack that runs on ``data_dir``.

    The local stack's admin key is never sent to an address that was given.

    Raises:
        InvalidInputError: An address without a key, or nothing to connect to.
    """
    if url is not None:
        if not url.startswith(("http://", "https://")):
            raise InvalidInputError(f"--url must begin with http:// or https://, got {url[:100]!r}")
        if key is None:
            raise InvalidInputError("an address needs a key with it: give --key or set CONCORD_KEY")
        return url, key
    try:
        stack = read_stack(data_dir)
        return stack.api_url, key or first_admin_key(read_secrets(data_dir))
    except StackError as error:
        raise InvalidInputError(
            f"no Concord runs on {data_dir}: start one with `concord up`, or give --url and --key"
        ) from error


def with_client(
    url: str | None, key: str | None, work: Callable[[ConcordClient], Coroutine[Any, Any, Result]]
) -> Result:
    """Run ``work`` with a client of the Concord that the options, the environment or the local stack name."""
    address, secret = find_connection(url, key, Path(os.environ.get("CONCORD_DATA_DIR", DEFAULT_DATA_DIR)))

    async def run() -> Result:
        async with ConcordClient(address, secret) as client:
            return await work(client)

    return asyncio.run(run())

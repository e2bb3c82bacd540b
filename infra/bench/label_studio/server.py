"""Label Studio as a process: its environment, its database on a Postgres that runs, its first user."""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import asyncpg
import httpx

from infra.stack.process import ProcessSpec, server_environment
from services.errors import UnavailableError

DATABASE = "label_studio"
_USER = "bench@localhost.example"
_SETTINGS = "label_studio.core.settings.label_studio"
_READY_WITHIN_S = 600.0
_TOLD_CHARS = 2_000


@dataclass(frozen=True, kw_only=True)
class LabelStudio:
    """One that may be started.

    Attributes:
        python: The interpreter of its environment.
        folder: Where it keeps its files.
        port: Where it listens on 127.0.0.1.
        token: Of its user, for the API.
        environment: Of its processes.
    """

    python: Path
    folder: Path
    port: int
    token: str = field(repr=False)
    environment: Mapping[str, str] = field(repr=False)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def spec(self) -> ProcessSpec:
        """Return how to run it: its WSGI application, as in its own image, in one process as our API is."""

        async def answers() -> None:
            async with httpx.AsyncClient(trust_env=False, timeout=30.0) as client:
                (await client.get(f"{self.url}/health")).raise_for_status()

        return ProcessSpec(
            name="label-studio",
            argv=(
                str(self.python), "-m", "gunicorn", "--bind", f"127.0.0.1:{self.port}", "--workers", "1",
                "--threads", "8", "--timeout", "0", "--keep-alive", "300", "label_studio.core.wsgi:application",
            ),
            env=dict(self.environment),
            cwd=self.folder,
            probe=answers,
            start_timeout_s=_READY_WITHIN_S,
        )  # fmt: skip


async def prepare_label_studio(python: Path, folder: Path, database_url: str) -> LabelStudio:
    """Make Label Studio's database beside the one of ``database_url``, its tables and a user with a token.

    Raises:
        UnavailableError: Label Studio did not make them; the message says what it wrote last.
    """
    await asyncio.to_thread(folder.mkdir, parents=True)
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()
    made = LabelStudio(
        python=python,
        folder=folder,
        port=_free_port(),
        token=secrets.token_hex(20),
        environment=environment_of(python, folder, database_url),
    )
    await _initialise(made)
    return made


async def _initialise(made: LabelStudio) -> None:
    script = made.python.with_name("label-studio")
    process = await asyncio.create_subprocess_exec(
        str(made.python), str(script), "init", "--quiet", "--enable-legacy-api-token", "--username", _USER,
        "--password", secrets.token_urlsafe(16), "--user-token", made.token,
        env=dict(made.environment), cwd=made.folder, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        said, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        last = said.decode(errors="replace").strip()[-_TOLD_CHARS:]
        raise UnavailableError(f"Label Studio could not make its database: {last}")


def environment_of(python: Path, folder: Path, database_url: str) -> dict[str, str]:
    """Return its settings: our Postgres server, nothing told to anybody, no look at what is newer."""
    address = urlsplit(database_url)
    package = next(python.parent.parent.glob("lib/python*/site-packages/label_studio"), folder)
    return server_environment() | {
        "DJANGO_SETTINGS_MODULE": _SETTINGS,
        # Its modules name each other in two ways; its own start does the same to the path.
        "PYTHONPATH": str(package),
        "HOME": str(folder),
        "LABEL_STUDIO_BASE_DATA_DIR": str(folder / "data"),
        "DJANGO_DB": "default",
        "POSTGRE_HOST": address.hostname or "127.0.0.1",
        "POSTGRE_PORT": str(address.port or 5432),
        "POSTGRE_USER": unquote(address.username or ""),
        "POSTGRE_PASSWORD": unquote(address.password or ""),
        "POSTGRE_NAME": DATABASE,
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "False",
        "FEATURE_FLAGS_OFFLINE": "True",
        "SENTRY_DSN": "",
        "FRONTEND_SENTRY_DSN": "",
        "DEBUG": "False",
        "LOG_LEVEL": "ERROR",
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

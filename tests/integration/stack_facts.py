"""What the tests of the embedded stack ask its servers."""

from datetime import timedelta
from pathlib import Path

import asyncpg
import nats
from nats.js.api import StreamConfig
from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client

from infra.stack.directory import StackUrls, _holders

SERVERS = ("nats", "postgres", "temporal")


async def fetch(urls: StackUrls, query: str) -> object:
    connection = await asyncpg.connect(urls.database_url)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


async def publish(urls: StackUrls, text: str) -> int:
    client = await nats.connect(urls.nats_url)
    try:
        stream = client.jetstream()
        await stream.add_stream(StreamConfig(name="facts", subjects=["facts.>"]))
        return (await stream.publish("facts.new", text.encode())).seq
    finally:
        await client.close()


async def retention(urls: StackUrls) -> timedelta:
    client = await Client.connect(urls.temporal_address)
    answer = await client.workflow_service.describe_namespace(DescribeNamespaceRequest(namespace="default"))
    return answer.config.workflow_execution_retention_ttl.ToTimedelta()


def family(data_dir: Path) -> set[int]:
    """Every process of a stack, however distant: they all have its lock open."""
    return set(_holders(data_dir / "children.lock"))

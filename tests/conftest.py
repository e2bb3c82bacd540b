"""Fixtures for all tests. Nothing starts a server until a test asks for one."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from infra.stack.directory import StackUrls
from tests.servers import shared_servers, stop_shared_servers

# A noisy machine is no fault of an example. CI tries the same examples every time, so that it tells of the change it is
# run for; everywhere else each run tries new ones.
settings.register_profile("concord", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("ci", settings.get_profile("concord"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "concord")

_RUN_DIR = "CONCORD_TEST_RUN_DIR"
_RUN_PID = "CONCORD_TEST_RUN_PID"


def pytest_configure(config: pytest.Config) -> None:
    """Agree on a folder before the processes of a parallel run are forked off; they inherit the environment."""
    if not hasattr(config, "workerinput"):
        os.environ[_RUN_DIR] = tempfile.mkdtemp(prefix="concord-tests-")
        os.environ[_RUN_PID] = str(os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    """The run is over: end what it has started."""
    if not hasattr(config, "workerinput") and _RUN_DIR in os.environ:
        run_dir = Path(os.environ.pop(_RUN_DIR))
        stop_shared_servers(run_dir / "servers")
        run_dir.rmdir()


@pytest.fixture(scope="session")
def stack_urls() -> StackUrls:
    """Where the Postgres, NATS and Temporal of this test run are; started when the first test asks."""
    return shared_servers(Path(os.environ[_RUN_DIR]) / "servers", int(os.environ[_RUN_PID]))

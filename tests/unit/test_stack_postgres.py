"""How much memory the embedded Postgres keeps its pages in."""

from __future__ import annotations

import pytest

from infra.stack.postgres import buffers_mib

GIB = 1024**3


@pytest.mark.parametrize(
    ("memory", "mib"), [(GIB // 2, 128), (GIB, 128), (2 * GIB, 256), (8 * GIB, 1024), (64 * GIB, 1024)]
)
def test_buffers_are_an_eighth_of_the_memory_within_limits(memory: int, mib: int) -> None:
    assert buffers_mib(memory) == mib

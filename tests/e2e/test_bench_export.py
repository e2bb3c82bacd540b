"""The benchmark of exports on a small store: real processes, a real kill, and bytes that are compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from infra.bench.export.measure import ExportBenchmark, measure_exports, tree_digest

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


async def test_a_small_version_is_exported_twice_and_after_a_kill_with_the_same_bytes(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    heard: list[str] = []
    measured = await measure_exports(
        tmp_path, [1_200], ["parquet", "jsonl"], part_samples=20, growth_limit=2.0, tell=heard.append
    )
    [size] = measured.sizes
    assert (size.records, size.labels) == (1_200, 8_400)
    assert [one.form for one in size.formats] == ["parquet", "jsonl"]
    for one in size.formats:
        assert (one.second_same, one.resumed_same) == (True, True)
        assert 0 < one.taken_up < one.parts
        assert one.peak_bytes > 10_000_000
        assert one.size_bytes > 1_000_000
    assert size.api_peak_bytes > 10_000_000
    assert measured.holds
    assert not list((tmp_path / "exports-1200").glob("*/manifest.json")), "what was exported is removed again"

    grown = size.model_copy(update={"api_peak_bytes": 2 * size.api_peak_bytes + 1})
    assert not ExportBenchmark(sizes=(size, grown), growth_limit=2.0).holds
    other = size.formats[0].model_copy(update={"resumed_same": False})
    broken = size.model_copy(update={"formats": (other, size.formats[1])})
    assert not ExportBenchmark(sizes=(broken,), growth_limit=2.0).holds


def test_a_tree_is_told_by_names_and_bytes(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name / "deep").mkdir(parents=True)
    (tmp_path / "a/deep/x").write_bytes(b"one")
    (tmp_path / "b/deep/x").write_bytes(b"two")
    (tmp_path / "c/deep/y").write_bytes(b"one")
    digests = {tree_digest(tmp_path / name) for name in ("a", "b", "c")}
    assert len(digests) == 3
    assert {size for _, size in digests} == {3}

"""Committed records for the benchmark of exports: made in pages, and copied into the tables as they are stored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg

from services.contracts.canonical import canonical_json, content_sha256

PROJECT = "bench"
LABELS_A_SAMPLE = 7
_A_COPY = 2_000
_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_CLASSES = ("Car", "Pedestrian", "Cyclist", "Truck", "Van")
_STREAMS = (
    {"id": "cam", "modality": "image", "image_size_px": [1242, 375]},
    {"id": "lidar", "modality": "lidar"},
)
_COLUMNS = {
    "samples": ("project", "sample_id", "current_revision", "event_sequence"),
    "sample_revisions": (
        "project", "sample_id", "revision", "stage", "risk", "manifest", "manifest_sha256", "label_version",
        "prediction_version", "created_at",
    ),
    "ground_truth": (
        "project", "sample_id", "revision", "content_sha256", "lineage_sha256", "body", "lineage", "committed_at",
    ),
}  # fmt: skip


async def fill(url: str, records: int, tell: Callable[[str], None]) -> None:
    """Copy records into a migrated database: what they say follows from their number alone.

    Args:
        url: Of the database's owner.
        records: How many.
        tell: Is told how far it is.
    """
    # The guards are for the product; whoever fills a benchmark writes what they would have let through.
    connection = await asyncpg.connect(url, server_settings={"session_replication_role": "replica"})
    try:
        await connection.execute(
            "INSERT INTO projects (id, name, purpose, decision, domain, config) VALUES ($1, $1, '', '', 'bench', $2)",
            PROJECT,
            '{"rule_set":{"id":"default","version":1}}',
        )
        for first in range(0, records, _A_COPY):
            rows = list(_rows(range(first, min(first + _A_COPY, records))))
            for table, columns in _COLUMNS.items():
                await connection.copy_records_to_table(
                    table, records=[[row[name] for name in columns] for row in rows], columns=columns
                )
            if (first // _A_COPY) % 10 == 9:
                tell(f"{first + len(rows):,} of {records:,} records")
        for table in _COLUMNS:
            await connection.execute(f"VACUUM ANALYZE {table}", timeout=1_800)
    finally:
        await connection.close()


def _rows(numbers: range) -> Iterator[dict[str, Any]]:
    for number in numbers:
        body, lineage = record_body(number), _lineage(number)
        at = _BEGAN + timedelta(seconds=number)
        yield {
            "project": PROJECT, "sample_id": body["sample_id"], "revision": 1, "current_revision": 1,
            "event_sequence": 0, "stage": "committed", "risk": "low", "manifest": "{}", "manifest_sha256": "0" * 64,
            "label_version": 1, "prediction_version": 0, "created_at": at, "committed_at": at,
            "content_sha256": content_sha256(body), "lineage_sha256": content_sha256(lineage),
            "body": canonical_json(body).decode(), "lineage": canonical_json(lineage).decode(),
        }  # fmt: skip


def record_body(number: int) -> dict[str, Any]:
    """Return the body of a record: a drive's frame with boxes of the camera and cuboids of the lidar."""
    return {
        "format": "concord.ground_truth/1",
        "project": PROJECT,
        "sample_id": f"drive-{number:08d}",
        "revision": 1,
        "context": {"risk": "low", "region": "DE", "attributes": {"sequence": f"s{number // 40}"}},
        "streams": [
            {**stream, "uri": f"{stream['id']}/{number:08d}", "sha256": content_sha256([stream["id"], number])}
            for stream in _STREAMS
        ],
        "annotations": sorted((_label(number, place) for place in range(LABELS_A_SAMPLE)), key=lambda one: one["id"]),
        "captured_at": (_BEGAN + timedelta(seconds=number)).isoformat().replace("+00:00", "Z"),
    }


def _label(number: int, place: int) -> dict[str, Any]:
    common = {
        "label": _CLASSES[(number + place) % len(_CLASSES)],
        "object_id": f"o{number % 1_000}-{place // 2}",
        "taxonomy_version": "road@1",
        "attributes": {"occluded": (number + place) % 3 == 0},
        "author": {"kind": "human", "id": f"annotator-{number % 20}"},
    }
    x_m = float((number * 7 + place * 13) % 80) + 0.125
    if place % 2:
        return {
            **common, "id": f"k{place}", "type": "cuboid", "stream": "lidar",
            "center_m": [x_m, -x_m / 4, 0.75], "size_m": [4.5, 1.75, 1.5], "yaw_rad": 0.25,
        }  # fmt: skip
    return {**common, "id": f"b{place}", "type": "box", "stream": "cam", "frame": 0,
            "box": [x_m, 100.0, x_m + 60.5, 180.25]}  # fmt: skip


def _lineage(number: int) -> dict[str, Any]:
    annotator, digest = f"annotator-{number % 20}", content_sha256(number)
    author = {"kind": "human", "id": annotator}
    return {
        "format": "concord.lineage/1",
        "manifest_sha256": digest,
        "events": [{"source": "/bench", "id": f"e{number}", "type": "sample.created", "content_sha256": digest}],
        "assets": [
            {"stream": stream["id"], "role": "stream", "uri": f"{stream['id']}/{number:08d}", "size_bytes": 1_000_000,
             "sha256": content_sha256([stream["id"], number])}
            for stream in _STREAMS
        ],
        "predictions": [{"version": 1, "model": "detector", "model_version": "7", "sha256": digest}],
        "label_sets": [
            {"version": 1, "origin": "manifest", "author": author, "sha256": digest, "decision_id": None}
        ],
        "check_runs": [],
        "findings": [],
        "decisions": [],
        "people": [{"id": annotator, "did": ["labels"]}],
        "rule_set": {"id": "default", "version": 1, "sha256": "0" * 64},
        "taxonomy_versions": ["road@1"],
        "workflow": {"id": f"sample/bench/1/drive-{number:08d}", "run_id": f"run-{number}"},
    }  # fmt: skip

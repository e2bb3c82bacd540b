"""``concord top``: what of a view stands on the screen, and as JSON lines."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from infra.cli.top import length, screen, show, sparkline
from services.contracts.operations import OperationsView

AS_OF = datetime(2026, 11, 30, 12, tzinfo=UTC)


def number(value: int) -> dict[str, Any]:
    return {"value": value, "list": "/v1/projects/p/operations/tasks"}


def share(part: int, whole: int) -> dict[str, Any]:
    return {"part": number(part), "whole": number(whole), "value": part / whole if whole else None}


def a_view(**changes: Any) -> OperationsView:
    stage = [{"stage": "in_review", "samples": number(3)}]
    bucket = {
        "since": AS_OF - timedelta(hours=1), "before": AS_OF, "arrived": number(4), "completed": number(2),
        "cancelled": number(0), "open": number(5), "committed": number(2), "stages": stage,
        "kinds": [{"kind": "review", "open": number(4)}, {"kind": "rework", "open": number(1)}],
    }  # fmt: skip
    queue = {
        "queue": "spatial", "kind": "review", "open": number(5), "held": number(1), "late": number(2),
        "oldest_s": number(7_200), "arrived": number(4), "completed": number(2), "cancelled": number(0),
        "forecast": {"arrivals_per_h": 4, "completions_per_h": 2, "breach_in_s": 5_400, "people": 1.25},
    }  # fmt: skip
    values: dict[str, Any] = {
        "project": "av-urban", "as_of": AS_OF, "since": AS_OF - timedelta(hours=1), "stages": stage, "queues": [queue],
        "buckets": [bucket], "committed": number(2),
        "escalations": [
            {"cause": "by_person", "check": "lidar\x1b[2J", "finding_kind": "low_overlap", "tasks": number(7)}
        ],
        "rework": number(6), "rework_loops": number(1), "first_pass_approved": share(3, 4),
        "first_pass_rejected": share(1, 4), "second_looks_agree": share(0, 0),
        "people": [{"actor": "rita", "decided": number(9), "held": number(1), "active_s": number(600)}],
        "effort": {
            "active_s": number(60), "labels": number(4), "active_s_per_label": 15, "cost_per_label": 0.125,
            "currency": "EUR",
        },
    }  # fmt: skip
    return OperationsView.model_validate(values | changes)


def shown(view: OperationsView) -> str:
    console = Console(file=io.StringIO(), width=160, highlight=False)
    console.print(screen(view))
    return console.file.getvalue() if isinstance(console.file, io.StringIO) else ""


def test_the_screen_shows_queues_people_and_what_is_to_come() -> None:
    text = shown(a_view())
    for part in (
        "av-urban", "2026-11-30 12:00:00 UTC, last 1.0 h", "first pass 75% approved, 25% rejected",
        "second looks agree -", "15 s a label", "0.12 EUR a label", "in_review", "spatial", "2.0 h", "1.5 h",
        "by person", "low_overlap", "10.0 min", "review        █", "rework        █",
    ):  # fmt: skip
        assert part in text, part


def test_names_of_others_can_not_steer_the_terminal() -> None:
    assert "\x1b[2J" not in shown(a_view())


def test_once_as_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(a_view(), json_output=True)
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["queues"][0]["open"]["value"] == 5


@pytest.mark.parametrize(
    ("values", "line"), [((0, 1, 8, 4), " ▁█▄"), ((0, 0), "  "), ((), ""), ((1_000,), "█")], ids=str
)
def test_a_line_of_bars_has_the_largest_full(values: tuple[int, ...], line: str) -> None:
    assert sparkline(values) == line


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "-"), (0, "0 s"), (59, "59 s"), (90, "1.5 min"), (7_200, "2.0 h"), (86_400, "1.0 d")]
)
def test_lengths_of_time(seconds: float | None, text: str) -> None:
    assert length(seconds) == text

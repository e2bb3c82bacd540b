from __future__ import annotations

import io

import pytest
from rich.console import Console

from infra.cli import progress
from services.contracts.progress import Progress
from services.progress import Meter


def test_phases_are_shown_in_percent_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    console = Console(file=screen, force_terminal=True, width=120)
    monkeypatch.setattr(progress, "messages", lambda: console)
    with progress.phases("verifying road") as tell:
        tell(Progress(phase="records", done=25, total=100))
        tell(Progress(phase="records", done=50, total=100))
    shown = screen.getvalue()
    assert "verifying road: records" in shown
    assert "50%" in shown
    assert "50/100" in shown


def test_into_a_file_nothing_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "messages", lambda: Console(file=screen))
    with progress.phases("verifying road") as tell:
        tell(Progress(phase="records", done=50, total=100))
    assert screen.getvalue() == ""


def test_a_meter_tells_every_change_and_grows_with_what_comes_meanwhile() -> None:
    heard: list[Progress] = []
    meter = Meter(heard.append)
    meter.begin("records", 3)
    meter.advance(2)
    meter.advance(2)
    meter.begin("card", 5)
    meter.advance()
    meter.end()
    assert [(one.phase, one.done, one.total) for one in heard] == [
        ("records", 0, 3),
        ("records", 2, 3),
        ("records", 4, 4),
        ("card", 0, 5),
        ("card", 1, 5),
        ("card", 1, 1),
    ]

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from infra import bootstrap

ROOT = Path(__file__).parents[2]


def test_ci_looks_at_the_format_and_changes_nothing(tmp_path: Path) -> None:
    python = tmp_path / "python3"
    python.write_text('#!/bin/sh\necho "$CI $*"\n', encoding="utf-8")
    python.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    environment["PATH"] = f"{tmp_path}:{environment['PATH']}"
    said = subprocess.run([ROOT / ".ci/run"], env=environment, capture_output=True, text=True, check=True).stdout
    assert said == "true infra/bootstrap.py check\n"


def test_an_environment_for_development_is_kept_up_to_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared: list[str] = []
    monkeypatch.setattr(bootstrap, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr(bootstrap, "prepare", prepared.append)
    monkeypatch.setattr(os, "execv", lambda path, arguments: None)
    monkeypatch.setattr(sys, "argv", ["bootstrap.py", "demo"])

    bootstrap.main()
    (tmp_path / ".concord-develop").write_text("of other pins", encoding="utf-8")
    bootstrap.main()

    assert prepared == ["runtime", "develop"]

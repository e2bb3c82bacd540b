"""Commands that are imported when they are called, so that each starts as fast as what it needs."""

from __future__ import annotations

import importlib
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from infra.cli.console import report_problem

Command = Any
"""typer carries its own copy of click under a private name, which types here can not be taken from."""

FEATURES: dict[str, tuple[str, str]] = {
    "up": ("infra.cli.up", "up"),
    "demo": ("infra.cli.demo", "demo"),
    "check": ("infra.cli.check", "check"),
    "report": ("infra.cli.report", "report"),
    "agreement": ("infra.cli.agreement", "agreement"),
    "convert": ("infra.cli.convert", "convert"),
    "ingest": ("infra.cli.ingest", "ingest"),
    "samples": ("infra.cli.samples", "samples"),
    "search": ("infra.cli.search", "search"),
    "top": ("infra.cli.top", "top"),
    "queue": ("infra.cli.queue", "app"),
    "tasks": ("infra.cli.tasks", "app"),
    "reviewer": ("infra.cli.reviewer", "app"),
    "claim": ("infra.cli.review", "claim"),
    "decide": ("infra.cli.review", "decide"),
    "incident": ("infra.cli.incident", "app"),
    "quality": ("infra.cli.quality", "app"),
    "feedback": ("infra.cli.feedback", "app"),
    "dataset": ("infra.cli.dataset", "app"),
    "export": ("infra.cli.export", "export"),
    "lineage": ("infra.cli.recall", "lineage"),
    "recall": ("infra.cli.recall", "recall"),
    "erase": ("infra.cli.erase", "erase"),
    "hold": ("infra.cli.erase", "hold_app"),
    "verify": ("infra.cli.verify", "verify"),
    "audit": ("infra.cli.audit", "app"),
    "project": ("infra.cli.project", "app"),
    "rules": ("infra.cli.rules", "app"),
    "taxonomy": ("infra.cli.taxonomy", "app"),
    "key": ("infra.cli.key", "app"),
    "dead-letters": ("infra.cli.dead_letters", "app"),
    "note": ("infra.cli.note", "app"),
    "webhook": ("infra.cli.webhook", "app"),
    "schema": ("infra.cli.schema", "schema"),
    "bench": ("infra.cli.bench", "app"),
    "api": ("infra.cli.api", "api"),
    "ingester": ("infra.cli.ingester", "ingester"),
    "worker": ("infra.cli.worker", "worker"),
    "migrate": ("infra.cli.migrate", "migrate"),
}


def load_command(name: str) -> Command:
    """Return a command by its name; its module is imported now."""
    module_name, attribute = FEATURES[name]
    found = getattr(importlib.import_module(module_name), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        single.command(name)(found)
        found = single
    command = get_command(found)
    command.name = name
    return command


class FeatureGroup(TyperGroup):
    """All commands; problems that a person can do something about end in one sentence and an exit code."""

    def list_commands(self, ctx: Command) -> list[str]:
        """Return the commands in the order they are told in."""
        return list(FEATURES)

    def get_command(self, ctx: Command, cmd_name: str) -> Command:
        """Return a command by its name, None if there is none."""
        return load_command(cmd_name) if cmd_name in FEATURES else None

    def invoke(self, ctx: Command) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Exception as error:
            code = report_problem(error)
            if code is None:
                raise
            raise typer.Exit(code) from error

"""``concord``: the command line."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from infra.cli.console import product_version
from infra.cli.groups import FeatureGroup

app = typer.Typer(
    cls=FeatureGroup,
    name="concord",
    help="Human-in-the-loop review for multimodal annotation.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"concord {product_version()}")
        raise typer.Exit


@app.callback()
def concord(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Human-in-the-loop review for multimodal annotation: labels that agree across modalities."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except BrokenPipeError:  # the reader of our output has seen enough
        sys.stderr.close()
        sys.exit(0)


if __name__ == "__main__":
    main()

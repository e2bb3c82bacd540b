"""``concord schema``: the published JSON Schemas."""

from __future__ import annotations

from typing import Annotated

import typer

from infra.cli.console import print_json
from services.errors import InvalidInputError
from services.schemas import SCHEMAS, published_schema


def schema(
    name: Annotated[str | None, typer.Argument(help="Which one; all names are listed without it.")] = None,
) -> None:
    """Print a published JSON Schema, or the AsyncAPI document."""
    if name is None:
        for known in sorted(SCHEMAS):
            typer.echo(known)
        return
    if name not in SCHEMAS:
        raise InvalidInputError(f"there is no schema {name!r}; there are {', '.join(sorted(SCHEMAS))}")
    print_json(published_schema(name))

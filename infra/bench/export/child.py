"""One export in a process of its own: the product's own command, and how much memory it took at most.

Started as ``python -m infra.bench.export.child RESULT ARGUMENTS…``, with the arguments of ``concord dataset export``.
Writes the peak in bytes to ``RESULT``.
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from infra.bench.checks.memory_child import peak_bytes
from infra.cli.dataset_export import export_dataset


def main(result: Path, arguments: list[str]) -> None:
    """Run the command and write down what it took."""
    app = typer.Typer(add_completion=False)
    app.command()(export_dataset)
    app(arguments, standalone_mode=False)
    result.write_text(str(peak_bytes()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

"""The examples of docs/client.md, run in their order against a whole Concord, with what they print."""

from __future__ import annotations

import ast
import contextlib
import inspect
import io
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from infra.local import LocalConcord, LocalConfig, run_local

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]

DOCUMENT = Path(__file__).parents[2] / "docs/client.md"
_FENCED = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A block of code and what it is said to print."""

    line: int
    code: str
    output: str


def examples(document: str) -> Iterator[Example]:
    """Yield the code of a document, each with the text that follows it."""
    blocks = [(document.count("\n", 0, found.start()) + 1, found[1], found[2]) for found in _FENCED.finditer(document)]
    for (line, kind, code), following in zip(blocks, [*blocks[1:], (0, "python", "")], strict=True):
        if kind == "python":
            yield Example(line, code, following[2] if following[1] == "text" else "")


async def run(example: Example, namespace: dict[str, Any]) -> str:
    """Run an example as a notebook would; return what it prints."""
    # The lines before it are left empty, so that an error names the line of the document.
    source = "\n" * example.line + example.code
    code = compile(source, str(DOCUMENT), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        waiting = eval(code, namespace)  # noqa: S307 - the product's own document
        if inspect.iscoroutine(waiting):
            await waiting
    return printed.getvalue()


@pytest.fixture
async def concord(tmp_path: Path) -> AsyncIterator[LocalConcord]:
    """All processes, the API under the product's own restricted role."""
    hosts = {"CONCORD_WEBHOOK_HOSTS": '["hooks.example"]'}
    async with run_local(LocalConfig(data_dir=tmp_path / "data", durable=False, environment=hosts)) as running:
        yield running


async def test_every_example_prints_what_the_document_says(concord: LocalConcord) -> None:
    namespace: dict[str, Any] = {"url": concord.urls.api_url, "key": concord.admin_key}
    told = list(examples(DOCUMENT.read_text()))
    assert len(told) > 20
    for example in told:
        assert await run(example, namespace) == example.output, f"{DOCUMENT.name}:{example.line}"


async def test_an_example_that_prints_otherwise_is_found() -> None:
    document = "# Title\n\n```python\nprint(1 + x)\n```\n\n```text\n3\n```\n\n```python\ny = await z()\n```\n"
    first, second = examples(document)
    assert (first.line, first.output, second.line, second.output) == (3, "3\n", 11, "")

    async def z() -> int:
        return 4

    namespace: dict[str, Any] = {"x": 1, "z": z}
    assert await run(first, namespace) == "2\n" != first.output
    await run(second, namespace)
    assert namespace["y"] == 4

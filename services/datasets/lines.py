"""A version as JSON Lines: one canonical document a sample, the same whoever writes it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from services.contracts.access import Principal
from services.contracts.canonical import canonical_json
from services.contracts.datasets import MemberRecord
from services.datasets.shelf import DatasetShelf
from services.ports.database import Database

_RECORDS_A_PAGE = 100


def line_of(item: MemberRecord) -> dict[str, Any]:
    """Return a sample as a line of JSON Lines holds it."""
    member, record = item.member, item.record
    return {
        "sample_id": member.sample_id,
        "revision": member.revision,
        "split": member.split,
        "group": member.group,
        "content_sha256": record.content_sha256,
        "lineage_sha256": record.lineage_sha256,
        "body": record.body,
        "lineage": record.lineage,
    }


def line_bytes(item: MemberRecord) -> bytes:
    """Return a sample as canonical JSON with its line's end."""
    return canonical_json(line_of(item)) + b"\n"


async def open_lines(
    database: Database,
    principal: Principal,
    project: str,
    name: str,
    version: int,
    *,
    split: str | None,
    after: str | None,
) -> AsyncIterator[bytes]:
    """Return the lines of a version by sample id, some at a time; what was erased has none.

    The first page is read before this returns, so that what is not there is told before anything is sent; each other
    page is read when it is asked for, so that memory does not grow with the version.

    Args:
        database: The store of record.
        principal: Who asks.
        project: The project.
        name: The dataset.
        version: Its version.
        split: Only members of this split.
        after: Only members behind this sample, which is one.

    Raises:
        NotFoundError: There is no such version that the key sees, or the sample is no member of it.
    """
    shelf = DatasetShelf(database)

    async def page(behind: int | None) -> Sequence[MemberRecord]:
        return await shelf.records(principal, project, name, version, split=split, after=behind, limit=_RECORDS_A_PAGE)

    async def lines(items: Sequence[MemberRecord]) -> AsyncIterator[bytes]:
        while items:
            # Making JSON is work for the processor; other requests go on meanwhile.
            yield await asyncio.to_thread(_joined, items)
            items = await page(items[-1].member.position)

    behind = None if after is None else await shelf.position(principal, project, name, version, after)
    return lines(await page(behind))


def _joined(items: Sequence[MemberRecord]) -> bytes:
    return b"".join(line_bytes(item) for item in items if not item.record.is_erased)

"""Keeps the heads of all audit chains in a file outside of the database, at a steady distance."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import structlog

from services.access.keys import SYSTEM_PROJECT
from services.audit.anchors import anchor_line, parse_anchors
from services.contracts.verification import Anchor, AuditHead
from services.errors import InvalidInputError, UnavailableError
from services.ports.database import Database

_log = structlog.get_logger(__name__)


class AnchorKeeper:
    """Appends a line for every chain that has grown since its last line.

    Args:
        database: The store of record.
        file: Where; best on a disk, or a mount, that the database's owner can not write to.
        every_s: How far apart.
    """

    def __init__(self, database: Database, file: Path, every_s: float) -> None:
        self._database = database
        self._file = file
        self._every_s = every_s

    async def run(self, stop: asyncio.Event) -> None:
        """Keep anchors until told to stop; what does not work now is logged and tried again the next time."""
        while not stop.is_set():
            try:
                await asyncio.to_thread(append_heads, self._file, await self._heads())
            except (OSError, UnavailableError, InvalidInputError) as error:
                _log.warning("anchors_not_kept", file=str(self._file), reason=str(error))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._every_s)

    async def _heads(self) -> list[AuditHead]:
        heads = []
        async with self._database.transaction() as tx:
            at = await tx.now()
            for name in (SYSTEM_PROJECT, *(project.id for project in await tx.projects.list())):
                sequence, sha256 = await tx.audit.head(name)
                anchor = Anchor(sequence=sequence, sha256=sha256) if sequence else None
                heads.append(AuditHead(project=name, anchor=anchor, at=at))
        return heads


def append_heads(file: Path, heads: Iterable[AuditHead]) -> int:
    """Append a line for every head that is not the newest of its project in the file; return how many.

    Raises:
        OSError: The file can not be read or written.
        InvalidInputError: It holds something else than anchors.
    """
    known: dict[str, list[Anchor]] = {}
    if file.exists():
        with file.open(encoding="utf-8") as stream:
            known = parse_anchors(stream)
    lines = [
        _line(head.project, head.anchor, head.at)
        for head in heads
        if head.anchor is not None and known.get(head.project, [None])[-1] != head.anchor
    ]
    if lines:
        with file.open("a", encoding="utf-8") as stream:
            stream.writelines(lines)
            stream.flush()
            os.fsync(stream.fileno())
    return len(lines)


def _line(project: str, anchor: Anchor, at: datetime) -> str:
    return anchor_line(project, anchor, at) + "\n"

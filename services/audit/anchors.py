"""Anchors as lines of a file outside of the store: whoever rewrites the chain can not rewrite them too.

A line is ``PROJECT SEQUENCE:SHA256 TIME``; the time is for people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import datetime

from services.contracts.canonical import time_text
from services.contracts.verification import Anchor
from services.errors import InvalidInputError

_LINK = re.compile(r"([1-9][0-9]{0,15}):([0-9a-f]{64})")
_SHOWN = 100


def parse_link(text: str, *, what: str) -> Anchor:
    """Return the anchor of ``SEQ:SHA``.

    Raises:
        InvalidInputError: It has another form.
    """
    match = _LINK.fullmatch(text.strip().lower())
    if match is None:
        raise InvalidInputError(f"{what} is SEQ:SHA: the number of an audit entry and its 64 hex digits")
    return Anchor(sequence=int(match[1]), sha256=match[2])


def anchor_line(project: str, anchor: Anchor, at: datetime) -> str:
    """Return an anchor as a line, without its end."""
    return f"{project} {anchor.sequence}:{anchor.sha256} {time_text(at)}"


def parse_anchors(lines: Iterable[str]) -> dict[str, list[Anchor]]:
    """Return the anchors of each project, in the order of the lines; empty lines are left out.

    Raises:
        InvalidInputError: A line is no anchor. None is skipped: it may be the one that somebody damaged.
    """
    found: dict[str, list[Anchor]] = {}
    for number, line in enumerate(lines, start=1):
        parts = line.split()
        if not parts:
            continue
        if len(parts) < 2:
            raise InvalidInputError(f"line {number} is no anchor (PROJECT SEQ:SHA TIME): {line[:_SHOWN]!r}")
        found.setdefault(parts[0], []).append(parse_link(parts[1], what=f"the second word of line {number}"))
    return found

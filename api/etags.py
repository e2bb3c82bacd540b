"""Entity tags: what a change was made from, and whether it still is so (RFC 9110)."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

from services.errors import ChangedMeanwhileError

IfMatch = Annotated[
    str | None, Header(max_length=500, description="ETag of what the change was made from; refused if it changed.")
]


def etag_of(version: str) -> str:
    """Return the entity tag of a version."""
    return f'"{version}"'


def expected_version(if_match: str | None, what: str) -> str | None:
    """Return the version that an If-Match header names; None where any will do.

    Args:
        if_match: The header.
        what: How errors name the resource, such as ``project``.

    Raises:
        ChangedMeanwhileError: It is no strong entity tag; a weak or foreign one never matches (RFC 9110, 13.1.1).
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tag = if_match.strip()
    if len(tag) < 2 or tag[0] != '"' or tag[-1] != '"':
        raise ChangedMeanwhileError(f"If-Match holds no ETag of this {what}; read it again.")
    return tag[1:-1]

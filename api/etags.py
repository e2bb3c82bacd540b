"""``If-Match``: a change is refused if somebody else made one since the caller read."""

from __future__ import annotations

from typing import Annotated

from fastapi import Header

from services.errors import ChangedMeanwhileError

IfMatch = Annotated[
    str | None, Header(max_length=500, description="ETag of what the change was made from; refused if it changed.")
]


def expected_of(if_match: str | None, what: str) -> str | None:
    """Return the version that a header names; None where any will do.

    Args:
        if_match: The header.
        what: What is changed, for the sentence.

    Raises:
        ChangedMeanwhileError: It can not match: a weak or foreign tag never does (RFC 9110, 13.1.1).
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tag = if_match.strip()
    if len(tag) < 2 or tag[0] != '"' or tag[-1] != '"':
        raise ChangedMeanwhileError(f"If-Match holds no ETag of {what}; read it again.")
    return tag[1:-1]

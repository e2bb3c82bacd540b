"""Opaque cursors: where the next page begins, as the key of the last item of this one."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, UtcDatetime
from services.contracts.canonical import canonical_json, parse_json
from services.contracts.validation import validate
from services.errors import ConcordError, InvalidInputError

Item = TypeVar("Item")
Key = TypeVar("Key")
Selection = TypeVar("Selection", bound=Contract)
DEFAULT_LIMIT, MAX_LIMIT = 100, 500
MAX_CURSOR_LENGTH = 2_000

Limit = Annotated[int, Query(ge=1, le=MAX_LIMIT, description="At most so many items.")]
Cursor = Annotated[
    str | None,
    Query(max_length=MAX_CURSOR_LENGTH, description="next_cursor of the page before; opaque, do not build one."),
]

_Revision = Annotated[int, Field(ge=0, le=2**31 - 1)]
_Sequence = Annotated[int, Field(ge=0, le=2**53)]


class TimeKey(NamedTuple):
    """Key of a list by time."""

    at: UtcDatetime
    id: UUID


class SampleKey(NamedTuple):
    """Key of a list of sample revisions by time."""

    at: UtcDatetime
    sample_id: Identifier
    revision: _Revision


class EntryKey(NamedTuple):
    """Key of a list by time, of things that are numbered."""

    at: UtcDatetime
    entry: _Sequence


class ActivityKey(NamedTuple):
    """Key of a list of people's work on tasks."""

    at: UtcDatetime
    id: UUID
    actor_id: Identifier


class LabelKey(NamedTuple):
    """Key of a list of labels by sample."""

    sample_id: Identifier
    revision: _Revision
    place: _Sequence


class RevisionKey(NamedTuple):
    """Key of a list by id and number."""

    id: Identifier
    revision: _Revision


class TextTimeKey(NamedTuple):
    """Key of a list by time, of things whose ids are texts."""

    at: UtcDatetime
    id: Identifier


class QueueKey(NamedTuple):
    """Key of a list of queues."""

    project: Name
    queue: Name
    kind: Name


class ListedQueueKey(NamedTuple):
    """Key of a list of a project's queues."""

    source: Annotated[int, Field(ge=0, le=2)]
    position: _Revision
    name: Name


class NameKey(NamedTuple):
    """Key of a list by id."""

    id: Identifier


class NumberKey(NamedTuple):
    """Key of a list by sequence number."""

    sequence: _Sequence


class DiffKey(NamedTuple):
    """Key of a list of differences: the places reached in both lists that are compared."""

    before: Annotated[int, Field(ge=-1, le=2**53)]
    after: Annotated[int, Field(ge=-1, le=2**53)]


class MemberKey(NamedTuple):
    """Key of a list of the findings of an incident."""

    sample_id: Identifier
    finding_id: Identifier


class IdKey(NamedTuple):
    """Key of a list whose order only its store knows."""

    id: UUID


class PageQuery(Contract):
    """Which page of a list is asked for, beside what is selected."""

    cursor: Cursor = None
    limit: Limit = DEFAULT_LIMIT


def selected(kind: type[Selection], wanted: Selection) -> Selection:
    """Return what is selected, whatever the page."""
    return kind.model_validate(wanted.model_dump(include=set(kind.model_fields)))


def encode_cursor(of: str, key: Sequence[Any]) -> str:
    """Return the cursor after ``key`` in the list named ``of``."""
    return base64.urlsafe_b64encode(canonical_json([of, *map(_plain, key)])).decode().rstrip("=")


def _plain(part: Any) -> Any:
    if isinstance(part, datetime):
        return part.isoformat()
    return str(part) if isinstance(part, UUID) else part


def decode_cursor(of: str, kind: type[Key], cursor: str | None) -> Key | None:
    """Return the key that a cursor holds; None for the first page.

    Raises:
        InvalidInputError: It is no cursor of this list.
    """
    if cursor is None:
        return None
    try:
        parts = parse_json(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(parts, list) or parts[:1] != [of]:
            raise ValueError(of)
        return validate(kind, parts[1:], what="cursor")
    except (ConcordError, ValueError, binascii.Error) as error:
        sentence = "is no cursor of this list; send next_cursor of the page before, or none"
        raise InvalidInputError(
            f"The request is not valid: /query/cursor {sentence}", places=(("/query/cursor", sentence),)
        ) from error


def slice_page(
    items: Sequence[Item],
    of: str,
    key: Callable[[Item], tuple[Any, ...]],
    *,
    cursor: str | None,
    kind: type[Any],
    limit: int,
) -> tuple[Sequence[Item], str | None]:
    """Return a page of a list that is short enough to be read whole, sorted by ``key``, and its next cursor."""
    after = decode_cursor(of, kind, cursor)
    rest = [item for item in items if after is None or key(item) > after]
    return cut_page(rest, of, key, limit=limit)


def cut_page(
    found: Sequence[Item], of: str, key: Callable[[Item], tuple[Any, ...]], *, limit: int
) -> tuple[Sequence[Item], str | None]:
    """Return a page from one item more than fits, where there are so many, and its next cursor."""
    page = found[:limit]
    return page, encode_cursor(of, key(page[-1])) if len(found) > limit else None

"""What is found by words."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from services.contracts.base import Contract, Identifier, Text, UtcDatetime
from services.contracts.findings import Severity


class HitKind(StrEnum):
    """What was found."""

    SAMPLE = "sample"
    FINDING = "finding"
    NOTE = "note"
    TASK = "task"
    PERSON = "person"


class SearchFilter(Contract):
    """What is looked for; every member that is given must hold.

    ``words`` are the beginnings of words, in any order.
    """

    words: Annotated[tuple[str, ...], Field(max_length=10)] = ()
    kinds: tuple[HitKind, ...]
    projects: tuple[str, ...] | None = Field(description="None means every project.")
    sample_id: Identifier | None = None
    actor: Identifier | None = None
    severity: Severity | None = None
    since: UtcDatetime | None = None
    until: UtcDatetime | None = None


class SearchHit(Contract):
    """Something that was found."""

    entry: Annotated[int, Field(ge=1)] = Field(description="Orders what came about in one moment.")
    kind: HitKind
    subject: Text = Field(description="Its id: of the sample, finding, note, task or person.")
    project: str | None = Field(default=None, description="None for people whose keys see every project.")
    sample_id: str | None = None
    revision: int | None = None
    title: Text
    excerpt: Text = ""
    actor: str | None = Field(default=None, description="Who wrote it.")
    severity: Severity | None = None
    at: UtcDatetime = Field(description="When it came about.")

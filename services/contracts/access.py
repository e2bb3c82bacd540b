"""People, keys and roles."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from services.contracts.base import Contract, Identifier, Name, ProjectId, UtcDatetime


class Role(StrEnum):
    """What a key may do; each key has exactly one role."""

    ADMIN = "admin"
    OPERATIONS = "operations"
    ANNOTATOR = "annotator"
    REVIEWER = "reviewer"
    EXPERT = "expert"
    UPSTREAM = "upstream"
    VIEWER = "viewer"


class Principal(Contract):
    """Who is asking: the person behind a key, and what the key allows."""

    actor_id: Identifier = Field(description="The person or system; two keys of one person share it.")
    key_id: Identifier
    role: Role
    projects: Annotated[tuple[ProjectId, ...], Field(max_length=1_000)] | None = Field(
        description="Projects the key may touch; None means every project."
    )
    skills: Annotated[tuple[Name, ...], Field(max_length=100)] = ()

    def sees(self, project: str) -> bool:
        """Whether the key may touch ``project``."""
        return self.projects is None or project in self.projects


class ApiKeyInfo(Contract):
    """A key as it is listed: never its secret."""

    key_id: Identifier
    actor_id: Identifier
    role: Role
    projects: tuple[ProjectId, ...] | None
    skills: tuple[Name, ...]
    created_at: UtcDatetime
    expires_at: UtcDatetime | None = None
    revoked_at: UtcDatetime | None = None


SYSTEM_ACTOR = "concord"
"""The actor of what the product does by itself."""

"""API keys: 256-bit secrets that are told once and kept as hashes."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Annotated

from pydantic import Field

from services.access.policy import ensure_sees, ensure_unscoped
from services.contracts.access import SYSTEM_ACTOR, ApiKeyInfo, Principal, Role
from services.contracts.base import Contract, Identifier, Name, ProjectId, UtcDatetime
from services.errors import ForbiddenError, InvalidInputError, NotFoundError
from services.ports.database import Database, Transaction

SECRET_PREFIX = "ck_"  # noqa: S105 - tells a scanner what a found secret is for
SYSTEM_PROJECT = "concord"
"""Whose audit chain holds what concerns no single project: rule sets and keys for every project."""

_MIN_LIFETIME = timedelta(seconds=1)


class NewKey(Contract):
    """A key to make."""

    actor_id: Identifier = Field(description="The person or system; two keys of one person share it.")
    role: Role
    projects: Annotated[tuple[ProjectId, ...], Field(min_length=1, max_length=1_000)] | None = Field(
        default=None, description="Projects the key may touch; every project if left out."
    )
    skills: Annotated[tuple[Name, ...], Field(max_length=100)] = ()
    expires_at: UtcDatetime | None = None


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key with its secret, which is nowhere else."""

    key: ApiKeyInfo
    secret: str = field(repr=False)


def new_secret() -> str:
    """Return a fresh secret: ``ck_`` and 43 URL-safe characters."""
    return SECRET_PREFIX + secrets.token_urlsafe(32)


def sha256_of_secret(secret: str) -> str:
    """Return what is stored of a secret; one fast hash is enough for 256 random bits."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


class KeyRing:
    """Issues, lists and revokes keys; a key limited to projects manages keys inside these only."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def issue(self, principal: Principal, new_key: NewKey) -> IssuedKey:
        """Make a key and tell its secret this once.

        Raises:
            ForbiddenError: The issuing key does not see all projects of the new one, or the actor is reserved.
            NotFoundError: A project does not exist.
            InvalidInputError: The new key would be expired already.
        """
        self._ensure_inside(principal, new_key.projects)
        if new_key.actor_id == SYSTEM_ACTOR:
            raise ForbiddenError(f"{SYSTEM_ACTOR!r} is the product itself; choose another actor_id.")
        secret = new_secret()
        async with self._database.transaction() as tx:
            now = await tx.now()
            if new_key.expires_at is not None and new_key.expires_at < now + _MIN_LIFETIME:
                sentence = "must lie in the future"
                raise InvalidInputError(
                    f"The key is not valid: /expires_at: {sentence}", places=(("/expires_at", sentence),)
                )
            for project in new_key.projects or ():
                ensure_sees(principal, project)
                if await tx.projects.get(project) is None:
                    raise NotFoundError(f"There is no project {project!r}.", places=(("/projects", "unknown"),))
            key = ApiKeyInfo(key_id=f"key-{secrets.token_hex(8)}", created_at=now, **new_key.model_dump())
            await tx.access.add_key(key, sha256_of_secret(secret))
            _note(tx, key, actor=principal.actor_id, action="key.issued")
        return IssuedKey(key=key, secret=secret)

    async def list(self, principal: Principal) -> tuple[ApiKeyInfo, ...]:
        """Return the keys that the principal may manage, oldest first, never their secrets."""
        async with self._database.transaction() as tx:
            keys = await tx.access.list_keys()
        return tuple(key for key in keys if _manages(principal, key))

    async def revoke(self, principal: Principal, key_id: str) -> None:
        """Revoke a key; it stops working with this transaction. Revoking it again changes nothing.

        Raises:
            NotFoundError: There is no such key, or none that the principal may manage.
        """
        async with self._database.transaction() as tx:
            known = [key for key in await tx.access.list_keys() if key.key_id == key_id and _manages(principal, key)]
            if not known:
                raise NotFoundError(f"There is no key {key_id!r}.")
            if await tx.access.revoke_key(key_id):
                _note(tx, known[0], actor=principal.actor_id, action="key.revoked")

    @staticmethod
    def _ensure_inside(principal: Principal, projects: tuple[str, ...] | None) -> None:
        if projects is None:
            ensure_unscoped(principal, "A key without projects")
        for project in projects or ():
            ensure_sees(principal, project)


def _manages(principal: Principal, key: ApiKeyInfo) -> bool:
    if principal.projects is None:
        return True
    return key.projects is not None and set(key.projects) <= set(principal.projects)


def _note(tx: Transaction, key: ApiKeyInfo, *, actor: str, action: str) -> None:
    body = {
        "actor_id": key.actor_id,
        "role": key.role.value,
        "projects": None if key.projects is None else list(key.projects),
        "skills": list(key.skills),
        "expires_at": None if key.expires_at is None else key.expires_at.isoformat(),
    }
    for project in key.projects or (SYSTEM_PROJECT,):
        tx.audit.append(project, actor=actor, action=action, subject=f"keys/{key.key_id}", body=body)

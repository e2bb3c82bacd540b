"""API keys."""

from __future__ import annotations

from sqlalchemy import text

from infra.db.repositories.base import Repository
from services.contracts.access import ApiKeyInfo, Principal, Role
from services.errors import AlreadyExistsError

_ADD = text("""
    INSERT INTO api_keys
        (key_id, actor_id, role, projects, skills, secret_sha256, created_at, expires_at, revoked_at)
    VALUES (:key_id, :actor_id, :role, CAST(:projects AS text[]), CAST(:skills AS text[]), :secret_sha256,
            :created_at, :expires_at, :revoked_at)
    ON CONFLICT DO NOTHING
""")
_PRINCIPAL = text("""
    SELECT key_id, actor_id, role, projects, skills FROM api_keys
    WHERE secret_sha256 = :secret_sha256 AND revoked_at IS NULL
      AND (expires_at IS NULL OR expires_at > clock_timestamp())
""")
_LIST = text("SELECT * FROM api_keys ORDER BY created_at, key_id")
_REVOKE = text("""
    UPDATE api_keys SET revoked_at = clock_timestamp() WHERE key_id = :key_id AND revoked_at IS NULL
""")


class PostgresAccess(Repository):
    """Implements :class:`services.ports.database.AccessRepository`."""

    async def add_key(self, key: ApiKeyInfo, secret_sha256: str) -> None:
        """Keep a new key.

        Raises:
            AlreadyExistsError: The key id, or the secret, is known.
        """
        added = await self._count(
            _ADD,
            key_id=key.key_id,
            actor_id=key.actor_id,
            role=key.role.value,
            projects=None if key.projects is None else [*key.projects],
            skills=[*key.skills],
            secret_sha256=secret_sha256,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
        )
        if not added:
            raise AlreadyExistsError(f"there is a key {key.key_id} already")

    async def principal_of(self, secret_sha256: str) -> Principal | None:
        """Return who has this key, or None if it is unknown, revoked or expired."""
        row = await self._first(_PRINCIPAL, secret_sha256=secret_sha256)
        if row is None:
            return None
        return Principal(
            key_id=row.key_id,
            actor_id=row.actor_id,
            role=Role(row.role),
            projects=None if row.projects is None else tuple(row.projects),
            skills=tuple(row.skills),
        )

    async def list_keys(self) -> tuple[ApiKeyInfo, ...]:
        """Return all keys, oldest first."""
        return tuple(
            ApiKeyInfo(
                key_id=row.key_id,
                actor_id=row.actor_id,
                role=Role(row.role),
                projects=None if row.projects is None else tuple(row.projects),
                skills=tuple(row.skills),
                created_at=row.created_at,
                expires_at=row.expires_at,
                revoked_at=row.revoked_at,
            )
            for row in await self._run(_LIST)
        )

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke a key; False if there is none or it was revoked before."""
        return await self._count(_REVOKE, key_id=key_id) == 1

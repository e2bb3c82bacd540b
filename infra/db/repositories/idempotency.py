"""Replies to unsafe calls."""

from __future__ import annotations

from sqlalchemy import text

from infra.db.repositories.base import Repository

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 2))")
_GET = text("""
    SELECT request_sha256, status, body FROM idempotency_replies WHERE actor_id = :actor_id AND key = :key
""")
_ADD = text("""
    INSERT INTO idempotency_replies (actor_id, key, request_sha256, status, body)
    VALUES (:actor_id, :key, :request_sha256, :status, :body)
""")


class PostgresIdempotency(Repository):
    """Implements :class:`services.ports.database.IdempotencyRepository`."""

    async def lock(self, actor_id: str, key: str) -> tuple[str, int, bytes] | None:
        """Serialise calls with this key; return (request hash, status, body) of a finished one."""
        await self._run(_LOCK, name=f"{actor_id}\n{key}")
        # A statement of its own: its snapshot must be younger than the end of the wait.
        row = await self._first(_GET, actor_id=actor_id, key=key)
        return None if row is None else (row.request_sha256, row.status, bytes(row.body))

    async def add(self, actor_id: str, key: str, request_sha256: str, status: int, body: bytes) -> None:
        """Keep the reply of a finished call."""
        await self._count(_ADD, actor_id=actor_id, key=key, request_sha256=request_sha256, status=status, body=body)

"""How connections to Postgres are made."""

from __future__ import annotations

from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S = 10.0
LOCK_TIMEOUT_S = 20
_CLIENT_GRACE_S = 15


def create_engine(url: str, *, statement_timeout_s: int, **options: Any) -> AsyncEngine:
    """Return an engine on the asyncpg driver.

    Args:
        url: A libpq URL, ``postgresql://user:password@host:port/database``; asyncpg reads it, options included.
        statement_timeout_s: The server ends a statement after this time; 0 never. Where the server itself does not
            answer, the client gives up 15 s later.
        options: Further arguments of SQLAlchemy's ``create_async_engine``.
    """

    async def connect() -> asyncpg.Connection:
        return await asyncpg.connect(
            url,
            timeout=CONNECT_TIMEOUT_S,
            command_timeout=statement_timeout_s + _CLIENT_GRACE_S if statement_timeout_s else None,
            server_settings={
                "application_name": "concord",
                "statement_timeout": str(statement_timeout_s * 1000),
                "lock_timeout": str(LOCK_TIMEOUT_S * 1000),
                "idle_in_transaction_session_timeout": str(max(statement_timeout_s, 60) * 1000),
                # Every statement here is short; compiling one costs more than running it.
                "jit": "off",
                "timezone": "UTC",
            },
        )

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connect,
        hide_parameters=True,
        **options,
    )

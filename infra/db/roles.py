"""The database role that the running product has: it adds to history and can not change it.

Who owns the tables can switch their triggers off. So the product runs under a role that owns nothing: it may insert
into what is append-only, and neither update, delete nor truncate it. What may go is removed by functions of the owner
alone, which write down that it went.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import asyncpg

from infra.db.connect import CONNECT_TIMEOUT_S
from infra.db.errors import translated
from services.errors import InvalidInputError

APP_ROLE = "concord_app"
_APPEND_ONLY = """
    SELECT relation.relname FROM pg_trigger AS own JOIN pg_class AS relation ON relation.oid = own.tgrelid
    WHERE own.tgname = 'append_only' AND relation.relnamespace = 'public'::regnamespace
"""
_ROLE = "SELECT rolsuper, pg_has_role(rolname, relowner, 'MEMBER') AS owns FROM pg_roles, pg_class WHERE rolname = $1 \
AND pg_class.oid = 'audit_entries'::regclass"
# Of these the daily work changes some columns, and deletes nothing.
_CHANGED_COLUMNS = {
    "sample_revisions": "stage, updated_at, label_version, prediction_version",
    "audit_heads": "sequence, sha256",
}
_FUNCTIONS = "SELECT oid::regprocedure::text FROM pg_proc WHERE prosecdef AND pronamespace = 'public'::regnamespace"


async def grant_app_role(owner_url: str, role: str, *, password: str | None = None) -> None:
    """Give a role the rights of the running product, no more; doing it again gives the same.

    Args:
        owner_url: The migrated database, as the owner of its tables.
        role: The role; it must exist unless a password is given.
        password: Makes the role where it is missing, and sets this password.

    Raises:
        InvalidInputError: There is no such role, or it could give itself any right.
        UnavailableError: The database does not answer.
    """
    with translated():
        connection = await asyncpg.connect(owner_url, timeout=CONNECT_TIMEOUT_S)
    try:
        with translated():
            async with connection.transaction():
                await _grant(connection, role, password)
    finally:
        await connection.close()


async def _grant(connection: asyncpg.Connection[Any], role: str, password: str | None) -> None:
    name = await connection.fetchval("SELECT quote_ident($1)", role)
    known = await connection.fetchrow(_ROLE, role)
    if known is None and password is None:
        raise InvalidInputError(f"there is no role {role!r} in the database; CREATE ROLE {name} LOGIN PASSWORD '…'")
    if known is not None and (known["rolsuper"] or known["owns"]):
        raise InvalidInputError(f"{role!r} is a superuser or owns the tables, so no right can be kept from it")
    if known is None:
        await connection.execute(f"CREATE ROLE {name} LOGIN")
    if password is not None:
        await connection.execute(
            await connection.fetchval(f"SELECT 'ALTER ROLE {name} PASSWORD ' || quote_literal($1)", password)
        )
    every = "IN SCHEMA public"
    for statement in (
        f"GRANT USAGE ON SCHEMA public TO {name}",
        f"REVOKE ALL ON ALL TABLES {every} FROM {name}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES {every} TO {name}",
        f"GRANT USAGE ON ALL SEQUENCES {every} TO {name}",
        f"REVOKE INSERT, UPDATE, DELETE ON alembic_version FROM {name}",
    ):
        await connection.execute(statement)
    for row in await connection.fetch(_APPEND_ONLY):
        await connection.execute(f'REVOKE UPDATE, DELETE ON "{row["relname"]}" FROM {name}')
    for table, columns in _CHANGED_COLUMNS.items():
        await connection.execute(f"REVOKE UPDATE, DELETE ON {table} FROM {name}")
        await connection.execute(f"GRANT UPDATE ({columns}) ON {table} TO {name}")
    for row in await connection.fetch(_FUNCTIONS):
        await connection.execute(f"GRANT EXECUTE ON FUNCTION {row['oid']} TO {name}")


def app_url(owner_url: str) -> str:
    """Return the address of the embedded database for the running product: the same, under its own role."""
    parts = urlsplit(owner_url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=f"{APP_ROLE}:{quote(app_password(owner_url))}@{host}"))


def app_password(owner_url: str) -> str:
    """Return the password of the product's role, made of the owner's so that it needs no file of its own."""
    secret = unquote(urlsplit(owner_url).password or "")
    return hmac.digest(secret.encode(), APP_ROLE.encode(), hashlib.sha256).hex()

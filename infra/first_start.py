"""What a store of record needs before its first use: the built-in rule set and a first key."""

from __future__ import annotations

import re

import structlog

from infra.db.engine import open_database
from infra.db.migrate import migrate
from services.access.keys import SECRET_PREFIX, SYSTEM_PROJECT, sha256_of_secret
from services.contracts.access import SYSTEM_ACTOR, ApiKeyInfo, Role
from services.errors import InvalidInputError
from services.ports.database import Database
from services.rules.rule_set import DEFAULT_RULE_SET

_log = structlog.get_logger(__name__)
FIRST_ACTOR = "admin"
_STRONG = re.compile(rf"{SECRET_PREFIX}[A-Za-z0-9_-]{{43,}}")


async def prepare_store(url: str, *, bootstrap_key: str | None) -> None:
    """Bring the schema up to date and put in what must be there; doing it again changes nothing.

    Args:
        url: The database.
        bootstrap_key: Secret of the first admin key; None makes no key.

    Raises:
        InvalidInputError: The secret is not one that a generator made.
        UnavailableError: The database does not answer.
    """
    await migrate(url)
    async with open_database(url, pool_size=1) as database:
        await _keep_default_rules(database)
        if bootstrap_key is not None:
            await keep_first_key(database, bootstrap_key)


async def _keep_default_rules(database: Database) -> None:
    async with database.transaction() as tx:
        # Check runs refer to the rules they went by, the built-in ones too.
        known = await tx.projects.rule_set(DEFAULT_RULE_SET.reference)
        if known is None:
            await tx.projects.add_rule_set(DEFAULT_RULE_SET)
        elif known != DEFAULT_RULE_SET:
            # What projects went by stays what it was; a newer program brings its rules under a newer version.
            _log.warning("built_in_rules_differ", rule_set=known.id, version=known.version)


async def keep_first_key(database: Database, secret: str) -> None:
    """Keep the first admin key under an id made of its secret; one that was revoked stays revoked."""
    if not _STRONG.fullmatch(secret):
        raise InvalidInputError(
            f"the first key must be {SECRET_PREFIX} and 43 random characters; make one with "
            "python -c 'import secrets; print(\"ck_\" + secrets.token_urlsafe(32))'"
        )
    digest = sha256_of_secret(secret)
    key_id = f"key-first-{digest[:16]}"
    async with database.transaction() as tx:
        if any(key.key_id == key_id for key in await tx.access.list_keys()):
            return
        key = ApiKeyInfo(
            key_id=key_id, actor_id=FIRST_ACTOR, role=Role.ADMIN, projects=None, skills=(), created_at=await tx.now()
        )
        await tx.access.add_key(key, digest)
        tx.audit.append(
            SYSTEM_PROJECT,
            actor=SYSTEM_ACTOR,
            action="key.issued",
            subject=f"keys/{key_id}",
            body={"actor_id": FIRST_ACTOR, "role": Role.ADMIN.value, "projects": None, "skills": []},
        )

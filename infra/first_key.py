"""The first admin key of a local stack, made of the stack's own secret."""

from __future__ import annotations

from infra.stack.directory import StackSecrets
from services.access.keys import SECRET_PREFIX


def first_admin_key(secrets: StackSecrets) -> str:
    """Return the secret of the first admin key."""
    return f"{SECRET_PREFIX}{secrets.bootstrap_admin_key}"

"""``concord migrate``: bring a database up to date."""

from __future__ import annotations

import asyncio

from infra.cli.console import output
from infra.cli.serving import read_settings
from infra.first_start import prepare_store


def migrate() -> None:
    """Bring the database to the newest schema, with the built-in rules and CONCORD_BOOTSTRAP_KEY if it is set."""
    settings = read_settings()
    key = settings.bootstrap_key.get_secret_value() if settings.bootstrap_key is not None else None
    asyncio.run(prepare_store(settings.database_url.get_secret_value(), bootstrap_key=key))
    output().print("The database has the newest schema.")

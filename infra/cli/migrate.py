"""``concord migrate``: bring a database up to date."""

from __future__ import annotations

import asyncio
from typing import Annotated

import typer

from infra.cli.console import output, plain
from infra.cli.serving import read_settings
from infra.db.roles import grant_app_role
from infra.first_start import prepare_store


def migrate(
    app_role: Annotated[
        str | None,
        typer.Option(help="An existing role of the database that the product runs under; it can not change history."),
    ] = None,
) -> None:
    """Bring the database to the newest schema, with the built-in rules and CONCORD_BOOTSTRAP_KEY if it is set.

    CONCORD_DATABASE_URL is the owner's here. With --app-role the rights of the running product are given to that role,
    anew after every migration; the other processes then have its name and password in their CONCORD_DATABASE_URL.
    """
    settings = read_settings()
    key = settings.bootstrap_key.get_secret_value() if settings.bootstrap_key is not None else None
    url = settings.database_url.get_secret_value()

    async def work() -> None:
        await prepare_store(url, bootstrap_key=key)
        if app_role is not None:
            await grant_app_role(url, app_role)

    asyncio.run(work())
    output().print("The database has the newest schema.")
    if app_role is not None:
        output().print(plain(f"{app_role} may do the daily work, and can not change history."))

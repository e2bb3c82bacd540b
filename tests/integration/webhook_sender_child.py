"""A sender in a process of its own, for tests that kill it: DATABASE_URL HOST as arguments."""

from __future__ import annotations

import asyncio
import sys

from infra.db.engine import open_database
from infra.webhooks.http import WebhookHttp
from infra.webhooks.sender import WebhookSender


async def main() -> None:
    database_url, host = sys.argv[1:]
    async with open_database(database_url, pool_size=2) as database:
        await WebhookSender(database, WebhookHttp((host,), 60), lease_s=5).run(asyncio.Event())


if __name__ == "__main__":
    asyncio.run(main())

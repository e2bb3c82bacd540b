"""Does what retention asks for, and is killed by the system after so many revisions: ``URL REVISIONS``.

It is killed where it hurts most: the revision is erased, with its tombstone and its audit entry, and not committed.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from infra.db.engine import open_database
from services.erasure import applying
from services.erasure.retention import RetentionKeeper


async def main(url: str, revisions: int) -> None:
    erase = applying._erase
    done = 0

    async def erase_and_die(*given: Any) -> None:
        nonlocal done
        await erase(*given)
        done += 1
        if done > revisions:
            os.kill(os.getpid(), signal.SIGKILL)

    vars(applying)["_erase"] = erase_and_die
    async with open_database(url, pool_size=2) as database:
        while await RetentionKeeper(database).step():
            pass


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))

"""``Idempotency-Key``: the reply of a finished unsafe call is kept in the transaction of its effect.

The use-case of a call with a key runs inside the transaction that has locked the key: either the effect and the reply
are both stored, or neither is. There is no moment at which a crash leaves an effect without its reply; a client that
got no answer sends the call again and gets the stored reply, byte for byte, or has the call done for the first time.

Refusals are not kept: nothing happened, and the same call may succeed later. What a refused call is allowed to leave
behind (the draft of a decision that came too late) is written after the roll-back, in a transaction of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated

from fastapi import Depends, Header, Request
from starlette.responses import Response

from api.bodies import JSON_TYPE
from api.problems import MEDIA_TYPE
from services.contracts.access import Principal
from services.errors import IdempotencyConflictError, InvalidInputError
from services.ports.database import Database, Transaction

REPLAYED = "Idempotency-Replayed"
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        description="Any text of the client's own, 1 to 200 visible ASCII characters: the same key with the same "
        "request is answered with the first reply; with another request it is refused.",
    ),
]


class JoinedDatabase:
    """A database whose first use-case joins a transaction that is open already.

    A use-case that fails rolls the transaction back, locks and all, before its error goes on; what is opened after
    that is a transaction of its own.
    """

    def __init__(self, database: Database, manager: AbstractAsyncContextManager[Transaction], tx: Transaction) -> None:
        self._database = database
        self._manager = manager
        self._tx: Transaction | None = tx

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """Join the open transaction, or open one of its own after that one was rolled back."""
        if self._tx is None:
            async with self._database.transaction() as tx:
                yield tx
            return
        try:
            yield self._tx
        except BaseException as error:
            await self.roll_back(error)
            raise

    async def roll_back(self, error: BaseException) -> None:
        """Undo the joined transaction, once."""
        if self._tx is not None:
            self._tx = None
            await self._manager.__aexit__(type(error), error, error.__traceback__)

    async def commit(self) -> None:
        """Commit the joined transaction, unless it was rolled back."""
        if self._tx is not None:
            self._tx = None
            await self._manager.__aexit__(None, None, None)

    async def ping(self) -> None:
        """See :meth:`services.ports.database.Database.ping`."""
        await self._database.ping()


class Once:
    """Does an unsafe call once for each idempotency key.

    Args:
        database: The store of record.
        key: The client's key, or None.
        request_sha256: What makes the request the same request.
    """

    def __init__(self, database: Database, key: str | None, request_sha256: str) -> None:
        self._database = database
        self._key = key
        self._request_sha256 = request_sha256

    async def run(
        self,
        principal: Principal,
        call: Callable[[Database], Awaitable[Response]],
        *,
        stored: Callable[[Response], Response] = lambda response: response,
    ) -> Response:
        """Run ``call``, or answer as it was answered before.

        Args:
            principal: Who calls; keys of different people do not meet.
            call: The use-case, on the database it is given; its answer is sent after the commit.
            stored: What to keep for a repeated call, where that is not the answer itself.

        Raises:
            IdempotencyConflictError: The key belongs to another request.
        """
        if self._key is None:
            return await call(self._database)
        manager = self._database.transaction()
        joined = JoinedDatabase(self._database, manager, await manager.__aenter__())
        try:
            async with joined.transaction() as tx:
                known = await tx.idempotency.lock(principal.actor_id, self._key)
            if known is not None:
                answer = self._again(*known)
            else:
                answer = await call(joined)
                async with joined.transaction() as tx:
                    keep = stored(answer)
                    await tx.idempotency.add(
                        principal.actor_id, self._key, self._request_sha256, keep.status_code, bytes(keep.body)
                    )
            await joined.commit()
        except BaseException as error:
            await joined.roll_back(error)
            raise
        return answer

    def _again(self, request_sha256: str, status: int, body: bytes) -> Response:
        if request_sha256 != self._request_sha256:
            raise IdempotencyConflictError(
                "This Idempotency-Key was used with another request; use a new key for a new request."
            )
        media_type = (MEDIA_TYPE if status >= 400 else JSON_TYPE) if body else None
        return Response(body, status, {REPLAYED: "true"}, media_type)


async def once(request: Request, key: IdempotencyKey = None) -> Once:
    """Return what does this request once; the dependency of every unsafe route."""
    if key is not None and not (0 < len(key) <= 200 and key.isascii() and key.isprintable()):
        sentence = "must be 1 to 200 visible ASCII characters"
        raise InvalidInputError(
            f"The request is not valid: Idempotency-Key {sentence}", places=(("/header/Idempotency-Key", sentence),)
        )
    digest = hashlib.sha256()
    query = request.scope["query_string"]
    if_match = request.headers.get("If-Match", "").encode("latin-1")
    for part in (request.method.encode(), request.url.path.encode(), query, if_match, await request.body()):
        digest.update(hashlib.sha256(part).digest())
    services_database: Database = request.app.state.services.database
    return Once(services_database, key, digest.hexdigest())


Idempotent = Annotated[Once, Depends(once)]

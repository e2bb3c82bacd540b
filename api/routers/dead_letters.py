"""Events that could not be handled: listed with their reason, and tried again."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from starlette.responses import Response

from api.auth import Services
from api.bodies import page_reply, reply
from api.paging import DEFAULT_LIMIT, Cursor, IdKey, Limit, cut_page, decode_cursor
from api.policies import requires
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.events import AnyReceipt
from services.contracts.records import DeadLetter

router = APIRouter(tags=["dead letters"])

_LIST = "dead-letters"


class DeadLetterPage(BaseModel):
    """A page of the dead-letter list."""

    items: list[DeadLetter]
    next_cursor: str | None


@router.get("/v1/dead-letters", response_model=DeadLetterPage)
async def list_dead_letters(
    services: Services,
    principal: Annotated[Principal, Depends(requires(Permission.DEAD_LETTERS_READ))],
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List refused events, newest first, each with its reason and the places to change.

    Letters whose project is not known are listed only for keys that see every project.
    """
    after = decode_cursor(_LIST, IdKey, cursor)
    found = await services.inbox.dead_letters(principal, after=after[0] if after else None, limit=limit + 1)
    page, next_cursor = cut_page(found, _LIST, lambda letter: (letter.dead_letter_id,), limit=limit)
    return page_reply(page, next_cursor)


@router.post("/v1/dead-letters/{dead_letter_id}/replay", status_code=202, response_model=AnyReceipt)
async def replay_dead_letter(
    dead_letter_id: UUID,
    services: Services,
    principal: Annotated[Principal, Depends(requires(Permission.DEAD_LETTERS_REPLAY))],
) -> Response:
    """Try a refused event again from its stored bytes, after what it lacked was put right.

    The answer is what a sender would get now; how it went is noted in the list. Replaying what was accepted
    meanwhile changes nothing: the event is known by its source and id.
    """
    return reply(await services.inbox.replay(dead_letter_id, principal), status=202)

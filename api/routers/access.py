"""Keys, and who one is."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, TextTimeKey, slice_page
from api.policies import requires
from api.problems import problem_of
from api.schemas import CreatedKey, Page
from services.access.keys import KeyRing, NewKey
from services.access.policy import Permission
from services.contracts.access import ApiKeyInfo, Principal
from services.contracts.base import Identifier
from services.errors import SecretToldError
from services.ports.database import Database

router = APIRouter(prefix="/v1", tags=["access"])

_NEW_KEY = {"actor_id": "rita", "role": "reviewer", "projects": ["av-urban"], "skills": ["spatial"]}

MayManage = Annotated[Principal, Depends(requires(Permission.KEYS_MANAGE))]


@router.post("/keys", status_code=201, response_model=CreatedKey)
async def create_key(
    request: Request,
    principal: MayManage,
    new_key: Annotated[NewKey, Depends(json_body(NewKey, what="key", example=_NEW_KEY))],
    once: Idempotent,
) -> Response:
    """Make a key; its secret is in this answer and nowhere else.

    A repeated call with the same Idempotency-Key makes no second key, but can not tell the secret again: it is
    answered 409 ``secret-told`` with the key's id.
    """
    told: list[str] = []

    async def call(database: Database) -> Response:
        issued = await KeyRing(database).issue(principal, new_key)
        told.append(issued.key.key_id)
        return reply({"key": _said(issued.key), "secret": issued.secret}, status=201)

    def stored(_: Response) -> Response:
        return problem_of(
            request.scope,
            SecretToldError(
                f"Key {told[0]} was made by this call before; its secret was told once. Revoke it and make another.",
                facts={"key_id": told[0]},
            ),
        )

    return await once.run(principal, call, stored=stored)


@router.get("/keys", response_model=Page[ApiKeyInfo])
async def list_keys(
    principal: MayManage, services: Services, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List keys, oldest first, never their secrets."""
    keys = await KeyRing(services.database).list(principal)
    ordered = sorted(keys, key=_key_key)
    page, following = slice_page(ordered, "keys", _key_key, cursor=cursor, kind=TextTimeKey, limit=limit)
    return page_reply(map(_said, page), following)


def _key_key(key: ApiKeyInfo) -> tuple[object, ...]:
    return key.created_at, key.key_id


@router.delete("/keys/{key_id}", status_code=204, response_model=None)
async def revoke_key(principal: MayManage, key_id: Identifier, once: Idempotent) -> Response:
    """Revoke a key; it stops working at once."""

    async def call(database: Database) -> Response:
        await KeyRing(database).revoke(principal, key_id)
        return Response(status_code=204)

    return await once.run(principal, call)


@router.get("/whoami", response_model=Principal)
async def whoami(principal: Annotated[Principal, Depends(requires(Permission.SELF_READ))]) -> Response:
    """Return who the key belongs to and what it allows."""
    return reply(_said(principal))


def _said(scoped: ApiKeyInfo | Principal) -> dict[str, Any]:
    """The model with ``projects`` in any case: null says that there is no limit, which nobody should have to guess."""
    projects = None if scoped.projects is None else list(scoped.projects)
    return scoped.model_dump(mode="json", exclude_none=True) | {"projects": projects}

"""The published JSON Schemas of the contract."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.bodies import reply
from api.policies import public
from services.errors import NotFoundError
from services.schemas import SCHEMAS, published_schema

router = APIRouter(prefix="/v1", tags=["contract"])


@router.get("/schemas/{name}", response_model=dict[str, Any], dependencies=[Depends(public)])
async def get_schema(name: Annotated[str, Path(max_length=100, examples=["sample"])]) -> Response:
    """Return a JSON Schema (draft 2020-12) of the contract, or the AsyncAPI document of its events."""
    if name not in SCHEMAS:
        raise NotFoundError(f"There is no schema of this name; there are {', '.join(sorted(SCHEMAS))}.")
    return reply(published_schema(name))

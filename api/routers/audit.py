"""The audit trail of a project, and its verification."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.paging import DEFAULT_LIMIT, Cursor, Limit, NumberKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath, VerifyRequest
from services.access.policy import Permission
from services.audit.verify import verify_project
from services.contracts.access import Principal
from services.contracts.records import AuditEntry
from services.contracts.verification import VerificationReport
from services.samples.reader import SampleReader

router = APIRouter(prefix="/v1/projects/{project}", tags=["audit"])


@router.get("/audit", response_model=Page[AuditEntry])
async def list_audit(
    principal: Annotated[Principal, Depends(requires(Permission.AUDIT_READ))],
    services: Services,
    project: ProjectPath,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only entries after this sequence number.")] = 0,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the audit chain in order. ``concord`` names the chain of what concerns every project."""
    key = decode_cursor("audit", NumberKey, cursor)
    start = max(after, key[0]) if key is not None else after
    found = await SampleReader(services.database).audit(principal, project, after=start, limit=limit + 1)
    return page_reply(*cut_page(found, "audit", lambda item: (item.sequence,), limit=limit))


@router.post("/verify", response_model=VerificationReport)
async def verify(
    principal: Annotated[Principal, Depends(requires(Permission.AUDIT_VERIFY))],
    services: Services,
    project: ProjectPath,
    request: Annotated[VerifyRequest, Depends(json_body(VerifyRequest, what="request", optional=True))],
) -> Response:
    """Prove the audit chain, the timelines and every ground-truth record, or name what contradicts them.

    Nothing is written; an Idempotency-Key is not needed.
    """
    await SampleReader(services.database).ensure_chain(principal, project)
    return reply(await verify_project(services.database, project, anchor=request.anchor))

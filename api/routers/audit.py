"""The audit trail of a project, and its verification."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.paging import DEFAULT_LIMIT, Cursor, Limit, NumberKey, cut_page, decode_cursor
from api.policies import requires
from api.progress import STREAMED, answer_with_progress
from api.schemas import Page, ProjectPath, VerifyRequest
from services.access.policy import Permission
from services.audit.verify import verify_project
from services.contracts.access import Principal
from services.contracts.audit import AuditFilter
from services.contracts.base import Identifier, Name, Text, UtcDatetime
from services.contracts.records import AuditEntry
from services.contracts.verification import AuditHead, VerificationReport
from services.progress import Tell
from services.samples.reader import SampleReader

router = APIRouter(prefix="/v1/projects/{project}", tags=["audit"])


@router.get("/audit", response_model=Page[AuditEntry])
async def list_audit(
    principal: Annotated[Principal, Depends(requires(Permission.AUDIT_READ))],
    services: Services,
    project: ProjectPath,
    after: Annotated[int, Query(ge=0, le=2**53, description="Only entries after this sequence number.")] = 0,
    *,
    actor: Annotated[Identifier | None, Query(description="Only what this person or program did.")] = None,
    action: Annotated[Name | None, Query(description="Only this action, such as task.fix.")] = None,
    subject: Annotated[Text | None, Query(description="Only about this, such as samples/s-1/revisions/1.")] = None,
    since: Annotated[UtcDatetime | None, Query(description="Not before this moment.")] = None,
    until: Annotated[UtcDatetime | None, Query(description="Before this moment.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the audit chain in order. ``concord`` names the chain of what concerns every project."""
    key = decode_cursor("audit", NumberKey, cursor)
    start = max(after, key[0]) if key is not None else after
    wanted = AuditFilter(actor=actor, action=action, subject=subject, since=since, until=until)
    reader = SampleReader(services.database)
    found = await reader.audit(principal, project, after=start, limit=limit + 1, wanted=wanted)
    return page_reply(*cut_page(found, "audit", lambda item: (item.sequence,), limit=limit))


@router.get("/audit/head", response_model=AuditHead)
async def get_audit_head(
    principal: Annotated[Principal, Depends(requires(Permission.AUDIT_READ))],
    services: Services,
    project: ProjectPath,
) -> Response:
    """Return the newest link of the chain: an anchor, once it is kept outside of the store."""
    return reply(await SampleReader(services.database).audit_head(principal, project))


@router.post("/verify", response_model=VerificationReport, responses=STREAMED)
async def verify(
    http: Request,
    principal: Annotated[Principal, Depends(requires(Permission.AUDIT_VERIFY))],
    services: Services,
    project: ProjectPath,
    request: Annotated[VerifyRequest, Depends(json_body(VerifyRequest, what="request", optional=True))],
) -> Response:
    """Prove the audit chain, timelines, ground-truth records and dataset versions, or name what contradicts them.

    Nothing is written; an Idempotency-Key is not needed. With ``Accept: text/event-stream`` the answer is a stream of
    ``progress`` events that ends with the report as event ``answer``.
    """
    await SampleReader(services.database).ensure_chain(principal, project)
    anchors = request.anchors if request.anchor is None else (request.anchor, *request.anchors)

    async def work(tell: Tell) -> Response:
        return reply(await verify_project(services.database, project, anchors=anchors, tell=tell))

    return await answer_with_progress(http, work)

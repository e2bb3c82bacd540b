"""Incidents: one cause behind findings of many samples."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, MemberKey, TimeKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.incidents import (
    DismissRequest,
    FixPreview,
    FixRequest,
    IncidentMember,
    IncidentState,
    IncidentSummary,
    MemberState,
)
from services.errors import UnavailableError
from services.incidents.desk import IncidentDesk
from services.ports.database import Database

router = APIRouter(prefix="/v1/projects/{project}/incidents", tags=["incidents"])

_FIX = {
    "correction": {"kind": "calibration", "sensor": "cam_front", "turned": {"yaw_deg": 1.21}},
    "note": "The bracket was bent on 12 March; measured again in the workshop.",
}
_DISMISSAL = {"reason_code": "different_causes", "note": "Two cameras were changed on the same day."}

MayRead = Annotated[Principal, Depends(requires(Permission.INCIDENTS_READ))]
MayManage = Annotated[Principal, Depends(requires(Permission.INCIDENTS_MANAGE))]


@router.get("", response_model=Page[IncidentSummary])
async def list_incidents(
    principal: MayRead,
    services: Services,
    project: ProjectPath,
    state: Annotated[IncidentState | None, Query(description="Only incidents in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List incidents with how far each is, newest first."""
    found = await IncidentDesk(services.database).list(
        principal, project, state=state, after=decode_cursor("incidents", TimeKey, cursor), limit=limit + 1
    )
    return page_reply(
        *cut_page(found, "incidents", lambda item: (item.incident.opened_at, item.incident.incident_id), limit=limit)
    )


@router.get("/{incident_id}", response_model=IncidentSummary)
async def get_incident(principal: MayRead, services: Services, project: ProjectPath, incident_id: UUID) -> Response:
    """Return an incident: its cause and estimate, its fix, and how many of its findings are where."""
    return reply(await IncidentDesk(services.database).get(principal, project, incident_id))


@router.get("/{incident_id}/samples", response_model=Page[IncidentMember])
async def list_incident_samples(
    principal: MayRead,
    services: Services,
    project: ProjectPath,
    incident_id: UUID,
    state: Annotated[MemberState | None, Query(description="Only findings in this state.")] = None,
    spot_checks: Annotated[bool, Query(description="Only spot checks.")] = False,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the findings of an incident with their samples, by sample and finding id."""
    found = await IncidentDesk(services.database).members(
        principal,
        project,
        incident_id,
        state=state,
        spot_checks=spot_checks,
        after=decode_cursor("incident-samples", MemberKey, cursor),
        limit=limit + 1,
    )
    return page_reply(
        *cut_page(found, "incident-samples", lambda item: (item.ref.sample_id, item.finding_id), limit=limit)
    )


@router.post("/{incident_id}/fix", response_model=FixPreview | IncidentSummary)
async def fix_incident(
    principal: MayManage,
    services: Services,
    project: ProjectPath,
    incident_id: UUID,
    given: Annotated[FixRequest, Depends(json_body(FixRequest, what="fix", optional=True, example=_FIX))],
    once: Idempotent,
) -> Response:
    """Preview a fix (``dry_run``: tried on the spot checks, reckoned for all), or order one that was previewed.

    An ordered fix is applied by each sample's own workflow, which then checks the sample again; the answer is the
    incident with how far it is. The same fix again answers the same.
    """
    if given.dry_run:
        # Takes as long as the checks of the spot checks take, and holds no transaction meanwhile.
        if services.runner is None:
            raise UnavailableError("this server runs no checks; send the preview to one that does")
        desk = IncidentDesk(services.database)
        return reply(await desk.preview(principal, project, incident_id, given, services.runner))

    async def call(database: Database) -> Response:
        return reply(await IncidentDesk(database).fix(principal, project, incident_id, given))

    return await once.run(principal, call)


@router.post("/{incident_id}/dismiss", response_model=IncidentSummary)
async def dismiss_incident(
    principal: MayManage,
    project: ProjectPath,
    incident_id: UUID,
    given: Annotated[DismissRequest, Depends(json_body(DismissRequest, what="dismissal", example=_DISMISSAL))],
    once: Idempotent,
) -> Response:
    """Say that an incident is none; each of its findings goes back to review by itself."""

    async def call(database: Database) -> Response:
        return reply(await IncidentDesk(database).dismiss(principal, project, incident_id, given))

    return await once.run(principal, call)

"""How far the people of a project agree."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import reply
from api.policies import requires
from api.schemas import ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.agreement import AgreementReport
from services.report.agreement_build import WINDOW_DAYS
from services.report.agreement_reader import AgreementReader
from services.report.reader import MAX_SAMPLES

router = APIRouter(prefix="/v1/projects/{project}", tags=["agreement"])

MayReadHistory = Annotated[Principal, Depends(requires(Permission.HISTORY_READ))]
_MAX_LISTED = 1_000


@router.get("/agreement", response_model=AgreementReport)
async def get_agreement(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    samples: Annotated[int, Query(ge=1, le=MAX_SAMPLES, description="Most samples to read, the newest.")] = 1_000,
    listed: Annotated[
        int, Query(ge=0, le=_MAX_LISTED, description="Most entries to list behind each number, the worst.")
    ] = 20,
    window_days: Annotated[int, Query(ge=1, le=366, description="Length of a window of time, days.")] = WINDOW_DAYS,
) -> Response:
    """Say how far those agree who labelled the same samples, with the disagreements behind each number."""
    reader = AgreementReader(services.database)
    return reply(
        await reader.agreement(principal, project, max_samples=samples, max_listed=listed, window_days=window_days)
    )

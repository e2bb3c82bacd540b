"""How a project does on the nine ways in which large datasets fail."""

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
from services.contracts.dataset_report import DatasetReport
from services.report.reader import MAX_SAMPLES, ReportReader

router = APIRouter(prefix="/v1/projects/{project}", tags=["report"])

MayReadHistory = Annotated[Principal, Depends(requires(Permission.HISTORY_READ))]
_MAX_LISTED = 10_000


@router.get("/report", response_model=DatasetReport)
async def get_report(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    samples: Annotated[int, Query(ge=1, le=MAX_SAMPLES, description="Most samples to read, the newest.")] = 1_000,
    listed: Annotated[
        int, Query(ge=0, le=_MAX_LISTED, description="Most entries to list behind each number, the gravest.")
    ] = 100,
) -> Response:
    """Score the project's samples: nine numbers, each with the list behind it; what was not judged says why."""
    return reply(
        await ReportReader(services.database).report(principal, project, max_samples=samples, max_listed=listed)
    )

"""Whether the service is alive and ready, its numbers, and its own description."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import Response

from api.auth import Services
from api.bodies import reply
from api.metrics import RequestMetrics, work_exposition
from api.policies import public
from api.schemas import Liveness, Readiness

METRICS_TYPE = "text/plain; version=1.0.0; charset=utf-8; escaping=underscores"
router = APIRouter(tags=["health"], dependencies=[Depends(public)])


@router.get("/healthz", response_model=Liveness)
async def healthz() -> Response:
    """Answer as long as the process does; asks nothing of the database."""
    return reply(Liveness(alive=True))


@router.get("/readyz", response_model=Readiness)
async def readyz(services: Services) -> Response:
    """Answer 200 when the database is reachable and has the newest schema; otherwise 503 says what is missing."""
    await services.database.ping()
    return reply(Readiness(ready=True, store="ok"))


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus text"}},
)
async def metrics(request: Request, services: Services) -> Response:
    """Return the numbers in the Prometheus text format; open, and without names of projects, samples or people."""
    requests: RequestMetrics = request.app.state.metrics
    return Response(
        requests.exposition() + await work_exposition(services.database), headers={"Content-Type": METRICS_TYPE}
    )


@router.get("/v1/openapi.json", response_model=dict[str, Any])
async def openapi(request: Request) -> Response:
    """Return this API as an OpenAPI 3.1 document."""
    document: dict[str, Any] = request.app.openapi()
    return reply(document)

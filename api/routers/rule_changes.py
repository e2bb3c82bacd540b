"""A project's change to another rule set: try it on stored samples, then activate it, now or from a moment on."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, TimeKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.rule_changes import (
    Activation,
    ActivationRequest,
    DryRun,
    DryRunRequest,
    RuleActivation,
    ScheduleRequest,
)
from services.ports.database import Database
from services.rule_changes.activation import activate
from services.rule_changes.dry_run import dry_run
from services.rule_changes.schedule import activations, cancel, schedule

router = APIRouter(prefix="/v1/projects/{project}/rule-sets", tags=["rule sets"])

_DRY_RUN = {"rule_set": {"id": "av", "version": 4}, "samples": 100, "order": "riskiest"}
_ACTIVATION = {"rule_set": {"id": "av", "version": 4}, "budget": 100, "order": "riskiest"}

_SCHEDULED = {**_ACTIVATION, "effective_at": "2030-01-01T06:00:00Z"}

MayRead = Annotated[Principal, Depends(requires(Permission.RULE_SETS_READ))]
MayTry = Annotated[Principal, Depends(requires(Permission.RULE_SETS_TRY))]
MayActivate = Annotated[Principal, Depends(requires(Permission.PROJECTS_WRITE))]


@router.post("/dry-run", response_model=DryRun)
async def dry_run_rule_set(
    principal: MayTry,
    services: Services,
    project: ProjectPath,
    given: Annotated[DryRunRequest, Depends(json_body(DryRunRequest, what="dry run", example=_DRY_RUN))],
) -> Response:
    """Try a rule set on stored samples: findings, tasks, hours, precision and recall, each with its list.

    No sample is changed. Takes as long as the checks of the samples take, and holds no transaction meanwhile.
    """
    return reply(await dry_run(services.database, principal, project, given, services.runner))


@router.post("/activate", response_model=Activation)
async def activate_rule_set(
    principal: MayActivate,
    project: ProjectPath,
    given: Annotated[ActivationRequest, Depends(json_body(ActivationRequest, what="activation", example=_ACTIVATION))],
    once: Idempotent,
) -> Response:
    """Let the project go by a stored rule set, and have open samples checked again by it, up to the budget."""

    async def call(database: Database) -> Response:
        return reply(await activate(database, principal, project, given))

    return await once.run(principal, call)


@router.post("/schedule", status_code=201, response_model=RuleActivation)
async def schedule_rule_set(
    principal: MayActivate,
    project: ProjectPath,
    given: Annotated[ScheduleRequest, Depends(json_body(ScheduleRequest, what="activation", example=_SCHEDULED))],
    once: Idempotent,
) -> Response:
    """Let the project go by a stored rule set from a moment on that lies ahead."""

    async def call(database: Database) -> Response:
        return reply(await schedule(database, principal, project, given), status=201)

    return await once.run(principal, call)


@router.get("/activations", response_model=Page[RuleActivation])
async def list_rule_activations(
    principal: MayRead, services: Services, project: ProjectPath, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List from when on the project went, goes, or shall go by which rule set; what takes effect last comes first."""
    found = await activations(
        services.database, principal, project, after=decode_cursor("activations", TimeKey, cursor), limit=limit + 1
    )
    return page_reply(
        *cut_page(found, "activations", lambda item: (item.effective_at, item.activation_id), limit=limit)
    )


@router.post("/activations/{activation_id}/cancel", response_model=RuleActivation)
async def cancel_rule_activation(
    principal: MayActivate, project: ProjectPath, activation_id: UUID, once: Idempotent
) -> Response:
    """Take a scheduled activation back; one that was done is refused."""

    async def call(database: Database) -> Response:
        return reply(await cancel(database, principal, project, activation_id))

    return await once.run(principal, call)

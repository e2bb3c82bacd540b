"""A project's change to another rule set: try it on stored samples, then activate it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, reply
from api.idempotency import Idempotent
from api.policies import requires
from api.schemas import ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.rule_changes import Activation, ActivationRequest, DryRun, DryRunRequest
from services.ports.database import Database
from services.rule_changes.activation import activate
from services.rule_changes.dry_run import dry_run

router = APIRouter(prefix="/v1/projects/{project}/rule-sets", tags=["rule sets"])

_DRY_RUN = {"rule_set": {"id": "av", "version": 4}, "samples": 100, "order": "riskiest"}
_ACTIVATION = {"rule_set": {"id": "av", "version": 4}, "budget": 100, "order": "riskiest"}

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

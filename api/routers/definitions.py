"""A project as one document: read it, plan a change, apply it, go back."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from pydantic import Field
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.etags import IfMatch, etag_of, expected_version
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, NumberKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.base import Version
from services.contracts.definition import AppliedDefinition, DefinitionPlan, DefinitionVersion, ProjectDefinition
from services.contracts.rule_changes import MAX_BUDGET, MAX_SAMPLES, Order, Recheck
from services.definitions.applying import ProjectDefinitions
from services.errors import InvalidInputError
from services.ports.database import Database
from services.rule_changes.activation import recheck_of

router = APIRouter(prefix="/v1/projects/{project}", tags=["projects"])

_DEFINITION = {
    "format": "concord.project/1",
    "id": "av-urban",
    "name": "Urban pilot",
    "purpose": "Detect everything that moves in a city.",
    "decision": "Whether the vehicle brakes; a missed person may cost a life.",
    "domain": "autonomous vehicles",
    "streams": [{"id": "lidar_top", "modality": "lidar", "clock": True}],
    "context": {"required": ["region", "policy"]},
    "settings": {"lease_s": 600},
    "queues": [{"name": "spatial-night", "filter": {"checks": ["lidar_camera"], "min_severity": "major"}}],
}

# Settings tell what people at work must not know, such as how often known answers are mixed in.
MayRead = Annotated[Principal, Depends(requires(Permission.QUEUES_MANAGE))]
MayWrite = Annotated[Principal, Depends(requires(Permission.PROJECTS_WRITE))]
Body = Annotated[
    ProjectDefinition, Depends(json_body(ProjectDefinition, what="project definition", example=_DEFINITION))
]


Budget = Annotated[
    int, Query(ge=0, le=MAX_BUDGET, description="If the rules are others: so many open samples are checked again now.")
]
WhichFirst = Annotated[Order, Query(description="Which samples come first.")]
DryRunId = Annotated[
    UUID | None, Query(description="The dry run that the change of rules rests on, of the plan; it must be of these.")
]


class RevertRequest(Recheck):
    """To which version of its definition a project goes back."""

    version: Version = Field(description="Of the list of definitions.")


def _ensure_of(definition: ProjectDefinition, project: str) -> None:
    if definition.id != project:
        sentence = f"must be {project!r}, as in the address"
        raise InvalidInputError(f"The project definition is not valid: /id {sentence}", places=(("/id", sentence),))


@router.get("/definition", response_model=ProjectDefinition)
async def get_definition(principal: MayRead, services: Services, project: ProjectPath) -> Response:
    """Return the definition that makes the project what it is now; its ETag is that state's."""
    definition, state = await ProjectDefinitions(services.database).current(principal, project)
    return reply(definition, headers={"ETag": etag_of(state)})


@router.post("/definition/plan", response_model=DefinitionPlan)
async def plan_definition(
    principal: MayWrite,
    services: Services,
    project: ProjectPath,
    definition: Body,
    samples: Annotated[
        int, Query(ge=0, le=MAX_SAMPLES, description="Other rules are tried on at most so many stored samples.")
    ] = 50,
    order: WhichFirst = "newest",
) -> Response:
    """Tell what applying a definition would change; nothing is changed. The ETag is for the If-Match of the apply.

    Where the rules are others, they are tried on stored samples, which takes as long as the checks of these.
    """
    _ensure_of(definition, project)
    plan = await ProjectDefinitions(services.database).plan(
        principal, definition, runner=services.runner, samples=samples, order=order
    )
    return reply(plan, headers={"ETag": etag_of(plan.state_sha256)})


@router.put("/definition", response_model=AppliedDefinition)
async def apply_definition(
    principal: MayWrite,
    project: ProjectPath,
    definition: Body,
    once: Idempotent,
    if_match: IfMatch = None,
    budget: Budget = 50,
    order: WhichFirst = "newest",
    dry_run_id: DryRunId = None,
) -> Response:
    """Make the project what the definition says, creating it if need be: all of it or nothing.

    Other rules are activated: open samples are checked again by them, up to the budget.
    """
    _ensure_of(definition, project)
    recheck = Recheck(budget=budget, order=order, dry_run_id=dry_run_id)

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "project")
        applied = await ProjectDefinitions(database).apply(principal, definition, expected=expected, recheck=recheck)
        return reply(applied)

    return await once.run(principal, call)


@router.post("/definition/revert", response_model=AppliedDefinition)
async def revert_definition(
    principal: MayWrite,
    project: ProjectPath,
    wanted: Annotated[RevertRequest, Depends(json_body(RevertRequest, what="request", example={"version": 1}))],
    once: Idempotent,
    if_match: IfMatch = None,
) -> Response:
    """Make the project again what an earlier version of its definition said; other rules are activated."""

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "project")
        applied = await ProjectDefinitions(database).revert(
            principal, project, wanted.version, expected=expected, recheck=recheck_of(wanted)
        )
        return reply(applied)

    return await once.run(principal, call)


@router.get("/definitions", response_model=Page[DefinitionVersion])
async def list_definitions(
    principal: MayRead, services: Services, project: ProjectPath, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List the definitions that were applied, newest first."""
    after = decode_cursor("definitions", NumberKey, cursor)
    before = after.sequence if after is not None else None
    found = await ProjectDefinitions(services.database).history(principal, project, before=before, limit=limit + 1)
    return page_reply(*cut_page(found, "definitions", lambda item: (item.version,), limit=limit))

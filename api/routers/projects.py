"""Projects and rule sets."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.etags import IfMatch, etag_of, expected_version
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, NameKey, RevisionKey, slice_page
from api.policies import requires
from api.schemas import MAX_INTEGER, Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.base import Identifier
from services.contracts.findings import RuleReference
from services.contracts.records import Project
from services.contracts.rule_changes import ListedRuleSet, OwnersRequest, RuleSetOwners
from services.errors import InvalidInputError
from services.ports.database import Database
from services.projects.registry import ProjectRegistry, version_of
from services.projects.rule_set_owners import owners_of, set_owners
from services.rules.rule_set import RuleSet

router = APIRouter(prefix="/v1")

_PROJECT = {
    "id": "av-urban",
    "name": "Urban pilot",
    "domain": "autonomous vehicles",
    "config": {"rule_set": {"id": "default", "version": 1}, "lease_s": 900},
}
_RULES = {
    "id": "av",
    "version": 3,
    "blocking_severity": "major",
    "four_eyes_risks": ["high"],
    "routing": [{"queue": "spatial", "checks": ["lidar_camera"], "skill": "spatial", "priority": 200}],
}
_OWNERS = {"owners": ["anna", "ben"]}
RuleSetPath = Annotated[Identifier, Path(examples=["default"])]

MayRead = Annotated[Principal, Depends(requires(Permission.PROJECTS_READ))]
MayWrite = Annotated[Principal, Depends(requires(Permission.PROJECTS_WRITE))]
MayReadRules = Annotated[Principal, Depends(requires(Permission.RULE_SETS_READ))]
MayWriteRules = Annotated[Principal, Depends(requires(Permission.RULE_SETS_WRITE))]


@router.post("/projects", status_code=201, response_model=Project, tags=["projects"])
async def create_project(
    principal: MayWrite,
    project: Annotated[Project, Depends(json_body(Project, what="project", example=_PROJECT))],
    once: Idempotent,
) -> Response:
    """Create a project. Its rule set must exist."""

    async def call(database: Database) -> Response:
        created = await ProjectRegistry(database).create(principal, project)
        return reply(created, status=201, headers={"ETag": etag_of(version_of(created))})

    return await once.run(principal, call)


@router.get("/projects", response_model=Page[Project], tags=["projects"])
async def list_projects(
    principal: MayRead, services: Services, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List the projects that the key sees, by id."""
    projects = await ProjectRegistry(services.database).list(principal)
    return page_reply(
        *slice_page(projects, "projects", lambda item: (item.id,), cursor=cursor, kind=NameKey, limit=limit)
    )


@router.get("/projects/{project}", response_model=Project, tags=["projects"])
async def get_project(principal: MayRead, services: Services, project: ProjectPath) -> Response:
    """Return a project with its ETag."""
    found = await ProjectRegistry(services.database).get(principal, project)
    return reply(found, headers={"ETag": etag_of(version_of(found))})


@router.put("/projects/{project}", response_model=Project, tags=["projects"])
async def update_project(
    principal: MayWrite,
    project: ProjectPath,
    content: Annotated[Project, Depends(json_body(Project, what="project", example=_PROJECT))],
    once: Idempotent,
    if_match: IfMatch = None,
) -> Response:
    """Replace a project's name, purpose, domain and configuration; its rule set is changed by an activation."""
    if content.id != project:
        sentence = f"must be {project!r}, as in the address"
        raise InvalidInputError(f"The project is not valid: /id {sentence}", places=(("/id", sentence),))

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "project")
        updated = await ProjectRegistry(database).update(principal, content, expected=expected)
        return reply(updated, headers={"ETag": etag_of(version_of(updated))})

    return await once.run(principal, call)


@router.post("/rule-sets", status_code=201, response_model=RuleSet, tags=["rule sets"])
async def create_rule_set(
    principal: MayWriteRules,
    rules: Annotated[RuleSet, Depends(json_body(RuleSet, what="rule set", example=_RULES))],
    once: Idempotent,
) -> Response:
    """Keep a rule set version. A version never changes; the same content again is nothing new."""

    async def call(database: Database) -> Response:
        await ProjectRegistry(database).add_rule_set(principal, rules)
        return reply(rules, status=201)

    return await once.run(principal, call)


@router.get("/rule-sets", response_model=Page[ListedRuleSet], tags=["rule sets"])
async def list_rule_sets(
    principal: MayReadRules, services: Services, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List all rule set versions with their owners; they are shared by all projects."""
    references = await ProjectRegistry(services.database).list_rule_sets()
    return page_reply(
        *slice_page(
            references,
            "rule-sets",
            lambda item: (item.id, item.version),
            cursor=cursor,
            kind=RevisionKey,
            limit=limit,
        )
    )


@router.get("/rule-sets/{rule_set_id}/owners", response_model=RuleSetOwners, tags=["rule sets"])
async def get_rule_set_owners(principal: MayReadRules, services: Services, rule_set_id: RuleSetPath) -> Response:
    """Return who owns a rule set; where nobody does, whoever may change rules publishes and activates it."""
    return reply(await owners_of(services.database, rule_set_id))


@router.put("/rule-sets/{rule_set_id}/owners", response_model=RuleSetOwners, tags=["rule sets"])
async def put_rule_set_owners(
    principal: MayWriteRules,
    rule_set_id: RuleSetPath,
    given: Annotated[OwnersRequest, Depends(json_body(OwnersRequest, what="owners", example=_OWNERS))],
    once: Idempotent,
) -> Response:
    """Name who may publish versions of a rule set and activate them; once it has owners, only they name others."""

    async def call(database: Database) -> Response:
        return reply(await set_owners(database, principal, rule_set_id, given))

    return await once.run(principal, call)


@router.get("/rule-sets/{rule_set_id}/{version}", response_model=RuleSet, tags=["rule sets"])
async def get_rule_set(
    principal: MayReadRules,
    services: Services,
    rule_set_id: RuleSetPath,
    version: Annotated[int, Path(ge=1, le=MAX_INTEGER, examples=[1])],
) -> Response:
    """Return a rule set version."""
    return reply(await ProjectRegistry(services.database).rule_set(RuleReference(id=rule_set_id, version=version)))

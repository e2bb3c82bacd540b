"""The people of a project: skills with levels, teams, working hours, caps."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.etags import IfMatch, etag_of, expected_version
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, NameKey, slice_page
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.base import Identifier
from services.contracts.calibration import ResumePerson
from services.contracts.people import Reviewer, ReviewerProfile
from services.errors import InvalidInputError
from services.ports.database import Database
from services.review.people import PeopleRegistry, version_of_profile

router = APIRouter(prefix="/v1/projects/{project}/reviewers", tags=["people"])

_PROFILE = {
    "actor_id": "rita",
    "skills": [{"name": "spatial", "level": 3}],
    "teams": ["night"],
    "calendar": {
        "time_zone": "Europe/Berlin",
        "hours": [{"day": "mon", "opens": "08:00", "closes": "16:30"}],
    },
    "max_claims": 3,
    "max_claims_of_queue": {"spatial": 1},
}

_PAUSE = {"queue": "spatial", "kind": "review"}

PersonPath = Annotated[Identifier, Path(description="The person's actor id.", examples=["rita"])]
MayManage = Annotated[Principal, Depends(requires(Permission.PEOPLE_MANAGE))]


@router.get("", response_model=Page[Reviewer])
async def list_reviewers(
    principal: MayManage, services: Services, project: ProjectPath, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List the people that the project knows, by id."""
    people = await PeopleRegistry(services.database).list(principal, project)
    ordered = sorted(people, key=_key)
    return page_reply(*slice_page(ordered, "reviewers", _key, cursor=cursor, kind=NameKey, limit=limit))


def _key(reviewer: Reviewer) -> tuple[str]:
    return (reviewer.profile.actor_id,)


@router.get("/{actor_id}", response_model=Reviewer)
async def get_reviewer(
    principal: MayManage, services: Services, project: ProjectPath, actor_id: PersonPath
) -> Response:
    """Return a person with the ETag of their profile."""
    return _said(await PeopleRegistry(services.database).get(principal, project, actor_id))


@router.put("/{actor_id}", response_model=Reviewer)
async def put_reviewer(
    principal: MayManage,
    project: ProjectPath,
    actor_id: PersonPath,
    profile: Annotated[ReviewerProfile, Depends(json_body(ReviewerProfile, what="profile", example=_PROFILE))],
    once: Idempotent,
    if_match: IfMatch = None,
) -> Response:
    """Set what the project knows of a person. Skills that were measured stay."""
    if profile.actor_id != actor_id:
        sentence = f"must be {actor_id!r}, as in the address"
        raise InvalidInputError(f"The profile is not valid: /actor_id {sentence}", places=(("/actor_id", sentence),))

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "reviewer")
        return _said(await PeopleRegistry(database).put(principal, project, profile, expected=expected))

    return await once.run(principal, call)


@router.delete("/{actor_id}", status_code=204, response_model=None)
async def delete_reviewer(
    principal: MayManage, project: ProjectPath, actor_id: PersonPath, once: Idempotent, if_match: IfMatch = None
) -> Response:
    """Forget what the project knows of a person; keys and decisions stay."""

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "reviewer")
        await PeopleRegistry(database).delete(principal, project, actor_id, expected=expected)
        return Response(status_code=204)

    return await once.run(principal, call)


@router.post("/{actor_id}/resume", response_model=Reviewer)
async def resume_reviewer(
    principal: MayManage,
    project: ProjectPath,
    actor_id: PersonPath,
    pause: Annotated[ResumePerson, Depends(json_body(ResumePerson, what="pause", example=_PAUSE))],
    once: Idempotent,
) -> Response:
    """Let a paused person have tasks of a queue again; what they answered before counts no more for a pause."""

    async def call(database: Database) -> Response:
        return _said(await PeopleRegistry(database).resume(principal, project, actor_id, pause))

    return await once.run(principal, call)


def _said(reviewer: Reviewer) -> Response:
    return reply(reviewer, headers={"ETag": etag_of(version_of_profile(reviewer.profile))})

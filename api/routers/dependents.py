"""What depends on a calibration, a person, a rule set, a model or an asset."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import page_reply, reply
from api.paging import DEFAULT_LIMIT, Cursor, Limit, RevisionKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.lineage import (
    MAX_KEY_LENGTH,
    Dependent,
    DependentsSummary,
    Origin,
    OriginKind,
    VersionOfDependents,
)
from services.samples.reader import SampleReader

router = APIRouter(prefix="/v1/projects/{project}/dependents", tags=["ground truth"])

MayRead = Annotated[Principal, Depends(requires(Permission.HISTORY_READ))]
Kind = Annotated[OriginKind, Query(description="What kind of thing the records rest on.")]
Key = Annotated[
    str,
    Query(
        min_length=1,
        max_length=MAX_KEY_LENGTH,
        description="Which one: a hash (event, asset, label_set, calibration), SENSOR@HASH (calibration), NAME@VERSION "
        "(model, rule_set), or an id (person, decision, workflow, incident, taxonomy).",
    ),
]


@router.get("", response_model=Page[Dependent])
async def list_dependents(
    principal: MayRead,
    services: Services,
    project: ProjectPath,
    kind: Kind,
    key: Key,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the committed records that rest on something, by sample id and revision."""
    found = await SampleReader(services.database).dependents(
        principal,
        project,
        Origin(kind=kind, key=key),
        after=decode_cursor("dependents", RevisionKey, cursor),
        limit=limit + 1,
    )
    return page_reply(*cut_page(found, "dependents", lambda item: (item.ref.sample_id, item.ref.revision), limit=limit))


@router.get("/summary", response_model=DependentsSummary)
async def count_dependents(
    principal: MayRead, services: Services, project: ProjectPath, kind: Kind, key: Key
) -> Response:
    """Count the committed records that rest on something, exactly."""
    reader = SampleReader(services.database)
    return reply(await reader.count_dependents(principal, project, Origin(kind=kind, key=key)))


@router.get("/dataset-versions", response_model=Page[VersionOfDependents])
async def list_dependent_versions(
    principal: MayRead,
    services: Services,
    project: ProjectPath,
    kind: Kind,
    key: Key,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the dataset versions with committed records that rest on something, by dataset and version."""
    found = await SampleReader(services.database).dependent_versions(
        principal,
        project,
        Origin(kind=kind, key=key),
        after=decode_cursor("dependent_versions", RevisionKey, cursor),
        limit=limit + 1,
    )
    return page_reply(*cut_page(found, "dependent_versions", lambda item: (item.dataset, item.version), limit=limit))

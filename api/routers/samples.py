"""Samples: where they are, what was found, what was decided and committed."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import page_reply, reply
from api.paging import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    NameKey,
    NumberKey,
    RevisionKey,
    SampleKey,
    cut_page,
    decode_cursor,
    slice_page,
)
from api.policies import requires
from api.schemas import MAX_INTEGER, Page, ProjectPath, RevisionQuery, SamplePath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.lifecycle import Stage
from services.contracts.records import GroundTruth, LabelSet, SampleRevision, SampleSummary, StageChange
from services.contracts.review import StoredFinding
from services.samples.reader import SampleReader

router = APIRouter(prefix="/v1/projects/{project}")

MayRead = Annotated[Principal, Depends(requires(Permission.SAMPLES_READ))]
MayReadHistory = Annotated[Principal, Depends(requires(Permission.HISTORY_READ))]
MayReadGroundTruth = Annotated[Principal, Depends(requires(Permission.GROUND_TRUTH_READ))]


@router.get("/samples", response_model=Page[SampleSummary], tags=["samples"])
async def list_samples(
    principal: MayRead,
    services: Services,
    project: ProjectPath,
    stage: Annotated[Stage | None, Query(description="Only samples at this stage.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List sample revisions, newest first."""
    found = await SampleReader(services.database).list(
        principal, project, stage=stage, after=decode_cursor("samples", SampleKey, cursor), limit=limit + 1
    )
    return page_reply(
        *cut_page(found, "samples", lambda item: (item.created_at, item.ref.sample_id, item.ref.revision), limit=limit)
    )


@router.get("/samples/{sample_id}", response_model=SampleRevision, tags=["samples"])
async def get_sample(
    principal: MayRead, services: Services, project: ProjectPath, sample_id: SamplePath, revision: RevisionQuery = None
) -> Response:
    """Return a revision of a sample with its manifest."""
    return reply(await SampleReader(services.database).get(principal, project, sample_id, revision))


@router.get("/samples/{sample_id}/timeline", response_model=Page[StageChange], tags=["samples"])
async def get_timeline(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    sample_id: SamplePath,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List every stage change of all revisions of a sample, in order."""
    changes = await SampleReader(services.database).timeline(principal, project, sample_id)
    return page_reply(
        *slice_page(changes, "timeline", lambda item: (item.sequence,), cursor=cursor, kind=NumberKey, limit=limit)
    )


@router.get("/samples/{sample_id}/labels", response_model=LabelSet, tags=["samples"])
async def get_labels(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    sample_id: SamplePath,
    revision: RevisionQuery = None,
    version: Annotated[
        int | None, Query(ge=1, le=MAX_INTEGER, description="Version of the labels; the newest if left out.")
    ] = None,
) -> Response:
    """Return a version of the labels; predictions of models are not among them."""
    reader = SampleReader(services.database)
    return reply(await reader.labels(principal, project, sample_id, revision=revision, version=version))


@router.get("/samples/{sample_id}/findings", response_model=Page[StoredFinding], tags=["samples"])
async def list_findings(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    sample_id: SamplePath,
    revision: RevisionQuery = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the findings of a revision with what became of them, by id."""
    findings = await SampleReader(services.database).findings(principal, project, sample_id, revision)
    return page_reply(
        *slice_page(
            findings, "findings", lambda item: (item.finding.finding_id,), cursor=cursor, kind=NameKey, limit=limit
        )
    )


@router.get("/samples/{sample_id}/lineage", response_model=dict[str, Any], tags=["ground truth"])
async def get_lineage(
    principal: MayReadHistory,
    services: Services,
    project: ProjectPath,
    sample_id: SamplePath,
    revision: RevisionQuery = None,
) -> Response:
    """Return every stored fact a record rests on, by id and hash; before the commit, what is known so far."""
    return reply(await SampleReader(services.database).lineage(principal, project, sample_id, revision))


@router.get("/samples/{sample_id}/ground-truth", response_model=GroundTruth, tags=["ground truth"])
async def get_ground_truth(
    principal: MayReadGroundTruth,
    services: Services,
    project: ProjectPath,
    sample_id: SamplePath,
    revision: RevisionQuery = None,
) -> Response:
    """Return the committed record of a revision."""
    return reply(await SampleReader(services.database).ground_truth(principal, project, sample_id, revision))


@router.get("/ground-truth", response_model=Page[GroundTruth], tags=["ground truth"])
async def list_ground_truth(
    principal: MayReadGroundTruth,
    services: Services,
    project: ProjectPath,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List committed records by sample id and revision."""
    found = await SampleReader(services.database).ground_truths(
        principal, project, after=decode_cursor("ground-truth", RevisionKey, cursor), limit=limit + 1
    )
    return page_reply(
        *cut_page(found, "ground-truth", lambda item: (item.ref.sample_id, item.ref.revision), limit=limit)
    )

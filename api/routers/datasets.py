"""Datasets: definitions, immutable versions, their members, proofs and differences."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Query
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, DiffKey, Limit, NameKey, NumberKey, cut_page, decode_cursor, encode_cursor
from api.policies import requires
from api.progress import STREAMED, answer_with_progress
from api.schemas import MAX_INTEGER, Page, ProjectPath, SamplePath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.base import Identifier
from services.contracts.dataset_diff import DiffSummary, SampleChange
from services.contracts.datasets import (
    Dataset,
    DatasetName,
    DatasetVersionView,
    DependentVersion,
    InclusionProof,
    MemberRecord,
    MemberView,
    NewDataset,
    NewVersion,
    SplitName,
    Standing,
)
from services.datasets.lines import open_lines
from services.datasets.shelf import DatasetShelf
from services.ports.database import Database
from services.progress import Tell

router = APIRouter(prefix="/v1/projects/{project}", tags=["datasets"])

_DATASET = "/datasets/{dataset}"
_VERSION = f"{_DATASET}/versions/{{version}}"
_EXAMPLE = {
    "name": "signs",
    "selection": {"labels": [{"label": "traffic_sign"}], "risks": ["high"]},
    "split": {
        "group_by": ["context.attributes.sequence"],
        "shares": [{"name": "train", "weight": 80}, {"name": "test", "weight": 20}],
    },
}

NDJSON = "application/x-ndjson"
_LINES: dict[int | str, dict[str, Any]] = {
    200: {"content": {NDJSON: {"schema": {"type": "string"}}}, "description": "A record a line."}
}

DatasetPath = Annotated[DatasetName, Path(description="Name of the dataset.", examples=["signs"])]
VersionPath = Annotated[int, Path(ge=1, le=MAX_INTEGER, description="Number of the version.")]
FromVersion = Annotated[int, Query(alias="from", ge=1, le=MAX_INTEGER, description="The earlier version.")]
ToVersion = Annotated[int, Query(alias="to", ge=1, le=MAX_INTEGER, description="The later version.")]
SplitQuery = Annotated[SplitName | None, Query(description="Only members of this split.")]
RecordLimit = Annotated[int, Query(ge=1, le=200, description="At most so many records; each holds all its labels.")]

MayRead = Annotated[Principal, Depends(requires(Permission.DATASETS_READ))]
MayWrite = Annotated[Principal, Depends(requires(Permission.DATASETS_WRITE))]


@router.post("/datasets", status_code=201, response_model=Dataset)
async def create_dataset(
    principal: MayWrite,
    project: ProjectPath,
    new: Annotated[NewDataset, Depends(json_body(NewDataset, what="dataset", example=_EXAMPLE))],
    once: Idempotent,
) -> Response:
    """Define a dataset: which records it is made of, and how groups of samples are split. It never changes."""

    async def call(database: Database) -> Response:
        return reply(await DatasetShelf(database).create(principal, project, new), status=201)

    return await once.run(principal, call)


@router.get("/datasets", response_model=Page[Dataset])
async def list_datasets(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the datasets of a project, by name."""
    after = decode_cursor("datasets", NameKey, cursor)
    found = await DatasetShelf(services.database).list(
        principal, project, after=None if after is None else after.id, limit=limit + 1
    )
    return page_reply(*cut_page(found, "datasets", lambda item: (item.name,), limit=limit))


@router.get(_DATASET, response_model=Dataset)
async def get_dataset(services: Services, principal: MayRead, project: ProjectPath, dataset: DatasetPath) -> Response:
    """Return a dataset."""
    return reply(await DatasetShelf(services.database).get(principal, project, dataset))


@router.post(f"{_DATASET}/versions", status_code=201, response_model=DatasetVersionView, responses=STREAMED)
async def make_version(
    request: Request,
    principal: MayWrite,
    project: ProjectPath,
    dataset: DatasetPath,
    new: Annotated[NewVersion, Depends(json_body(NewVersion, what="version", optional=True))],
    once: Idempotent,
) -> Response:
    """Keep what is committed now, as far as the selection asks for it, as the next version.

    All of it is of one moment, whatever is committed meanwhile. The answer comes when the version is kept.
    With ``Accept: text/event-stream`` it is a stream of ``progress`` events that ends with the version as event
    ``answer``.
    """

    async def work(tell: Tell) -> Response:
        async def call(database: Database) -> Response:
            made = await DatasetShelf(database).make_version(principal, project, dataset, new, tell=tell)
            return reply(made, status=201)

        return await once.run(principal, call)

    return await answer_with_progress(request, work)


@router.get(f"{_DATASET}/versions", response_model=Page[DatasetVersionView])
async def list_versions(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    dataset: DatasetPath,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the versions of a dataset, newest first."""
    before = decode_cursor("versions", NumberKey, cursor)
    found = await DatasetShelf(services.database).versions(
        principal, project, dataset, before=None if before is None else before.sequence, limit=limit + 1
    )
    return page_reply(*cut_page(found, "versions", lambda item: (item.content.version,), limit=limit))


@router.get(_VERSION, response_model=DatasetVersionView)
async def get_version(
    services: Services, principal: MayRead, project: ProjectPath, dataset: DatasetPath, version: VersionPath
) -> Response:
    """Return a version with its card, and how many of its members' samples went on since."""
    return reply(await DatasetShelf(services.database).version(principal, project, dataset, version))


@router.get(f"{_VERSION}/members", response_model=Page[MemberView])
async def list_members(
    *,
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    dataset: DatasetPath,
    version: VersionPath,
    split: SplitQuery = None,
    standing: Annotated[
        Standing | None, Query(description="Only members whose sample is so now, such as superseded.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List the members of a version by sample id, with what became of each sample since."""
    after = decode_cursor("members", NumberKey, cursor)
    found = await DatasetShelf(services.database).members(
        principal,
        project,
        dataset,
        version,
        split=split,
        standing=standing,
        after=None if after is None else after.sequence,
        limit=limit + 1,
    )
    return page_reply(*cut_page(found, "members", lambda item: (item.position,), limit=limit))


@router.get(f"{_VERSION}/members/{{sample_id}}/proof", response_model=InclusionProof)
async def prove_member(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    dataset: DatasetPath,
    version: VersionPath,
    sample_id: SamplePath,
) -> Response:
    """Return the hashes that lead from a member to the root of its version (RFC 9162, 2.1.3)."""
    return reply(await DatasetShelf(services.database).proof(principal, project, dataset, version, sample_id))


@router.get(f"{_VERSION}/records", response_model=Page[MemberRecord])
async def list_records(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    dataset: DatasetPath,
    version: VersionPath,
    split: SplitQuery = None,
    cursor: Cursor = None,
    limit: RecordLimit = 50,
) -> Response:
    """List the members of a version with their records, by sample id."""
    after = decode_cursor("records", NumberKey, cursor)
    found = await DatasetShelf(services.database).records(
        principal,
        project,
        dataset,
        version,
        split=split,
        after=None if after is None else after.sequence,
        limit=limit + 1,
    )
    return page_reply(*cut_page(found, "records", lambda item: (item.member.position,), limit=limit))


@router.get(f"{_VERSION}/export", response_class=StreamingResponse, responses=_LINES)
async def export_version(
    *,
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    dataset: DatasetPath,
    version: VersionPath,
    form: Annotated[Literal["jsonl"], Query(alias="format", description="JSON Lines: a sample a line.")] = "jsonl",
    split: SplitQuery = None,
    after: Annotated[
        Identifier | None, Query(description="Go on behind this sample: the last whole line that was received.")
    ] = None,
) -> Response:
    """Stream a version whole, by sample id: each line is a member's record with its lineage, split and group.

    The lines are those of `concord dataset export --format jsonl`, byte for byte, in memory that does not grow with
    the version. A stream that breaks off ends without its last chunk; ask again with ``after``. Erased records have
    no line.
    """
    lines = await open_lines(services.database, principal, project, dataset, version, split=split, after=after)
    name = f"{dataset}-{version}.{form}"
    headers = {"Cache-Control": "no-store", "Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type=NDJSON, headers=headers)


@router.get(f"{_DATASET}/diff", response_model=Page[SampleChange])
async def diff_versions(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    dataset: DatasetPath,
    from_version: FromVersion,
    to_version: ToVersion,
    cursor: Cursor = None,
    limit: RecordLimit = 50,
) -> Response:
    """List the samples that differ between two versions, label by label, by sample id.

    A page may hold fewer than asked for, or none, before the end: only ``next_cursor`` tells where that is.
    """
    after = decode_cursor("diff", DiffKey, cursor)
    found, place = await DatasetShelf(services.database).diff(
        principal, project, dataset, (from_version, to_version), after=after, limit=limit
    )
    return page_reply(found, None if place is None else encode_cursor("diff", place))


@router.get(f"{_DATASET}/diff/summary", response_model=DiffSummary)
async def summarize_diff(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    dataset: DatasetPath,
    from_version: FromVersion,
    to_version: ToVersion,
) -> Response:
    """Count how two versions differ: samples, and labels by class and by what of them changed."""
    return reply(await DatasetShelf(services.database).summary(principal, project, dataset, (from_version, to_version)))


@router.get("/samples/{sample_id}/datasets", response_model=Page[DependentVersion])
async def list_dependents(
    services: Services, principal: MayRead, project: ProjectPath, sample_id: SamplePath
) -> Response:
    """List every version that holds a record of a sample, with whether the record is still the newest word on it."""
    return page_reply(await DatasetShelf(services.database).dependents(principal, project, sample_id))

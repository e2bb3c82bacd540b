"""Taxonomies: published versions, drafts, differences."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.etags import IfMatch, etag_of, expected_version
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, RevisionKey, slice_page
from api.policies import requires
from api.schemas import MAX_INTEGER, Page
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.base import Identifier
from services.contracts.taxonomies import TaxonomySummary
from services.errors import InvalidInputError
from services.ports.database import Database
from services.taxonomy.governance import TaxonomyDiff, TaxonomyDraft
from services.taxonomy.registry import TaxonomyRegistry
from services.taxonomy.taxonomy import Taxonomy

router = APIRouter(prefix="/v1/taxonomies", tags=["taxonomies"])

_TAXONOMY = {
    "id": "av",
    "version": 2,
    "classes": [
        {"id": "vehicle"},
        {"id": "car", "parents": ["vehicle"], "synonyms": ["automobile"], "modalities": ["image", "lidar"]},
        {"id": "pedestrian"},
        {"id": "rider"},
    ],
    "steps": [
        {
            "source": "av@1",
            "target": "av@2",
            "changes": [
                {"kind": "rename", "sources": ["auto"], "targets": ["car"]},
                {
                    "kind": "split",
                    "sources": ["person"],
                    "targets": ["pedestrian", "rider"],
                    "cases": [{"attribute": "on_vehicle", "values": [True], "target": "rider"}],
                },
            ],
        }
    ],
}

MayRead = Annotated[Principal, Depends(requires(Permission.TAXONOMIES_READ))]
MayWrite = Annotated[Principal, Depends(requires(Permission.TAXONOMIES_WRITE))]
TaxonomyPath = Annotated[Identifier, Path(description="Id of the taxonomy.", examples=["av"])]
VersionPath = Annotated[int, Path(ge=1, le=MAX_INTEGER, examples=[2])]


@router.get("", response_model=Page[TaxonomySummary])
async def list_taxonomies(
    principal: MayRead, services: Services, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List all published versions by id and version; they are shared by all projects."""
    found = await TaxonomyRegistry(services.database).list()
    return page_reply(
        *slice_page(
            found, "taxonomies", lambda item: (item.id, item.version), cursor=cursor, kind=RevisionKey, limit=limit
        )
    )


@router.post("", status_code=201, response_model=Taxonomy)
async def publish_taxonomy(
    principal: MayWrite,
    document: Annotated[Taxonomy, Depends(json_body(Taxonomy, what="taxonomy", example=_TAXONOMY))],
    once: Idempotent,
) -> Response:
    """Publish a version. It never changes; the same content again is nothing new.

    Refused where a class in use would have no class in this version and ``steps`` does not say what becomes of it.
    """

    async def call(database: Database) -> Response:
        return reply(await TaxonomyRegistry(database).publish(principal, document), status=201)

    return await once.run(principal, call)


@router.get("/{taxonomy_id}/draft", response_model=TaxonomyDraft)
async def get_taxonomy_draft(principal: MayRead, services: Services, taxonomy_id: TaxonomyPath) -> Response:
    """Return the draft of a taxonomy with its ETag, and what keeps it from being published."""
    return _draft_reply(await TaxonomyRegistry(services.database).draft(taxonomy_id))


@router.put("/{taxonomy_id}/draft", response_model=TaxonomyDraft)
async def put_taxonomy_draft(
    principal: MayWrite,
    taxonomy_id: TaxonomyPath,
    document: Annotated[Taxonomy, Depends(json_body(Taxonomy, what="taxonomy", example=_TAXONOMY))],
    once: Idempotent,
    if_match: IfMatch = None,
) -> Response:
    """Keep a draft of the next version; one with faults is kept too, and they are told."""
    if document.id != taxonomy_id:
        sentence = f"must be {taxonomy_id!r}, as in the address"
        raise InvalidInputError(f"The taxonomy is not valid: /id {sentence}", places=(("/id", sentence),))

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "draft")
        return _draft_reply(await TaxonomyRegistry(database).put_draft(principal, document, expected=expected))

    return await once.run(principal, call)


@router.delete("/{taxonomy_id}/draft", status_code=204)
async def delete_taxonomy_draft(
    principal: MayWrite, taxonomy_id: TaxonomyPath, once: Idempotent, if_match: IfMatch = None
) -> Response:
    """Remove a draft."""

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "draft")
        await TaxonomyRegistry(database).drop_draft(principal, taxonomy_id, expected=expected)
        return Response(status_code=204)

    return await once.run(principal, call)


@router.post("/{taxonomy_id}/draft/publish", status_code=201, response_model=Taxonomy)
async def publish_taxonomy_draft(
    principal: MayWrite, taxonomy_id: TaxonomyPath, once: Idempotent, if_match: IfMatch = None
) -> Response:
    """Publish the draft as the version it names; refused as a version that is sent whole would be."""

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "draft")
        published = await TaxonomyRegistry(database).publish_draft(principal, taxonomy_id, expected=expected)
        return reply(published, status=201)

    return await once.run(principal, call)


@router.get("/{taxonomy_id}/{version}", response_model=Taxonomy)
async def get_taxonomy(
    principal: MayRead, services: Services, taxonomy_id: TaxonomyPath, version: VersionPath
) -> Response:
    """Return a published version."""
    return reply(await TaxonomyRegistry(services.database).get(f"{taxonomy_id}@{version}"))


@router.get("/{taxonomy_id}/{version}/diff", response_model=TaxonomyDiff)
async def diff_taxonomy(
    principal: MayRead,
    services: Services,
    taxonomy_id: TaxonomyPath,
    version: VersionPath,
    since: Annotated[int, Query(ge=1, le=MAX_INTEGER, description="The earlier version.")],
) -> Response:
    """Return what differs from an earlier version, and how its labels become labels of this one."""
    if since >= version:
        sentence = f"must be earlier than {version}"
        raise InvalidInputError(
            f"The request is not valid: /query/since {sentence}", places=(("/query/since", sentence),)
        )
    registry = TaxonomyRegistry(services.database)
    return reply(await registry.diff(f"{taxonomy_id}@{since}", f"{taxonomy_id}@{version}"))


def _draft_reply(draft: TaxonomyDraft) -> Response:
    return reply(draft, headers={"ETag": etag_of(draft.sha256)})

"""Migrations of a project's samples to another version of its taxonomy."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, TimeKey, cut_page, decode_cursor
from api.policies import requires
from api.schemas import Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.taxonomies import MigrationPreview, MigrationRequest, TaxonomyMigration, TaxonomyReference
from services.ports.database import Database
from services.taxonomy.migrations import MigrationDesk

router = APIRouter(prefix="/v1/projects/{project}/taxonomy-migrations", tags=["taxonomies"])

_REQUEST = {"target": "av@2"}

MayRead = Annotated[Principal, Depends(requires(Permission.TAXONOMIES_READ))]
MayMigrate = Annotated[Principal, Depends(requires(Permission.TAXONOMIES_MIGRATE))]


@router.get("/preview", response_model=MigrationPreview)
async def preview_taxonomy_migration(
    principal: MayMigrate,
    services: Services,
    project: ProjectPath,
    target: Annotated[TaxonomyReference, Query(description="The version to migrate to.", examples=["av@2"])],
) -> Response:
    """Count what a migration would do now, by class and by sample. Reads every sample; nothing is changed."""
    return reply(await MigrationDesk(services.database).preview(principal, project, target))


@router.post("", status_code=201, response_model=TaxonomyMigration)
async def start_taxonomy_migration(
    principal: MayMigrate,
    project: ProjectPath,
    given: Annotated[MigrationRequest, Depends(json_body(MigrationRequest, what="migration", example=_REQUEST))],
    once: Idempotent,
) -> Response:
    """Start a migration. The project names the target from now on; its committed samples follow one by one."""

    async def call(database: Database) -> Response:
        return reply(await MigrationDesk(database).start(principal, project, given), status=201)

    return await once.run(principal, call)


@router.get("", response_model=Page[TaxonomyMigration])
async def list_taxonomy_migrations(
    principal: MayRead, services: Services, project: ProjectPath, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List migrations with how far each is, newest first."""
    found = await MigrationDesk(services.database).list(
        principal, project, after=decode_cursor("taxonomy-migrations", TimeKey, cursor), limit=limit + 1
    )
    return page_reply(
        *cut_page(found, "taxonomy-migrations", lambda item: (item.started_at, item.migration_id), limit=limit)
    )


@router.get("/{migration_id}", response_model=TaxonomyMigration)
async def get_taxonomy_migration(
    principal: MayRead, services: Services, project: ProjectPath, migration_id: UUID
) -> Response:
    """Return a migration: its state, and what it has done so far in the same counts as the preview."""
    return reply(await MigrationDesk(services.database).get(principal, project, migration_id))


@router.post("/{migration_id}/pause", response_model=TaxonomyMigration)
async def pause_taxonomy_migration(
    principal: MayMigrate, project: ProjectPath, migration_id: UUID, once: Idempotent
) -> Response:
    """Stop after the samples in hand, until somebody resumes."""

    async def call(database: Database) -> Response:
        return reply(await MigrationDesk(database).pause(principal, project, migration_id))

    return await once.run(principal, call)


@router.post("/{migration_id}/resume", response_model=TaxonomyMigration)
async def resume_taxonomy_migration(
    principal: MayMigrate, project: ProjectPath, migration_id: UUID, once: Idempotent
) -> Response:
    """Go on where a paused migration stopped."""

    async def call(database: Database) -> Response:
        return reply(await MigrationDesk(database).resume(principal, project, migration_id))

    return await once.run(principal, call)


@router.post("/{migration_id}/cancel", response_model=TaxonomyMigration)
async def cancel_taxonomy_migration(
    principal: MayMigrate, project: ProjectPath, migration_id: UUID, once: Idempotent
) -> Response:
    """End a migration where it is. What was migrated stays; the rest can be migrated by another one."""

    async def call(database: Database) -> Response:
        return reply(await MigrationDesk(database).cancel(principal, project, migration_id))

    return await once.run(principal, call)

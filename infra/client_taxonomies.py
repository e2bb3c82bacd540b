"""Calls about taxonomies and migrations from one version to another."""

from __future__ import annotations

from uuid import UUID

from infra.api_pages import VERIFY_WITHIN_S, path_part
from infra.client_definitions import DefinitionCalls
from services.contracts.taxonomies import MigrationPreview, MigrationRequest, TaxonomyMigration, TaxonomySummary
from services.taxonomy.governance import TaxonomyDiff, TaxonomyDraft
from services.taxonomy.taxonomy import Taxonomy

_BASE = "/v1/taxonomies"


class TaxonomyCalls(DefinitionCalls):
    """The part of the API about classes and what becomes of them."""

    async def taxonomies(self) -> tuple[TaxonomySummary, ...]:
        """Return all published versions by id and version."""
        return await self.all_of(TaxonomySummary, _BASE)

    async def taxonomy(self, taxonomy_id: str, version: int) -> Taxonomy:
        """Return a published version."""
        return Taxonomy.model_validate(await self.call("GET", f"{_BASE}/{path_part(taxonomy_id)}/{version}"))

    async def publish_taxonomy(self, document: Taxonomy) -> Taxonomy:
        """Publish a version; the same content again is nothing new."""
        return Taxonomy.model_validate(await self.call("POST", _BASE, document))

    async def taxonomy_diff(self, taxonomy_id: str, since: int, version: int) -> TaxonomyDiff:
        """Return what differs between two published versions."""
        path = f"{_BASE}/{path_part(taxonomy_id)}/{version}/diff"
        return TaxonomyDiff.model_validate(await self.call("GET", path, query={"since": since}))

    async def taxonomy_draft(self, taxonomy_id: str) -> TaxonomyDraft:
        """Return the draft of a taxonomy."""
        return TaxonomyDraft.model_validate(await self.call("GET", f"{_BASE}/{path_part(taxonomy_id)}/draft"))

    async def put_taxonomy_draft(self, document: Taxonomy) -> TaxonomyDraft:
        """Keep a draft of the next version."""
        path = f"{_BASE}/{path_part(document.id)}/draft"
        return TaxonomyDraft.model_validate(await self.call("PUT", path, document))

    async def delete_taxonomy_draft(self, taxonomy_id: str) -> None:
        """Remove the draft of a taxonomy."""
        await self.call("DELETE", f"{_BASE}/{path_part(taxonomy_id)}/draft")

    async def publish_taxonomy_draft(self, taxonomy_id: str) -> Taxonomy:
        """Publish the draft as the version it names."""
        path = f"{_BASE}/{path_part(taxonomy_id)}/draft/publish"
        return Taxonomy.model_validate(await self.call("POST", path, {}))

    # Migrations

    async def preview_migration(self, project: str, target: str) -> MigrationPreview:
        """Return what a migration would do now; every sample is read."""
        path = f"{_of(project)}/preview"
        answer = await self.call("GET", path, query={"target": target}, timeout_s=VERIFY_WITHIN_S)
        return MigrationPreview.model_validate(answer)

    async def start_migration(self, project: str, target: str) -> TaxonomyMigration:
        """Start a migration."""
        answer = await self.call("POST", _of(project), MigrationRequest(target=target))
        return TaxonomyMigration.model_validate(answer)

    async def migrations(self, project: str) -> tuple[TaxonomyMigration, ...]:
        """Return migrations with how far each is, newest first."""
        return await self.all_of(TaxonomyMigration, _of(project))

    async def migration(self, project: str, migration_id: UUID | str) -> TaxonomyMigration:
        """Return a migration with how far it is."""
        return TaxonomyMigration.model_validate(await self.call("GET", f"{_of(project)}/{path_part(migration_id)}"))

    async def move_migration(self, project: str, migration_id: UUID | str, what: str) -> TaxonomyMigration:
        """Pause, resume or cancel a migration."""
        path = f"{_of(project)}/{path_part(migration_id)}/{what}"
        return TaxonomyMigration.model_validate(await self.call("POST", path, {}))


def _of(project: str) -> str:
    return f"/v1/projects/{path_part(project)}/taxonomy-migrations"

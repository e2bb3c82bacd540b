"""Taxonomies: published versions, drafts, and how many labels have a class."""

from __future__ import annotations

from typing import Any

from sqlalchemy import TextClause, text

from infra.db.documents import model_text
from infra.db.repositories.base import Repository
from services.contracts.lifecycle import Stage
from services.contracts.taxonomies import TaxonomySummary, split_reference
from services.errors import AlreadyExistsError
from services.ports.taxonomies import StoredDraft
from services.taxonomy.changes import NOT_CLASSES
from services.taxonomy.governance import ClassUse
from services.taxonomy.taxonomy import Taxonomy

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:taxonomy_id, 15))")
_ADD = text("""
    INSERT INTO taxonomies (id, version, sha256, document, classes, published_by)
    VALUES (:id, :version, :sha256, :document, :classes, :published_by) ON CONFLICT DO NOTHING
""")
_GET = text("SELECT document FROM taxonomies WHERE id = :id AND version = :version")
_VERSIONS = text("""
    SELECT document FROM taxonomies
    WHERE id = :id AND (CAST(:up_to AS integer) IS NULL OR version <= CAST(:up_to AS integer)) ORDER BY version
""")
_LIST = text("SELECT id, version, sha256, classes, published_by, published_at FROM taxonomies ORDER BY id, version")
_DRAFT = "SELECT * FROM taxonomy_drafts WHERE id = :id"
_PUT_DRAFT = text("""
    INSERT INTO taxonomy_drafts (id, document, sha256, edited_by, updated_at)
    VALUES (:id, :document, :sha256, :edited_by, :updated_at)
    ON CONFLICT (id) DO UPDATE SET document = EXCLUDED.document, sha256 = EXCLUDED.sha256,
        edited_by = EXCLUDED.edited_by, updated_at = EXCLUDED.updated_at
""")
_DROP_DRAFT = text("DELETE FROM taxonomy_drafts WHERE id = :id")
# Of the newest labels of samples that are not over: how many samples have each class.
_USED = """
    SELECT project, version, label,
           count(*) FILTER (WHERE committed) AS committed, count(*) FILTER (WHERE NOT committed) AS under_way
    FROM (
        SELECT DISTINCT sample.project, sample.sample_id, revision.stage = :committed AS committed,
               annotation ->> 'taxonomy_version' AS version, annotation ->> 'label' AS label
        FROM projects
        JOIN samples AS sample ON sample.project = projects.id
        JOIN sample_revisions AS revision ON revision.project = sample.project
            AND revision.sample_id = sample.sample_id AND revision.revision = sample.current_revision
        JOIN label_sets AS labels ON labels.project = revision.project AND labels.sample_id = revision.sample_id
            AND labels.revision = revision.revision AND NOT labels.prediction
            AND labels.version = revision.label_version
        CROSS JOIN json_array_elements(labels.annotations) AS annotation
        WHERE NOT (revision.stage = ANY (CAST(:ended AS text[]))) AND {conditions}
    ) AS used
    GROUP BY project, version, label ORDER BY project, version, label
"""
_USES = text(
    _USED.format(
        conditions="""
            starts_with(projects.config ->> 'taxonomy', :prefix)
            AND annotation ->> 'label' = ANY (CAST(:labels AS text[]))
            AND (annotation ->> 'taxonomy_version' IS NULL
                 OR starts_with(annotation ->> 'taxonomy_version', :prefix))
        """
    )
)
_USES_IN = text(
    _USED.format(
        conditions="""
            projects.id = :project AND annotation ->> 'label' = ANY (CAST(:labels AS text[]))
            AND NOT (annotation ->> 'type' = ANY (CAST(:not_classes AS text[])))
        """
    )
)
_ENDED = (Stage.REJECTED, Stage.WITHDRAWN, Stage.REOPENED)


def _draft_of(row: Any) -> StoredDraft:
    return StoredDraft(
        document=Taxonomy.model_validate_json(row.document),
        sha256=row.sha256,
        edited_by=row.edited_by,
        updated_at=row.updated_at,
    )


class PostgresTaxonomies(Repository):
    """Implements :class:`services.ports.taxonomies.TaxonomyRepository`."""

    async def lock(self, taxonomy_id: str) -> None:
        """Serialise with others that publish this taxonomy, until the transaction ends."""
        await self._run(_LOCK, taxonomy_id=taxonomy_id)

    async def add(self, taxonomy: Taxonomy, *, sha256: str, published_by: str) -> None:
        """Keep a version.

        Raises:
            AlreadyExistsError: It is known.
        """
        added = await self._count(
            _ADD,
            id=taxonomy.id,
            version=taxonomy.version,
            sha256=sha256,
            document=model_text(taxonomy),
            classes=len(taxonomy.classes),
            published_by=published_by,
        )
        if not added:
            raise AlreadyExistsError(f"taxonomy {taxonomy.reference} is published; use the next version")

    async def get(self, reference: str) -> Taxonomy | None:
        """Return a version."""
        taxonomy_id, version = split_reference(reference)
        row = await self._first(_GET, id=taxonomy_id, version=version) if version < 2**31 else None
        return None if row is None else Taxonomy.model_validate_json(row.document)

    async def versions(self, taxonomy_id: str, *, up_to: int | None = None) -> tuple[Taxonomy, ...]:
        """Return all versions of a taxonomy, the oldest first, as far as ``up_to``."""
        rows = await self._run(_VERSIONS, id=taxonomy_id, up_to=up_to)
        return tuple(Taxonomy.model_validate_json(row.document) for row in rows)

    async def list(self) -> tuple[TaxonomySummary, ...]:
        """Return all versions by id and version."""
        return tuple(
            TaxonomySummary(
                id=row.id,
                version=row.version,
                sha256=row.sha256,
                classes=row.classes,
                published_by=row.published_by,
                published_at=row.published_at,
            )
            for row in await self._run(_LIST)
        )

    async def draft(self, taxonomy_id: str, *, lock: bool = False) -> StoredDraft | None:
        """Return the draft of a taxonomy; with ``lock`` nobody else changes it until the transaction ends."""
        row = await self._first(text(f"{_DRAFT} FOR UPDATE" if lock else _DRAFT), id=taxonomy_id)
        return None if row is None else _draft_of(row)

    async def put_draft(self, draft: StoredDraft) -> None:
        """Keep a draft in place of the one before."""
        await self._count(
            _PUT_DRAFT,
            id=draft.document.id,
            document=model_text(draft.document),
            sha256=draft.sha256,
            edited_by=draft.edited_by,
            updated_at=draft.updated_at,
        )

    async def drop_draft(self, taxonomy_id: str) -> bool:
        """Remove a draft; False if there is none."""
        return bool(await self._count(_DROP_DRAFT, id=taxonomy_id))

    async def uses(self, taxonomy_id: str, labels: tuple[str, ...]) -> tuple[ClassUse, ...]:
        """Count the newest labels with these classes in every project that names a version of the taxonomy.

        Samples are counted, not labels; those that were rejected or withdrawn are left out.
        """
        return await self._uses(_USES, prefix=f"{taxonomy_id}@", labels=[*labels])

    async def uses_in(self, project: str, labels: tuple[str, ...]) -> tuple[ClassUse, ...]:
        """Count the newest labels of a project with these classes, whatever version they name.

        Samples are counted, as in :meth:`uses`; kinds of label that carry no class are left out.
        """
        return await self._uses(_USES_IN, project=project, labels=[*labels], not_classes=[*NOT_CLASSES])

    async def _uses(self, statement: TextClause, **wanted: Any) -> tuple[ClassUse, ...]:
        rows = await self._run(
            statement, **wanted, committed=Stage.COMMITTED.value, ended=[stage.value for stage in _ENDED]
        )
        return tuple(
            ClassUse(
                project=row.project,
                version=row.version,
                label=row.label,
                committed=row.committed,
                under_way=row.under_way,
            )
            for row in rows
        )

"""Taxonomies: drafts that people work on, and published versions that never change."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NoReturn

from services.access.keys import SYSTEM_PROJECT
from services.access.policy import ensure_unscoped
from services.contracts.access import Principal
from services.contracts.canonical import content_sha256
from services.contracts.project_events import TaxonomyAnnounced
from services.contracts.taxonomies import TaxonomySummary, split_reference
from services.errors import (
    AlreadyExistsError,
    ChangedMeanwhileError,
    InvalidInputError,
    NotFoundError,
)
from services.lifecycle.project_events import tell_project
from services.ports.database import Database, Transaction
from services.ports.taxonomies import StoredDraft
from services.taxonomy.carriers import stored_taxonomy
from services.taxonomy.crosswalk import Crosswalks
from services.taxonomy.governance import (
    DocumentFault,
    TaxonomyDiff,
    TaxonomyDraft,
    diff,
    document_faults,
    left_without_class,
    steps_of,
)
from services.taxonomy.in_use import label_in_use
from services.taxonomy.taxonomy import Taxonomy

PUBLISHED_ACTION = "taxonomy.published"
_WHAT = "A taxonomy"


class TaxonomyRegistry:
    """Keeps drafts, publishes versions, and tells them apart. Taxonomies are shared by all projects.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(self) -> tuple[TaxonomySummary, ...]:
        """Return all published versions by id and version."""
        async with self._database.transaction() as tx:
            return await tx.taxonomies.list()

    async def get(self, reference: str) -> Taxonomy:
        """Return a published version.

        Raises:
            NotFoundError: There is no such version.
        """
        async with self._database.transaction() as tx:
            return await stored_taxonomy(tx, reference)

    async def diff(self, source: str, target: str) -> TaxonomyDiff:
        """Return what differs between two published versions of one taxonomy.

        Raises:
            NotFoundError: One of them is not there.
        """
        async with self._database.transaction() as tx:
            return diff(await stored_taxonomy(tx, source), await stored_taxonomy(tx, target))

    async def draft(self, taxonomy_id: str) -> TaxonomyDraft:
        """Return the draft of a taxonomy, with what keeps it from being published.

        Raises:
            NotFoundError: There is none.
        """
        async with self._database.transaction() as tx:
            return await _seen(tx, await _draft(tx, taxonomy_id))

    async def put_draft(
        self, principal: Principal, document: Taxonomy, *, expected: str | None = None
    ) -> TaxonomyDraft:
        """Keep a draft. One with faults is kept too; they are told.

        Args:
            principal: Who asks.
            document: The draft, whole.
            expected: The hash of the draft this one was made from; None replaces any.

        Raises:
            ForbiddenError: The key is limited to some projects.
            AlreadyExistsError: The version is published.
            ChangedMeanwhileError: Somebody else has changed the draft since ``expected``.
        """
        ensure_unscoped(principal, _WHAT)
        async with self._database.transaction() as tx:
            await tx.taxonomies.lock(document.id)
            if await tx.taxonomies.get(document.reference) is not None:
                raise AlreadyExistsError(f"{document.reference} is published and never changes; take the next version.")
            known = await tx.taxonomies.draft(document.id, lock=True)
            if expected is not None and (known is None or known.sha256 != expected):
                raise ChangedMeanwhileError(
                    f"The draft of {document.id!r} was changed since you read it; read it again."
                )
            sha256 = content_sha256(document)
            if known is not None and known.sha256 == sha256:
                return await _seen(tx, known)
            draft = StoredDraft(document, sha256, principal.actor_id, await tx.now())
            await tx.taxonomies.put_draft(draft)
            _note(tx, principal.actor_id, "taxonomy.drafted", document, sha256)
            return await _seen(tx, draft)

    async def drop_draft(self, principal: Principal, taxonomy_id: str, *, expected: str | None = None) -> None:
        """Remove a draft.

        Raises:
            ForbiddenError: The key is limited to some projects.
            NotFoundError: There is none.
            ChangedMeanwhileError: Somebody else has changed it since ``expected``.
        """
        ensure_unscoped(principal, _WHAT)
        async with self._database.transaction() as tx:
            await tx.taxonomies.lock(taxonomy_id)
            known = await _draft(tx, taxonomy_id)
            _ensure_unchanged(known, expected)
            await tx.taxonomies.drop_draft(taxonomy_id)
            _note(tx, principal.actor_id, "taxonomy.draft_dropped", known.document, known.sha256)

    async def publish_draft(self, principal: Principal, taxonomy_id: str, *, expected: str | None = None) -> Taxonomy:
        """Publish the draft of a taxonomy as the version it names.

        Raises:
            NotFoundError: There is no draft.
            ChangedMeanwhileError: Somebody else has changed it since ``expected``.
            ForbiddenError, InvalidInputError, LabelInUseError: As for :meth:`publish`.
        """
        ensure_unscoped(principal, _WHAT)
        async with self._database.transaction() as tx:
            await tx.taxonomies.lock(taxonomy_id)
            known = await _draft(tx, taxonomy_id)
            _ensure_unchanged(known, expected)
            return await publish_version(tx, known.document, published_by=principal.actor_id)

    async def publish(self, principal: Principal, document: Taxonomy) -> Taxonomy:
        """Publish a version at once; the same content again is nothing new.

        Raises:
            ForbiddenError: The key is limited to some projects.
            AlreadyExistsError: The version is published with other content.
            InvalidInputError: The document has faults, or its version does not follow the newest.
            LabelInUseError: A class in use would have no class in this version, and no change says what becomes of it.
        """
        ensure_unscoped(principal, _WHAT)
        async with self._database.transaction() as tx:
            return await publish_version(tx, document, published_by=principal.actor_id)


async def publish_version(tx: Transaction, document: Taxonomy, *, published_by: str, at: str = "") -> Taxonomy:
    """Publish a version in the caller's transaction, and tell the projects that go by the taxonomy.

    Args:
        tx: The transaction.
        document: The version.
        published_by: Who published it, as the audit trail names them.
        at: Where the document stands in what was sent; the places of errors begin with it.

    Raises:
        AlreadyExistsError, InvalidInputError, LabelInUseError: As for :meth:`TaxonomyRegistry.publish`.
    """
    await tx.taxonomies.lock(document.id)
    known = await tx.taxonomies.get(document.reference)
    if known is not None:
        if known != document:
            raise AlreadyExistsError(f"{document.reference} is published with other content; take the next version.")
        return known
    versions = await tx.taxonomies.versions(document.id)
    if versions and document.version <= versions[-1].version:
        newest = versions[-1].version
        _refuse([DocumentFault(place="/version", sentence=f"must be above {newest}, the newest that is published")], at)
    faults = document_faults(document, {item.reference: item for item in versions})
    if faults:
        _refuse(faults, at)
    await _ensure_none_vanishes(tx, document, versions, at)
    sha256 = content_sha256(document)
    await tx.taxonomies.add(document, sha256=sha256, published_by=published_by)
    draft = await tx.taxonomies.draft(document.id, lock=True)
    if draft is not None and draft.document.version <= document.version:
        await tx.taxonomies.drop_draft(document.id)
    _note(tx, published_by, PUBLISHED_ACTION, document, sha256)
    await _announce(tx, document, sha256, published_by)
    return document


async def _announce(tx: Transaction, document: Taxonomy, sha256: str, published_by: str) -> None:
    now = await tx.now()
    for project in await tx.projects.list():
        current = project.config.taxonomy
        if current is not None and split_reference(current)[0] == document.id:
            announced = TaxonomyAnnounced(
                project=project.id,
                at=now,
                taxonomy=document.reference,
                sha256=sha256,
                classes=len(document.classes),
                published_by=published_by,
                current=current,
            )
            await tell_project(tx, announced)


async def _ensure_none_vanishes(tx: Transaction, document: Taxonomy, versions: Sequence[Taxonomy], at: str) -> None:
    """Refuse a version that has no class for labels in use and does not say what becomes of them."""
    if not versions:
        return
    walks = Crosswalks(steps_of((*versions, document)))
    lost = {item.reference: left_without_class(item, document, walks) for item in versions}
    names = frozenset[str]().union(*lost.values())
    if not names:
        return
    current = {project.id: project.config.taxonomy for project in await tx.projects.list()}
    used = [
        use
        for use in await tx.taxonomies.uses(document.id, tuple(sorted(names)))
        if use.label in lost.get(use.version or current.get(use.project) or "", ())
    ]
    if used:
        raise label_in_use(
            f"{document.reference} has no class for labels in use",
            used,
            "Say in steps what becomes of it: a rename, merge, split or deprecate.",
            f"{at}/steps",
        )


def _refuse(faults: Iterable[DocumentFault], at: str) -> NoReturn:
    places = tuple((at + fault.place, fault.sentence) for fault in faults)
    more = f" (and {len(places) - 1} more)" if len(places) > 1 else ""
    raise InvalidInputError(f"The taxonomy can not be published: {places[0][0]}: {places[0][1]}{more}", places=places)


async def _draft(tx: Transaction, taxonomy_id: str) -> StoredDraft:
    known = await tx.taxonomies.draft(taxonomy_id, lock=True)
    if known is None:
        raise NotFoundError(f"There is no draft of a taxonomy {taxonomy_id!r}.")
    return known


async def _seen(tx: Transaction, draft: StoredDraft) -> TaxonomyDraft:
    versions = await tx.taxonomies.versions(draft.document.id)
    return TaxonomyDraft(
        document=draft.document,
        sha256=draft.sha256,
        edited_by=draft.edited_by,
        updated_at=draft.updated_at,
        faults=document_faults(draft.document, {item.reference: item for item in versions}),
    )


def _ensure_unchanged(draft: StoredDraft, expected: str | None) -> None:
    if expected is not None and draft.sha256 != expected:
        raise ChangedMeanwhileError(f"The draft of {draft.document.id!r} was changed since you read it; read it again.")


def _note(tx: Transaction, actor: str, action: str, document: Taxonomy, sha256: str) -> None:
    tx.audit.append(
        SYSTEM_PROJECT,
        actor=actor,
        action=action,
        subject=taxonomy_subject(document.id, document.version),
        body={"sha256": sha256, "classes": len(document.classes)},
    )


def taxonomy_subject(taxonomy_id: str, version: int) -> str:
    """Return how the audit trail names a version of a taxonomy."""
    return f"taxonomies/{taxonomy_id}/{version}"

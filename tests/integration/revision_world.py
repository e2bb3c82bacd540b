"""Further revisions of a sample: as upstream sends them, and as a taxonomy migration opens them."""

from __future__ import annotations

from typing import Any

from services.contracts.access import Role
from services.contracts.lifecycle import RevisionRef
from services.contracts.taxonomies import MigrationInput, MigrationRequest, MigrationState
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.taxonomy.applying import migrate_samples
from services.taxonomy.changes import ClassChange, VersionCrosswalk
from services.taxonomy.migrations import MigrationDesk
from services.taxonomy.registry import TaxonomyRegistry
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass
from tests.intake_events import NoAssets, event, manifest, structured, take_in
from tests.integration.lifecycle_world import PROJECT, World, no_models, person

ADMIN = person("ada", Role.ADMIN)


async def advanced(world: World, ref: RevisionRef) -> None:
    """Do what follows from a decision, and check again."""
    await settle_review(world.database, ref)
    await check_alignment(world.database, world.runner, ref)


async def updated(world: World, ref: RevisionRef, *labels: dict[str, Any], **changes: Any) -> RevisionRef:
    """The next revision of a sample, as upstream sends it, checked."""
    document = manifest(ref.sample_id, project=PROJECT, annotations=list(labels), **changes)
    told = event(document, "concord.sample.updated.v1", id=f"{ref.sample_id}-{ref.revision + 1}")
    following = (await take_in(world.inbox, structured(told))).ref
    assert following.revision == ref.revision + 1
    await prepare_sample(world.database, NoAssets(), no_models, following)
    await check_alignment(world.database, world.runner, following)
    return following


def a_version(version: int, *classes: str, **more: Any) -> Taxonomy:
    return Taxonomy(id="words", version=version, classes=tuple(TaxonomyClass(id=name) for name in classes), **more)


RENAMED = VersionCrosswalk(
    source="words@1",
    target="words@2",
    changes=(
        ClassChange(kind="rename", sources=("wrong",), targets=("wrong_word",)),
        ClassChange(kind="merge", sources=("wrong_time", "wrong_day"), targets=("wrong_date",)),
        ClassChange(kind="split", sources=("open",), targets=("ajar", "unlocked")),
    ),
)


async def publish(world: World) -> None:
    """Publish both versions of a taxonomy."""
    registry = TaxonomyRegistry(world.database)
    await registry.publish(ADMIN, a_version(1, "wrong", "wrong_time", "wrong_day", "open"))
    classes = "wrong_word", "wrong_date", "ajar", "unlocked"
    await registry.publish(ADMIN, a_version(2, *classes, steps=(RENAMED,)))


async def migrated(world: World) -> None:
    """Carry the committed samples over to the second version."""
    started = await MigrationDesk(world.database).start(ADMIN, PROJECT, MigrationRequest(target="words@2"))
    given = MigrationInput(project=PROJECT, migration_id=started.migration_id)
    step = await migrate_samples(world.database, given, workflow_run_id="run-m")
    assert step.state is MigrationState.COMPLETED

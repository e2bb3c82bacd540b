"""A label in use can not vanish: not by a version without its class, and not by a project that leaves its version."""

from __future__ import annotations

from collections.abc import Sequence

from services.contracts.records import Project
from services.errors import LabelInUseError, MigrationConflictError
from services.ports.database import Transaction
from services.taxonomy.carriers import read_carrier
from services.taxonomy.governance import ClassUse
from services.taxonomy.migrating import names_at_risk, vanishes

_NAMED = 5
_PLACES = 50


async def ensure_labels_keep_classes(tx: Transaction, before: Project, after: Project, place: str) -> None:
    """Refuse another taxonomy of a project if labels in use that have a class now would have none.

    Args:
        tx: The transaction that has locked the project.
        before: The project as it is.
        after: As it is to be; its taxonomy is published.
        place: Where the taxonomy is named.

    Raises:
        LabelInUseError: There are such labels.
        MigrationConflictError: A migration is not over: it goes by the taxonomy that the project has.
    """
    if before.config.taxonomy == after.config.taxonomy:
        return
    live = await tx.taxonomy_migrations.live(before.id)
    if live is not None:
        raise MigrationConflictError(
            f"Project {before.id!r} goes by {live.target} while its samples are migrated to it; let the migration end, "
            "or cancel it, before you change the taxonomy."
        )
    await ensure_target_has_classes(tx, before, after.config.taxonomy, place)


async def ensure_target_has_classes(tx: Transaction, project: Project, target: str | None, place: str) -> None:
    """Refuse a version, or none, in which labels of a project that have a class now would have none.

    Raises:
        LabelInUseError: There are such labels.
        NotFoundError: There is no such version.
    """
    source = project.config.taxonomy
    if source is None or source == target:
        return
    now = await read_carrier(tx, source)
    then = None if target is None else await read_carrier(tx, target, unversioned=source)
    versions = await tx.taxonomies.versions(now.target.id)
    names = names_at_risk(now, then, [item.reference for item in versions])
    # All labels are read for this, so only where there is something to find.
    used = await tx.taxonomies.uses_in(project.id, tuple(sorted(names))) if names else ()
    lost = [use for use in used if vanishes(now, then, use.label, use.version)]
    if lost:
        what = "no taxonomy" if target is None else target
        raise label_in_use(
            f"Project {project.id!r} can not go by {what}, which has no class for labels in use",
            lost,
            "Labels are only carried forward: publish a version that says in steps what becomes of these, and migrate "
            f"to it by POST /v1/projects/{project.id}/taxonomy-migrations, or `concord taxonomy migration start`.",
            place,
        )


def label_in_use(refusal: str, used: Sequence[ClassUse], advice: str, place: str) -> LabelInUseError:
    """Return the error that names classes in use, with how many samples have labels of each.

    Args:
        refusal: What is refused, without its end.
        used: The classes; at least one.
        advice: What to do instead.
        place: Where the fault is, as a JSON pointer.
    """
    more = f" (and {len(used) - _NAMED} more)" if len(used) > _NAMED else ""
    classes = sorted({use.label for use in used})
    return LabelInUseError(
        f"{refusal}: {'; '.join(_told(use) for use in used[:_NAMED])}{more}. {advice}",
        places=tuple((place, _told(use)) for use in used[:_PLACES]),
        facts={
            "classes": ", ".join(classes)[:2_000],
            "committed_samples": sum(use.committed for use in used),
            "open_samples": sum(use.under_way for use in used),
        },
    )


def _told(use: ClassUse) -> str:
    return (
        f"{use.label!r} is the class of labels in {use.committed} committed and {use.under_way} open samples of "
        f"{use.project!r}"
    )

"""All activities of a worker, from their ports."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from activities.alignment import AlignmentActivities
from activities.ground_truth import GroundTruthActivities
from activities.prepare import SAMPLES_WITH_MODELS, PrepareActivities
from activities.review import ReviewActivities
from activities.taxonomy_migration import TaxonomyMigrationActivities
from services.lifecycle.gathering import PreLabelersFor
from services.ports.assets import AssetReader
from services.ports.checks import CheckRunner
from services.ports.database import Database


def all_activities(
    database: Database,
    assets: AssetReader,
    pre_labelers_for: PreLabelersFor,
    runner: CheckRunner,
    *,
    samples_with_models: int = SAMPLES_WITH_MODELS,
) -> tuple[Callable[..., Any], ...]:
    """Return every activity that the workflows ask for.

    Args:
        database: The store of record.
        assets: Reads what manifests refer to.
        pre_labelers_for: Makes a project's models.
        runner: Where the checks run.
        samples_with_models: How many samples of one project are with its models at once.
    """
    review = ReviewActivities(database)
    return (
        PrepareActivities(database, assets, pre_labelers_for, samples_with_models).prepare_sample,
        AlignmentActivities(database, runner).check_alignment,
        review.settle_review,
        review.escalate_overdue,
        GroundTruthActivities(database).commit_ground_truth,
        TaxonomyMigrationActivities(database).migrate_samples,
    )

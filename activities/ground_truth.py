"""Commit ground truth."""

from __future__ import annotations

from temporalio import activity

from activities.guard import guarded
from activities.names import COMMIT_GROUND_TRUTH
from services.contracts.lifecycle import CommitInput, NextStep, Stage, StepResult
from services.errors import BlockingFindingError, StageConflictError
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.settle import settle_review
from services.ports.database import Database


class GroundTruthActivities:
    """Activities of ground truth.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    @activity.defn(name=COMMIT_GROUND_TRUTH)
    async def commit_ground_truth(self, given: CommitInput) -> StepResult:
        """Commit, or answer what the state says when the sample has moved away from acceptance."""
        run_id = activity.info().workflow_run_id or ""
        async with guarded():
            try:
                record = await commit_ground_truth(self._database, given.ref, workflow_run_id=run_id)
            except (StageConflictError, BlockingFindingError):
                step = await settle_review(self._database, given.ref)
                if step.next_step is NextStep.COMMIT:
                    raise
                return step
        return StepResult(stage=Stage.COMMITTED, next_step=NextStep.STOP, content_sha256=record.content_sha256)

"""Prepare a sample: assets, label files, pre-label models."""

from __future__ import annotations

from temporalio import activity

from activities.guard import guarded
from activities.names import PREPARE_SAMPLE
from services.contracts.lifecycle import PrepareInput, StepResult
from services.lifecycle.gathering import PreLabelersFor
from services.lifecycle.prepare import prepare_sample
from services.ports.assets import AssetReader
from services.ports.database import Database


class PrepareActivities:
    """Activities before anybody labels.

    Args:
        database: The store of record.
        assets: Reads what manifests refer to.
        pre_labelers_for: Makes a project's models.
    """

    def __init__(self, database: Database, assets: AssetReader, pre_labelers_for: PreLabelersFor) -> None:
        self._database = database
        self._assets = assets
        self._pre_labelers_for = pre_labelers_for

    @activity.defn(name=PREPARE_SAMPLE)
    async def prepare_sample(self, given: PrepareInput) -> StepResult:
        """See :func:`services.lifecycle.prepare.prepare_sample`."""
        async with guarded():
            return await prepare_sample(self._database, self._assets, self._pre_labelers_for, given.ref)

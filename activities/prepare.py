"""Prepare a sample: assets, label files, pre-label models."""

from __future__ import annotations

import asyncio

from temporalio import activity

from activities.guard import guarded
from activities.names import PREPARE_SAMPLE
from services.contracts.lifecycle import PrepareInput, StepResult
from services.lifecycle.gathering import PreLabelersFor
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.shares import ProjectShares
from services.ports.assets import AssetBytes, AssetReader
from services.ports.database import Database

SAMPLES_WITH_MODELS = 16
"""Of one project in one worker; the others come again, and hold no slot meanwhile."""

_READS_AT_ONCE = 32


class PrepareActivities:
    """Activities before anybody labels.

    Args:
        database: The store of record.
        assets: Reads what manifests refer to.
        pre_labelers_for: Makes a project's models.
        samples_with_models: How many samples of one project are with its models at once.
    """

    def __init__(
        self,
        database: Database,
        assets: AssetReader,
        pre_labelers_for: PreLabelersFor,
        samples_with_models: int = SAMPLES_WITH_MODELS,
    ) -> None:
        self._database = database
        self._assets = _InTurn(assets)
        self._pre_labelers_for = pre_labelers_for
        self._shares = ProjectShares(samples_with_models)

    @activity.defn(name=PREPARE_SAMPLE)
    async def prepare_sample(self, given: PrepareInput) -> StepResult:
        """See :func:`services.lifecycle.prepare.prepare_sample`."""
        async with guarded():
            return await prepare_sample(
                self._database, self._assets, self._pre_labelers_for, given.ref, shares=self._shares
            )


class _InTurn:
    """Reads assets for many samples, a few at a time: what waits here has not begun to use up its time."""

    def __init__(self, assets: AssetReader) -> None:
        self._assets = assets
        self._turns = asyncio.Semaphore(_READS_AT_ONCE)

    async def check(self, uri: str, *, sha256: str | None) -> int:
        async with self._turns:
            return await self._assets.check(uri, sha256=sha256)

    async def read(self, uri: str, *, sha256: str | None) -> AssetBytes:
        async with self._turns:
            return await self._assets.read(uri, sha256=sha256)

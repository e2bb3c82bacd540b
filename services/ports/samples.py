"""The store of samples, as the product sees it: revisions, label sets, assets, check runs."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from services.contracts.annotations import Annotations
from services.contracts.events import IncomingEvent
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import Risk, SampleManifest
from services.contracts.records import (
    AssetRecord,
    CheckRun,
    LabelSet,
    SampleRevision,
    SampleSummary,
    StageChange,
)


class SampleRepository(Protocol):
    """Samples, their revisions, label sets, assets and check runs."""

    async def lock_sample(self, project: str, sample_id: str) -> int:
        """Lock the sample for this transaction and return its newest revision, 0 if there is none yet."""
        ...

    async def add_revision(
        self,
        ref: RevisionRef,
        manifest: SampleManifest,
        *,
        manifest_sha256: str,
        risk: Risk,
        event: IncomingEvent | None,
    ) -> None:
        """Keep a new revision at stage ``received`` with label version 0."""
        ...

    async def get(self, ref: RevisionRef, *, lock: bool = False) -> SampleRevision | None:
        """Return a revision; with ``lock`` no other transaction changes it until this one ends."""
        ...

    async def newest(self, project: str, sample_id: str) -> RevisionRef | None:
        """Return the newest revision of a sample."""
        ...

    async def list(
        self, project: str, *, stage: Stage | None, after: tuple[datetime, str, int] | None, limit: int
    ) -> tuple[SampleSummary, ...]:
        """Return revisions, newest first, by (created_at, sample id, revision) after the cursor."""
        ...

    async def checked(
        self,
        project: str,
        *,
        stages: Sequence[Stage],
        riskiest: bool,
        limit: int,
        but_by: str | None = None,
        asked: bool = False,
        after: RevisionRef | None = None,
    ) -> tuple[RevisionRef, ...]:
        """Return the newest revisions of samples at these stages that were checked and not erased, newest first.

        Args:
            project: The project.
            stages: Where the samples are.
            riskiest: Those of a higher risk come before all others.
            limit: At most so many.
            but_by: Leaves out what was checked last by the rule set of this hash.
            asked: Leaves out what has no task that waits for an answer.
            after: Begins behind this one in the same order.
        """
        ...

    async def count_by_stage(self, project: str) -> dict[Stage, int]:
        """Return how many revisions are at each stage."""
        ...

    async def set_stage(self, change: StageChange) -> None:
        """Set the stage and keep the change in the timeline."""
        ...

    async def next_sequence(self, project: str, sample_id: str) -> int:
        """Return the next number of the sample's sequence of events, from 1 without gaps."""
        ...

    async def timeline(self, project: str, sample_id: str) -> tuple[StageChange, ...]:
        """Return every stage change of all revisions of a sample, in order."""
        ...

    async def add_label_set(
        self,
        ref: RevisionRef,
        annotations: Annotations,
        *,
        origin: str,
        author: Author,
        decision_id: UUID | None = None,
        incident_id: UUID | None = None,
    ) -> LabelSet:
        """Keep the next version of the labels; origin ``prediction`` leaves the label version as it is."""
        ...

    async def label_set(self, ref: RevisionRef, version: int | None = None) -> LabelSet | None:
        """Return a version of the labels, the newest by default, predictions left out."""
        ...

    async def label_sets(self, ref: RevisionRef) -> tuple[LabelSet, ...]:
        """Return all versions of the labels and all predictions, in order."""
        ...

    async def label_sets_before(self, ref: RevisionRef) -> tuple[LabelSet, ...]:
        """Return all versions of the labels of the sample's earlier revisions, in order; predictions left out."""
        ...

    async def put_assets(self, ref: RevisionRef, assets: tuple[AssetRecord, ...]) -> None:
        """Keep what was read, by stream and role; the same again changes nothing."""
        ...

    async def assets(self, ref: RevisionRef) -> tuple[AssetRecord, ...]:
        """Return the assets as read."""
        ...

    async def add_check_run(self, run: CheckRun) -> None:
        """Keep a check run."""
        ...

    async def last_check_run(self, ref: RevisionRef) -> CheckRun | None:
        """Return the newest check run."""
        ...

    async def check_runs(self, ref: RevisionRef) -> tuple[CheckRun, ...]:
        """Return all check runs, oldest first."""
        ...

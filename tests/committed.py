"""Samples that travelled to ground truth through the product's own services, on a real database."""

from __future__ import annotations

from typing import Any

from services.alignment.engine import run_checks
from services.alignment.sample import CheckSample
from services.contracts.access import Principal, Role
from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport
from services.contracts.lifecycle import RevisionRef
from services.contracts.manifest import SampleManifest
from services.contracts.records import GroundTruth
from services.contracts.review import DecisionInput, Verdict
from services.ground_truth.commit import commit_ground_truth
from services.intake.inbox import Inbox
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.ports.database import Database
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish
from services.rules.rule_set import RuleSet
from tests.intake_events import NoAssets, created, take_in

DRAFT_POLICY: dict[str, Any] = {"context": {"policy": {"id": "privacy", "version": "1", "status": "draft"}}}
REVIEWER = Principal(actor_id="rex", key_id="key-rex", role=Role.REVIEWER, projects=None, skills=())


class ChecksHere:
    """The checks in this process, for samples without assets."""

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        return run_checks(CheckSample(manifest=manifest, annotations=annotations), rules)


async def accepted_sample(database: Database, sample_id: str) -> RevisionRef:
    """A sample whose only disagreement a reviewer has accepted; the project is ``calls``."""
    receipt = await take_in(Inbox(database, NoAssets()), created(sample_id, **DRAFT_POLICY))
    ref = receipt.ref
    await prepare_sample(database, NoAssets(), lambda _: (), ref)
    await check_alignment(database, ChecksHere(), ref)
    desk = ReviewDesk(database)
    task = await desk.claim_next(REVIEWER, ClaimWish())
    verdict = DecisionInput(verdict=Verdict.ACCEPT_CONFLICT, fence=task.fence, reason_code="tolerated_by_policy")
    await desk.decide(REVIEWER, task.task_id, verdict)
    await settle_review(database, ref)
    await check_alignment(database, ChecksHere(), ref)
    return ref


async def committed_sample(database: Database, sample_id: str) -> GroundTruth:
    """A sample with its ground truth."""
    ref = await accepted_sample(database, sample_id)
    return await commit_ground_truth(database, ref, workflow_run_id=f"run-{sample_id}")

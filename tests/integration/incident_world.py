"""Samples whose labels, or whose clock, are wrong by one cause; and the workflow's steps without Temporal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.annotations import Annotation
from services.contracts.canonical import content_sha256
from services.contracts.consensus import Consensus
from services.contracts.findings import Cause, CheckReport, Finding, Measured, finding_id
from services.contracts.incidents import Incident, IncidentMember, IncidentSummary, MemberState
from services.contracts.label_base import Author, TimedLabel
from services.contracts.labels_language import TranscriptSegment
from services.contracts.lifecycle import NextStep, RevisionRef, Stage, StepResult, ref_of_workflow_id
from services.contracts.manifest import SampleManifest
from services.contracts.records import CheckRun, SampleRevision
from services.contracts.review import FindingState, ReviewTask, StoredFinding
from services.ground_truth.commit import commit_ground_truth
from services.incidents.desk import IncidentDesk
from services.incidents.ledger import CheckedRevision, note_findings
from services.lifecycle.checking import check_alignment
from services.lifecycle.journal import move, record_stage
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle, settle_review
from services.lifecycle.steps import lock_revision
from services.ports.database import Transaction
from services.review.authorship import concerned_sha256
from services.rules.incidents import IncidentRules
from services.rules.rule_set import RoutingRule, RuleSet
from tests.intake_events import NoAssets
from tests.integration.lifecycle_world import PROJECT, RULES, World, no_models, person, wording_finding

TRUE_START_S = 10.0
TRUE_CLOCK = datetime(2026, 1, 1, tzinfo=UTC)
OPS = person("ops", Role.OPERATIONS)
SHARED_RULES = RULES.model_copy(
    update={
        "id": "shared",
        "incidents": IncidentRules(spot_checks=2),
        "routing": (RoutingRule(queue="speech", checks=("audio_transcript", "clock"), priority=200),),
    }
)


class SharedCauseRunner:
    """Finds transcripts and clocks that are off, as the checks do: by one finding that names the cause."""

    def __init__(self) -> None:
        self.runs = 0

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        self.runs += 1
        return CheckReport(rule=rules.reference, findings=findings_of(manifest, annotations, rules))


def findings_of(manifest: SampleManifest, annotations: Sequence[Annotation], rules: RuleSet) -> tuple[Finding, ...]:
    found = []
    for label in annotations:
        if isinstance(label, TimedLabel) and abs(label.start_s - TRUE_START_S) > 0.05:
            offset_s = label.start_s - TRUE_START_S
            found.append(_offset("audio_transcript", "offset", label.stream, (label.id,), offset_s, rules))
        elif label.label.startswith("wrong"):
            found.append(wording_finding(label.id, rules))
    for stream in manifest.streams:
        start = stream.clock.start if stream.clock is not None else None
        offset_s = 0.0 if start is None else (start - TRUE_CLOCK).total_seconds()
        if abs(offset_s) > 0.05:
            found.append(_offset("clock", "clock_offset", stream.id, (), offset_s, rules))
    return tuple(found)


def _offset(
    check: str, kind: str, stream: str, annotations: tuple[str, ...], offset_s: float, rules: RuleSet
) -> Finding:
    return Finding(
        finding_id=finding_id(check, kind, rules.id, streams=(stream,), annotations=annotations),
        check=check,
        kind=kind,
        severity="major",
        message=f"{stream} is {offset_s:+.2f} s off.",
        measured=Measured(value=offset_s, unit="s", threshold=0.05),
        streams=(stream,),
        annotations=annotations,
        cause=Cause(kind=kind, group=f"{kind}:{stream}", estimate={"offset_s": offset_s, "offset_uncertainty_s": 0.02}),
        rule=rules.reference,
    )


def segment(label_id: str, offset_s: float, author: str | None = None) -> dict[str, Any]:
    made_by = {} if author is None else {"author": {"kind": "human", "id": author}}
    return {
        "id": label_id, "type": "transcript_segment", "stream": "note", "label": "speech", "text": "hello",
        "start_s": TRUE_START_S + offset_s, "end_s": TRUE_START_S + 1 + offset_s, **made_by,
    }  # fmt: skip


def off_clock(offset_s: float) -> list[dict[str, Any]]:
    start = (TRUE_CLOCK + timedelta(seconds=offset_s)).isoformat()
    return [{"id": "note", "modality": "text", "inline": "hello", "sensor": "desk-1", "clock": {"start": start}}]


class IncidentWorld(World):
    """A world whose samples share causes."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database)
        self.shared = SharedCauseRunner()
        self.incidents = IncidentDesk(database)

    async def arrive(self, sample_id: str, *labels: dict[str, Any], **changes: Any) -> RevisionRef:
        """Post a sample and follow its workflow until it waits."""
        ref = await self.post(sample_id, *labels, **changes)
        await self.pump()
        return ref

    async def pump(self, *, at_most: int = 10_000) -> int:
        """Tell what waits in the outbox and follow each workflow to its next wait; return how many were told."""
        told = 0
        while told < at_most:
            async with self.database.transaction() as tx:
                messages = await tx.outbox.pending(("workflow_start", "workflow_signal"), limit=min(50, at_most - told))
            if not messages:
                break
            for message in messages:
                ref = ref_of_workflow_id(str(message.body["workflow_id"]))
                await self.follow(ref, starts=message.topic == "workflow_start")
                async with self.database.transaction() as tx:
                    await tx.outbox.mark_published((message.message_id,))
                told += 1
        return told

    async def follow(self, ref: RevisionRef, *, starts: bool = False) -> StepResult:
        """Do what the workflow does from a message on, until it waits or ends."""
        step = (
            await prepare_sample(self.database, NoAssets(), no_models, ref)
            if starts
            else await settle_review(self.database, ref)
        )
        while step.next_step in (NextStep.CHECK, NextStep.COMMIT):
            if step.next_step is NextStep.CHECK:
                step = await check_alignment(self.database, self.shared, ref)
            else:
                await commit_ground_truth(self.database, ref, workflow_run_id="run")
                step = await settle_review(self.database, ref)
        return step

    async def all_incidents(self) -> tuple[Incident, ...]:
        """Every incident, oldest first."""
        async with self.database.transaction() as tx:
            return tuple(reversed(await tx.incidents.list(PROJECT, state=None, after=None, limit=100)))

    async def only_incident(self) -> IncidentSummary:
        (incident,) = await self.all_incidents()
        return await self.incidents.get(OPS, PROJECT, incident.incident_id)

    async def members(self, incident: Incident, state: MemberState | None = None) -> tuple[IncidentMember, ...]:
        return await self.incidents.members(
            OPS, PROJECT, incident.incident_id, state=state, spot_checks=False, after=None, limit=10_000
        )

    async def open_tasks(self) -> tuple[ReviewTask, ...]:
        """All tasks of the project that wait for a person."""
        async with self.database.transaction() as tx:
            tasks = await tx.review.list_tasks(projects=(PROJECT,), queue=None, state=None, after=None, limit=100_000)
        return tuple(task for task in tasks if task.state in ("open", "claimed"))


async def keep_checked(world: IncidentWorld, sample_id: str, offset_s: float, rules: RuleSet) -> RevisionRef:
    """Keep a sample at stage ``in_review`` with what a check run found in it, in one transaction."""
    async with world.database.transaction() as tx:
        revision = await add_checked(tx, sample_id, offset_s, rules)
        await settle(tx, revision)
    return revision.ref


async def add_checked(tx: Transaction, sample_id: str, offset_s: float, rules: RuleSet) -> SampleRevision:
    """Do the same in the caller's transaction, without what follows from it for the sample's tasks."""
    label = TranscriptSegment.model_validate(segment("a1", offset_s, "ann"))
    ref = RevisionRef(project=PROJECT, sample_id=sample_id, revision=1)
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": sample_id,
            "project": PROJECT,
            "streams": [{"id": "note", "modality": "audio"}],
        }
    )
    author = Author(kind="importer", id="fleet")
    (finding,) = findings_of(manifest, (label,), rules)
    await tx.samples.lock_sample(PROJECT, sample_id)
    await tx.samples.add_revision(
        ref, manifest, manifest_sha256=content_sha256(manifest), risk=manifest.context.risk, event=None
    )
    await record_stage(tx, ref, None, Stage.RECEIVED, actor="concord")
    await tx.samples.add_label_set(ref, (label,), origin="manifest", author=author)
    await move(tx, await lock_revision(tx, ref), Stage.PRE_LABELING, Stage.CHECKING, Stage.IN_REVIEW, actor="concord")
    revision = await lock_revision(tx, ref)
    now = await tx.now()
    run = CheckRun(
        run_id=uuid4(),
        ref=ref,
        label_version=1,
        rule=rules.reference,
        rule_sha256=rules.sha256,
        report=CheckReport(rule=rules.reference, findings=(finding,)),
        seconds=0.1,
        created_at=now,
    )
    await tx.samples.add_check_run(run)
    stored = StoredFinding(
        ref=ref,
        finding=finding,
        state=FindingState.OPEN,
        blocking=True,
        labels_sha256=concerned_sha256(finding, (label,)),
        label_version=1,
        found_at=now,
        updated_at=now,
    )
    await tx.review.put_finding(stored)
    await note_findings(tx, CheckedRevision(revision, (label,), author, (stored,), (), rules))
    return revision

"""What a person sees and writes who holds a probe: a finished task as it was, and a place apart for the answer.

A probe goes through the very code that real tasks go through, with another transaction under it. What it reads is the
sample as it was when the finished task waited; what it writes is kept with the probe. Whatever it has no place for is
an error and no write to the real store.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from services.contracts.annotations import Annotations, annotations_sha256
from services.contracts.calibration import Probe
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.records import CheckRun, LabelSet, ProjectConfig, SampleRevision
from services.contracts.review import (
    Activity,
    Decision,
    Draft,
    FindingState,
    Lease,
    ReviewTask,
    StoredFinding,
    TaskKind,
    TaskState,
)
from services.errors import IntegrityError
from services.ports.database import Transaction
from services.review.authorship import concerned_sha256
from services.review.case_file import CaseFile

_STAGE_OF = {
    TaskKind.ANNOTATE: Stage.ANNOTATING,
    TaskKind.REVIEW: Stage.IN_REVIEW,
    TaskKind.ADJUDICATE: Stage.ADJUDICATING,
}


@dataclass(frozen=True, slots=True)
class PastSample:
    """A sample as it was when a finished task waited, moved in time to where the probe seems to be.

    Attributes:
        revision: The revision, at the stage of the task.
        label_sets: The labels so far, without predictions.
        predictions: What models had said by then.
        findings: What the task was about, open.
        run: The check run that found it; None if none is kept.
        decisions: What had been decided before.
    """

    revision: SampleRevision
    label_sets: tuple[LabelSet, ...]
    predictions: tuple[LabelSet, ...]
    findings: tuple[StoredFinding, ...]
    run: CheckRun | None
    decisions: tuple[Decision, ...]

    @property
    def annotations(self) -> Annotations:
        """The newest labels."""
        return self.label_sets[-1].annotations if self.label_sets else ()


async def past_of(tx: Transaction, probe: Probe) -> PastSample:
    """Return a probe's sample as the person who holds the probe is to see it.

    Raises:
        IntegrityError: The finished task or its sample is not stored.
    """
    revision = await tx.samples.get(probe.ref)
    source = await tx.review.task(probe.source_task_id)
    first = await tx.review.decision_of_task(probe.source_task_id)
    if revision is None or source is None or first is None:
        raise IntegrityError(f"probe {probe.task_id} gives again what is not stored")
    later = timedelta(seconds=probe.shift_s)
    decisions = tuple(
        decision.model_copy(update={"decided_at": decision.decided_at + later})
        for decision in await tx.review.decisions(probe.ref)
        if decision.decided_at < first.decided_at
    )
    kept = await tx.samples.label_sets(probe.ref)
    label_sets = tuple(
        labels for labels in kept if labels.origin != "prediction" and labels.version <= probe.label_version
    )
    runs = [run for run in await tx.samples.check_runs(probe.ref) if run.label_version <= probe.label_version]
    run = runs[-1] if runs else None
    return PastSample(
        revision=revision.model_copy(update={"stage": _STAGE_OF[probe.kind], "label_version": probe.label_version}),
        label_sets=label_sets,
        predictions=tuple(
            labels for labels in kept if labels.origin == "prediction" and labels.created_at <= first.decided_at
        ),
        findings=tuple(
            _as_it_was(item, label_sets, run, decisions, later)
            for item in await tx.review.findings(probe.ref)
            if item.finding.finding_id in source.finding_ids
        ),
        run=run,
        decisions=decisions,
    )


def _as_it_was(
    item: StoredFinding,
    label_sets: tuple[LabelSet, ...],
    run: CheckRun | None,
    decisions: tuple[Decision, ...],
    later: timedelta,
) -> StoredFinding:
    name, found_at = item.finding.finding_id, item.found_at + later
    found = () if run is None else run.report.findings
    finding = next((other for other in found if other.finding_id == name), item.finding)
    handed_on = [decision.decided_at for decision in decisions if name in decision.finding_ids]
    return StoredFinding(
        ref=item.ref,
        finding=finding,
        state=FindingState.OPEN,
        blocking=True,
        labels_sha256=concerned_sha256(finding, label_sets[-1].annotations if label_sets else ()),
        label_version=label_sets[-1].version if label_sets else 0,
        found_at=found_at,
        updated_at=max((found_at, *handed_on)),
    )


async def room_of(tx: Transaction, task_id: UUID) -> Transaction:
    """Return the transaction in which a task is worked on: a probe's own, or ``tx`` for every other id."""
    probe = await tx.probes.get(task_id)
    return tx if probe is None else await enter(tx, probe)


async def enter(tx: Transaction, probe: Probe) -> Transaction:
    """Return the transaction in which a probe is worked on."""
    return cast("Transaction", ProbeRoom(tx, probe, await past_of(tx, probe)))


class ProbeRoom:
    """The part of a transaction that a person at work reaches, with the probe in the place of the real task.

    What is not here is not there: an attribute error, rather than a write where real work is kept.

    Args:
        tx: The real transaction.
        probe: The probe.
        past: Its sample.
    """

    def __init__(self, tx: Transaction, probe: Probe, past: PastSample) -> None:
        self.probe = probe
        self.past = past
        self.samples = _Samples(past)
        self.review = _Review(tx, probe, past, self.samples)
        self.operations = _Operations(tx)
        self.audit = _Silent()
        self.outbox = _Silent()
        self.projects = tx.projects
        self.queues = tx.queues
        self.people = tx.people
        self._tx = tx

    async def now(self) -> datetime:
        """Return the database's clock."""
        return await self._tx.now()


class _Silent:
    """A probe is told to nobody: it stands in the audit trail, and in events, by what follows from its answer."""

    def append(self, *_: object, **__: object) -> None: ...

    async def add(self, *_: object, **__: object) -> None: ...


class _Operations:
    """A probe takes part in no count of load or effort; who has worked on it is who was given it."""

    def __init__(self, tx: Transaction) -> None:
        self._probes = tx.probes

    async def activity(self, task_id: UUID, actor_id: str) -> Activity | None:
        given = await self._probes.was_given(task_id, actor_id)
        return Activity(task_id=task_id, actor_id=actor_id) if given else None

    async def put_activity(self, activity: Activity) -> None: ...


class _Samples:
    """The sample as it was, and the labels that the answer makes of it."""

    def __init__(self, past: PastSample) -> None:
        self._past = past
        self.made: Annotations | None = None

    async def get(self, ref: RevisionRef, *, lock: bool = False) -> SampleRevision | None:
        return self._past.revision

    async def label_set(self, ref: RevisionRef, version: int | None = None) -> LabelSet | None:
        sets = self._past.label_sets
        if version is None:
            return sets[-1] if sets else None
        return next((labels for labels in sets if labels.version == version), None)

    async def label_sets(self, ref: RevisionRef) -> tuple[LabelSet, ...]:
        return (*self._past.predictions, *self._past.label_sets)

    async def last_check_run(self, ref: RevisionRef) -> CheckRun | None:
        return self._past.run

    async def add_label_set(
        self, ref: RevisionRef, annotations: Annotations, *, origin: Any, author: Author, decision_id: UUID
    ) -> LabelSet:
        self.made = annotations
        return LabelSet(
            ref=ref,
            version=self._past.revision.label_version + 1,
            origin=origin,
            author=author,
            annotations=annotations,
            sha256=annotations_sha256(annotations),
            decision_id=decision_id,
            created_at=self._past.revision.updated_at,
        )


class _Review:
    """The probe in the place of the real task."""

    def __init__(self, tx: Transaction, probe: Probe, past: PastSample, samples: _Samples) -> None:
        self._probes = tx.probes
        self._projects = tx.projects
        self._now = tx.now
        self._probe = probe
        self._past = past
        self._samples = samples

    async def task(self, task_id: UUID, *, lock: bool = False) -> ReviewTask | None:
        return await self._probes.task(task_id, lock=lock)

    async def lock_case(
        self, task_id: UUID, projects: tuple[str, ...] | None
    ) -> tuple[SampleRevision, ReviewTask] | None:
        task = await self._probes.task(task_id, lock=True)
        if task is None or (projects is not None and task.ref.project not in projects):
            return None
        return self._past.revision, task

    async def case_file(self, task: ReviewTask, actor_id: str) -> CaseFile:
        project = await self._projects.get(task.ref.project)
        config = ProjectConfig() if project is None else project.config
        given = await self._probes.was_given(task.task_id, actor_id)
        return CaseFile(
            at=await self._now(),
            findings=self._past.findings,
            decisions=self._past.decisions,
            label_sets=(*self._past.predictions, *self._past.label_sets),
            activity=Activity(task_id=task.task_id, actor_id=actor_id) if given else None,
            scored=True,
            rule_set=config.rule_set,
            rules=await self._projects.rule_set(config.rule_set),
        )

    async def tasks_of(self, ref: RevisionRef) -> tuple[ReviewTask, ...]:
        return ()

    async def findings(self, ref: RevisionRef) -> tuple[StoredFinding, ...]:
        return self._past.findings

    async def put_finding(self, finding: StoredFinding) -> None: ...

    async def decisions(self, ref: RevisionRef) -> tuple[Decision, ...]:
        own = await self.decision_of_task(self._probe.task_id)
        return self._past.decisions if own is None else (*self._past.decisions, own)

    async def decision_of_task(self, task_id: UUID) -> Decision | None:
        answer = await self._probes.answer_of(task_id)
        return None if answer is None else answer.decision

    async def add_decision(self, decision: Decision, body: dict[str, Any], **_: object) -> None:
        made = self._samples.made
        labels = self._past.annotations if made is None else made
        await self._probes.answer(decision.task_id, decision, body, labels)
        await self._probes.close(decision.task_id, TaskState.COMPLETED)

    async def claim(
        self, task_id: UUID, actor_id: str, lease: timedelta, idle_after: timedelta | None = None
    ) -> ReviewTask | None:
        return await self._probes.claim(task_id, actor_id, lease)

    async def renew(self, task_id: UUID, fence: int, lease: timedelta) -> Lease | None:
        return await self._probes.renew(task_id, fence, lease)

    async def release(self, task_id: UUID, fence: int) -> bool:
        return await self._probes.release(task_id, fence)

    async def save_draft(self, task_id: UUID, actor_id: str, body: dict[str, Any]) -> Draft:
        return await self._probes.save_draft(task_id, actor_id, body)

    async def draft(self, task_id: UUID, actor_id: str) -> Draft | None:
        return await self._probes.draft(task_id, actor_id)

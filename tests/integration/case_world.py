"""A project whose cases go their whole way: what upstream, people, the workflow and the clock do to them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from infra.db.engine import PostgresDatabase
from services.access.keys import sha256_of_secret
from services.contracts.access import ApiKeyInfo, Principal, Role
from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus
from services.contracts.events import EventType
from services.contracts.findings import CheckReport, LabelPatch
from services.contracts.label_base import Author
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import NextStep, RevisionRef, StepResult
from services.contracts.manifest import SampleManifest
from services.contracts.overlap import Overlap
from services.contracts.records import AuditEntry, Project, ProjectConfig, StageChange
from services.contracts.review import Decision, DecisionInput, Evidence, ReviewTask, TakenTask, TaskKind, Verdict
from services.errors import BlockingFindingError, StageConflictError
from services.ground_truth.commit import commit_ground_truth
from services.intake.cloud_events import EventMessage
from services.intake.inbox import Inbox
from services.lifecycle.checking import check_alignment
from services.lifecycle.deadlines import escalate_overdue
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.settle import settle_review
from services.review.desk import ReviewDesk
from services.rules.rule_set import RuleSet
from tests.case_model import ACCEPTING, Case
from tests.intake_events import NoAssets, event, manifest, structured, take_in
from tests.integration.lifecycle_world import RULES, AnswersRunner, no_models, person, wording_finding

AUTHOR = "ann"
PEOPLE = {
    **{name: person(name, Role.ANNOTATOR) for name in (AUTHOR, "abe", "ada")},
    **{name: person(name) for name in ("ben", "eva")},
    **{name: person(name, Role.EXPERT) for name in ("exa", "exb", "exc")},
}

VERDICTS = {
    TaskKind.ANNOTATE: (Verdict.SUBMIT,) * 7 + (Verdict.ESCALATE,),
    TaskKind.REWORK: (Verdict.SUBMIT,) * 7 + (Verdict.ESCALATE,),
    TaskKind.REVIEW: (Verdict.APPROVE, Verdict.FIX, Verdict.ACCEPT_CONFLICT, Verdict.REJECT) * 2 + (Verdict.ESCALATE,),
    TaskKind.ADJUDICATE: (Verdict.APPROVE, Verdict.FIX, Verdict.ACCEPT_CONFLICT, Verdict.REJECT) * 2
    + (Verdict.DISCARD,),
}
_TABLES = (
    "sample_revisions", "stage_changes", "label_sets", "findings", "review_tasks", "decisions", "ground_truth",
)  # fmt: skip
_ROWS = " UNION ALL ".join(
    f"SELECT sample_id, revision, md5(item::text) AS said FROM {table} AS item WHERE project = :project"  # noqa: S608
    for table in _TABLES
)
_MARKS = text(
    f"SELECT sample_id, revision, md5(string_agg(said, '' ORDER BY said)) AS mark FROM ({_ROWS}) AS item"  # noqa: S608
    " GROUP BY sample_id, revision ORDER BY sample_id, revision"
)


def intent(name: str, word: str, author: str | None = None) -> Intent:
    made_by = None if author is None else Author(kind="human", id=author)
    return Intent(id=name, type="intent", stream="note", label=word, author=made_by)


def decision_on(
    case: Case, task: ReviewTask, verdict: Verdict, actor: str, fence: int, *, said: list[str]
) -> DecisionInput:
    """Return a decision that fits its task; ``said`` are the words of the labels that it makes."""
    more: dict[str, Any] = {}
    if verdict is Verdict.SUBMIT:
        more["annotations"] = tuple(intent(f"{task.ref.sample_id}-{n}", word) for n, word in enumerate(said))
    elif verdict is Verdict.FIX:
        concerned = sorted(case.labels_of(task)) or [f"{task.ref.sample_id}-0"]
        now = {label.id: label.label for label in case.labels}
        word = said[0] if said and now.get(concerned[0]) != said[0] else "corrected"
        more["patch"] = LabelPatch(upsert=(intent(concerned[0], word if now.get(concerned[0]) != word else "mended"),))
    elif verdict is Verdict.ACCEPT_CONFLICT:
        more["reason_code"] = "ambiguous_scene"
    return DecisionInput(verdict=verdict, fence=fence, note=f"{actor} says why.", **more)


def is_blind(case: Case, taken: TakenTask, evidence: Evidence) -> bool:
    """Whether a task is a second look; then nothing shown with it tells of the first verdict or who gave it."""
    task = next(task for task in case.tasks if task.task_id == taken.task_id)
    first = next((one for one in case.decisions if one.decision_id == task.origin_decision_id), None)
    if case.risk != "high" or first is None or first.verdict not in ACCEPTING:
        return False
    assert evidence.decisions == ()
    for shown in (taken.model_dump_json(), evidence.model_dump_json()):
        assert f'"{first.actor_id}"' not in shown, "who was first is hidden"
        assert str(first.decision_id) not in shown
        assert f"{first.actor_id} says" not in shown
    return True


class CaseRunner:
    """Finds every label that is called ``wrong``, and what several people's answers did not settle."""

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        report = await AnswersRunner().run(manifest, annotations, rules, consensus)
        wrong = [wording_finding(item.id, rules) for item in annotations if item.label.startswith("wrong")]
        return report.model_copy(update={"findings": (*wrong, *report.findings)})


class CaseWorld:
    """One project in a database that others share."""

    def __init__(self, database: PostgresDatabase, project: str) -> None:
        self.database = database
        self.project = project
        self.desk = ReviewDesk(database)
        self._inbox = Inbox(database, NoAssets())
        self._runner = CaseRunner()
        self._next: dict[RevisionRef, NextStep] = {}
        self._events = 0

    async def open(self, overlap: Overlap | None) -> None:
        config = ProjectConfig(rule_set=RULES.reference, overlap=overlap, max_review_rounds=2)
        async with self.database.transaction() as tx:
            await tx.projects.add_rule_set(RULES)
            await tx.projects.add(Project(id=self.project, name=self.project, config=config))
            for who in PEOPLE.values():
                key_id = f"{self.project}-{who.actor_id}"
                key = ApiKeyInfo(
                    key_id=key_id, actor_id=who.actor_id, role=who.role, projects=(self.project,), skills=who.skills,
                    created_at=await tx.now(),
                )  # fmt: skip
                await tx.access.add_key(key, sha256_of_secret(key_id))

    # Upstream

    def posting(
        self, sample_id: str, labels: Iterable[Intent], risk: str, event_type: EventType = EventType.SAMPLE_CREATED
    ) -> EventMessage:
        annotations = [label.model_dump(mode="json", exclude_none=True) for label in labels]
        data = manifest(sample_id, project=self.project, annotations=annotations, context={"risk": risk})
        return self._message(event_type, data)

    def withdrawal(self, sample_id: str) -> EventMessage:
        data = {"project": self.project, "sample_id": sample_id, "reason": "It was recorded by mistake."}
        return self._message(EventType.SAMPLE_WITHDRAWN, data)

    def submission(self, sample_id: str, labels: Iterable[Intent], author: str) -> EventMessage:
        annotations = [label.model_dump(mode="json", exclude_none=True) for label in labels]
        by = {"kind": "human", "id": author}
        data = {"project": self.project, "sample_id": sample_id, "annotations": annotations, "author": by}
        return self._message(EventType.LABELS_SUBMITTED, data)

    def _message(self, event_type: EventType, data: dict[str, Any]) -> EventMessage:
        self._events += 1
        return structured(event(data, event_type, id=f"{self.project}-{self._events}"))

    async def send(self, message: EventMessage) -> RevisionRef:
        return (await take_in(self._inbox, message)).ref

    # People

    async def claim(self, who: Principal, task_id: UUID) -> tuple[TakenTask, Evidence]:
        """Claim a task and look at what is shown with it."""
        taken = await self.desk.claim(who, task_id)
        return taken, await self.desk.evidence(who, task_id)

    async def decide(self, who: Principal, task_id: UUID, given: DecisionInput) -> Decision:
        return await self.desk.decide(who, task_id, given)

    async def use(self, what: str, who: Principal, task_id: UUID, fence: int) -> None:
        """Show a sign of life, save a draft or give a task back."""
        if what == "heartbeat":
            await self.desk.heartbeat(who, task_id, fence)
        elif what == "draft":
            await self.desk.save_draft(who, task_id, fence, {"n": 1})
        else:
            await self.desk.release(who, task_id, fence)

    async def has_draft(self, task_id: UUID, actor_id: str) -> bool:
        async with self.database.transaction() as tx:
            return await tx.review.draft(task_id, actor_id) is not None

    # The workflow, which does next what it was told last

    async def work(self, ref: RevisionRef) -> NextStep:
        """Do the workflow's next step for a revision; return the one after it."""
        match self._next.get(ref, NextStep.PREPARE):
            case NextStep.PREPARE:
                result = await prepare_sample(self.database, NoAssets(), no_models, ref)
            case NextStep.CHECK:
                result = await check_alignment(self.database, self._runner, ref)
            case NextStep.COMMIT:
                result = await self._commit(ref)
            case _:
                result = await settle_review(self.database, ref)
        self._next[ref] = result.next_step
        return result.next_step

    async def _commit(self, ref: RevisionRef) -> StepResult:
        with contextlib.suppress(StageConflictError, BlockingFindingError):
            await commit_ground_truth(self.database, ref, workflow_run_id="run")
        return await settle_review(self.database, ref)

    # The clock

    async def miss_deadline(self, ref: RevisionRef, task_id: UUID) -> None:
        """Let a task be due now, and the workflow act on it."""
        await self._change("due_at = clock_timestamp()", task_id)
        await self.look_at_deadlines(ref)

    async def look_at_deadlines(self, ref: RevisionRef) -> None:
        self._next[ref] = (await escalate_overdue(self.database, ref, 1)).next_step

    async def lapse(self, task_id: UUID) -> None:
        """Let the lease on a task be over now."""
        await self._change("lease_expires_at = clock_timestamp()", task_id)

    async def lease_left(self, task_id: UUID) -> timedelta:
        async with self.database.transaction() as tx:
            task = await tx.review.task(task_id)
            assert task is not None
            assert task.lease_expires_at is not None
            return task.lease_expires_at - await tx.now()

    async def _change(self, what: str, task_id: UUID) -> None:
        async with self.database._engine.begin() as connection:
            await connection.execute(text(f"UPDATE review_tasks SET {what} WHERE task_id = :id"), {"id": task_id})  # noqa: S608

    # What the store holds

    async def changed(self, before: dict[RevisionRef, str]) -> tuple[list[RevisionRef], dict[RevisionRef, str]]:
        """Return the revisions of which any row is new or not what it was, and the marks to compare with next time."""
        async with self.database._engine.connect() as connection:
            rows = await connection.execute(_MARKS, {"project": self.project})
            now = {
                RevisionRef(project=self.project, sample_id=row.sample_id, revision=row.revision): row.mark
                for row in rows
            }
        return [ref for ref, mark in now.items() if before.get(ref) != mark], now

    async def read(
        self, refs: Iterable[RevisionRef], after: int
    ) -> tuple[list[Case], dict[str, tuple[StageChange, ...]], tuple[AuditEntry, ...]]:
        """Return revisions, the timelines of their samples, and the audit entries that are new."""
        async with self.database.transaction() as tx:
            cases = []
            for ref in refs:
                stored = await tx.samples.get(ref)
                assert stored is not None
                cases.append(
                    Case(
                        ref=ref,
                        stage=stored.stage,
                        risk=stored.risk,
                        tasks=await tx.review.tasks_of(ref),
                        decisions=await tx.review.decisions(ref),
                        findings=await tx.review.findings(ref),
                        label_sets=await tx.samples.label_sets(ref),
                        record=await tx.ground_truth.get(ref),
                    )
                )
            names = {case.ref.sample_id for case in cases}
            timelines = {name: await tx.samples.timeline(self.project, name) for name in names}
            return cases, timelines, await tx.audit.list(self.project, after=after, limit=10_000)

"""A project whose samples are one note with labels, a check that finds the label ``wrong``, and its people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID, uuid4

from infra.db.engine import PostgresDatabase
from services.alignment.answer_agreement import check_answer_agreement
from services.alignment.engine import run_checks
from services.alignment.sample import CheckSample
from services.contracts.access import Principal, Role
from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus
from services.contracts.findings import CheckReport, Finding, LabelPatch, NotApplicable, finding_id
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.pre_label import PreLabelSource
from services.contracts.records import Project, ProjectConfig, SampleRevision
from services.contracts.review import (
    Decision,
    DecisionInput,
    ReviewTask,
    StoredFinding,
    TaskKind,
    TaskState,
    Verdict,
)
from services.intake.inbox import Inbox
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.ports.pre_label import PreLabeler
from services.review.desk import ReviewDesk
from services.rules.rule_set import DEFAULT_RULE_SET, RoutingRule, RuleSet
from tests.intake_events import NoAssets, created, take_in

PROJECT = "calls"
RULES = DEFAULT_RULE_SET.model_copy(
    update={"id": "notes", "routing": (RoutingRule(queue="words", checks=("wording",), priority=150),)}
)


class WordingRunner:
    """Finds every label that is called ``wrong``; a runner whose answer is known without any computation."""

    def __init__(self) -> None:
        self.runs = 0
        self.not_applicable: tuple[NotApplicable, ...] = ()

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        self.runs += 1
        if self.not_applicable:
            return CheckReport(rule=rules.reference, not_applicable=self.not_applicable)
        wrong = [annotation for annotation in annotations if annotation.label.startswith("wrong")]
        return CheckReport(rule=rules.reference, findings=tuple(wording_finding(item.id, rules) for item in wrong))


class AnswersRunner:
    """Tells what several people's answers did not settle, and nothing else."""

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        sample = CheckSample(manifest, annotations, consensus=consensus)
        return run_checks(sample, rules, {"answer_agreement": check_answer_agreement})


def wording_finding(annotation_id: str, rules: RuleSet = RULES) -> Finding:
    return Finding(
        finding_id=finding_id("wording", "wrong_word", rules.id, annotations=(annotation_id,)),
        check="wording",
        kind="wrong_word",
        severity="major",
        message=f"The label {annotation_id} says the wrong thing.",
        streams=("note",),
        annotations=(annotation_id,),
        rule=rules.reference,
    )


def label(annotation_id: str, word: str, author: str | None = None) -> dict[str, Any]:
    made_by = {} if author is None else {"author": {"kind": "human", "id": author}}
    return {"id": annotation_id, "type": "intent", "stream": "note", "label": word, **made_by}


def person(actor_id: str, role: Role = Role.REVIEWER) -> Principal:
    return Principal(actor_id=actor_id, key_id=f"key-{actor_id}", role=role, projects=None, skills=("speech",))


def no_models(_: Sequence[PreLabelSource]) -> tuple[PreLabeler, ...]:
    return ()


class World:
    """One database with its project, and what happens in it."""

    def __init__(self, database: PostgresDatabase) -> None:
        self.database = database
        # Tests share one Temporal, which knows a sample's workflow by the sample's id.
        self.mark = uuid4().hex[:8]
        self.runner = WordingRunner()
        self.desk = ReviewDesk(database)
        self.inbox = Inbox(database, NoAssets())

    async def open_project(self, rules: RuleSet = RULES, **config: Any) -> None:
        async with self.database.transaction() as tx:
            await tx.projects.add_rule_set(rules)
            settings = ProjectConfig(rule_set=rules.reference, **config)
            await tx.projects.add(Project(id=PROJECT, name="Calls", config=settings))

    async def configure(self, rules: RuleSet = RULES, **config: Any) -> None:
        async with self.database.transaction() as tx:
            await tx.projects.add_rule_set(rules)
            settings = ProjectConfig(rule_set=rules.reference, **config)
            await tx.projects.update_config(Project(id=PROJECT, name="Calls", config=settings))

    async def post(self, sample_id: str = "s-1", *labels: dict[str, Any], **changes: Any) -> RevisionRef:
        manifest = {"project": PROJECT, "annotations": list(labels), **changes}
        message = created(f"{sample_id}-{self.mark}", **manifest)
        receipt = await take_in(self.inbox, message)
        return receipt.ref

    async def checked(self, sample_id: str = "s-1", *labels: dict[str, Any], **changes: Any) -> RevisionRef:
        """A sample that was prepared and checked once."""
        ref = await self.post(sample_id, *labels, **changes)
        await prepare_sample(self.database, NoAssets(), no_models, ref)
        await check_alignment(self.database, self.runner, ref)
        return ref

    async def revision(self, ref: RevisionRef) -> SampleRevision:
        async with self.database.transaction() as tx:
            revision = await tx.samples.get(ref)
        assert revision is not None
        return revision

    async def stage(self, ref: RevisionRef) -> Stage:
        return (await self.revision(ref)).stage

    async def tasks(self, ref: RevisionRef, *, live: bool = False) -> tuple[ReviewTask, ...]:
        async with self.database.transaction() as tx:
            tasks = await tx.review.tasks_of(ref)
        return tuple(task for task in tasks if not live or task.state in (TaskState.OPEN, TaskState.CLAIMED))

    async def only_task(self, ref: RevisionRef, kind: TaskKind) -> ReviewTask:
        (task,) = await self.tasks(ref, live=True)
        assert task.kind is kind
        return task

    async def findings(self, ref: RevisionRef) -> tuple[StoredFinding, ...]:
        async with self.database.transaction() as tx:
            return await tx.review.findings(ref)

    async def actions(self) -> list[str]:
        async with self.database.transaction() as tx:
            return [entry.action for entry in await tx.audit.list(PROJECT, after=0, limit=10_000)]

    async def decide(self, task_id: UUID, who: Principal, verdict: Verdict, **given: Any) -> Decision:
        claimed = await self.desk.claim(who, task_id)
        return await self.desk.decide(who, task_id, DecisionInput(verdict=verdict, fence=claimed.fence, **given))

    async def fix(self, task: ReviewTask, who: Principal, annotation_id: str, word: str) -> Decision:
        patch = LabelPatch(upsert=(Intent.model_validate(label(annotation_id, word)),))
        return await self.decide(task.task_id, who, Verdict.FIX, patch=patch)

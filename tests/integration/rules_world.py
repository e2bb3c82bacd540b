"""A world whose checks go by words that the rules name, for tests of changes of rules."""

from __future__ import annotations

from typing import Any

from infra.db.engine import PostgresDatabase
from services.contracts.access import Role
from services.contracts.annotations import Annotation
from services.contracts.consensus import Consensus
from services.contracts.escalation import EscalationTarget
from services.contracts.findings import CheckReport, Finding, Severity, finding_id
from services.contracts.lifecycle import NextStep, RevisionRef, Stage, ref_of_workflow_id
from services.contracts.manifest import SampleManifest
from services.contracts.review import TaskKind, Verdict
from services.contracts.rule_changes import DryRun, DryRunRequest, PlannedTask, SampleTrial
from services.ground_truth.commit import commit_ground_truth
from services.lifecycle.checking import check_alignment
from services.lifecycle.settle import settle_review
from services.ports.checks import CheckRunner
from services.rule_changes.dry_run import dry_run
from services.rules.escalation import EscalationRule
from services.rules.rule_set import RuleSet
from tests.integration.lifecycle_world import PROJECT, RULES, World, label, person

ROOT = person("root", Role.ADMIN)
BEN = person("ben")


def rules_of(version: int, words: dict[str, Severity], **changes: Any) -> RuleSet:
    """Rules that find each label that begins with one of these words."""
    return RULES.model_copy(update={"version": version, "plug_ins": {"wording": words}, **changes})


OLD = rules_of(1, {"wrong": "major", "vague": "major"})
# What was vague is only noted, what is odd is found, and what is wrong goes to experts at once.
NEW = rules_of(
    2,
    {"wrong": "critical", "vague": "minor", "odd": "major"},
    escalations=(EscalationRule(id="grave", min_severity="critical", to=EscalationTarget(tier="expert")),),
)


class WordsRunner:
    """Finds labels by the words of the rule set's plug-in."""

    async def run(
        self,
        manifest: SampleManifest,
        annotations: tuple[Annotation, ...],
        rules: RuleSet,
        consensus: Consensus | None = None,
    ) -> CheckReport:
        words = (rules.plug_ins or {})["wording"]
        return CheckReport(
            rule=rules.reference,
            findings=tuple(
                Finding(
                    finding_id=finding_id("wording", word, rules.id, annotations=(item.id,)), check="wording",
                    kind=word, severity=severity, message=f"{item.id} is {word}.", streams=("note",),
                    annotations=(item.id,), rule=rules.reference,
                )
                for item in annotations
                for word, severity in words.items()
                if item.label.startswith(word)
            ),
        )  # fmt: skip


class RulesWorld(World):
    """A world whose checks go by the rules, and its workflows' steps without Temporal."""

    def __init__(self, database: PostgresDatabase) -> None:
        super().__init__(database)
        self.words: CheckRunner = WordsRunner()
        self.runner = self.words  # type: ignore[assignment]

    async def follow(self, ref: RevisionRef) -> None:
        step = await settle_review(self.database, ref)
        while step.next_step in (NextStep.CHECK, NextStep.COMMIT):
            if step.next_step is NextStep.CHECK:
                step = await check_alignment(self.database, self.words, ref)
            else:
                await commit_ground_truth(self.database, ref, workflow_run_id="run")
                step = await settle_review(self.database, ref)

    async def signalled(self) -> list[RevisionRef]:
        """Follow every workflow that is told something; return which."""
        async with self.database.transaction() as tx:
            messages = await tx.outbox.pending(("workflow_signal",), limit=1_000)
            await tx.outbox.mark_published(tuple(message.message_id for message in messages))
        refs = list(dict.fromkeys(ref_of_workflow_id(str(message.body["workflow_id"])) for message in messages))
        for ref in refs:
            await self.follow(ref)
        return refs

    async def decided(self, sample_id: str, word: str, verdict: Verdict) -> RevisionRef:
        """A committed sample whose one finding people have decided on."""
        ref = await self.checked(sample_id, label("a1", word))
        task = await self.only_task(ref, TaskKind.REVIEW)
        if verdict is Verdict.FIX:
            await self.fix(task, BEN, "a1", "right")
        else:
            await self.decide(task.task_id, BEN, verdict)
        await self.follow(ref)
        assert await self.stage(ref) is Stage.COMMITTED
        return ref

    async def planned(self, ref: RevisionRef) -> tuple[PlannedTask, ...]:
        tasks = await self.tasks(ref, live=True)
        return tuple(
            sorted(
                (PlannedTask(queue=task.queue, kind=task.kind, finding_ids=task.finding_ids) for task in tasks),
                key=lambda task: (task.queue, task.kind),
            )
        )

    async def try_out(self, rules: RuleSet = NEW, **given: Any) -> DryRun:
        return await dry_run(self.database, ROOT, PROJECT, DryRunRequest(rules=rules, **given), self.words)

    async def publish(self, rules: RuleSet = NEW) -> None:
        async with self.database.transaction() as tx:
            await tx.projects.add_rule_set(rules)


def by_sample(made: DryRun) -> dict[str, SampleTrial]:
    return {trial.ref.sample_id.rsplit("-", 1)[0]: trial for trial in made.samples}


async def open_samples(world: RulesWorld) -> dict[str, RevisionRef]:
    found = {}
    for name, words in {
        "graver": ("wrong",), "milder": ("vague",), "found": ("vague", "odd"), "both": ("wrong", "odd"),
    }.items():  # fmt: skip
        labels = [label(f"a{number}", word) for number, word in enumerate(words)]
        found[name] = await world.checked(name, *labels, context={"risk": "high" if name == "both" else "low"})
    return found

"""Run the main job through the public API: post events, play the people, wait for the end, verify."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from infra.client import ConcordClient, EventResult, cloud_event
from infra.demo.cast import decide
from infra.demo.plan import PlannedSample
from infra.demo.report import DemoReport, SampleOutcome, build_report
from services.contracts.access import Role
from services.contracts.events import EventType
from services.contracts.lifecycle import FINAL_STAGES, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.pre_label import LabelFilePredictions
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import Decision, StoredFinding, TaskKind, Verdict
from services.rules.context_gate import ContextGateRules
from services.rules.incidents import IncidentRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet

SOURCE = "/concord/demo"
BATCH = 50
LOOK_AGAIN_S = 0.25
SKILLS = ("spatial", "speech")
# The expert leaves first reviews to the reviewer: who has judged a finding may not adjudicate it.
CAST: Sequence[tuple[str, Role, tuple[TaskKind, ...]]] = (
    ("ann", Role.ANNOTATOR, (TaskKind.ANNOTATE, TaskKind.REWORK)),
    ("rex", Role.REVIEWER, (TaskKind.REVIEW,)),
    ("eva", Role.EXPERT, (TaskKind.ADJUDICATE,)),
)

Progress = Callable[[Counter[Stage], int], None]
"""Called with how many samples are at each stage, and how many decisions were made."""


class DemoError(Exception):
    """The demonstration did not come to its end; the message says where it stood."""


def rules_for(planned: Sequence[PlannedSample]) -> RuleSet:
    """Return the rule set of the demonstration: the default one, with the context that the clean samples have."""
    with_policy = all(sample.truth.context.policy is not None for sample in planned)
    required = ("region", "policy") if with_policy else ("region",)
    return DEFAULT_RULE_SET.model_copy(
        update={
            "id": "demo" if with_policy else "demo-recordings",
            "context_gate": ContextGateRules(required=required),
            # The same fault is put into several samples, and each is to be decided by a person of the cast.
            "incidents": IncidentRules(enabled=False),
        }
    )


@dataclass(slots=True)
class Demonstration:
    """One run against a Concord that is up.

    Attributes:
        url: Base address of the API.
        admin_key: Secret of an admin key.
        planned: The samples to post; all of one project.
        timeout_s: When to give up waiting for the samples to end.
        retry_for_s: How long everybody tries again while the API is away.
        progress: Called whenever something may have changed.
        accepted: What the API acknowledged of the events posted.
        decided: The decisions that the API acknowledged.
    """

    url: str
    admin_key: str
    planned: Sequence[PlannedSample]
    timeout_s: float = 900.0
    retry_for_s: float = 20.0
    progress: Progress = lambda stages, decisions: None
    accepted: list[EventResult] = field(default_factory=list)
    decided: list[Decision] = field(default_factory=list)

    @property
    def project(self) -> str:
        """The project that all samples belong to."""
        return self.planned[0].posted.project

    async def run(self) -> DemoReport:
        """Return the report of the whole run.

        Raises:
            DemoError: A sample was refused, or not all came to an end in time.
            ApiProblem: The API refused what the demonstration asked.
        """
        started = time.monotonic()
        truths = {sample.truth.sample_id: sample.truth for sample in self.planned}
        async with contextlib.AsyncExitStack() as stack:
            admin = await stack.enter_async_context(self._client(self.admin_key))
            await self._set_up(admin)
            upstream = await self._person(stack, admin, "upstream-demo", Role.UPSTREAM)
            people = [(await self._person(stack, admin, actor_id, role), kinds) for actor_id, role, kinds in CAST]
            await self._post(upstream, EventType.SAMPLE_CREATED, [sample.posted for sample in self.planned])
            async with _together([self._work(person, kinds, truths) for person, kinds in people]) as workers:
                await self._wait_for_the_end(admin, upstream, truths, workers)
            verdicts = await self._verdicts(admin)
            outcomes = {one: await self._outcome(admin, one, verdicts[one]) for one in truths}
            verification = await admin.verify(self.project)
        return build_report(
            self.planned,
            outcomes,
            lineage_verified=verification.lineage_verified,
            audit_verified=verification.audit_verified,
            faults=tuple(f"{fault.subject}: {fault.detail}" for fault in verification.faults),
            seconds=time.monotonic() - started,
        )

    def _client(self, key: str) -> ConcordClient:
        return ConcordClient(self.url, key, retry_for_s=self.retry_for_s)

    async def _set_up(self, admin: ConcordClient) -> None:
        rules = rules_for(self.planned)
        await admin.push_rule_set(rules)
        config = ProjectConfig(rule_set=rules.reference, pre_label=(LabelFilePredictions(),))
        purpose = "Show the main job from event to ground truth."
        await admin.create_project(
            Project(id=self.project, name="Demonstration", purpose=purpose, domain="vehicles", config=config)
        )

    async def _person(
        self,
        stack: contextlib.AsyncExitStack,
        admin: ConcordClient,
        actor_id: str,
        role: Role,
    ) -> ConcordClient:
        created = await admin.create_key(actor_id, role, projects=(self.project,), skills=SKILLS)
        return await stack.enter_async_context(self._client(created.secret))

    async def _post(self, upstream: ConcordClient, kind: EventType, manifests: Sequence[SampleManifest]) -> None:
        events = [
            cloud_event(kind.value, SOURCE, f"{kind.value}/{one.sample_id}", one, subject=one.sample_id)
            for one in manifests
        ]
        for batch in _batches(events):
            for result in await upstream.send_events(batch):
                if result.outcome == "refused":
                    raise DemoError(f"the event {result.id} was refused: {result.problem}")
                self.accepted.append(result)

    async def _work(
        self, person: ConcordClient, kinds: tuple[TaskKind, ...], truths: dict[str, SampleManifest]
    ) -> None:
        """Claim, look, decide, until nothing is left to do for anybody."""
        while True:
            claimed = await person.claim_next(project=self.project, kinds=kinds)
            if claimed is None:
                await asyncio.sleep(LOOK_AGAIN_S)
                continue
            ref = claimed.task.ref
            evidence = await person.evidence(claimed.task.task_id)
            decision = decide(evidence, truths[ref.sample_id], claimed.lease.fence)
            self.decided.append(await person.decide(claimed.task.task_id, decision))

    async def _wait_for_the_end(
        self,
        admin: ConcordClient,
        upstream: ConcordClient,
        truths: dict[str, SampleManifest],
        workers: Sequence[asyncio.Task[None]],
    ) -> None:
        """Watch until every sample is committed or rejected; send rejected samples whose context was mended again."""
        mended = {
            sample.posted.sample_id
            for sample in self.planned
            if sample.injection is not None and sample.injection.fault == "missing_region"
        }
        deadline = time.monotonic() + self.timeout_s
        while True:
            newest = await self._newest_stages(admin)
            self.progress(Counter(newest.values()), len(self.decided))
            again = [sample_id for sample_id in mended if newest.get(sample_id) is Stage.REJECTED]
            if again:
                await self._post(upstream, EventType.SAMPLE_UPDATED, [truths[sample_id] for sample_id in again])
                mended.difference_update(again)
            elif len(newest) == len(truths) and all(stage in FINAL_STAGES for stage in newest.values()):
                return
            for worker in workers:
                if worker.done():
                    worker.result()  # raises what ended it
            if time.monotonic() > deadline:
                left = {sample_id: stage.value for sample_id, stage in newest.items() if stage not in FINAL_STAGES}
                raise DemoError(f"after {self.timeout_s:.0f} s these samples have not come to an end: {left}")
            await asyncio.sleep(LOOK_AGAIN_S)

    async def _newest_stages(self, admin: ConcordClient) -> dict[str, Stage]:
        newest: dict[str, tuple[int, Stage]] = {}
        async for summary in admin.each(lambda cursor: admin.samples(self.project, cursor=cursor, limit=200)):
            ref = summary.ref
            if ref.revision > newest.get(ref.sample_id, (0, summary.stage))[0]:
                newest[ref.sample_id] = (ref.revision, summary.stage)
        return {sample_id: stage for sample_id, (_, stage) in newest.items()}

    async def _outcome(
        self, admin: ConcordClient, sample_id: str, verdicts: Sequence[tuple[str, Verdict]]
    ) -> SampleOutcome:
        newest = await admin.sample(self.project, sample_id)
        findings: list[StoredFinding] = []
        for revision in range(1, newest.ref.revision + 1):
            findings.extend(await admin.findings(self.project, sample_id, revision=revision))
        return SampleOutcome(
            sample_id=sample_id,
            stage=newest.stage.value,
            revision=newest.ref.revision,
            findings=tuple(findings),
            verdicts=tuple(verdicts),
        )

    async def _verdicts(self, admin: ConcordClient) -> dict[str, list[tuple[str, Verdict]]]:
        """Return who decided what about each sample, in order, as the audit trail tells it."""
        verdicts: dict[str, list[tuple[str, Verdict]]] = defaultdict(list)
        known = {f"task.{verdict.value}": verdict for verdict in Verdict}
        async for entry in admin.each(lambda cursor: admin.audit(self.project, after=int(cursor or 0), limit=500)):
            if entry.action in known:
                verdicts[_sample_of(entry.subject)].append((entry.actor, known[entry.action]))
        return verdicts


def _sample_of(subject: str) -> str:
    """Return the sample id in an audit subject, ``samples/<id>/revisions/<n>…``."""
    parts = subject.split("/")
    return parts[1] if len(parts) > 1 and parts[0] == "samples" else ""


def _batches(events: Sequence[dict[str, object]]) -> Sequence[Sequence[dict[str, object]]]:
    return [events[start : start + BATCH] for start in range(0, len(events), BATCH)]


@contextlib.asynccontextmanager
async def _together(work: Sequence[Coroutine[None, None, None]]) -> AsyncIterator[Sequence[asyncio.Task[None]]]:
    """Run coroutines beside the block and cancel them at its end."""
    tasks = [asyncio.create_task(one) for one in work]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

"""Change the rules of stored samples in a system that runs, and compare what happened with what the dry run said."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

from pydantic import Field

from infra.bench.rule_activation.fill import (
    PROJECT,
    is_asked,
    is_decided,
    is_still_asked,
    is_wrong,
    manifest_of,
    number_of,
    rules_after,
    rules_before,
    sample_id_of,
)
from infra.client import ConcordClient, cloud_event
from infra.db.engine import PostgresDatabase, open_database
from infra.local import LocalConfig, run_local
from infra.stack.events import EventListener
from services.contracts.access import Role
from services.contracts.base import Contract
from services.contracts.events import EventType
from services.contracts.findings import LabelPatch
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.records import CheckRun, Project, ProjectConfig
from services.contracts.review import DecisionInput, ReviewTask, Verdict
from services.contracts.rule_changes import (
    MAX_BUDGET,
    ActivationRequest,
    DryRun,
    DryRunCounts,
    DryRunRequest,
    KindAccuracy,
    PlannedTask,
    QueueChange,
    SampleTrial,
)
from services.errors import IntegrityError
from services.lifecycle.steps import is_live
from services.rule_changes.facts import IN_REVIEW, TRIED_STAGES

_BATCH = 100
_LOOK_EVERY_S = 0.2
_WITHIN_S = 3_600.0
_REVIEWER, _SKILLS = "ben", ("clinical",)

Told = Callable[[str], None]


class Compared(Contract):
    """One number that the dry run said, beside what is stored after the activation."""

    what: str
    said: int
    done: int


class ActivationProof(Contract):
    """What was seen."""

    samples: int
    decided: int = Field(description="Samples on which people had decided before.")
    dry_run: DryRunCounts
    kinds: tuple[KindAccuracy, ...]
    queues: tuple[QueueChange, ...]
    compared: tuple[Compared, ...]
    differing: tuple[str, ...] = Field(description="Samples to which something else happened than was said.")
    calls: int = Field(description="Activations, each with the largest budget, until nothing was left to check again.")
    fill_s: float
    decide_s: float
    dry_run_s: float
    activation_s: float = Field(description="All of the calls.")
    longest_call_s: float
    recheck_s: float = Field(description="From the first activation until the last sample was checked and at rest.")

    @property
    def holds(self) -> bool:
        """Whether everything happened that was said, and nothing else."""
        return not self.differing and all(item.said == item.done for item in self.compared)


async def prove_activation(
    data_dir: Path, samples: int, *, durable: bool, on_event: EventListener, tell: Told = lambda what: None
) -> ActivationProof:
    """Run everything, send dictations, decide on some, try other rules, activate them, and count.

    Args:
        data_dir: A folder of its own for the embedded stack.
        samples: How many dictations.
        durable: Whether the servers write through to the disk, as they do in use.
        on_event: Is told what happens to the processes.
        tell: Is told what is done next.
    """
    async with (
        run_local(LocalConfig(data_dir=data_dir, durable=durable), on_event=on_event) as concord,
        open_database(concord.urls.database_url) as database,
        ConcordClient(concord.urls.api_url, concord.admin_key) as admin,
    ):
        secret = (await admin.create_key(_REVIEWER, Role.REVIEWER, skills=_SKILLS)).secret
        async with ConcordClient(concord.urls.api_url, secret) as reviewer:
            return await _Proof(database, admin, reviewer, samples, tell).run()


class _Proof:
    """One run against a system that is up."""

    def __init__(
        self, database: PostgresDatabase, admin: ConcordClient, reviewer: ConcordClient, samples: int, tell: Told
    ) -> None:
        self._database = database
        self._admin = admin
        self._reviewer = reviewer
        self._samples = samples
        self._tell = tell

    async def run(self) -> ActivationProof:
        began = time.perf_counter()
        await self._fill()
        filled = time.perf_counter()
        decided = await self._decide()
        settled = time.perf_counter()
        self._tell("trying the rules")
        await self._admin.push_rule_set(rules_after())
        made = await self._admin.dry_run_rules(
            PROJECT, DryRunRequest(rule_set=rules_after().reference, samples=self._samples)
        )
        tried = time.perf_counter()
        before = {trial.ref.sample_id: await self._look(trial.ref) for trial in made.samples}
        started = time.perf_counter()
        self._tell("activating them")
        rechecked, calls = await self._activate(made)
        await self._until(lambda: self._are_checked(rechecked))
        ended = time.perf_counter()
        self._tell("comparing")
        after = {trial.ref.sample_id: await self._look(trial.ref) for trial in made.samples}
        outcomes = [Outcome(trial, before[trial.ref.sample_id], after[trial.ref.sample_id]) for trial in made.samples]
        return ActivationProof(
            samples=self._samples,
            decided=len(decided),
            dry_run=made.counts,
            kinds=made.kinds,
            queues=made.queues,
            compared=(*_compared(outcomes, rechecked), *_judged(made, decided)),
            differing=tuple(one.trial.ref.sample_id for one in outcomes if not one.is_as_said),
            calls=len(calls),
            fill_s=round(filled - began, 1),
            decide_s=round(settled - filled, 1),
            dry_run_s=round(tried - settled, 1),
            activation_s=round(sum(calls), 1),
            longest_call_s=round(max(calls), 1),
            recheck_s=round(ended - started, 1),
        )

    async def _fill(self) -> None:
        self._tell(f"sending {self._samples:,} samples")
        await self._admin.push_rule_set(rules_before())
        config = ProjectConfig(rule_set=rules_before().reference)
        await self._admin.create_project(Project(id=PROJECT, name="Clinic", domain="healthcare", config=config))
        for first in range(0, self._samples, _BATCH):
            numbers = range(first, min(first + _BATCH, self._samples))
            events = [
                cloud_event(EventType.SAMPLE_CREATED.value, "/bench", sample_id_of(number), manifest_of(number))
                for number in numbers
            ]
            for result in await self._admin.send_events(events):
                if result.outcome != "accepted":
                    raise IntegrityError(f"event {result.id} was {result.outcome}: {result.problem}")
        await self._until(self._are_at_rest)

    async def _decide(self) -> list[int]:
        """Let a person decide on some of the samples; return which."""
        numbers = [number for number in range(self._samples) if is_decided(number)]
        self._tell(f"deciding on {len(numbers):,}")
        for number in numbers:
            ref = RevisionRef(project=PROJECT, sample_id=sample_id_of(number), revision=1)
            (task,) = (await self._look(ref)).tasks
            claimed = await self._reviewer.claim(task.task_id)
            fence = claimed.lease.fence
            if is_wrong(number):
                patch = LabelPatch(remove=("dose",))
                given = DecisionInput(verdict=Verdict.FIX, fence=fence, patch=patch)
            else:
                given = DecisionInput(verdict=Verdict.APPROVE, fence=fence)
            await self._reviewer.decide(task.task_id, given)
        committed = self._samples - sum(is_asked(number) for number in range(self._samples)) + len(numbers)

        async def are_committed() -> bool:
            async with self._database.transaction() as tx:
                return (await tx.samples.count_by_stage(PROJECT)).get(Stage.COMMITTED, 0) == committed

        await self._until(are_committed)
        return numbers

    async def _activate(self, made: DryRun) -> tuple[frozenset[RevisionRef], list[float]]:
        """Activate the rules until nothing is left to check again; return which samples were, and seconds a call."""
        rechecked: set[RevisionRef] = set()
        calls: list[float] = []
        given = ActivationRequest(rule_set=made.rule_set, budget=MAX_BUDGET, dry_run_id=made.dry_run_id)
        while True:
            began = time.perf_counter()
            done = await self._admin.activate_rules(PROJECT, given)
            calls.append(time.perf_counter() - began)
            if twice := rechecked.intersection(done.rechecked):
                raise IntegrityError(f"{min(ref.sample_id for ref in twice)} was taken back twice")
            rechecked.update(done.rechecked)
            if not done.rechecked:
                return frozenset(rechecked), calls

    async def _look(self, ref: RevisionRef) -> Seen:
        async with self._database.transaction() as tx:
            revision = await tx.samples.get(ref)
            runs = await tx.samples.check_runs(ref)
            tasks = await tx.review.tasks_of(ref)
        if revision is None:
            raise IntegrityError(f"{ref.sample_id} is gone")
        return Seen(revision.stage, runs, tuple(task for task in tasks if is_live(task)))

    async def _are_at_rest(self) -> bool:
        async with self._database.transaction() as tx:
            stages = await tx.samples.count_by_stage(PROJECT)
        return sum(stages.get(stage, 0) for stage in TRIED_STAGES) == self._samples

    async def _are_checked(self, refs: frozenset[RevisionRef]) -> bool:
        async with self._database.transaction() as tx:
            old = await tx.samples.checked(
                PROJECT, stages=IN_REVIEW, riskiest=False, limit=self._samples, but_by=rules_after().sha256
            )
        return not refs.intersection(old) and await self._are_at_rest()

    @staticmethod
    async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
        """Return once a fact of the store holds; it tells nobody when it begins to."""
        async with asyncio.timeout(_WITHIN_S):
            while True:
                if await holds():
                    return
                await asyncio.sleep(_LOOK_EVERY_S)


class Seen:
    """A sample as it is stored: where it is, its check runs, and its open tasks."""

    def __init__(self, stage: Stage, runs: tuple[CheckRun, ...], tasks: tuple[ReviewTask, ...]) -> None:
        self.stage = stage
        self.runs = runs
        self.tasks = tasks

    @property
    def severities(self) -> dict[str, str]:
        """Of the newest check's findings, by their ids."""
        return {finding.finding_id: finding.severity for finding in self.runs[-1].report.findings}

    @property
    def planned(self) -> Counter[PlannedTask]:
        """Its open tasks, as a dry run names them."""
        return Counter(_planned(self.tasks))


def _planned(tasks: Iterable[ReviewTask]) -> Iterable[PlannedTask]:
    return (PlannedTask(queue=task.queue, kind=task.kind, finding_ids=task.finding_ids) for task in tasks)


class Outcome:
    """A sample before and after, beside what was said of it."""

    def __init__(self, trial: SampleTrial, before: Seen, after: Seen) -> None:
        self.trial = trial
        self.before = before
        self.after = after

    @property
    def appeared(self) -> int:
        """Findings that it has now and had not."""
        return len(self.after.severities.keys() - self.before.severities.keys())

    @property
    def disappeared(self) -> int:
        """Findings that it had and has no more."""
        return len(self.before.severities.keys() - self.after.severities.keys())

    @property
    def changed(self) -> int:
        """Findings that have another severity."""
        old, new = self.before.severities, self.after.severities
        return sum(old[name] != new[name] for name in old.keys() & new.keys())

    @property
    def was_rechecked(self) -> bool:
        """Whether it was checked once more."""
        return len(self.after.runs) > len(self.before.runs)

    @property
    def is_as_said(self) -> bool:
        """Whether exactly that happened to the sample which the dry run said."""
        trial, after = self.trial, self.after
        if not trial.rechecked:
            same = self.before.planned == after.planned and self.before.stage == after.stage
            return same and not self.was_rechecked
        said = dict(self.before.severities)
        for change in trial.changes:
            if change.after is None:
                del said[change.finding_id]
            else:
                said[change.finding_id] = change.after
        return (
            self.was_rechecked
            and said == after.severities
            and Counter(trial.tasks_after) == after.planned
            and (after.stage is Stage.COMMITTED) == (not trial.tasks_after)
        )


def _compared(outcomes: list[Outcome], rechecked: frozenset[RevisionRef]) -> tuple[Compared, ...]:
    """Compare what was said of the samples that are checked again with what happened to them, and to the others."""
    again = [one for one in outcomes if one.trial.rechecked]
    others = [one for one in outcomes if not one.trial.rechecked]
    changes = [change for one in again for change in one.trial.changes]
    said = Counter((task.queue, task.kind) for one in again for task in one.trial.tasks_after)
    done = Counter((task.queue, task.kind) for one in again for task in one.after.tasks)
    return (
        Compared(what="samples checked again", said=len(again), done=len(rechecked)),
        Compared(
            what="findings that appear",
            said=sum(change.before is None for change in changes),
            done=sum(one.appeared for one in again),
        ),
        Compared(
            what="findings that disappear",
            said=sum(change.after is None for change in changes),
            done=sum(one.disappeared for one in again),
        ),
        Compared(
            what="findings of another severity",
            said=sum(change.before is not None and change.after is not None for change in changes),
            done=sum(one.changed for one in again),
        ),
        Compared(
            what="tasks before",
            said=sum(len(one.trial.tasks_before) for one in again),
            done=sum(len(one.before.tasks) for one in again),
        ),
        *(
            Compared(what=f"{kind} tasks in {queue}", said=said[queue, kind], done=done[queue, kind])
            for queue, kind in sorted(said.keys() | done.keys())
        ),
        Compared(
            what="samples that nobody is asked about any more",
            said=sum(not one.trial.tasks_after for one in again),
            done=sum(one.after.stage is Stage.COMMITTED for one in again),
        ),
        Compared(
            what="other samples that something happened to", said=0, done=sum(not one.is_as_said for one in others)
        ),
    )


def _judged(made: DryRun, decided: list[int]) -> tuple[Compared, ...]:
    """Compare what the dry run calls true and false with what was decided."""
    tried = {number_of(trial.ref.sample_id) for trial in made.samples}
    known = [number for number in decided if number in tried]
    wrong = sum(map(is_wrong, known))
    shares = [(kind.before.recall, kind.after.recall) for kind in made.kinds]
    return (
        Compared(what="findings that people fixed", said=sum(kind.true for kind in made.kinds), done=wrong),
        Compared(
            what="findings that people approved", said=sum(kind.false for kind in made.kinds), done=len(known) - wrong
        ),
        Compared(
            what="of those fixed, asked about before",
            said=sum(before.hits for before, _ in shares if before is not None),
            done=wrong,
        ),
        Compared(
            what="of those fixed, asked about after",
            said=sum(after.hits for _, after in shares if after is not None),
            done=sum(is_still_asked(number) for number in known),
        ),
    )

"""Any order of what people and operations managers can do, on a real database, beside a model of what is promised.

About a thousand steps by default; ``CONCORD_REVIEW_STEPS=20000`` tries as many.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable
from typing import Any, TypeVar
from uuid import UUID, uuid4

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from sqlalchemy import text

from infra.db.engine import PostgresDatabase, open_database
from services.access.keys import sha256_of_secret
from services.contracts.access import ApiKeyInfo, Principal, Role
from services.contracts.lifecycle import RevisionRef
from services.contracts.people import ReviewerProfile
from services.contracts.queues import RequiredSkill, ReviewQueue
from services.contracts.records import Project
from services.contracts.review import (
    JUDGING_KINDS,
    DecisionInput,
    NewTask,
    TaskKind,
    TaskState,
    Verdict,
)
from services.contracts.task_operations import (
    Assign,
    Hold,
    OperationRequest,
    Outcome,
    Release,
    Reprioritise,
    Reroute,
    TaskChange,
    TaskFilter,
)
from services.errors import (
    AlreadyExistsError,
    ConcordError,
    NoTaskAvailableError,
    StaleFenceError,
)
from services.review.desk import ReviewDesk
from services.review.leases import ClaimWish
from services.review.operations import TaskOperations
from services.review.people import PeopleRegistry
from services.review.queues import QueueRegistry
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.review_model import AUTHOR, Model, Operation, Person, Place, Task
from tests.review_world import add_sample

STEPS = int(os.environ.get("CONCORD_REVIEW_STEPS", "1000"))
STEPS_A_RUN = 50
QUEUES = ("q1", "q2")
SAMPLES = ("s1", "s2")
PEOPLE = (("ann", Role.REVIEWER, ()), ("bob", Role.REVIEWER, ("spatial",)), ("eva", Role.EXPERT, ("spatial",)),
          (AUTHOR, Role.REVIEWER, ()))  # fmt: skip
Result = TypeVar("Result")

people = st.sampled_from([name for name, _, _ in PEOPLE])
queues = st.sampled_from(QUEUES)
index = st.integers(0, 10**6)


class World:
    """What all runs share: one loop, one database."""

    runner: asyncio.Runner
    database: PostgresDatabase

    @classmethod
    def run(cls, work: Awaitable[Result]) -> Result:
        async def awaited() -> Result:
            return await work

        return cls.runner.run(awaited())


class ReviewMachine(RuleBasedStateMachine):
    """Every run has a project of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.project = f"p{uuid4().hex[:12]}"
        self.database = World.database
        self.desk = ReviewDesk(self.database)
        self.operations = TaskOperations(self.database)
        self.manager = Principal(actor_id="olga", key_id="key-olga", role=Role.OPERATIONS, projects=None)
        self.made: dict[UUID, Operation] = {}
        self.refs: dict[str, RevisionRef] = {}
        self.decisions = 0
        self.model = World.run(self._begin())

    async def _begin(self) -> Model:
        known: list[Person] = []
        async with self.database.transaction() as tx:
            await tx.projects.add_rule_set(DEFAULT_RULE_SET)
            await tx.projects.add(Project(id=self.project, name=self.project))
            for queue in QUEUES:
                await tx.queues.put(self.project, ReviewQueue(name=queue))
            for name, role, skills in PEOPLE:
                key_id = f"key-{uuid4().hex}"
                scope = (self.project,)
                known.append(Person(Principal(actor_id=name, key_id=key_id, role=role, projects=scope, skills=skills)))
                key = ApiKeyInfo(
                    key_id=key_id, actor_id=name, role=role, projects=scope, skills=skills, created_at=await tx.now()
                )
                await tx.access.add_key(key, sha256_of_secret(key_id))
        for sample in SAMPLES:
            self.refs[sample] = await add_sample(self.database, sample, project=self.project)
        model = Model(known, list(QUEUES))
        async with self.database.transaction() as tx:
            for number in range(4):
                kind = TaskKind.ADJUDICATE if number == 3 else TaskKind.REVIEW
                finding, ref = f"f-{1 + number % 2}", self.refs[SAMPLES[number // 2]]
                excluded = (AUTHOR,) if finding == "f-1" else ()
                new = NewTask(ref=ref, kind=kind, queue="q1", finding_ids=(finding,), excluded_actors=excluded)
                model.add(await tx.review.open_task(new))
        return model

    def _task(self, number: int) -> Task:
        tasks = list(self.model.tasks.values())
        return tasks[number % len(tasks)]

    def _outcome(self, work: Awaitable[Any]) -> Any:
        """What an operation answers: its result, or the error it is refused with."""
        try:
            return World.run(work)
        except ConcordError as error:
            return error

    # Tasks come

    @rule(
        sample=st.sampled_from(SAMPLES),
        kind=st.sampled_from((TaskKind.REVIEW, TaskKind.REVIEW, TaskKind.ADJUDICATE, TaskKind.ANNOTATE)),
        findings=st.sampled_from((("f-1",), ("f-2",), ("f-1", "f-2"), ())),
        queue=queues,
        skilled=st.booleans(),
        priority=st.integers(0, 4),
    )
    def open_task(
        self, sample: str, kind: TaskKind, findings: tuple[str, ...], queue: str, skilled: bool, priority: int
    ) -> None:
        excluded = (AUTHOR,) if "f-1" in findings and kind in JUDGING_KINDS else ()
        new = NewTask(
            ref=self.refs[sample], kind=kind, queue=queue, skill="spatial" if skilled else None,
            priority=100 * priority, finding_ids=findings, excluded_actors=excluded,
        )  # fmt: skip

        async def work() -> None:
            async with self.database.transaction() as tx:
                self.model.add(await tx.review.open_task(new))

        World.run(work())

    # People work

    @rule(name=people, queue=st.one_of(st.none(), queues))
    def claim_next(self, name: str, queue: str | None) -> None:
        person = self.model.people[name]
        offered = self.model.offered(person, queue)
        got = self._outcome(self.desk.claim_next(person.principal, ClaimWish(queue=queue)))
        if not offered:
            assert isinstance(got, NoTaskAvailableError), got
            return
        assert not isinstance(got, ConcordError), (got, offered)
        task = self.model.tasks[got.task_id]
        assert task in offered
        assert self.model.is_best(task, offered, World.run(self._now())), (task, offered)
        self.model.claimed(person, task)

    async def _now(self) -> Any:
        async with self.database.transaction() as tx:
            return await tx.now()

    @precondition(lambda self: self.model.tasks)
    @rule(name=people, number=index)
    def claim(self, name: str, number: int) -> None:
        person, task = self.model.people[name], self._task(number)
        refusal = self.model.claim_refusal(person, task)
        got = self._outcome(self.desk.claim(person.principal, task.task_id))
        if refusal is not None:
            assert type(got) is refusal, (got, refusal, task)
            return
        assert not isinstance(got, ConcordError), (got, task)
        self.model.claimed(person, task)

    @precondition(lambda self: any(task.fence for task in self.model.tasks.values()))
    @rule(number=index, what=st.sampled_from(("heartbeat", "draft", "release", "decide", "escalate")),
          other=st.one_of(st.none(), people), stale=st.booleans())  # fmt: skip
    def use_a_claim(self, number: int, what: str, other: str | None, stale: bool) -> None:
        """Use a fence: mostly the holder's own, sometimes an old one, sometimes somebody else."""
        tasks = [task for task in self.model.tasks.values() if task.fence]
        task = tasks[number % len(tasks)]
        actor = other or task.holder or "bob"
        person = self.model.people[actor]
        fence = task.fence - 1 if stale and task.fence > 1 else task.fence
        holds = task.held and task.holder == actor and fence == task.fence
        work: dict[str, Awaitable[Any]] = {
            "heartbeat": self.desk.heartbeat(person.principal, task.task_id, fence),
            "draft": self.desk.save_draft(person.principal, task.task_id, fence, {"n": 1}),
            "release": self.desk.release(person.principal, task.task_id, fence),
            "escalate": self.desk.escalate(person.principal, task.task_id, fence, "why"),
            "decide": self.desk.decide(person.principal, task.task_id, self._decision(task, fence)),
        }
        chosen = work.pop(what)
        for unused in work.values():
            unused.close()  # type: ignore[attr-defined]
        got = self._outcome(chosen)
        if task.answered_by is not None:
            if not (what in ("decide", "escalate") and task.answered_by == actor):
                assert isinstance(got, ConcordError), (what, got)
            return
        never = self.model.never(person, task)
        if never is not None and what not in ("heartbeat", "release"):
            assert type(got) is never, (what, got, task)
            return
        if what == "release" and fence == task.fence and not task.held:
            assert got is None, "nobody has claimed it since"
            return
        if not holds:
            assert isinstance(got, StaleFenceError), (what, got, task)
            return
        if what == "escalate" and task.kind is TaskKind.ADJUDICATE:
            assert isinstance(got, ConcordError), got
            return
        if what in ("decide", "escalate") and self.model.judged(actor, task):
            assert isinstance(got, ConcordError), got
            return
        assert not isinstance(got, ConcordError), (what, got, task)
        if what == "release":
            self.model.freed(task)
        if what in ("decide", "escalate"):
            self.model.decided(actor, task)
            self.decisions += 1

    def _decision(self, task: Task, fence: int) -> DecisionInput:
        if task.kind in JUDGING_KINDS:
            return DecisionInput(verdict=Verdict.APPROVE, fence=fence)
        return DecisionInput(verdict=Verdict.ESCALATE, fence=fence, note="why")

    @precondition(lambda self: any(task.held for task in self.model.tasks.values()))
    @rule(number=index)
    def let_a_lease_run_out(self, number: int) -> None:
        held = [task for task in self.model.tasks.values() if task.held]
        task = held[number % len(held)]

        async def work() -> None:
            async with self.database._engine.begin() as connection:
                await connection.execute(
                    text("UPDATE review_tasks SET lease_expires_at = clock_timestamp() WHERE task_id = :id"),
                    {"id": task.task_id},
                )

        World.run(work())
        task.live = False

    # Managers arrange

    @rule(name=queues, paused=st.booleans())
    def pause(self, name: str, paused: bool) -> None:
        World.run(QueueRegistry(self.database).pause(self.manager, self.project, name, paused=paused))
        self.model.queues[name].paused = paused

    @rule(
        name=queues,
        capacity=st.one_of(st.none(), st.integers(1, 3)),
        ageing=st.sampled_from((0.0, 5.0, 1000.0)),
        level=st.integers(0, 3),
    )
    def set_queue_up(self, name: str, capacity: int | None, ageing: float, level: int) -> None:
        skills = (RequiredSkill(name="spatial", level=level),) if level else ()
        queue = ReviewQueue(name=name, capacity=capacity, ageing_per_hour=ageing, skills=skills)
        World.run(QueueRegistry(self.database).put(self.manager, self.project, queue))
        settings_of = self.model.queues[name]
        settings_of.paused, settings_of.capacity = False, capacity
        settings_of.ageing, settings_of.level = ageing, level

    @rule(name=people, cap=st.one_of(st.none(), st.integers(1, 3)), level=st.integers(0, 3))
    def set_person_up(self, name: str, cap: int | None, level: int) -> None:
        skills = (RequiredSkill(name="spatial", level=level),) if level else ()
        profile = ReviewerProfile(actor_id=name, max_claims=cap, skills=skills)
        World.run(PeopleRegistry(self.database).put(self.manager, self.project, profile))
        self.model.people[name].cap, self.model.people[name].level = cap, level

    @rule(queue=st.one_of(st.none(), queues), to=queues)
    def reroute(self, queue: str | None, to: str) -> None:
        tasks = self.model.unfinished(queue)
        new: dict[UUID, Place] = {task.task_id: (to, *task.place()[1:]) for task in tasks}
        judged = {task.task_id: Outcome.HELD for task in tasks if task.held}
        self._operate(Reroute(action="reroute", queue=to), queue, tasks, new, judged)

    @rule(queue=st.one_of(st.none(), queues), add=st.integers(-300, 300))
    def reprioritise(self, queue: str | None, add: int) -> None:
        tasks = self.model.unfinished(queue)
        new = {
            task.task_id: (task.queue, task.skill, task.priority + add, task.on_hold, task.assignee) for task in tasks
        }
        self._operate(Reprioritise(action="reprioritise", add=add), queue, tasks, new, {})

    @rule(queue=st.one_of(st.none(), queues), on_hold=st.booleans())
    def hold(self, queue: str | None, on_hold: bool) -> None:
        tasks = self.model.unfinished(queue)
        new = {task.task_id: (task.queue, task.skill, task.priority, on_hold, task.assignee) for task in tasks}
        change: TaskChange = Hold(action="hold", reason="why") if on_hold else Release(action="release")
        self._operate(change, queue, tasks, new, {})

    @rule(queue=st.one_of(st.none(), queues), name=st.one_of(st.none(), people))
    def reassign(self, queue: str | None, name: str | None) -> None:
        tasks = self.model.unfinished(queue)
        new = {task.task_id: (task.queue, task.skill, task.priority, task.on_hold, name) for task in tasks}
        judged = {task.task_id: self._assignable(task, name) for task in tasks}
        first = dict(judged)
        for task in tasks:
            if name is None or first[task.task_id] is not Outcome.CHANGED:
                continue
            before = [
                other
                for other in tasks
                if other.task_id < task.task_id
                and other.assignee != name
                and first[other.task_id] is Outcome.CHANGED
                and self.model.same_answer(other, task)
            ]
            if before or self.model.gives_twice(name, task) or self.model.is_asked(name, task):
                judged[task.task_id] = Outcome.EXCLUDED
        self._operate(Assign(action="assign", assignee=name), queue, tasks, new, judged)

    def _assignable(self, task: Task, name: str | None) -> Outcome:
        if task.held:
            return Outcome.HELD
        if name is None:
            return Outcome.CHANGED
        if name in task.excluded:
            return Outcome.EXCLUDED
        unasked = self.model.never(self.model.people[name], _unassigned(task)) is not None
        return Outcome.UNFIT if unasked else Outcome.CHANGED

    def _operate(
        self, change: TaskChange, queue: str | None, tasks: list[Task], new: dict[UUID, Place],
        judged: dict[UUID, Outcome],
    ) -> None:  # fmt: skip
        wanted = TaskFilter(queues=() if queue is None else (queue,))
        request = OperationRequest(filter=wanted, change=change)
        counted = World.run(self.operations.preview(self.manager, self.project, request))
        done = World.run(self.operations.run(self.manager, self.project, request))
        outcomes, operation = self.model.change(tasks, new, judged)
        assert done.outcomes == counted.outcomes == dict(outcomes), (done, outcomes)
        self.made[done.operation_id] = operation

    @precondition(lambda self: self.made)
    @rule(number=index)
    def undo(self, number: int) -> None:
        operation_id = list(self.made)[number % len(self.made)]
        operation = self.made[operation_id]
        got = self._outcome(self.operations.undo(self.manager, self.project, operation_id))
        if operation.undone:
            assert isinstance(got, AlreadyExistsError)
            return
        outcomes, undone = self.model.undo(operation)
        assert got.outcomes == dict(outcomes), (got, outcomes)
        self.made[got.operation_id] = undone

    # What always holds

    @invariant()
    def everything_is_as_the_model_says(self) -> None:
        tasks, decided = World.run(self._stored())
        assert {task.task_id for task in tasks} == set(self.model.tasks)
        for task in tasks:
            promised = self.model.tasks[task.task_id]
            held = task.state is TaskState.CLAIMED
            assert held == promised.held
            assert (task.state is TaskState.COMPLETED) == (promised.answered_by is not None)
            assert task.held_by == (promised.holder if promised.held else None)
            assert task.fence == promised.fence
            assert (task.queue, task.skill, task.priority, task.on_hold, task.assignee) == promised.place()
            assert task.hold_reason == ("why" if task.on_hold else None)
            assert task.held_by is None or task.held_by not in task.excluded_actors
        assert len(decided) == len(set(decided)) == self.decisions

    async def _stored(self) -> tuple[list[Any], list[UUID]]:
        async with self.database.transaction() as tx:
            tasks = [task for ref in self.refs.values() for task in await tx.review.tasks_of(ref)]
            decided = [item.task_id for ref in self.refs.values() for item in await tx.review.decisions(ref)]
        return tasks, decided

    def teardown(self) -> None:
        unplaced = World.run(self._misplaced())
        assert unplaced == 0, "every task stands in its lane, at the rank that follows from its row"

    async def _misplaced(self) -> int:
        async with self.database._engine.connect() as connection:
            count: int = await connection.scalar(
                text("""
                    SELECT count(*) FROM review_tasks AS task JOIN review_lanes AS lane USING (lane_id)
                    LEFT JOIN review_queues AS queue ON queue.project = lane.project AND queue.name = lane.queue
                    WHERE task.project = :project AND task.state IN ('open', 'claimed') AND (
                        (task.project, task.queue, task.kind, coalesce(task.skill, ''))
                            IS DISTINCT FROM (lane.project, lane.queue, lane.kind, lane.skill)
                        OR lane.ageing_per_hour <> coalesce(queue.ageing_per_hour, 0)
                        OR task.rank <> concord_rank(lane.ageing_per_hour, task.created_at, task.priority, task.worth))
                """),
                {"project": self.project},
            )
        return count


def _unassigned(task: Task) -> Task:
    return Task(**{**vars(task), "assignee": None})


def test_any_order_of_operations_keeps_every_promise(database_url: str) -> None:
    with asyncio.Runner() as runner:
        World.runner = runner
        manager = open_database(database_url, pool_size=2)
        World.database = runner.run(manager.__aenter__())
        try:
            run_state_machine_as_test(
                ReviewMachine,
                settings=settings(
                    max_examples=max(1, STEPS // STEPS_A_RUN),
                    stateful_step_count=STEPS_A_RUN,
                    deadline=None,
                    # A failing run is read as it is: to shrink it would take many times as long as the test.
                    phases=(Phase.explicit, Phase.generate),
                    report_multiple_bugs=False,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        finally:
            runner.run(manager.__aexit__(None, None, None))

"""Any order of what upstream, people, the workflow and the clock do to cases, beside a model of what is promised."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Coroutine
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from infra.db.engine import PostgresDatabase
from services.audit.verify import verify_project
from services.contracts.access import Principal, Role
from services.contracts.events import EventType
from services.contracts.lifecycle import NextStep, RevisionRef, Stage
from services.contracts.overlap import Overlap
from services.contracts.review import DecisionInput, ReviewTask, TakenTask, TaskKind
from services.errors import (
    BlockingFindingError,
    ConcordError,
    NoTaskAvailableError,
    SelfReviewError,
    StageConflictError,
    StaleFenceError,
    TaskFinishedError,
    TaskHeldError,
)
from services.ground_truth.commit import commit_ground_truth
from services.intake.cloud_events import EventMessage
from services.review.leases import ClaimWish
from tests.case_model import ENDS, KINDS_OF, Case, CaseModel
from tests.integration.case_world import AUTHOR, PEOPLE, VERDICTS, CaseWorld, decision_on, intent, is_blind
from tests.integration.lifecycle_world import person

MOST_LIVE = 4
MOST_REVISIONS = 3
ROUNDS_TO_THE_END = 15
WORDS = ("right", "fine", "wrong", "wrong too")
Result = TypeVar("Result")

people = st.sampled_from([*PEOPLE])
words = st.sampled_from(WORDS)
index = st.integers(0, 71)


class Shared:
    """What all runs share, and the counts of what was done and reached."""

    runner: asyncio.Runner
    database: PostgresDatabase
    runs = 0
    steps = 0
    reached: ClassVar[Counter[str]] = Counter()


class CaseMachine(RuleBasedStateMachine):
    """Every run has a project of its own."""

    def __init__(self) -> None:
        super().__init__()
        Shared.runs += 1
        self.world = CaseWorld(Shared.database, f"case-{Shared.runs}")
        self.model = CaseModel(None)
        self.sent: list[tuple[EventMessage, RevisionRef]] = []
        self._marks: dict[RevisionRef, str] = {}

    @initialize(several=st.booleans(), low=st.lists(words, max_size=2), high=st.lists(words, max_size=2))
    def begin(self, several: bool, low: list[str], high: list[str]) -> None:
        overlap = Overlap(answers=2, max_answers=3) if several else None
        self.model = CaseModel(overlap)
        self._run(self.world.open(overlap))
        self._post("s1", "low", ["wrong", *low] if low else [])
        self._post("s2", "high", ["wrong", *high] if high else [])

    # Helpers

    def _run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return Shared.runner.run(work)

    def _outcome(self, work: Coroutine[Any, Any, Any]) -> Any:
        """What an operation answers: its result, or the error it is refused with."""
        try:
            return self._run(work)
        except ConcordError as error:
            return error

    @property
    def cases(self) -> list[Case]:
        return list(self.model.cases.values())

    def _newest(self, number: int) -> Case:
        sample_id = list(self.model.newest)[number % len(self.model.newest)]
        ref = RevisionRef(project=self.world.project, sample_id=sample_id, revision=self.model.newest[sample_id])
        return self.model.cases[ref]

    def _tasks(self, *, live: bool = True) -> list[ReviewTask]:
        return [task for case in self.cases for task in (case.live if live else case.tasks)]

    # Upstream

    @precondition(lambda self: sum(case.stage not in ENDS for case in self.cases) < MOST_LIVE)
    @rule(risk=st.sampled_from(("low", "high", "high")), said=st.lists(words, max_size=2))
    def post(self, risk: str, said: list[str]) -> None:
        self._count()
        self._post(f"s{len(self.model.newest) + 1}", risk, said)

    def _post(self, sample_id: str, risk: str, said: list[str], event: EventType = EventType.SAMPLE_CREATED) -> None:
        labels = tuple(intent(f"{sample_id}-{number}", word, AUTHOR) for number, word in enumerate(said))
        message = self.world.posting(sample_id, labels, risk, event)
        ref = self._run(self.world.send(message))
        assert ref.revision == self.model.newest.get(sample_id, 0) + 1
        self.sent.append((message, ref))
        self.model.posted(ref, labels)

    @precondition(lambda self: self.sent)
    @rule(number=index, what=st.sampled_from(("again", "again", "labels", "labels", "labels", "update", "withdraw")),
          said=st.lists(words, max_size=2), name=people)  # fmt: skip
    def hear_from_upstream(self, number: int, what: str, said: list[str], name: str) -> None:
        self._count()
        case = self._newest(number)
        sample_id = case.ref.sample_id
        if what == "again":
            message, ref = self.sent[number % len(self.sent)]
            assert self._run(self.world.send(message)) == ref, "an event sent twice leads to one revision"
        elif what == "update" and case.ref.revision < MOST_REVISIONS:
            self._post(sample_id, case.risk, said, EventType.SAMPLE_UPDATED)
            self.model.reached[f"updated:{case.stage}"] += 1
        elif what == "withdraw":
            got = self._outcome(self.world.send(self.world.withdrawal(sample_id)))
            assert isinstance(got, StageConflictError) == (case.stage in ENDS), (got, case.stage)
            self.model.reached["withdrawn"] += case.stage not in ENDS
        elif what == "labels":
            self._submit_outside(case, said, name)

    def _submit_outside(self, case: Case, said: list[str], name: str) -> None:
        labels = [intent(f"{case.ref.sample_id}-{number}", word) for number, word in enumerate(said)]
        asked = [task for task in case.live if task.kind in (TaskKind.ANNOTATE, TaskKind.REWORK)]
        got = self._outcome(self.world.send(self.world.submission(case.ref.sample_id, labels, name)))
        if isinstance(got, ConcordError):
            assert isinstance(got, StageConflictError | TaskHeldError), got
            free = [task for task in asked if task.held_by is None and task.assignee is None]
            assert not free or not self.model.is_stranger(name, case.ref), (got, free)
            return
        after = self._case_now(case.ref)
        (decision,) = [one for one in after.decisions if one.decision_id not in self.model.known[case.ref].decisions]
        assert decision.actor_id == name
        self.model.claimed(name, decision.task_id)
        self.model.decided(decision, after)
        self.model.reached["labels from outside"] += 1

    # The workflow

    @rule(number=st.one_of(st.none(), index), steps=st.integers(1, 4), commit=st.booleans())
    def work(self, number: int | None, steps: int, commit: bool) -> None:
        """The workflow goes some steps with one sample, or with all; or something commits where it should not."""
        self._count()
        if number is None:
            self._work_on_all(steps)
        elif commit:
            self._commit_at_any_time(self.cases[number % len(self.cases)])
        else:
            self._work(self._newest(number).ref, steps)

    def _work_on_all(self, steps: int) -> None:
        for case in self.cases:
            if case.stage not in ENDS:
                self._work(case.ref, steps)

    def _work(self, ref: RevisionRef, steps: int) -> None:
        for _ in range(steps):
            if self._run(self.world.work(ref)) in (NextStep.WAIT, NextStep.ANNOTATE, NextStep.STOP):
                return

    def _commit_at_any_time(self, case: Case) -> None:
        got = self._outcome(commit_ground_truth(self.world.database, case.ref, workflow_run_id="run"))
        if case.record is not None:
            assert got == case.record, "a second commit answers the first record"
        elif case.stage is not Stage.ACCEPTED:
            assert isinstance(got, StageConflictError), (got, case.stage)
        else:
            assert not isinstance(got, ConcordError) or isinstance(got, BlockingFindingError)

    # People

    @rule(name=people, number=index, what=st.sampled_from(("next", "one", "own", "own")), live=st.booleans())
    def claim(self, name: str, number: int, what: str, live: bool) -> None:
        """Claim whatever is next, or one task: any, or one that would be the person's own work."""
        self._count()
        tasks = self._tasks(live=live)
        if what == "next":
            self._claim_next(name)
        elif what == "own":
            self._claim_own(number)
        elif tasks:
            self._claim(PEOPLE[name], tasks[number % len(tasks)])

    def _claim_own(self, number: int) -> None:
        """Let somebody claim each task that they may not judge or answer because it would be their own work."""
        for task in self._tasks():
            own = [who for who in PEOPLE.values() if self.model.refusals(who, task) == {SelfReviewError}]
            if own:
                self.model.reached["claimed own"] += 1
                self._claim(own[number % len(own)], task)

    def _claim(self, who: Principal, task: ReviewTask) -> TakenTask | None:
        refusals = self.model.refusals(who, task)
        got = self._outcome(self.world.claim(who, task.task_id))
        if isinstance(got, ConcordError):
            stranger = self.model.is_stranger(who.actor_id, task.ref)
            assert type(got) in refusals if stranger else isinstance(got, tuple(refusals | {SelfReviewError})), got
            return None
        assert not refusals, (refusals, who, task)
        taken, evidence = got
        self.model.claimed(who.actor_id, task.task_id)
        self.model.reached["second look"] += is_blind(self.model.cases[task.ref], taken, evidence)
        return taken if isinstance(taken, TakenTask) else None

    def _claim_next(self, name: str) -> None:
        who = PEOPLE[name]
        free = [task for task in self._tasks() if not self.model.refusals(who, task) and task.held_by is None]
        got = self._outcome(self.world.desk.claim_next(who, ClaimWish(project=self.world.project)))
        if isinstance(got, ConcordError):
            assert isinstance(got, NoTaskAvailableError), got
            assert not [task for task in free if self.model.is_stranger(name, task.ref)], "somebody new gets a task"
            return
        assert got.task_id in {task.task_id for task in free}, (got, "is not for them")
        self.model.claimed(name, got.task_id)

    @precondition(lambda self: self._tasks())
    @rule(answers=st.lists(st.tuples(index, index, index, words), min_size=2, max_size=5), work=st.integers(0, 4))
    def people_answer(self, answers: list[tuple[int, int, int, str]], work: int) -> None:
        """People take tasks that nobody holds and answer them, and the workflow goes on from there."""
        for number, chosen, say, word in answers:
            self._count()
            self._somebody_answers(number, chosen, say, word)
            self.every_promise_is_kept()
        self._work_on_all(work)
        self.every_promise_is_kept()
        self._claim_own(work)

    def _somebody_answers(self, number: int, chosen: int, say: int, word: str) -> None:
        free = [task for task in self._tasks() if task.held_by is None]
        if not free:
            return
        task = free[number % len(free)]
        able = [who for who in PEOPLE.values() if not self.model.refusals(who, task)]
        if not able:
            return
        who = able[chosen % len(able)]
        taken = self._claim(who, task)
        if taken is not None:
            self._decide(who, task, taken.fence, self._given(task, who, taken.fence, say, word))

    @precondition(lambda self: any(task.fence for task in self._tasks(live=False)))
    @rule(number=index, what=st.sampled_from(("decide", "decide", "heartbeat", "draft", "release")),
          other=st.one_of(st.none(), people), stale=st.booleans(), say=index, word=words)  # fmt: skip
    def use_a_claim(self, number: int, what: str, other: str | None, stale: bool, say: int, word: str) -> None:
        """Use a fence: mostly the holder's own, sometimes an old one, sometimes somebody else's."""
        self._count()
        claimed = [task for task in self._tasks(live=False) if task.fence]
        tasks = [task for task in self._tasks() if task.fence and number % 3] or claimed
        task = tasks[number % len(tasks)]
        who = PEOPLE[other or self.model.tasks[task.task_id].last_holder or AUTHOR]
        fence = task.fence - 1 if stale and other and task.fence > 1 else task.fence
        if what == "decide":
            self._decide(who, task, fence, self._given(task, who, fence, say, word))
            return
        got = self._outcome(self.world.use(what, who, task.task_id, fence))
        if not self._holds(who, task, fence):
            nobody = what == "release" and got is None and task.held_by is None
            assert isinstance(got, ConcordError) or nobody, (what, got, task)
        elif what == "release":
            assert got is None
            self.model.freed(task.task_id)
        else:
            assert not isinstance(got, ConcordError) or self.model.own(who.actor_id, task), (what, got)

    def _holds(self, who: Principal, task: ReviewTask, fence: int) -> bool:
        hold = self.model.tasks[task.task_id]
        return hold.holder == who.actor_id and hold.fence == fence

    def _decide(self, who: Principal, task: ReviewTask, fence: int, given: DecisionInput) -> None:
        hold = self.model.tasks[task.task_id]
        got = self._outcome(self.world.decide(who, task.task_id, given))
        if not self._holds(who, task, fence):
            told = [one for one in self.model.known[task.ref].decisions.values() if one.task_id == task.task_id]
            same = hold.answered_by == who.actor_id and not isinstance(got, ConcordError)
            assert isinstance(got, ConcordError) or (same and got.decision_id == told[0].decision_id), (got, task)
            if isinstance(got, StaleFenceError | TaskFinishedError) and got.facts.get("draft_kept"):
                assert self._run(self.world.has_draft(task.task_id, who.actor_id)), "work that came late is kept"
                self.model.reached["late work kept"] += 1
            return
        if isinstance(got, ConcordError):
            assert isinstance(got, SelfReviewError), (got, task)
            assert self.model.known[task.ref].touched_by(who.actor_id), (got, task)
            return
        self.model.decided(got, self._case_now(task.ref))
        again = self._outcome(self.world.decide(who, task.task_id, given))
        assert not isinstance(again, ConcordError), again
        assert again.decision_id == got.decision_id, "the same decision sent again is the same decision"

    def _given(self, task: ReviewTask, who: Principal, fence: int, say: int, word: str) -> DecisionInput:
        case, verdicts = self.model.cases[task.ref], VERDICTS[task.kind]
        verdict = verdicts[say % len(verdicts)]
        return decision_on(case, task, verdict, who.actor_id, fence, said=[word])

    def _case_now(self, ref: RevisionRef) -> Case:
        ((case,), _, _) = self._run(self.world.read([ref], self.model.read_until))
        return case

    # The clock

    @precondition(lambda self: self._tasks())
    @rule(number=index, what=st.sampled_from(("lease", "deadline")))
    def let_time_pass(self, number: int, what: str) -> None:
        self._count()
        held = [task_id for task_id, hold in self.model.tasks.items() if hold.holder]
        tasks = self._tasks()
        if what == "deadline":
            self._miss_a_deadline(tasks[number % len(tasks)])
        elif held:
            self._lapse(held[number % len(held)])

    def _lapse(self, task_id: UUID) -> None:
        self._run(self.world.lapse(task_id))
        self.model.freed(task_id)

    def _miss_a_deadline(self, task: ReviewTask) -> None:
        self._run(self.world.miss_deadline(task.ref, task.task_id))
        if task.held_by is None:
            self.model.overdue(task)
        tasks = self._case_now(task.ref).tasks
        self._run(self.world.look_at_deadlines(task.ref))
        assert tasks == self._case_now(task.ref).tasks, "a deadline is acted on once"
        (once,) = [item for item in tasks if item.task_id == task.task_id]
        assert once.assignee is None or task.held_by is not None, "what is late is asked of anybody"

    # What always holds

    @invariant()
    def every_promise_is_kept(self) -> None:
        changed, self._marks = self._run(self.world.changed(self._marks))
        self.model.see(*self._run(self.world.read(changed, self.model.read_until)))

    def _count(self) -> None:
        Shared.steps += 1

    def teardown(self) -> None:
        if not self.model.newest:
            return
        self._come_to_an_end()
        report = self._run(verify_project(self.world.database, self.world.project))
        assert report.faults == (), report.faults
        Shared.reached.update(self.model.reached)

    def _come_to_an_end(self) -> None:
        """Whatever has happened, people who come new to a sample can bring it to its end."""
        for round_ in range(ROUNDS_TO_THE_END):
            self._work_on_all(4)
            self.every_promise_is_kept()
            tasks = self._tasks()
            if not tasks:
                break
            for task in tasks:
                self._finish(task, round_)
                self.every_promise_is_kept()
        assert all(case.stage in ENDS for case in self.cases), "a sample is stuck"

    def _finish(self, task: ReviewTask, round_: int) -> None:
        role = Role.REVIEWER if task.kind is TaskKind.REVIEW else next(r for r in KINDS_OF if task.kind in KINDS_OF[r])
        who = PEOPLE[task.assignee] if task.assignee else person(f"new-{round_}-{task.task_id.hex[:8]}", role)
        if task.held_by is not None:
            self._lapse(task.task_id)
        if self.model.tasks[task.task_id].cancelled:
            return
        taken = self._claim(who, task)
        assert taken is not None, (who, task, "nobody can take this task")
        self._decide(who, task, taken.fence, self._given(task, who, taken.fence, 0, "right"))

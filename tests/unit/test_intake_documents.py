"""The examples of the documents hold."""

from __future__ import annotations

import ast
import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from services.contracts.calibration import PAUSED
from services.contracts.events import (
    OUTGOING_EVENT_TYPES,
    TASK_OVERDUE,
    TASK_REMINDED,
    EventType,
    StageChanged,
    stage_event_type,
)
from services.contracts.lifecycle import Stage
from services.contracts.manifest import SampleManifest
from services.contracts.notes import NOTE_MENTIONED
from services.contracts.project_events import PROJECT_EVENTS
from services.contracts.records import OutboxMessage
from services.errors import ConcordError
from services.intake.cloud_events import DATA_MODELS, STRUCTURED_TYPE, EventMessage, data_of, event_of, read_envelope
from services.lifecycle.outgoing import outgoing
from services.schemas import asyncapi_document, published_schema

EVENTS = (Path(__file__).parents[2] / "docs" / "events.md").read_text(encoding="utf-8")
AT = datetime(2026, 3, 1, 12, 0, 3, 250_000, tzinfo=UTC)


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", EVENTS, flags=re.DOTALL)


def payload_schema(event_type: str) -> Draft202012Validator:
    document = asyncapi_document()
    payload: dict[str, Any] = document["components"]["messages"][event_type]["payload"]
    return Draft202012Validator({**payload, "components": document["components"]})


def test_the_event_in_is_one_that_the_intake_reads() -> None:
    raw = blocks("json")[0].encode()
    data = data_of(event_of(read_envelope(EventMessage(content_type=STRUCTURED_TYPE, body=raw))))
    assert isinstance(data, SampleManifest)
    payload_schema(EventType.SAMPLE_CREATED).validate(json.loads(raw))


def test_the_event_out_is_the_one_that_the_relay_publishes() -> None:
    shown = json.loads(blocks("json")[2])
    change = StageChanged.model_validate(shown["data"])
    message = OutboxMessage(
        message_id=1,
        topic="event",
        project=change.project,
        sample_id=change.sample_id,
        sequence=change.sequence,
        body=change.model_dump(mode="json", exclude_none=True),
        created_at=AT,
    )
    event = outgoing(message)
    assert json.loads(event.body) == shown
    assert event.id == shown["id"]
    assert event.subject in EVENTS
    payload_schema(shown["type"]).validate(json.loads(event.body))


def test_the_asyncapi_document_names_every_event() -> None:
    messages = set(asyncapi_document()["components"]["messages"])
    both_ways = {EventType.SAMPLE_WITHDRAWN, EventType.TAXONOMY_PUBLISHED}
    assert both_ways <= {*OUTGOING_EVENT_TYPES}
    assert messages == {
        *(f"{kind}-in" for kind in both_ways),
        *EventType,
        *(stage_event_type(stage) for stage in Stage),
        TASK_REMINDED,
        TASK_OVERDUE,
        NOTE_MENTIONED,
        PAUSED,
        *PROJECT_EVENTS,
    }
    assert {*OUTGOING_EVENT_TYPES} == {*asyncapi_document()["channels"]["events"]["messages"]}
    assert {*EventType} == {*asyncapi_document()["channels"]["ingest"]["messages"]}
    assert set(DATA_MODELS) == set(EventType)


def test_the_programs_are_python() -> None:
    assert len(blocks("python")) == 2
    for program in blocks("python"):
        ast.parse(program)


def test_the_reasons_and_stages_are_those_of_the_product() -> None:
    def codes(error: type[ConcordError]) -> set[str]:
        return {error.code}.union(*(codes(kind) for kind in error.__subclasses__()))

    table = EVENTS.split("| reason | what to do |\n")[1].split("\n\n")[0]
    named = {code for line in table.splitlines() for code in re.findall(r"`([a-z-]+)`", line.split("|")[1])}
    assert len(named) > 10
    assert named <= codes(ConcordError)
    for stage in Stage:
        assert f"`{stage.value}`" in EVENTS
    for event_type in (*EventType, *PROJECT_EVENTS):
        assert f"`{event_type}`" in EVENTS


def test_the_table_of_events_about_projects_names_their_schemas() -> None:
    rows = dict(re.findall(r"^\| `(concord\.[a-z.]+\.v1)` \| .* \| `([a-z-]+)` \|$", EVENTS, flags=re.MULTILINE))
    titles = {kind: published_schema(name)["title"] for kind, name in rows.items()}
    assert titles == {kind: model.__name__ for kind, model in PROJECT_EVENTS.items()}


def test_a_type_that_goes_both_ways_has_the_data_of_each_way() -> None:
    document = asyncapi_document()
    messages = document["components"]["messages"]

    def data_of_channel(channel: str, kind: str) -> str:
        name = document["channels"][channel]["messages"][kind]["$ref"].rpartition("/")[2]
        model: str = messages[name]["payload"]["properties"]["data"]["$ref"].rpartition("/")[2]
        return model

    kind = EventType.TAXONOMY_PUBLISHED
    assert (data_of_channel("ingest", kind), data_of_channel("events", kind)) == ("Taxonomy", "TaxonomyAnnounced")
    withdrawn = EventType.SAMPLE_WITHDRAWN
    assert (data_of_channel("ingest", withdrawn), data_of_channel("events", withdrawn)) == (
        "SampleWithdrawn",
        "StageChanged",
    )

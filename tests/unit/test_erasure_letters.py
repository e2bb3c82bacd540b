"""Which refused events are about the subject of an erasure: those that name it, not those that hold its letters."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest

from services.contracts.erasure import OfContext, OfPerson, OfSamples
from services.erasure.letters import letters_naming, names_of
from services.intake.cloud_events import STRUCTURED_TYPE, EventMessage
from services.ports.erasure import NamedLetter, StoredLetter
from tests.intake_events import PROJECT, created, event, manifest


def letter(message: EventMessage, project: str | None = PROJECT) -> StoredLetter:
    return StoredLetter(uuid4(), project, message.to_bytes())


def about(sample_id: str, patient: object = "mrn1", **changes: Any) -> EventMessage:
    return created(sample_id, context={"attributes": {"patient": patient}}, **changes)


def unreadable(body: str) -> EventMessage:
    return EventMessage(content_type=STRUCTURED_TYPE, body=body.encode())


def found(message: EventMessage, *names: str, project: str | None = PROJECT) -> bool:
    return bool(letters_naming([letter(message, project)], PROJECT, names))


def test_an_id_counts_where_it_is_a_whole_value_and_not_inside_of_another() -> None:
    assert found(about("visit-1"), "visit-1")
    assert not found(about("visit-17"), "visit-1")
    assert not found(about("s", said="visit-1 was late"), "visit-1")
    assert not found(created("s", **{"visit-1": "a key is no value"}), "visit-1")


def test_the_value_of_an_attribute_is_found_whatever_it_is_and_however_json_writes_it() -> None:
    assert found(about("s", "mrn4711"), "mrn4711")
    assert not found(about("s", "mrn47110"), "mrn4711")
    assert found(about("s", 4711), "4711")
    assert not found(about("s", 47110), "4711")
    assert found(about("s", True), "true")
    assert found(unreadable(json.dumps(event(manifest("s", patient="Müller")))), "Müller")


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ('{"specversion": "1.0", "data": {"sample_id": "visit-1", ', True),
        ('{"specversion": "1.0", "data": {"sample_id": "visit-17", ', False),
        ('{"specversion": "1.0", "data": {"sample_id": "site.visit-1", ', False),
        ('{"specversion": "1.0", "data": {"sample_id": "visit-1.b", ', False),
        ("It was visit-1. No more", True),
        ("revisit-1", False),
        ("visit-1_", False),
    ],
)
def test_in_what_can_not_be_read_a_name_counts_as_a_whole_word(body: str, named: bool) -> None:
    assert found(unreadable(body), "visit-1") is named


def test_json_that_is_no_event_is_read_as_json() -> None:
    assert found(unreadable('{"data": {"sample_id": "visit-1"}}'), "visit-1")
    assert not found(unreadable('{"data": {"sample_id": "visit-1 "}}'), "visit-1")


def test_a_letter_of_no_project_must_name_the_project_too() -> None:
    assert found(about("visit-1"), "visit-1", project=None)
    assert not found(about("visit-1", project="other"), "visit-1", project=None)
    assert found(unreadable(f'{{"project": "{PROJECT}", "sample_id": "visit-1'), "visit-1", project=None)
    assert not found(unreadable('{"project": "other", "sample_id": "visit-1'), "visit-1", project=None)


def test_a_letter_tells_its_sample_where_that_can_be_read() -> None:
    letters = [letter(about("visit-1")), letter(unreadable('{"data": "visit-1'))]
    assert letters_naming(letters, PROJECT, ["visit-1"]) == [
        NamedLetter(letters[0].dead_letter_id, "visit-1"),
        NamedLetter(letters[1].dead_letter_id, None),
    ]


def test_what_is_about_no_sample_names_none() -> None:
    assert names_of(OfSamples(sample_ids=("a", "b"))) == ("a", "b")
    assert names_of(OfContext(field="patient", value="mrn1")) == ("mrn1",)
    assert names_of(OfPerson(actor_id="ben")) == ()

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from typer.testing import CliRunner

from infra.cli.connection import find_connection
from infra.cli.groups import FEATURES
from infra.cli.ingest import BATCH_EVENTS, event_of, in_batches
from infra.cli.main import app
from infra.storage.found import FoundSample
from infra.storage.manifest_files import find_samples
from services.audit.anchors import anchor_line, parse_anchors, parse_link
from services.contracts.manifest import SampleManifest
from services.contracts.verification import Anchor
from services.errors import InvalidInputError
from services.schemas import SCHEMAS
from tests.unit.cli.test_check import manifest, write


def test_every_command_explains_itself() -> None:
    runner = CliRunner()
    everything = runner.invoke(app, ["--help"])
    assert everything.exit_code == 0
    for name in FEATURES:
        if name == "bench":
            continue
        assert name in everything.stdout
        assert runner.invoke(app, [name, "--help"]).exit_code == 0


@pytest.mark.parametrize("name", sorted(SCHEMAS - {"asyncapi"}))
def test_every_schema_is_a_valid_one(name: str) -> None:
    result = CliRunner().invoke(app, ["schema", name])
    jsonschema.Draft202012Validator.check_schema(json.loads(result.stdout))


def test_the_sample_schema_accepts_and_refuses_as_the_contract_does() -> None:
    schema = json.loads(CliRunner().invoke(app, ["schema", "sample"]).stdout)
    validator = jsonschema.Draft202012Validator(schema)
    assert validator.is_valid(manifest())
    assert not validator.is_valid(manifest(surprise=1))
    assert not validator.is_valid(manifest(streams=[]))


def test_every_reference_of_the_asyncapi_document_resolves() -> None:
    document = json.loads(CliRunner().invoke(app, ["schema", "asyncapi"]).stdout)
    assert document["asyncapi"] == "3.0.0"
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    for reference in references:
        node = document
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]


def test_an_unknown_schema_exits_2_with_the_known_names() -> None:
    result = CliRunner().invoke(app, ["schema", "nothing"])
    assert result.exit_code == 2
    assert "sample" in result.stderr


def test_the_built_in_rules_are_valid_rules(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["rules", "show"]).stdout
    path = tmp_path / "rules.json"
    path.write_text(shown, encoding="utf-8")
    result = CliRunner().invoke(app, ["rules", "validate", str(path), "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["id"] == "default"


def test_posting_the_same_manifest_has_the_same_event_id_and_another_one_has_another() -> None:
    first = SampleManifest.model_validate(manifest())
    other = SampleManifest.model_validate(manifest(policy="approved"))
    assert event_of(first, update=False) == event_of(first, update=False)
    ids = {event_of(item, update=update)["id"] for item in (first, other) for update in (False, True)}
    assert len(ids) == 4


def test_batches_hold_everything_in_order_and_keep_to_the_limits() -> None:
    events = [{"id": str(number), "data": "x" * (200_000 if number % 7 == 0 else 10)} for number in range(250)]
    batches = list(in_batches(events))
    assert [event for batch in batches for event in batch] == events
    assert max(len(batch) for batch in batches) <= BATCH_EVENTS
    assert max(len(json.dumps(batch)) for batch in batches) < 5_000_000


def test_relative_addresses_become_absolute_and_others_stay(tmp_path: Path) -> None:
    streams = [
        {"id": "a", "modality": "image", "uri": "sub/a%20b.png"},
        {"id": "b", "modality": "image", "uri": "s3://bucket/b.png"},
        {"id": "c", "modality": "text", "inline": "x"},
    ]
    write(tmp_path / "m.json", manifest(streams=streams, annotations=[]))
    write(tmp_path / "other.json", {"format": "something else"})
    (found,) = find_samples(tmp_path, project="p")
    assert isinstance(found, FoundSample)
    assert [stream.uri for stream in found.manifest.streams] == [
        f"{tmp_path.resolve().as_uri()}/sub/a%20b.png",
        "s3://bucket/b.png",
        None,
    ]


def test_the_local_key_is_never_sent_to_an_address_that_was_given(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="needs a key"):
        find_connection("http://127.0.0.1:1", None, tmp_path)
    with pytest.raises(InvalidInputError, match="http"):
        find_connection("ftp://x", "ck_x", tmp_path)
    with pytest.raises(InvalidInputError, match="concord up"):
        find_connection(None, None, tmp_path)
    assert find_connection("http://h", "ck_x", tmp_path) == ("http://h", "ck_x")


@pytest.mark.parametrize("text", ["", "5", "0:" + "a" * 64, "5:abc", "x:" + "a" * 64])
def test_an_anchor_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        parse_link(text, what="--anchor")


def test_anchors_are_read_as_they_are_written() -> None:
    anchor = parse_link(f"12:{'A' * 64}", what="--anchor")
    assert (anchor.sequence, anchor.sha256) == (12, "a" * 64)
    line = anchor_line("av-urban", anchor, datetime(2026, 3, 1, tzinfo=UTC))
    assert line == f"av-urban 12:{'a' * 64} 2026-03-01T00:00:00.000000+00:00"
    assert parse_anchors([line, "", f"calls 1:{'b' * 64}"]) == {
        "av-urban": [anchor],
        "calls": [Anchor(sequence=1, sha256="b" * 64)],
    }
    for damaged in ("av-urban", f"av-urban 12:{'a' * 63} x"):
        with pytest.raises(InvalidInputError, match="line 2"):
            parse_anchors([line, damaged])


def test_nothing_running_exits_2_in_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONCORD_DATA_DIR", str(tmp_path))
    for command in (["queue"], ["project", "list"], ["verify"], ["key", "list"], ["dead-letters", "list"]):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 2
        assert result.stderr.count("error: ") == 1
        assert "concord up" in result.stderr


def test_an_incomplete_environment_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CONCORD_DATABASE_URL", raising=False)
    result = CliRunner().invoke(app, ["migrate"])
    assert result.exit_code == 2
    assert "CONCORD_DATABASE_URL" in result.stderr

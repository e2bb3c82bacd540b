from dataclasses import replace

from services.contracts.canonical import content_sha256, parse_json
from services.contracts.lifecycle import workflow_id_of
from services.ground_truth.record import build_record
from tests.unit.ground_truth.facts import DECISION_ID, NOW, REF, make_facts


def test_a_record_is_the_same_bytes_whatever_the_order_of_its_rows() -> None:
    facts = make_facts()
    shuffled = replace(facts, label_sets=facts.label_sets[::-1], assets=facts.assets[::-1])
    first = build_record(facts, workflow_run_id="run", committed_at=NOW)
    second = build_record(shuffled, workflow_run_id="run", committed_at=NOW)
    assert first == second
    assert first.content_sha256 == content_sha256(first.body)
    assert first.lineage_sha256 == content_sha256(first.lineage)


def test_the_body_holds_the_newest_labels_by_id_and_the_hashes_as_read() -> None:
    body = build_record(make_facts(), workflow_run_id="run", committed_at=NOW).body
    assert body["format"] == "concord.ground_truth/1"
    assert (body["project"], body["sample_id"], body["revision"]) == ("p", "s-1", 1)
    assert body["captured_at"] == "2026-03-01T12:00:00.000250+00:00"
    assert [label["id"] for label in body["annotations"]] == ["b1", "b2"]
    assert body["annotations"][0]["box"] == [1.0, 0.0, 11.0, 10.0]
    assert body["streams"][0]["sha256"] == "a" * 64


def test_the_lineage_names_everything_the_record_rests_on() -> None:
    facts = make_facts()
    lineage = build_record(facts, workflow_run_id="run-7", committed_at=NOW).lineage
    assert lineage["events"] == [
        {
            "source": "up",
            "id": "e1",
            "type": "concord.sample.created.v1",
            "content_sha256": facts.events[0].event.content_sha256,
        }
    ]
    assert lineage["predictions"][0]["model"] == "net"
    assert lineage["predictions"][0]["model_version"] == "7"
    assert [item["version"] for item in lineage["label_sets"]] == [1, 2]
    assert lineage["label_sets"][1]["decision_id"] == str(DECISION_ID)
    assert len(lineage["check_runs"]) == 2
    assert lineage["findings"][0]["state"] == "resolved"
    assert lineage["decisions"][0]["content_sha256"] == facts.decisions[0].content_sha256
    assert lineage["people"] == [
        {"id": "rex", "did": ["labels", "review:fix"]},
        {"id": "u17", "did": ["labels"]},
    ]
    assert lineage["rule_set"]["id"] == "default"
    assert lineage["taxonomy_versions"] == ["av@3"]
    assert lineage["workflow"] == {"id": workflow_id_of(REF), "run_id": "run-7"}


def test_both_zeros_have_one_canonical_form() -> None:
    assert content_sha256({"x": [-0.0, {"y": -0.0}]}) == content_sha256({"x": [0.0, {"y": 0.0}]})
    assert content_sha256({"x": -0.05}) != content_sha256({"x": 0.05})
    assert parse_json(b"[-0.0]") == [0.0]


def test_a_sample_without_labels_makes_a_record_without_annotations() -> None:
    facts = replace(make_facts(), label_sets=(), check_runs=(), findings=(), decisions=())
    record = build_record(facts, workflow_run_id="run", committed_at=NOW)
    assert record.body["annotations"] == []
    assert record.lineage["rule_set"] is None

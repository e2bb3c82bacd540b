from __future__ import annotations

from dataclasses import replace
from typing import Any

from services.contracts.canonical import content_sha256
from services.contracts.label_base import Author
from services.contracts.lineage import Origin, OriginKind
from services.contracts.manifest import Calibration, Stream
from services.contracts.records import GroundTruth
from services.ground_truth.origins import origin_faults, origins_of
from services.ground_truth.record import build_record
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.ground_truth.facts import DECISION_ID, NOW, box, label_set, make_facts

CALIBRATION = Calibration(model="pinhole", intrinsics=((700.0, 0.0, 600.0), (0.0, 700.0, 180.0), (0.0, 0.0, 1.0)))


def a_record(**changes: Any) -> GroundTruth:
    return build_record(replace(make_facts(), **changes), workflow_run_id="run-1", committed_at=NOW)


def keys(record: GroundTruth, kind: OriginKind) -> set[str]:
    return {origin.key for origin in origins_of(record) if origin.kind is kind}


def test_a_record_is_found_from_everything_its_lineage_names() -> None:
    facts, record = make_facts(), a_record()
    assert keys(record, OriginKind.EVENT) == {facts.events[0].event.content_sha256}
    assert keys(record, OriginKind.ASSET) == {"a" * 64}
    assert keys(record, OriginKind.LABEL_SET) == {labels.sha256 for labels in facts.label_sets}
    assert keys(record, OriginKind.MODEL) == {"net@7"}
    assert keys(record, OriginKind.PERSON) == {"rex", "u17"}
    assert keys(record, OriginKind.DECISION) == {str(DECISION_ID)}
    assert keys(record, OriginKind.RULE_SET) == {f"{DEFAULT_RULE_SET.id}@{DEFAULT_RULE_SET.version}"}
    assert keys(record, OriginKind.TAXONOMY) == {"av@3"}
    assert keys(record, OriginKind.WORKFLOW) == {"run-1"}
    assert keys(record, OriginKind.CALIBRATION) == set()


def test_a_calibration_is_found_by_its_hash_alone_and_with_its_sensor() -> None:
    facts = make_facts()
    streams = (
        Stream(id="cam", modality="image", uri="a.png", sensor="front", calibration=CALIBRATION),
        Stream(id="other", modality="image", uri="b.png", calibration=CALIBRATION),
    )
    manifest = facts.revision.manifest.model_copy(update={"streams": streams})
    record = a_record(revision=facts.revision.model_copy(update={"manifest": manifest}))
    digest = content_sha256(CALIBRATION)
    assert keys(record, OriginKind.CALIBRATION) == {digest, f"front@{digest}"}


def test_models_are_found_by_their_labels_too_with_and_without_a_version() -> None:
    made = (
        box("b1").model_copy(update={"author": Author(kind="model", id="seg", version="2")}),
        box("b2").model_copy(update={"author": Author(kind="model", id="old")}),
    )
    labels = label_set(1, "pre_label", Author(kind="model", id="boss", version="1"), *made)
    assert keys(a_record(label_sets=(labels,)), OriginKind.MODEL) == {"seg@2", "old", "boss@1"}


def test_a_damaged_record_tells_what_it_can() -> None:
    record = a_record()
    lineage = {**record.lineage, "people": "nobody", "assets": [None, {"sha256": 3}, {"sha256": "b" * 64}]}
    damaged = record.model_copy(update={"lineage": lineage, "body": {"streams": {"cam": 1}, "annotations": [1]}})
    assert keys(damaged, OriginKind.ASSET) == {"b" * 64}
    assert keys(damaged, OriginKind.PERSON) == set()


def test_a_key_that_nobody_could_ask_for_is_left_out() -> None:
    record = a_record()
    lineage = {**record.lineage, "workflow": {"id": "w", "run_id": "x" * 501}}
    assert keys(record.model_copy(update={"lineage": lineage}), OriginKind.WORKFLOW) == set()


def test_what_is_kept_otherwise_than_the_record_says_is_a_fault_both_ways() -> None:
    record = a_record()
    told = origins_of(record)
    assert list(origin_faults(record, told)) == []
    stray = Origin(kind=OriginKind.PERSON, key="eve")
    left_out = Origin(kind=OriginKind.ASSET, key="a" * 64)
    found = list(origin_faults(record, (told - {left_out}) | {stray}))
    assert [item.kind for item in found] == ["origin-missing", "origin-stray"]
    assert "a" * 64 in found[0].detail
    assert "eve" in found[1].detail
    assert list(origin_faults(record, (), erased=True)) == []

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.contracts.canonical import content_sha256
from services.contracts.lifecycle import Stage
from services.contracts.records import AuditEntry, GroundTruth
from services.ground_truth.commit import told_of_record
from services.ground_truth.record import RevisionFacts, build_record
from services.ground_truth.verify import RecordEvidence, record_faults
from services.lifecycle.journal import subject_of
from services.rules.rule_set import DEFAULT_RULE_SET
from tests.unit.ground_truth.facts import NOW, REF, box, make_facts


def _entries(record: GroundTruth) -> tuple[AuditEntry, ...]:
    bodies = {
        "sample.committed": {"sequence": 5, "content_sha256": record.content_sha256},
        "ground_truth.committed": told_of_record(record),
    }
    return tuple(
        AuditEntry(
            project="p",
            sequence=number,
            at=NOW,
            actor="concord",
            action=action,
            subject=subject_of(REF),
            body=body,
            previous_sha256="0" * 64,
            sha256="1" * 64,
        )
        for number, (action, body) in enumerate(bodies.items(), start=1)
    )


def _kinds(record: GroundTruth, facts: RevisionFacts, **changes: Any) -> set[str]:
    evidence = RecordEvidence(
        facts=facts, rules={DEFAULT_RULE_SET.reference: DEFAULT_RULE_SET}, entries=_entries(RECORD)
    )
    return {item.kind for item in record_faults(record, replace(evidence, **changes))}


FACTS = make_facts()
RECORD = build_record(FACTS, workflow_run_id="run", committed_at=NOW)


def _rehashed(record: GroundTruth, **members: Any) -> GroundTruth:
    """A forger who knows how hashes are made."""
    changed = record.model_copy(update=members)
    return changed.model_copy(
        update={"content_sha256": content_sha256(changed.body), "lineage_sha256": content_sha256(changed.lineage)}
    )


def test_a_true_record_has_no_fault() -> None:
    assert _kinds(RECORD, FACTS) == set()


def test_a_changed_body_is_found() -> None:
    body = {**RECORD.body, "annotations": []}
    assert _kinds(RECORD.model_copy(update={"body": body}), FACTS) == {"content-hash", "body-mismatch"}
    assert _kinds(_rehashed(RECORD, body=body), FACTS) >= {"body-mismatch", "commit-contradicts-entry"}


@pytest.mark.parametrize(
    "section", ["assets", "predictions", "label_sets", "check_runs", "findings", "decisions", "people", "events"]
)
def test_a_lineage_that_leaves_something_out_is_found_even_with_new_hashes(section: str) -> None:
    lineage = {**RECORD.lineage, section: []}
    kinds = _kinds(_rehashed(RECORD, lineage=lineage), FACTS)
    assert "commit-contradicts-entry" in kinds
    # An event that arrives after the commit is no part of the lineage, so that a missing one alone proves nothing.
    assert ("lineage-mismatch" in kinds) == (section != "events")


@pytest.mark.parametrize("section", ["workflow", "rule_set", "manifest_sha256", "format"])
def test_a_lineage_that_says_something_else_is_found(section: str) -> None:
    lineage = {**RECORD.lineage, section: {"id": "x", "version": 1, "sha256": "0" * 64}}
    assert "lineage-mismatch" in _kinds(_rehashed(RECORD, lineage=lineage), FACTS)


def _labels_edited(facts: RevisionFacts) -> RevisionFacts:
    first, *others = facts.label_sets
    return replace(facts, label_sets=(first.model_copy(update={"annotations": (box("b9"),)}), *others))


def _labels_removed(facts: RevisionFacts) -> RevisionFacts:
    return replace(facts, label_sets=facts.label_sets[:-1])


def _event_edited(facts: RevisionFacts) -> RevisionFacts:
    stored = facts.events[0]
    event = stored.event.model_copy(update={"data": {"sample_id": "other"}})
    return replace(facts, events=(stored.model_copy(update={"event": event}),))


def _event_removed(facts: RevisionFacts) -> RevisionFacts:
    return replace(facts, events=())


def _asset_changed(facts: RevisionFacts) -> RevisionFacts:
    return replace(facts, assets=(facts.assets[0].model_copy(update={"sha256": "c" * 64}),))


def _decision_by_another(facts: RevisionFacts) -> RevisionFacts:
    return replace(facts, decisions=(facts.decisions[0].model_copy(update={"actor_id": "eve"}),))


def _finding_reopened(facts: RevisionFacts) -> RevisionFacts:
    return replace(facts, findings=(facts.findings[0].model_copy(update={"labels_sha256": "d" * 64}),))


def _report_changed(facts: RevisionFacts) -> RevisionFacts:
    first, second = facts.check_runs
    report = first.report.model_copy(update={"findings": ()})
    return replace(facts, check_runs=(first.model_copy(update={"report": report}), second))


def _manifest_changed(facts: RevisionFacts) -> RevisionFacts:
    manifest = facts.revision.manifest.model_copy(update={"captured_at": None})
    return replace(facts, revision=facts.revision.model_copy(update={"manifest": manifest}))


@pytest.mark.parametrize(
    ("tamper", "kind"),
    [
        (_labels_edited, "labels-hash"),
        (_labels_removed, "lineage-mismatch"),
        (_event_edited, "event-hash"),
        (_event_removed, "lineage-mismatch"),
        (_asset_changed, "lineage-mismatch"),
        (_decision_by_another, "lineage-mismatch"),
        (_finding_reopened, "lineage-mismatch"),
        (_report_changed, "lineage-mismatch"),
        (_manifest_changed, "manifest-hash"),
    ],
)
def test_a_changed_source_is_found(tamper: Callable[[RevisionFacts], RevisionFacts], kind: str) -> None:
    assert kind in _kinds(RECORD, tamper(FACTS))


def test_a_record_dated_back_is_found() -> None:
    assert _kinds(RECORD.model_copy(update={"committed_at": NOW - timedelta(days=1)}), FACTS) == {
        "commit-contradicts-entry"
    }


def test_other_rules_and_missing_rules_are_found() -> None:
    other = DEFAULT_RULE_SET.model_copy(update={"blocking_severity": "critical"})
    assert "rule-set-hash" in _kinds(RECORD, FACTS, rules={DEFAULT_RULE_SET.reference: other})
    assert "rule-set-missing" in _kinds(RECORD, FACTS, rules={})


def test_a_record_of_a_sample_that_is_not_committed_is_found() -> None:
    revision = FACTS.revision.model_copy(update={"stage": Stage.IN_REVIEW})
    assert "record-without-commit" in _kinds(RECORD, replace(FACTS, revision=revision))


def test_a_commit_that_the_audit_trail_does_not_tell_once_is_found() -> None:
    entries = _entries(RECORD)
    assert _kinds(RECORD, FACTS, entries=()) == {"commit-not-told-once"}
    assert _kinds(RECORD, FACTS, entries=(*entries, entries[0])) == {"commit-not-told-once"}

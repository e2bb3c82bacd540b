"""Hold a ground-truth record against everything it rests on (pure)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from services.audit.faults import fault
from services.contracts.canonical import content_sha256
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import Stage
from services.contracts.records import AuditEntry, GroundTruth
from services.contracts.verification import Fault
from services.ground_truth.commit import COMMIT_ACTION, told_of_record
from services.ground_truth.record import RevisionFacts, build_body, build_lineage
from services.lifecycle.journal import subject_of
from services.rules.rule_set import RuleSet

_COMMITTED_ACTION = f"sample.{Stage.COMMITTED.value}"
_LISTS = ("assets", "predictions", "label_sets", "check_runs", "findings", "decisions", "people", "taxonomy_versions")
_SINGLES = ("format", "manifest_sha256", "rule_set", "workflow", "migration", "earlier_decisions")


@dataclass(frozen=True, slots=True)
class RecordEvidence:
    """What is stored beside a record.

    Attributes:
        facts: The rows about its revision.
        rules: The rule sets of its check runs, as far as they are stored.
        entries: Audit entries about the revision.
    """

    facts: RevisionFacts
    rules: Mapping[RuleReference, RuleSet]
    entries: tuple[AuditEntry, ...]


def record_faults(record: GroundTruth, evidence: RecordEvidence) -> Iterator[Fault]:
    """Yield every way in which a record contradicts itself, its sources or the audit trail."""
    subject = subject_of(record.ref)
    yield from _own_hashes(subject, record)
    yield from _stored_hashes(subject, evidence.facts)
    run_id = _run_id(record)
    body = build_body(evidence.facts)
    for name in sorted(body.keys() | record.body.keys()):
        if not _equal(body.get(name), record.body.get(name)):
            yield fault("body-mismatch", subject, f"{name} is not what the stored rows say")
    yield from _lineage_faults(subject, record.lineage, build_lineage(evidence.facts, workflow_run_id=run_id))
    yield from _rule_faults(subject, evidence)
    yield from _finding_faults(subject, evidence.facts)
    yield from told_faults(record, evidence.entries)
    if evidence.facts.revision.stage not in (Stage.COMMITTED, Stage.REOPENED):
        yield fault("record-without-commit", subject, f"its sample is at {evidence.facts.revision.stage}")


def _own_hashes(subject: str, record: GroundTruth) -> Iterator[Fault]:
    for what, content, stated in (
        ("content", record.body, record.content_sha256),
        ("lineage", record.lineage, record.lineage_sha256),
    ):
        digest = _digest(content)
        if digest != stated:
            yield fault(f"{what}-hash", subject, f"its {what} has the hash {digest}, not {stated}")


def _stored_hashes(subject: str, facts: RevisionFacts) -> Iterator[Fault]:
    for stored in facts.events:
        event = stored.event
        digest = event_sha256(event.type, event.subject, event.data)
        if digest != event.content_sha256:
            yield fault("event-hash", subject, f"event {event.id} has the hash {digest}, not {event.content_sha256}")
    for labels in facts.label_sets:
        digest = content_sha256([a.model_dump(mode="json", exclude_none=True) for a in labels.annotations])
        if digest != labels.sha256:
            yield fault("labels-hash", subject, f"labels {labels.version} have the hash {digest}, not {labels.sha256}")
    digest = content_sha256(facts.revision.manifest)
    if digest != facts.revision.manifest_sha256:
        yield fault("manifest-hash", subject, f"its manifest has the hash {digest}")


def event_sha256(kind: str, subject: str | None, data: Any) -> str:
    """Return the content hash of an event, as it is computed when it arrives."""
    return content_sha256({"type": kind, "subject": subject, "data": data})


def _lineage_faults(subject: str, told: dict[str, Any], stored: dict[str, Any]) -> Iterator[Fault]:
    for name in _SINGLES:
        if not _equal(told.get(name), stored.get(name)):
            yield fault("lineage-mismatch", subject, f"{name} is not what the stored rows say")
    for name in _LISTS:
        yield from _list_faults(subject, name, told.get(name), stored[name])
    # An event may reach a revision after its commit, and is then no part of its lineage; the others must be there.
    known = {_digest(item) for item in stored["events"]}
    events = told.get("events")
    if not isinstance(events, list):
        yield fault("lineage-mismatch", subject, "events are missing")
        return
    for item in events:
        if _digest(item) not in known:
            yield fault("lineage-mismatch", subject, f"event {_name(item)} is not stored like that")
    unknown = told.keys() - stored.keys()
    if unknown:
        yield fault("lineage-mismatch", subject, f"unknown members: {', '.join(sorted(unknown))}")


def _list_faults(subject: str, name: str, told: Any, stored: list[Any]) -> Iterator[Fault]:
    if _equal(told, stored):
        return
    if not isinstance(told, list):
        yield fault("lineage-mismatch", subject, f"{name} are missing")
        return
    told_items = {_digest(item): item for item in told}
    stored_items = {_digest(item): item for item in stored}
    dangling = [item for digest, item in told_items.items() if digest not in stored_items]
    left_out = [item for digest, item in stored_items.items() if digest not in told_items]
    for item in dangling:
        yield fault("lineage-mismatch", subject, f"{name}: {_name(item)} is not stored like that")
    for item in left_out:
        yield fault("lineage-mismatch", subject, f"{name}: {_name(item)} is stored but left out, or stored otherwise")
    if not dangling and not left_out:
        yield fault("lineage-mismatch", subject, f"{name} are in another order, or repeated")


def _rule_faults(subject: str, evidence: RecordEvidence) -> Iterator[Fault]:
    """Hold the rules of every check run, not only of the last, against what is stored of them."""
    told = {(run.rule, run.rule_sha256): None for run in evidence.facts.check_runs}
    for reference, sha256 in told:
        rules = evidence.rules.get(reference)
        if rules is None:
            yield fault("rule-set-missing", subject, f"rule set {reference.id} {reference.version} is not stored")
        elif rules.sha256 != sha256:
            yield fault("rule-set-hash", subject, f"rule set {rules.id} {rules.version} has the hash {rules.sha256}")


def _finding_faults(subject: str, facts: RevisionFacts) -> Iterator[Fault]:
    """Hold what each finding says against the reports of the check runs, and what it stays closed by against that.

    The hashes of the reports are in the lineage, and so are the earlier decisions.
    """
    reported = {
        content_sha256(finding) for run in facts.check_runs for finding in (*run.report.findings, *run.report.folded)
    }
    for item in facts.findings:
        if content_sha256(item.finding) not in reported:
            detail = f"finding {item.finding.finding_id} says something else than every check run"
            yield fault("finding-contradicts-run", subject, detail)
    judged = {
        (decision.ref.revision, decision.decision_id, name)
        for decision in facts.earlier
        for name in decision.finding_ids
    }
    for item in facts.findings:
        name, revision = item.finding.finding_id, item.decision_revision
        if revision is not None and (revision, item.decision_id, name) not in judged:
            detail = f"finding {name} stays closed by a decision on revision {revision} that is not about it"
            yield fault("finding-kept-without-decision", subject, detail)


def told_faults(record: GroundTruth, entries: tuple[AuditEntry, ...]) -> Iterator[Fault]:
    """Yield what the audit trail says otherwise about the commit of a record: its hashes and its moment."""
    subject = subject_of(record.ref)
    stated = told_of_record(record)
    for action, names in ((_COMMITTED_ACTION, ("content_sha256",)), (COMMIT_ACTION, tuple(stated))):
        told = [entry for entry in entries if entry.action == action]
        if len(told) != 1:
            yield fault("commit-not-told-once", subject, f"{len(told)} audit entries say {action}")
        for entry in told:
            for name in names:
                if entry.body.get(name) != stated[name]:
                    yield fault(
                        "commit-contradicts-entry",
                        subject,
                        f"{name} is {stated[name]}, the audit trail says {entry.body.get(name)}",
                    )


def _run_id(record: GroundTruth) -> str:
    workflow = record.lineage.get("workflow")
    run_id = workflow.get("run_id") if isinstance(workflow, dict) else None
    return run_id if isinstance(run_id, str) else ""


def _name(item: Any) -> str:
    if isinstance(item, dict):
        for name in ("id", "version", "stream"):
            if name in item:
                return str(item[name])
    return str(item)[:100]


def _equal(left: Any, right: Any) -> bool:
    return _digest(left) == _digest(right)


def _digest(value: Any) -> str:
    try:
        return content_sha256(value)
    except ValueError:  # a number that no product code writes
        return f"unhashable: {value!r}"[:200]

"""What a ground-truth record says, and why it is believed, in one canonical form.

``body`` is what was decided; ``lineage`` names every stored fact it rests on by id and hash. Both are pure functions
of stored rows that no longer change once the revision is committed, so that a verifier can build them a second time.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.contracts.annotations import Annotation
from services.contracts.canonical import content_sha256, time_text
from services.contracts.lifecycle import workflow_id_of
from services.contracts.records import AssetRecord, CheckRun, GroundTruth, LabelSet, SampleRevision, StoredEvent
from services.contracts.review import Decision, StoredFinding
from services.contracts.taxonomies import CarriedOver, migration_workflow_id
from services.lifecycle.journal import told_of_cause

BODY_FORMAT = "concord.ground_truth/1"
LINEAGE_FORMAT = "concord.lineage/1"


@dataclass(frozen=True, slots=True)
class RevisionFacts:
    """Everything stored about one revision that its ground truth rests on.

    Attributes:
        revision: The revision with its manifest.
        events: Events that concern it, in order of their arrival.
        label_sets: All versions of the labels, predictions included, by version.
        assets: Assets as they were when they were read.
        check_runs: All runs of the checks, oldest first.
        findings: All findings with what became of them, by finding id.
        decisions: All decisions, oldest first.
        earlier: Decisions on earlier revisions that findings stay closed by, oldest first.
        carried: What the revision was made of, where a taxonomy migration opened it.
    """

    revision: SampleRevision
    events: tuple[StoredEvent, ...]
    label_sets: tuple[LabelSet, ...]
    assets: tuple[AssetRecord, ...]
    check_runs: tuple[CheckRun, ...]
    findings: tuple[StoredFinding, ...]
    decisions: tuple[Decision, ...]
    earlier: tuple[Decision, ...] = ()
    carried: CarriedOver | None = None

    @property
    def labels(self) -> LabelSet | None:
        """The newest version of the labels, predictions left out."""
        versions = [labels for labels in self.label_sets if labels.origin != "prediction"]
        return max(versions, key=lambda labels: labels.version, default=None)


def build_record(facts: RevisionFacts, *, workflow_run_id: str, committed_at: datetime) -> GroundTruth:
    """Return the ground-truth record of a revision.

    Args:
        facts: What is stored about the revision.
        workflow_run_id: The Temporal run that commits it.
        committed_at: By the database's clock; not part of the hashed content.
    """
    body = build_body(facts)
    lineage = build_lineage(facts, workflow_run_id=workflow_run_id)
    return GroundTruth(
        ref=facts.revision.ref,
        content_sha256=content_sha256(body),
        lineage_sha256=content_sha256(lineage),
        body=body,
        lineage=lineage,
        committed_at=committed_at,
    )


def build_body(facts: RevisionFacts) -> dict[str, Any]:
    """Return what was decided: the sample, its streams with the hashes as read, and the labels by id."""
    revision = facts.revision
    manifest = revision.manifest
    read = {asset.stream: asset for asset in facts.assets if asset.role == "stream"}
    streams = []
    for stream in manifest.streams:
        member = stream.model_dump(mode="json", exclude_none=True)
        asset = read.get(stream.id)
        if asset is not None:
            member |= {"sha256": asset.sha256, "size_bytes": asset.size_bytes}
        streams.append(member)
    body: dict[str, Any] = {
        "format": BODY_FORMAT,
        "project": revision.ref.project,
        "sample_id": revision.ref.sample_id,
        "revision": revision.ref.revision,
        "context": manifest.context.model_dump(mode="json", exclude_none=True),
        "streams": streams,
        "annotations": [
            annotation.model_dump(mode="json", exclude_none=True)
            for annotation in sorted(_annotations(facts), key=lambda annotation: annotation.id)
        ],
    }
    if manifest.captured_at is not None:
        body["captured_at"] = time_text(manifest.captured_at)
    return body


def build_lineage(facts: RevisionFacts, *, workflow_run_id: str) -> dict[str, Any]:
    """Return every stored fact the record rests on, each by its id and hash."""
    revision = facts.revision
    lineage = {
        "format": LINEAGE_FORMAT,
        "manifest_sha256": revision.manifest_sha256,
        "events": [_event(stored) for stored in facts.events],
        "assets": [
            asset.model_dump(mode="json")
            for asset in sorted(facts.assets, key=lambda asset: (asset.role, asset.stream, asset.uri))
        ],
        "predictions": [_prediction(labels) for labels in _versions(facts, predictions=True)],
        "label_sets": [_label_set(labels) for labels in _versions(facts, predictions=False)],
        "check_runs": [_check_run(run) for run in facts.check_runs],
        "findings": [_finding(item) for item in sorted(facts.findings, key=lambda item: item.finding.finding_id)],
        "decisions": [_decision(decision) for decision in facts.decisions],
        "people": _people(facts),
        "rule_set": _rule_set(facts),
        "taxonomy_versions": sorted({a.taxonomy_version for a in _annotations(facts) if a.taxonomy_version}),
        "workflow": {"id": _workflow_id(facts), "run_id": workflow_run_id},
    }
    # Only where there is one, as everything that came later: the lineage of other records keeps its hash.
    if facts.earlier:
        lineage["earlier_decisions"] = [
            {**_decision(decision), "revision": decision.ref.revision} for decision in facts.earlier
        ]
    return lineage if facts.carried is None else {**lineage, "migration": _migration(facts.carried)}


def _workflow_id(facts: RevisionFacts) -> str:
    """Return the workflow that commits: the sample's own, or the migration's where nobody was asked."""
    ref, carried = facts.revision.ref, facts.carried
    if carried is not None and carried.outcome == "migrated":
        return migration_workflow_id(ref.project, carried.migration_id)
    return workflow_id_of(ref)


def _migration(carried: CarriedOver) -> dict[str, Any]:
    return {
        "id": str(carried.migration_id),
        "target": carried.target,
        "crosswalk_sha256": carried.crosswalk_sha256,
        "made_of": {
            "revision": carried.revision_before,
            "content_sha256": carried.content_sha256,
            "lineage_sha256": carried.lineage_sha256,
        },
    }


def _annotations(facts: RevisionFacts) -> tuple[Annotation, ...]:
    return facts.labels.annotations if facts.labels is not None else ()


def _versions(facts: RevisionFacts, *, predictions: bool) -> list[LabelSet]:
    chosen = (labels for labels in facts.label_sets if (labels.origin == "prediction") == predictions)
    return sorted(chosen, key=lambda labels: labels.version)


def _event(stored: StoredEvent) -> dict[str, Any]:
    event = stored.event
    return {"source": event.source, "id": event.id, "type": event.type, "content_sha256": event.content_sha256}


def _prediction(labels: LabelSet) -> dict[str, Any]:
    return {
        "version": labels.version,
        "model": labels.author.id,
        "model_version": labels.author.version,
        "sha256": labels.sha256,
    }


def _label_set(labels: LabelSet) -> dict[str, Any]:
    told = {
        "version": labels.version,
        "origin": labels.origin,
        "author": labels.author.model_dump(mode="json", exclude_none=True),
        "sha256": labels.sha256,
        "decision_id": _id(labels.decision_id),
    }
    # Only where there is one: the lineage of other records keeps its hash.
    return told if labels.incident_id is None else {**told, "incident_id": _id(labels.incident_id)}


def _check_run(run: CheckRun) -> dict[str, Any]:
    told = {
        "id": str(run.run_id),
        "rule": run.rule.model_dump(mode="json"),
        "rule_sha256": run.rule_sha256,
        "label_version": run.label_version,
        "report_sha256": content_sha256(run.report),
    }
    return told if run.taxonomy is None else {**told, "taxonomy": run.taxonomy}


def _finding(item: StoredFinding) -> dict[str, Any]:
    told = {
        "id": item.finding.finding_id,
        "check": item.finding.check,
        "kind": item.finding.kind,
        "severity": item.finding.severity,
        "state": item.state.value,
        "blocking": item.blocking,
        "labels_sha256": item.labels_sha256,
        "decision_id": _id(item.decision_id),
        "fixed_by_label_version": item.fixed_by_label_version,
    }
    return told if item.decision_revision is None else {**told, "decision_revision": item.decision_revision}


def _decision(decision: Decision) -> dict[str, Any]:
    return {
        "id": str(decision.decision_id),
        "task_id": str(decision.task_id),
        "task_kind": decision.task_kind.value,
        "actor": decision.actor_id,
        "verdict": decision.verdict.value,
        "reason_code": decision.reason_code,
        "finding_ids": list(decision.finding_ids),
        "label_version_before": decision.label_version_before,
        "label_version_after": decision.label_version_after,
        "content_sha256": decision.content_sha256,
        "decided_at": time_text(decision.decided_at),
        **told_of_cause("caused_by", decision.caused_by),
        **told_of_cause("escalated_by", decision.escalated_by),
    }


def _people(facts: RevisionFacts) -> list[dict[str, Any]]:
    """Who labelled and who decided, by person."""
    roles: dict[str, set[str]] = {}
    for labels in facts.label_sets:
        if labels.author.kind == "human":
            roles.setdefault(labels.author.id, set()).add("labels")
    for annotation in _annotations(facts):
        if annotation.author is not None and annotation.author.kind == "human":
            roles.setdefault(annotation.author.id, set()).add("labels")
    for decision in (*facts.earlier, *facts.decisions):
        roles.setdefault(decision.actor_id, set()).add(f"{decision.task_kind.value}:{decision.verdict.value}")
    return [{"id": person, "did": sorted(did)} for person, did in sorted(roles.items())]


def _rule_set(facts: RevisionFacts) -> dict[str, Any] | None:
    """The rules of the last check run: those under which the record was accepted."""
    if not facts.check_runs:
        return None
    last = facts.check_runs[-1]
    return {"id": last.rule.id, "version": last.rule.version, "sha256": last.rule_sha256}


def _id(value: object) -> str | None:
    return None if value is None else str(value)

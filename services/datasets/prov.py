"""Lineage as W3C PROV, in its JSON form (PROV-JSON, member submission of 24 April 2013).

Records are entities that a commit generated; they derive from label sets, recordings and events; people and models are
agents. Names are ``concord:<kind>/<parts>``, with every part percent-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from services.contracts.canonical import content_sha256, time_text
from services.contracts.datasets import DatasetVersion, MemberRecord

_PREFIXES = {"concord": "urn:concord:prov:", "prov": "http://www.w3.org/ns/prov#"}
_SYSTEM = "concord:software/concord"


def _name(kind: str, *parts: object) -> str:
    return f"concord:{kind}/{'/'.join(quote(str(part), safe='') for part in parts)}"


def record_name(project: str, sample_id: str, revision: int) -> str:
    """Return the name of a record."""
    return _name("record", project, sample_id, revision)


def version_name(version: DatasetVersion) -> str:
    """Return the name of a version."""
    content = version.content
    return _name("dataset", content.project, content.dataset, content.version)


class _Document:
    """Collects a PROV-JSON document; the same statement twice is one."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, dict[str, Any]]] = {}

    def thing(self, kind: str, name: str, **attributes: Any) -> str:
        """Keep an entity, activity or agent, and return its name."""
        known = {key.replace("__", ":"): value for key, value in attributes.items() if value is not None}
        self._parts.setdefault(kind, {}).setdefault(name, {}).update(known)
        return name

    def relation(self, kind: str, **ends: str) -> None:
        """Keep a relation."""
        told = {f"prov:{name}": value for name, value in ends.items()}
        self._parts.setdefault(kind, {})[f"_:{content_sha256([kind, told])[:24]}"] = told

    def document(self) -> dict[str, Any]:
        """Return the document."""
        return {"prefix": _PREFIXES, **self._parts}


def version_prov(version: DatasetVersion, bundles: Mapping[str, str]) -> dict[str, Any]:
    """Return where a version comes from.

    Args:
        version: The version.
        bundles: SHA-256 of each file that tells of its records, by path.
    """
    content = version.content
    told = _Document()
    dataset = told.thing(
        "entity",
        version_name(version),
        prov__type="prov:Collection",
        concord__merkle_root=content.merkle_root,
        concord__manifest_sha256=version.manifest_sha256,
        concord__samples=content.samples,
    )
    made = told.thing(
        "activity",
        _name("versioning", content.project, content.dataset, content.version),
        prov__endTime=time_text(version.created_at),
    )
    person = _person(told, version.created_by)
    told.thing("agent", _SYSTEM, prov__type="prov:SoftwareAgent")
    told.relation("wasGeneratedBy", entity=dataset, activity=made)
    told.relation("wasAssociatedWith", activity=made, agent=person)
    told.relation("wasAssociatedWith", activity=made, agent=_SYSTEM)
    if content.version > 1:
        before = told.thing("entity", _name("dataset", content.project, content.dataset, content.version - 1))
        told.relation("wasDerivedFrom", generatedEntity=dataset, usedEntity=before)
    for path, sha256 in sorted(bundles.items()):
        told.thing(
            "entity", _name("bundle", path), prov__type="prov:Bundle", prov__location=path, concord__sha256=sha256
        )
    return told.document()


class RecordsProv:
    """Collects where records of a version come from.

    Args:
        version: The version.
    """

    def __init__(self, version: DatasetVersion) -> None:
        self._told = _Document()
        self._dataset = self._told.thing("entity", version_name(version), prov__type="prov:Collection")
        self._told.thing("agent", _SYSTEM, prov__type="prov:SoftwareAgent")

    def add(self, item: MemberRecord) -> None:
        """Tell of a record."""
        _add_record(self._told, self._dataset, item)

    def document(self) -> dict[str, Any]:
        """Return the document of all records that were added."""
        return self._told.document()


def _add_record(told: _Document, dataset: str, item: MemberRecord) -> None:
    record, lineage = item.record, item.record.lineage
    ref = (record.ref.project, record.ref.sample_id, record.ref.revision)
    name = told.thing(
        "entity",
        record_name(*ref),
        prov__type="concord:GroundTruth",
        concord__content_sha256=record.content_sha256,
        concord__lineage_sha256=record.lineage_sha256,
    )
    told.relation("hadMember", collection=dataset, entity=name)
    commit = told.thing(
        "activity",
        _name("commit", *ref),
        prov__endTime=time_text(record.committed_at),
        concord__workflow=lineage["workflow"]["id"],
    )
    told.relation("wasGeneratedBy", entity=name, activity=commit)
    told.relation("wasAssociatedWith", activity=commit, agent=_SYSTEM)
    if "migration" in lineage:
        before = lineage["migration"]["made_of"]
        older = told.thing(
            "entity",
            record_name(*ref[:2], before["revision"]),
            prov__type="concord:GroundTruth",
            concord__content_sha256=before["content_sha256"],
            concord__lineage_sha256=before["lineage_sha256"],
        )
        told.relation("used", activity=commit, entity=older)
        told.relation("wasDerivedFrom", generatedEntity=name, usedEntity=older)
    for event in lineage["events"]:
        source = told.thing(
            "entity",
            _name("event", event["source"], event["id"]),
            prov__type="concord:Event",
            concord__event_type=event["type"],
            concord__content_sha256=event["content_sha256"],
        )
        told.relation("wasDerivedFrom", generatedEntity=name, usedEntity=source)
    for asset in lineage["assets"]:
        recording = told.thing(
            "entity", _name("asset", asset["sha256"]), prov__type="concord:Asset", prov__location=asset["uri"]
        )
        told.relation("wasDerivedFrom", generatedEntity=name, usedEntity=recording)
    labels = _add_labels(told, ref, lineage)
    if labels:
        told.relation("used", activity=commit, entity=labels[-1])
        told.relation("wasDerivedFrom", generatedEntity=name, usedEntity=labels[-1])
    _add_checks(told, ref, lineage, labels)


def _add_labels(told: _Document, ref: tuple[str, str, int], lineage: Mapping[str, Any]) -> list[str]:
    """Tell of label sets, who made them and by which decision; return their names, oldest first."""
    for decision in (*lineage.get("earlier_decisions", ()), *lineage["decisions"]):
        activity = told.thing(
            "activity",
            _name("decision", decision["id"]),
            prov__endTime=decision["decided_at"],
            concord__verdict=decision["verdict"],
            concord__task_kind=decision["task_kind"],
            concord__reason_code=decision["reason_code"],
        )
        told.relation("wasAssociatedWith", activity=activity, agent=_person(told, decision["actor"]))
    for prediction in lineage["predictions"]:
        entity = told.thing(
            "entity",
            _name("prediction", *ref, prediction["version"]),
            prov__type="concord:Prediction",
            concord__sha256=prediction["sha256"],
        )
        model = told.thing(
            "agent",
            _name("model", prediction["model"], prediction["model_version"] or ""),
            prov__type="prov:SoftwareAgent",
        )
        told.relation("wasAttributedTo", entity=entity, agent=model)
    names: list[str] = []
    for labels in lineage["label_sets"]:
        entity = told.thing(
            "entity",
            _name("labels", *ref, labels["version"]),
            prov__type="concord:LabelSet",
            concord__origin=labels["origin"],
            concord__sha256=labels["sha256"],
        )
        author = labels["author"]
        agent = (
            _person(told, author["id"])
            if author["kind"] == "human"
            else told.thing("agent", _name(author["kind"], author["id"]), prov__type="prov:SoftwareAgent")
        )
        told.relation("wasAttributedTo", entity=entity, agent=agent)
        if labels["decision_id"] is not None:
            told.relation("wasGeneratedBy", entity=entity, activity=_name("decision", labels["decision_id"]))
        if names:
            told.relation("wasDerivedFrom", generatedEntity=entity, usedEntity=names[-1])
        names.append(entity)
    return names


def _add_checks(told: _Document, ref: tuple[str, str, int], lineage: Mapping[str, Any], labels: list[str]) -> None:
    for run in lineage["check_runs"]:
        rule = told.thing(
            "entity",
            _name("rules", run["rule"]["id"], run["rule"]["version"]),
            prov__type="concord:RuleSet",
            concord__sha256=run["rule_sha256"],
        )
        activity = told.thing("activity", _name("check", run["id"]))
        report = told.thing(
            "entity", _name("report", run["id"]), prov__type="concord:CheckReport", concord__sha256=run["report_sha256"]
        )
        told.relation("used", activity=activity, entity=rule)
        checked = _name("labels", *ref, run["label_version"])
        if checked in labels:
            told.relation("used", activity=activity, entity=checked)
        told.relation("wasGeneratedBy", entity=report, activity=activity)
        told.relation("wasAssociatedWith", activity=activity, agent=_SYSTEM)


def _person(told: _Document, actor: str) -> str:
    return told.thing("agent", _name("person", actor), prov__type="prov:Person")

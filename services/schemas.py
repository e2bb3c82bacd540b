"""The contract as documents: JSON Schemas by name, and the AsyncAPI document of the events."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from services.contracts.agreement import AgreementReport
from services.contracts.calibration import PAUSED, PersonPaused
from services.contracts.consensus import Consensus
from services.contracts.dataset_report import DatasetReport
from services.contracts.datasets import DatasetVersion, NewDataset
from services.contracts.events import (
    INCOMING_SUBJECT_PREFIX,
    OUTGOING_SUBJECT_PREFIX,
    TASK_OVERDUE,
    TASK_REMINDED,
    LabelsSubmitted,
    SampleWithdrawn,
    StageChanged,
    TaskDeadline,
    stage_event_type,
)
from services.contracts.feedback import CorrectedSample
from services.contracts.findings import CheckReport, Finding, LabelPatch
from services.contracts.lifecycle import Stage
from services.contracts.manifest import SampleManifest
from services.contracts.notes import NOTE_MENTIONED, NoteMentioned
from services.contracts.project_events import (
    PROJECT_EVENTS,
    AuditAnchored,
    DatasetVersioned,
    DefinitionApplied,
    ErasureProposed,
    PersonResumed,
    RulesActivated,
    SubjectErased,
    TaxonomyAnnounced,
)
from services.contracts.records import GroundTruth, Project
from services.contracts.review import Decision, DecisionInput, Evidence, ReviewTask
from services.contracts.verification import VerificationReport
from services.intake.cloud_events import DATA_MODELS
from services.rules.rule_set import RuleSet
from services.taxonomy.taxonomy import Taxonomy

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ASYNCAPI = "asyncapi"

_MODELS: Mapping[str, type[BaseModel]] = {
    "sample": SampleManifest,
    "finding": Finding,
    "check-report": CheckReport,
    "rules": RuleSet,
    "project": Project,
    "taxonomy": Taxonomy,
    "patch": LabelPatch,
    "task": ReviewTask,
    "evidence": Evidence,
    "decision": Decision,
    "decision-input": DecisionInput,
    "ground-truth": GroundTruth,
    "verification": VerificationReport,
    "dataset-report": DatasetReport,
    "agreement": AgreementReport,
    "corrected-sample": CorrectedSample,
    "dataset": NewDataset,
    "dataset-version": DatasetVersion,
    "consensus": Consensus,
    "sample-withdrawn": SampleWithdrawn,
    "labels-submitted": LabelsSubmitted,
    "stage-changed": StageChanged,
    "task-deadline": TaskDeadline,
    "note-mentioned": NoteMentioned,
    "person-paused": PersonPaused,
    "dataset-versioned": DatasetVersioned,
    "audit-anchored": AuditAnchored,
    "erasure-proposed": ErasureProposed,
    "subject-erased": SubjectErased,
    "person-resumed": PersonResumed,
    "rules-activated": RulesActivated,
    "definition-applied": DefinitionApplied,
    "taxonomy-announced": TaxonomyAnnounced,
}
SCHEMAS = frozenset({*_MODELS, ASYNCAPI})
"""Names of all published documents."""

_REFERENCE = "#/components/schemas/{model}"


def published_schema(name: str) -> dict[str, Any]:
    """Return a published document.

    Raises:
        KeyError: There is none of this name.
    """
    if name == ASYNCAPI:
        return asyncapi_document()
    schema = _MODELS[name].model_json_schema(mode="validation")
    return {"$schema": DIALECT, "$id": f"urn:concord:schema:{name}", **schema}


def asyncapi_document() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of all events, in and out."""
    outgoing: dict[str, type[BaseModel]] = {
        **{stage_event_type(stage): StageChanged for stage in Stage},
        TASK_REMINDED: TaskDeadline,
        TASK_OVERDUE: TaskDeadline,
        NOTE_MENTIONED: NoteMentioned,
        PAUSED: PersonPaused,
        **PROJECT_EVENTS,
    }
    incoming: dict[str, type[BaseModel]] = {kind.value: model for kind, model in DATA_MODELS.items()}
    models = {*incoming.values(), *outgoing.values()}
    _, definitions = models_json_schema(
        [(model, "validation") for model in sorted(models, key=lambda model: model.__name__)],
        ref_template=_REFERENCE,
    )
    # Some types go both ways, with data of their own each way: upstream's fact, and what became of it here.
    keys = {kind: f"{kind}-in" if kind in outgoing else kind for kind in incoming}
    messages = {
        **{keys[kind]: _message(kind, model) for kind, model in incoming.items()},
        **{kind: _message(kind, model) for kind, model in outgoing.items()},
    }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Concord events",
            "version": "1",
            "description": (
                "CloudEvents 1.0 in structured or binary mode over NATS JetStream. Events in are accepted over HTTP "
                "(POST /v1/events) alike. The pair (source, id) is the dedupe key for ever. Stage changes carry "
                "a sequence without gaps per sample. Events out may be told more than once, in order per sample, and "
                "per subject where they are about no sample."
            ),
        },
        "defaultContentType": "application/cloudevents+json",
        "channels": {
            "ingest": {
                "address": f"{INCOMING_SUBJECT_PREFIX}.{{origin}}",
                "description": "Events from upstream systems.",
                "parameters": {"origin": {"description": "Anything; names the sender for people."}},
                "messages": {kind: _reference("messages", keys[kind]) for kind in incoming},
            },
            "events": {
                "address": f"{OUTGOING_SUBJECT_PREFIX}.{{project}}.{{type}}",
                "description": "Stage changes, deadlines, and what happens to a project; in order per subject.",
                "parameters": {
                    "project": {"description": "The project's id."},
                    "type": {"description": "The event's type, dots included."},
                },
                "messages": {kind: _reference("messages", kind) for kind in outgoing},
            },
        },
        "operations": {
            "receiveFromUpstream": {"action": "receive", "channel": {"$ref": "#/channels/ingest"}},
            "tellWhatHappened": {"action": "send", "channel": {"$ref": "#/channels/events"}},
        },
        "components": {"messages": messages, "schemas": definitions["$defs"]},
    }


def _message(kind: str, model: type[BaseModel]) -> dict[str, Any]:
    return {
        "name": kind,
        "contentType": "application/cloudevents+json",
        "payload": {
            "type": "object",
            "required": ["specversion", "id", "source", "type", "data"],
            "properties": {
                "specversion": {"const": "1.0"},
                "id": {"type": "string", "minLength": 1, "maxLength": 500},
                "source": {"type": "string", "format": "uri-reference", "minLength": 1, "maxLength": 1000},
                "type": {"const": kind},
                "subject": {"type": "string"},
                "time": {"type": "string", "format": "date-time"},
                "datacontenttype": {"type": "string", "default": "application/json"},
                "data": _reference("schemas", model.__name__),
            },
        },
    }


def _reference(section: str, name: str) -> dict[str, str]:
    return {"$ref": f"#/components/{section}/{name}"}

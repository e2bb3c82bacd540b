"""What the client takes and answers, in one place: ``from infra.client import models``."""

from __future__ import annotations

from services.contracts.access import ApiKeyInfo, Principal, Role
from services.contracts.audit import AuditFilter
from services.contracts.dataset_diff import DiffSummary, SampleChange
from services.contracts.datasets import (
    Dataset,
    DatasetVersion,
    DatasetVersionView,
    InclusionProof,
    Member,
    MemberRecord,
    NewDataset,
    NewVersion,
    Selection,
    SplitPolicy,
)
from services.contracts.definition import ProjectDefinition
from services.contracts.erasure import (
    Erasure,
    ErasureRequest,
    LegalHold,
    NewHold,
    OfContext,
    OfEntries,
    OfExpired,
    OfPerson,
    OfSamples,
)
from services.contracts.events import EventType, LabelsSubmitted, SampleWithdrawn
from services.contracts.findings import Finding, LabelPatch, RuleReference
from services.contracts.incidents import DismissRequest, FixRequest, IncidentState, IncidentSummary
from services.contracts.lifecycle import Stage
from services.contracts.lineage import Origin, OriginKind
from services.contracts.manifest import SampleManifest
from services.contracts.notes import NewNote
from services.contracts.people import ReviewerProfile
from services.contracts.progress import Progress
from services.contracts.quality import GoldAnswer
from services.contracts.queues import ReviewQueue
from services.contracts.records import GroundTruth, Project, ProjectConfig
from services.contracts.review import DecisionInput, TaskKind, TaskState, Verdict
from services.contracts.rule_changes import ActivationRequest, DryRunRequest
from services.contracts.search import HitKind
from services.contracts.task_operations import OperationRequest
from services.contracts.taxonomies import MigrationState, TaxonomyMigration
from services.contracts.verification import Anchor, VerificationReport
from services.contracts.webhooks import RedeliverRange, WebhookSettings
from services.rules.rule_set import DEFAULT_RULE_SET, RuleSet
from services.taxonomy.changes import ClassChange, SplitCase, VersionCrosswalk
from services.taxonomy.taxonomy import Taxonomy, TaxonomyClass

__all__ = [
    "DEFAULT_RULE_SET",
    "ActivationRequest",
    "Anchor",
    "ApiKeyInfo",
    "AuditFilter",
    "ClassChange",
    "Dataset",
    "DatasetVersion",
    "DatasetVersionView",
    "DecisionInput",
    "DiffSummary",
    "DismissRequest",
    "DryRunRequest",
    "Erasure",
    "ErasureRequest",
    "EventType",
    "Finding",
    "FixRequest",
    "GoldAnswer",
    "GroundTruth",
    "HitKind",
    "IncidentState",
    "IncidentSummary",
    "InclusionProof",
    "LabelPatch",
    "LabelsSubmitted",
    "LegalHold",
    "Member",
    "MemberRecord",
    "MigrationState",
    "NewDataset",
    "NewHold",
    "NewNote",
    "NewVersion",
    "OfContext",
    "OfEntries",
    "OfExpired",
    "OfPerson",
    "OfSamples",
    "OperationRequest",
    "Origin",
    "OriginKind",
    "Principal",
    "Progress",
    "Project",
    "ProjectConfig",
    "ProjectDefinition",
    "RedeliverRange",
    "ReviewQueue",
    "ReviewerProfile",
    "Role",
    "RuleReference",
    "RuleSet",
    "SampleChange",
    "SampleManifest",
    "SampleWithdrawn",
    "Selection",
    "SplitCase",
    "SplitPolicy",
    "Stage",
    "TaskKind",
    "TaskState",
    "Taxonomy",
    "TaxonomyClass",
    "TaxonomyMigration",
    "Verdict",
    "VerificationReport",
    "VersionCrosswalk",
    "WebhookSettings",
]

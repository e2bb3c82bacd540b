"""The schema as SQLModel tables, one module per feature. Private to ``infra.db``."""

from infra.db.tables.access import ApiKeyRow
from infra.db.tables.answers import AnnotatorQualityRow, AnnotatorSkillRow, JoinedAnswersRow
from infra.db.tables.audit import AuditEntryRow, AuditHeadRow, AuditPersonalRow
from infra.db.tables.base import Table
from infra.db.tables.datasets import DatasetGroupRow, DatasetMemberRow, DatasetRow, DatasetVersionRow
from infra.db.tables.erasure import ErasureItemRow, ErasureLetterRow, ErasureRow, LegalHoldRow, TombstoneRow
from infra.db.tables.ground_truth import GroundTruthOriginRow, GroundTruthRow
from infra.db.tables.idempotency import IdempotencyReplyRow
from infra.db.tables.inbox import DeadLetterRow, InboxRow
from infra.db.tables.incidents import CauseCandidateRow, IncidentFindingRow, IncidentPreviewRow, IncidentRow
from infra.db.tables.notes import NoteMentionRow, NoteRow, NoteVersionRow
from infra.db.tables.outbox import OutboxRow
from infra.db.tables.people import ReviewerRow, ReviewerSkillRow
from infra.db.tables.probes import ProbeDraftRow, ProbeSecretRow, ProbeSeenRow, ProbeTaskRow, ProbeTurnRow
from infra.db.tables.projects import ProjectDefinitionRow, ProjectRow, RuleSetRow
from infra.db.tables.quality import GoldAnswerRow, PersonPauseRow, ScoredAnswerRow
from infra.db.tables.queues import ReviewLaneRow, ReviewQueueRow
from infra.db.tables.review import DecisionRow, DraftRow, FindingRow, ReviewTaskRow, TaskActivityRow
from infra.db.tables.rule_changes import RuleActivationRow, RuleSetOwnersRow
from infra.db.tables.samples import (
    AssetRow,
    CheckRunRow,
    LabelSetRow,
    SampleRevisionRow,
    SampleRow,
    StageChangeRow,
)
from infra.db.tables.search import SearchEntryRow
from infra.db.tables.task_operations import TaskOperationItemRow, TaskOperationRow
from infra.db.tables.taxonomies import (
    TaxonomyDraftRow,
    TaxonomyMigrationRow,
    TaxonomyMigrationSampleRow,
    TaxonomyRow,
)
from infra.db.tables.webhooks import WebhookAttemptRow, WebhookDeliveryRow, WebhookEndpointRow

METADATA = Table.metadata

__all__ = [
    "METADATA",
    "AnnotatorQualityRow",
    "AnnotatorSkillRow",
    "ApiKeyRow",
    "AssetRow",
    "AuditEntryRow",
    "AuditHeadRow",
    "AuditPersonalRow",
    "CauseCandidateRow",
    "CheckRunRow",
    "DatasetGroupRow",
    "DatasetMemberRow",
    "DatasetRow",
    "DatasetVersionRow",
    "DeadLetterRow",
    "DecisionRow",
    "DraftRow",
    "ErasureItemRow",
    "ErasureLetterRow",
    "ErasureRow",
    "FindingRow",
    "GoldAnswerRow",
    "GroundTruthOriginRow",
    "GroundTruthRow",
    "IdempotencyReplyRow",
    "InboxRow",
    "IncidentFindingRow",
    "IncidentPreviewRow",
    "IncidentRow",
    "JoinedAnswersRow",
    "LabelSetRow",
    "LegalHoldRow",
    "NoteMentionRow",
    "NoteRow",
    "NoteVersionRow",
    "OutboxRow",
    "PersonPauseRow",
    "ProbeDraftRow",
    "ProbeSecretRow",
    "ProbeSeenRow",
    "ProbeTaskRow",
    "ProbeTurnRow",
    "ProjectDefinitionRow",
    "ProjectRow",
    "ReviewLaneRow",
    "ReviewQueueRow",
    "ReviewTaskRow",
    "ReviewerRow",
    "ReviewerSkillRow",
    "RuleActivationRow",
    "RuleSetOwnersRow",
    "RuleSetRow",
    "SampleRevisionRow",
    "SampleRow",
    "ScoredAnswerRow",
    "SearchEntryRow",
    "StageChangeRow",
    "Table",
    "TaskActivityRow",
    "TaskOperationItemRow",
    "TaskOperationRow",
    "TaxonomyDraftRow",
    "TaxonomyMigrationRow",
    "TaxonomyMigrationSampleRow",
    "TaxonomyRow",
    "TombstoneRow",
    "WebhookAttemptRow",
    "WebhookDeliveryRow",
    "WebhookEndpointRow",
]

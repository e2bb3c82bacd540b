"""The schema as SQLModel tables, one module per feature. Private to ``infra.db``."""

from infra.db.tables.access import ApiKeyRow
from infra.db.tables.audit import AuditEntryRow, AuditHeadRow
from infra.db.tables.base import Table
from infra.db.tables.datasets import DatasetGroupRow, DatasetMemberRow, DatasetRow, DatasetVersionRow
from infra.db.tables.ground_truth import GroundTruthRow
from infra.db.tables.idempotency import IdempotencyReplyRow
from infra.db.tables.inbox import DeadLetterRow, InboxRow
from infra.db.tables.incidents import CauseCandidateRow, IncidentFindingRow, IncidentPreviewRow, IncidentRow
from infra.db.tables.notes import NoteMentionRow, NoteRow, NoteVersionRow
from infra.db.tables.outbox import OutboxRow
from infra.db.tables.people import ReviewerRow, ReviewerSkillRow
from infra.db.tables.projects import ProjectRow, RuleSetRow
from infra.db.tables.quality import GoldAnswerRow
from infra.db.tables.queues import ReviewLaneRow, ReviewQueueRow
from infra.db.tables.review import DecisionRow, DraftRow, FindingRow, ReviewTaskRow, TaskActivityRow
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
from infra.db.tables.webhooks import WebhookAttemptRow, WebhookDeliveryRow, WebhookEndpointRow

METADATA = Table.metadata

__all__ = [
    "METADATA",
    "ApiKeyRow",
    "AssetRow",
    "AuditEntryRow",
    "AuditHeadRow",
    "CauseCandidateRow",
    "CheckRunRow",
    "DatasetGroupRow",
    "DatasetMemberRow",
    "DatasetRow",
    "DatasetVersionRow",
    "DeadLetterRow",
    "DecisionRow",
    "DraftRow",
    "FindingRow",
    "GoldAnswerRow",
    "GroundTruthRow",
    "IdempotencyReplyRow",
    "InboxRow",
    "IncidentFindingRow",
    "IncidentPreviewRow",
    "IncidentRow",
    "LabelSetRow",
    "NoteMentionRow",
    "NoteRow",
    "NoteVersionRow",
    "OutboxRow",
    "ProjectRow",
    "ReviewLaneRow",
    "ReviewQueueRow",
    "ReviewTaskRow",
    "ReviewerRow",
    "ReviewerSkillRow",
    "RuleSetRow",
    "SampleRevisionRow",
    "SampleRow",
    "SearchEntryRow",
    "StageChangeRow",
    "Table",
    "TaskActivityRow",
    "TaskOperationItemRow",
    "TaskOperationRow",
    "WebhookAttemptRow",
    "WebhookDeliveryRow",
    "WebhookEndpointRow",
]

"""The store of record, as the product sees it: one transaction, one repository per feature.

Every method runs inside the transaction of its :class:`Transaction`; nothing is visible to others before the
block of :meth:`Database.transaction` ends without an error. Repositories keep what they are told; rules about
what may be kept live in the services.
"""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol
from uuid import UUID

from services.contracts.access import ApiKeyInfo, Principal
from services.contracts.annotations import Annotations
from services.contracts.events import IncomingEvent
from services.contracts.findings import RuleReference
from services.contracts.label_base import Author
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.records import (
    AssetRecord,
    AuditEntry,
    CheckRun,
    DeadLetter,
    GroundTruth,
    LabelSet,
    OutboxMessage,
    Project,
    SampleRevision,
    SampleSummary,
    StageChange,
    StoredEvent,
)
from services.contracts.review import (
    Decision,
    Draft,
    Lease,
    NewTask,
    QueueSummary,
    ReviewTask,
    StoredFinding,
    TaskKind,
    TaskState,
)
from services.rules.rule_set import RuleSet


class AccessRepository(Protocol):
    """People and API keys."""

    async def add_key(self, key: ApiKeyInfo, secret_sha256: str) -> None:
        """Keep a new key; raises AlreadyExistsError for a known key id."""
        ...

    async def principal_of(self, secret_sha256: str) -> Principal | None:
        """Return who has this key, or None if it is unknown, revoked or expired by the database's clock."""
        ...

    async def list_keys(self) -> tuple[ApiKeyInfo, ...]:
        """Return all keys, oldest first."""
        ...

    async def revoke_key(self, key_id: str) -> bool:
        """Revoke a key; False if there is none or it was revoked before."""
        ...


class ProjectRepository(Protocol):
    """Projects and rule sets."""

    async def add(self, project: Project) -> None:
        """Keep a new project; raises AlreadyExistsError."""
        ...

    async def get(self, project: str, *, lock: bool = False) -> Project | None:
        """Return a project; with ``lock`` no other transaction changes it until this one ends."""
        ...

    async def update_config(self, project: Project) -> None:
        """Replace name, purpose, domain and configuration of a known project."""
        ...

    async def list(self) -> tuple[Project, ...]:
        """Return all projects by id."""
        ...

    async def add_rule_set(self, rules: RuleSet) -> None:
        """Keep a rule set version; the same content again is nothing new, other content AlreadyExistsError."""
        ...

    async def rule_set(self, reference: RuleReference) -> RuleSet | None:
        """Return a rule set version."""
        ...

    async def list_rule_sets(self) -> tuple[RuleReference, ...]:
        """Return all rule set versions by id and version."""
        ...


class InboxRepository(Protocol):
    """Events in, and those that could not be handled."""

    async def lock(self, source: str, event_id: str) -> StoredEvent | None:
        """Return the event accepted under this pair, after serialising with others that handle the same pair.

        Until the transaction ends, no other transaction passes this call for the same pair.
        """
        ...

    async def add(self, event: IncomingEvent, ref: RevisionRef, *, via: Literal["http", "nats"]) -> None:
        """Keep an accepted event."""
        ...

    async def events_of(self, ref: RevisionRef) -> tuple[StoredEvent, ...]:
        """Return the events that led to this revision or changed it, in order of arrival (received, source, id)."""
        ...

    async def add_dead_letter(self, letter: DeadLetter, raw: bytes) -> DeadLetter:
        """Keep what could not be handled; the same bytes for the same reason code are kept once."""
        ...

    async def dead_letter(self, dead_letter_id: UUID) -> tuple[DeadLetter, bytes] | None:
        """Return a dead letter with its raw bytes."""
        ...

    async def list_dead_letters(
        self, *, projects: tuple[str, ...] | None, after: UUID | None, limit: int
    ) -> tuple[DeadLetter, ...]:
        """Return dead letters, newest first; letters without a project only where ``projects`` is None."""
        ...

    async def mark_replayed(self, dead_letter_id: UUID, outcome: str) -> None:
        """Note when and how a dead letter was replayed."""
        ...


class SampleRepository(Protocol):
    """Samples, their revisions, label sets, assets and check runs."""

    async def lock_sample(self, project: str, sample_id: str) -> int:
        """Lock the sample for this transaction and return its newest revision, 0 if there is none yet."""
        ...

    async def add_revision(
        self,
        ref: RevisionRef,
        manifest: SampleManifest,
        *,
        manifest_sha256: str,
        event: IncomingEvent | None,
    ) -> None:
        """Keep a new revision at stage ``received`` with label version 0."""
        ...

    async def get(self, ref: RevisionRef, *, lock: bool = False) -> SampleRevision | None:
        """Return a revision; with ``lock`` no other transaction changes it until this one ends."""
        ...

    async def newest(self, project: str, sample_id: str) -> RevisionRef | None:
        """Return the newest revision of a sample."""
        ...

    async def list(
        self, project: str, *, stage: Stage | None, after: tuple[datetime, str, int] | None, limit: int
    ) -> tuple[SampleSummary, ...]:
        """Return revisions, newest first, by (created_at, sample id, revision) after the cursor."""
        ...

    async def count_by_stage(self, project: str) -> dict[Stage, int]:
        """Return how many revisions are at each stage."""
        ...

    async def set_stage(self, change: StageChange) -> None:
        """Set the stage and keep the change in the timeline."""
        ...

    async def next_sequence(self, project: str, sample_id: str) -> int:
        """Return the next number of the sample's sequence of events, from 1 without gaps."""
        ...

    async def timeline(self, project: str, sample_id: str) -> tuple[StageChange, ...]:
        """Return every stage change of all revisions of a sample, in order."""
        ...

    async def add_label_set(
        self,
        ref: RevisionRef,
        annotations: Annotations,
        *,
        origin: str,
        author: Author,
        decision_id: UUID | None = None,
    ) -> LabelSet:
        """Keep the next version of the labels; origin ``prediction`` leaves the label version as it is."""
        ...

    async def label_set(self, ref: RevisionRef, version: int | None = None) -> LabelSet | None:
        """Return a version of the labels, the newest by default, predictions left out."""
        ...

    async def label_sets(self, ref: RevisionRef) -> tuple[LabelSet, ...]:
        """Return all versions of the labels and all predictions, in order."""
        ...

    async def put_assets(self, ref: RevisionRef, assets: tuple[AssetRecord, ...]) -> None:
        """Keep what was read, by stream and role; the same again changes nothing."""
        ...

    async def assets(self, ref: RevisionRef) -> tuple[AssetRecord, ...]:
        """Return the assets as read."""
        ...

    async def add_check_run(self, run: CheckRun) -> None:
        """Keep a check run."""
        ...

    async def last_check_run(self, ref: RevisionRef) -> CheckRun | None:
        """Return the newest check run."""
        ...

    async def check_runs(self, ref: RevisionRef) -> tuple[CheckRun, ...]:
        """Return all check runs, oldest first."""
        ...


class ReviewRepository(Protocol):
    """Findings with their state, review tasks, drafts and decisions."""

    async def findings(self, ref: RevisionRef) -> tuple[StoredFinding, ...]:
        """Return all findings of a revision, by finding id."""
        ...

    async def put_finding(self, finding: StoredFinding) -> None:
        """Insert or replace a finding by (revision, finding id)."""
        ...

    async def open_task(self, task: NewTask) -> ReviewTask:
        """Open a task; one that has the same origin decision and kind is returned instead."""
        ...

    async def task(self, task_id: UUID, *, lock: bool = False) -> ReviewTask | None:
        """Return a task; with ``lock`` no other transaction changes it until this one ends."""
        ...

    async def tasks_of(self, ref: RevisionRef) -> tuple[ReviewTask, ...]:
        """Return all tasks of a revision, oldest first."""
        ...

    async def list_tasks(
        self,
        *,
        projects: tuple[str, ...] | None,
        queue: str | None,
        state: TaskState | None,
        after: tuple[datetime, UUID] | None,
        limit: int,
    ) -> tuple[ReviewTask, ...]:
        """Return tasks, oldest first, by (created_at, task id) after the cursor."""
        ...

    async def claim_next(
        self,
        principal: Principal,
        *,
        kinds: tuple[TaskKind, ...],
        queue: str | None,
        project: str | None,
        lease: timedelta,
    ) -> ReviewTask | None:
        """Claim the best task that fits the person, in one statement.

        A task fits when its kind is in ``kinds``, its project is one the principal sees, its skill is none or one
        of the principal's, nobody holds a live lease on it, it is assigned to nobody else, the principal is not
        excluded, and the principal does not hold or has not answered another task of the same revision and
        findings. The best is the one with the highest priority, then the oldest. Sets holder, lease (by
        ``clock_timestamp()``) and the next fence.
        """
        ...

    async def claim(self, task_id: UUID, actor_id: str, lease: timedelta) -> ReviewTask | None:
        """Claim this task if nobody else holds a live lease on it; None otherwise. Claiming one's own renews it."""
        ...

    async def renew(self, task_id: UUID, fence: int, lease: timedelta) -> Lease | None:
        """Extend a live lease held under ``fence``; None if it is over or another's."""
        ...

    async def release(self, task_id: UUID, fence: int) -> bool:
        """Give a task back; False if the lease is over or another's. The draft stays."""
        ...

    async def lease_is_live(self, task_id: UUID, fence: int, actor_id: str) -> bool:
        """Whether ``actor_id`` holds the task under ``fence`` now, by the database's clock."""
        ...

    async def close_task(self, task_id: UUID, state: TaskState) -> None:
        """Complete or cancel a task and drop its lease."""
        ...

    async def move_to_experts(self, task_id: UUID, reason: str) -> None:
        """Turn an open review task into an adjudication at a higher priority, with the reason."""
        ...

    async def exclude_actor(self, task_id: UUID, actor_id: str) -> None:
        """Add a person to those who may not take a task, and end their hold on it; again changes nothing."""
        ...

    async def raise_priority(self, task_id: UUID, by: int) -> None:
        """Raise the priority of a task."""
        ...

    async def save_draft(self, task_id: UUID, actor_id: str, body: dict[str, Any]) -> Draft:
        """Keep the person's draft for a task, one per person and task, whatever the lease."""
        ...

    async def draft(self, task_id: UUID, actor_id: str) -> Draft | None:
        """Return the person's draft."""
        ...

    async def add_decision(self, decision: Decision, body: dict[str, Any]) -> None:
        """Keep a decision with its whole input; a second one for the task raises TaskFinishedError."""
        ...

    async def decision_of_task(self, task_id: UUID) -> Decision | None:
        """Return the decision that finished a task."""
        ...

    async def decisions(self, ref: RevisionRef) -> tuple[Decision, ...]:
        """Return all decisions of a revision, oldest first."""
        ...

    async def decision_bodies(self, ref: RevisionRef) -> dict[UUID, dict[str, Any]]:
        """Return the whole input of each decision of a revision, as :meth:`add_decision` was given it."""
        ...

    async def queues(self, projects: tuple[str, ...] | None) -> tuple[QueueSummary, ...]:
        """Return the state of every queue that has or had tasks."""
        ...


class GroundTruthRepository(Protocol):
    """Committed records. They are never changed."""

    async def add(self, record: GroundTruth) -> None:
        """Keep a record; raises AlreadyExistsError for a second one of the same revision."""
        ...

    async def get(self, ref: RevisionRef) -> GroundTruth | None:
        """Return a record."""
        ...

    async def list(self, project: str, *, after: tuple[str, int] | None, limit: int) -> tuple[GroundTruth, ...]:
        """Return records by (sample id, revision) after the cursor."""
        ...


class AuditRepository(Protocol):
    """The audit chain of each project."""

    def append(self, project: str, *, actor: str, action: str, subject: str, body: dict[str, Any]) -> None:
        """Add an entry; it is chained and written as the last step of the transaction.

        What concerns no single project goes to the chain of the reserved id ``concord``, which is no stored project.
        Chaining last keeps the project's chain locked for a moment only.
        """
        ...

    async def list(self, project: str, *, after: int, limit: int) -> tuple[AuditEntry, ...]:
        """Return entries by sequence after ``after``."""
        ...

    async def of_subjects(self, project: str, subjects: tuple[str, ...]) -> tuple[AuditEntry, ...]:
        """Return all entries about these subjects, by sequence."""
        ...

    async def head(self, project: str) -> tuple[int, str]:
        """Return the sequence and hash of the newest entry as the chain's head states it; (0, zeros) if none."""
        ...


class OutboxRepository(Protocol):
    """What is to be told to the outside, in the transaction that makes it true."""

    async def add(
        self,
        topic: Literal["event", "workflow_start", "workflow_signal"],
        ref: RevisionRef,
        body: dict[str, Any],
        *,
        sequence: int | None = None,
    ) -> None:
        """Keep a message and wake the relay when the transaction commits."""
        ...

    async def pending(self, topics: tuple[str, ...], *, limit: int) -> tuple[OutboxMessage, ...]:
        """Return unpublished messages in the order they must be told, oldest first, whose retry time has come."""
        ...

    async def mark_published(self, message_ids: tuple[int, ...]) -> None:
        """Note that messages were told."""
        ...

    async def mark_failed(self, message_id: int, error: str) -> None:
        """Note a failed attempt; the message is tried again later, with a growing pause."""
        ...

    async def backlog(self) -> dict[str, int]:
        """Return how many messages of each topic wait."""
        ...


class IdempotencyRepository(Protocol):
    """Replies to unsafe calls, so that a repeated call gets the reply of the first."""

    async def lock(self, actor_id: str, key: str) -> tuple[str, int, bytes] | None:
        """Serialise calls with this key; return (request hash, status, body) of a finished one."""
        ...

    async def add(self, actor_id: str, key: str, request_sha256: str, status: int, body: bytes) -> None:
        """Keep the reply of a finished call."""
        ...


class Transaction(Protocol):
    """One transaction and its repositories."""

    access: AccessRepository
    projects: ProjectRepository
    inbox: InboxRepository
    samples: SampleRepository
    review: ReviewRepository
    ground_truth: GroundTruthRepository
    audit: AuditRepository
    outbox: OutboxRepository
    idempotency: IdempotencyRepository

    async def now(self) -> datetime:
        """Return the database's clock, which all leases and deadlines go by."""
        ...


class Database(Protocol):
    """Opens transactions."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Open a transaction; it commits when the block ends, and rolls back when it raises.

        Serialisation failures and lost connections surface as UnavailableError.
        """
        ...

    async def ping(self) -> None:
        """Raise UnavailableError unless the database answers and has the newest schema."""
        ...

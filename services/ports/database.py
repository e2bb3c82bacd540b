"""The store of record, as the product sees it: one transaction, one repository per feature.

Every method runs inside the transaction of its :class:`Transaction`; nothing is visible to others before the
block of :meth:`Database.transaction` ends without an error. Repositories keep what they are told; rules about
what may be kept live in the services.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from datetime import datetime
from typing import Any, Literal, Protocol
from uuid import UUID

from services.contracts.access import ApiKeyInfo, Principal
from services.contracts.definition import DefinitionOrigin, DefinitionVersion, ProjectDefinition
from services.contracts.events import IncomingEvent
from services.contracts.findings import RuleReference
from services.contracts.lifecycle import RevisionRef
from services.contracts.records import (
    DeadLetter,
    OutboxMessage,
    Project,
    StoredEvent,
)
from services.contracts.taxonomies import TaxonomyReference
from services.ports.answers import AnswerRepository
from services.ports.calibration import CalibrationRepository
from services.ports.datasets import DatasetRepository
from services.ports.erasure import ErasureRepository
from services.ports.ground_truth import AuditRepository, GroundTruthRepository
from services.ports.incidents import IncidentRepository
from services.ports.notes import NoteRepository
from services.ports.openings import OpeningRepository
from services.ports.operations import OperationsRepository
from services.ports.probes import ProbeRepository
from services.ports.quality import QualityRepository
from services.ports.queues import PeopleRepository, QueueRepository
from services.ports.review import ReviewRepository
from services.ports.rule_changes import RuleChangeRepository
from services.ports.samples import SampleRepository
from services.ports.search import SearchRepository
from services.ports.task_operations import TaskOperationRepository
from services.ports.taxonomies import TaxonomyMigrationRepository, TaxonomyRepository
from services.ports.webhooks import WebhookRepository
from services.rules.rule_set import RuleSet

EventPair = tuple[str, str]
"""Source and id of an event."""

LedTo = RevisionRef | TaxonomyReference
"""What an accepted event led to: a sample revision or a taxonomy version."""


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

    async def newest_rule_set(self, rule_set_id: str) -> int:
        """Return the newest version of a rule set, 0 if there is none."""
        ...

    async def add_definition(
        self, definition: ProjectDefinition, *, origin: DefinitionOrigin, actor: str, reverts_to: int | None = None
    ) -> int:
        """Keep a definition as the project's next version; return the version."""
        ...

    async def definition(self, project: str, version: int) -> DefinitionVersion | None:
        """Return a version of a project's definition."""
        ...

    async def list_definitions(self, project: str, *, before: int | None, limit: int) -> tuple[DefinitionVersion, ...]:
        """Return versions of a project's definition, newest first."""
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

    async def known(self, pairs: Sequence[EventPair], *, lock: bool) -> dict[EventPair, StoredEvent]:
        """Return the events accepted under these pairs, each pair once; with ``lock`` as :meth:`lock` does for one."""
        ...

    async def add(self, event: IncomingEvent, led_to: LedTo, *, via: Literal["http", "nats"]) -> None:
        """Keep an accepted event with what it led to."""
        ...

    async def add_all(self, accepted: Sequence[tuple[IncomingEvent, LedTo]], *, via: Literal["http", "nats"]) -> None:
        """Keep accepted events, each with what it led to."""
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


class OutboxRepository(Protocol):
    """What is to be told to the outside, in the transaction that makes it true."""

    async def add(
        self,
        topic: Literal["event", "workflow_start", "workflow_signal"],
        ref: RevisionRef,
        body: dict[str, Any],
        *,
        sequence: int | None = None,
        event_type: str | None = None,
        event_id: str | None = None,
    ) -> None:
        """Keep a message and wake the relay when the transaction commits.

        Args:
            topic: What is told.
            ref: About what.
            body: What is said.
            sequence: Of events, the number in the sample's sequence.
            event_type: Of events, the CloudEvents type; every webhook of the project that wants it gets a delivery.
            event_id: Of events, the CloudEvents id.
        """
        ...

    async def add_about(
        self, project: str, subject: str, body: dict[str, Any], *, event_type: str, event_id: str
    ) -> None:
        """Keep an event about something else of a project than a sample, and wake the relay at the commit.

        Args:
            project: The project, whose webhooks get a delivery each if they want the type.
            subject: What it is about; events of one subject are told in the order in which they were kept. The caller
                holds a lock that serialises them.
            body: What is said.
            event_type: The CloudEvents type.
            event_id: The CloudEvents id.
        """
        ...

    def wake(self) -> None:
        """Wake the relays when the transaction commits, for something else that they are to send."""
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
    rule_changes: RuleChangeRepository
    taxonomies: TaxonomyRepository
    taxonomy_migrations: TaxonomyMigrationRepository
    inbox: InboxRepository
    samples: SampleRepository
    openings: OpeningRepository
    answers: AnswerRepository
    review: ReviewRepository
    queues: QueueRepository
    people: PeopleRepository
    task_operations: TaskOperationRepository
    incidents: IncidentRepository
    quality: QualityRepository
    calibration: CalibrationRepository
    probes: ProbeRepository
    ground_truth: GroundTruthRepository
    erasures: ErasureRepository
    audit: AuditRepository
    outbox: OutboxRepository
    idempotency: IdempotencyRepository
    operations: OperationsRepository
    webhooks: WebhookRepository
    notes: NoteRepository
    search: SearchRepository
    datasets: DatasetRepository

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

"""One transaction and its repositories."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from infra.db.repositories.access import PostgresAccess
from infra.db.repositories.answers import PostgresAnswers
from infra.db.repositories.audit import PostgresAudit
from infra.db.repositories.calibration import PostgresCalibration
from infra.db.repositories.datasets import PostgresDatasets
from infra.db.repositories.erasure import PostgresErasures
from infra.db.repositories.ground_truth import PostgresGroundTruth
from infra.db.repositories.idempotency import PostgresIdempotency
from infra.db.repositories.inbox import PostgresInbox
from infra.db.repositories.incidents import PostgresIncidents
from infra.db.repositories.notes import PostgresNotes
from infra.db.repositories.openings import PostgresOpenings
from infra.db.repositories.operations import PostgresOperations
from infra.db.repositories.outbox import PostgresOutbox
from infra.db.repositories.people import PostgresPeople
from infra.db.repositories.probes import PostgresProbes
from infra.db.repositories.projects import PostgresProjects
from infra.db.repositories.quality import PostgresQuality
from infra.db.repositories.queues import PostgresQueues
from infra.db.repositories.review import PostgresReview
from infra.db.repositories.rule_changes import PostgresRuleChanges
from infra.db.repositories.samples import PostgresSamples
from infra.db.repositories.search import PostgresSearch
from infra.db.repositories.task_operations import PostgresTaskOperations
from infra.db.repositories.taxonomies import PostgresTaxonomies
from infra.db.repositories.taxonomy_migrations import PostgresTaxonomyMigrations
from infra.db.repositories.webhooks import PostgresWebhooks
from infra.db.session import Session
from services.ports.answers import AnswerRepository
from services.ports.calibration import CalibrationRepository
from services.ports.database import (
    AccessRepository,
    IdempotencyRepository,
    InboxRepository,
    OutboxRepository,
    ProjectRepository,
)
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

_NOW = text("SELECT clock_timestamp() AS now")


class PostgresTransaction:
    """Implements :class:`services.ports.database.Transaction` in one session."""

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

    def __init__(self, session: Session) -> None:
        self._session = session
        self.access = PostgresAccess(session)
        self.projects = PostgresProjects(session)
        self.rule_changes = PostgresRuleChanges(session)
        self.taxonomies = PostgresTaxonomies(session)
        self.taxonomy_migrations = PostgresTaxonomyMigrations(session)
        self.inbox = PostgresInbox(session)
        self.samples = PostgresSamples(session)
        self.openings = PostgresOpenings(session)
        self.answers = PostgresAnswers(session)
        self.review = PostgresReview(session)
        self.queues = PostgresQueues(session)
        self.people = PostgresPeople(session)
        self.task_operations = PostgresTaskOperations(session)
        self.incidents = PostgresIncidents(session)
        self.quality = PostgresQuality(session)
        self.calibration = PostgresCalibration(session)
        self.probes = PostgresProbes(session)
        self.ground_truth = PostgresGroundTruth(session)
        self.erasures = PostgresErasures(session)
        self.idempotency = PostgresIdempotency(session)
        self.operations = PostgresOperations(session)
        self.webhooks = PostgresWebhooks(session)
        self.notes = PostgresNotes(session)
        self.search = PostgresSearch(session)
        self.datasets = PostgresDatasets(session)
        self.outbox = self._outbox = PostgresOutbox(session)
        self.audit = self._audit = PostgresAudit(session)

    async def now(self) -> datetime:
        """Return the database's clock."""
        (row,) = await self._session.rows(_NOW, {})
        moment: datetime = row.now
        return moment

    async def finish(self) -> None:
        """Do what comes last before the commit: write the messages, chain the audit entries, wake the relays.

        The chains' heads are the last locks taken, so that they are held for their statement and the commit.
        """
        if not await self._audit.chain(self._outbox):
            await self._outbox.finish()

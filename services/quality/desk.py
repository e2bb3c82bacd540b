"""What managers do about quality: give known answers, and read how often people are right."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from services.access.policy import ensure_sees, project_not_found
from services.agreement.intervals import wilson_interval
from services.contracts.access import Principal
from services.contracts.calibration import ExpertAgreement
from services.contracts.canonical import content_sha256
from services.contracts.quality import AnnotatorQuality, GoldAnswer, QualityReport, StoredGoldAnswer
from services.contracts.records import SampleSummary
from services.errors import InvalidInputError, NotFoundError
from services.ports.database import Database, Transaction
from services.projects.registry import rules_of
from services.quality.answers import judged_probe, judged_revisions, score_again
from services.quality.labelling import score_labels
from services.quality.learner import learn_annotators
from services.quality.report import MIN_JUDGED, QualityBuilder
from services.quality.scoring import score_sample

MAX_SAMPLES = 100_000
_PAGE = 50


class QualityDesk:
    """Known answers and accuracy of one project's people.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put_gold(self, principal: Principal, project: str, answer: GoldAnswer) -> StoredGoldAnswer:
        """Keep the known answer of a sample, before or after the sample comes; another one replaces it.

        Nothing that is kept of the sample, its tasks or its decisions changes. The audit trail tells that an answer was
        given, by its hash and not by its sample.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project)
            stored = StoredGoldAnswer(
                project=project, answer=answer, given_by=principal.actor_id, given_at=await tx.now()
            )
            await tx.quality.put_gold(stored)
            await score_again(tx, project, answer.sample_id)
            _note(tx, principal, project, "gold.given", content_sha256(answer))
        return stored

    async def drop_gold(self, principal: Principal, project: str, sample_id: str) -> None:
        """Forget a known answer.

        Raises:
            NotFoundError: There is none.
        """
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project)
            known = await tx.quality.gold(project, (sample_id,))
            if not await tx.quality.drop_gold(project, sample_id):
                raise NotFoundError(f"There is no known answer for sample {sample_id!r}.")
            await score_again(tx, project, sample_id)
            _note(tx, principal, project, "gold.forgotten", content_sha256(known[sample_id].answer))

    async def list_gold(
        self, principal: Principal, project: str, *, after: str | None, limit: int
    ) -> tuple[StoredGoldAnswer, ...]:
        """Return known answers by sample id after the cursor."""
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project)
            return await tx.quality.list_gold(project, after=after, limit=limit)

    async def report(
        self,
        principal: Principal,
        project: str,
        *,
        max_samples: int,
        max_listed: int,
        bar: float,
        min_judged: int = MIN_JUDGED,
    ) -> QualityReport:
        """Return how often people were right, over the newest revisions of samples.

        Args:
            principal: Who asks.
            project: The project.
            max_samples: Most revisions to read.
            max_listed: Most wrong verdicts, and most wrong labels, to list.
            bar: Share below which a person's accuracy is too low.
            min_judged: Fewer verdicts say nothing about the bar.

        Raises:
            NotFoundError: There is no such project that the key sees.
            InvalidInputError: The bar is no share.
        """
        if not 0 <= bar <= 1:
            raise InvalidInputError("bar must be a share between 0 and 1")
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project)
        builder = QualityBuilder(project, bar=bar, max_listed=max_listed, min_judged=min_judged)
        after: tuple[datetime, str, int] | None = None
        left = max_samples
        while left > 0:
            async with self._database.transaction() as tx:
                page = await tx.samples.list(project, stage=None, after=after, limit=min(_PAGE, left))
                await _count(tx, project, page, builder)
            if not page:
                break
            left -= len(page)
            after = (page[-1].created_at, page[-1].ref.sample_id, page[-1].ref.revision)
        async with self._database.transaction() as tx:
            await _count_probes(tx, project, max_samples, builder)
            compared, agreed = await tx.probes.second_opinions(project)
            return builder.finish().model_copy(
                update={
                    "mixed_in": await tx.probes.mixed_in(project),
                    "paused": await tx.calibration.pauses(project),
                    "experts": _experts(compared, agreed),
                    "disagreements": await tx.probes.disagreements(project, limit=max_listed),
                }
            )

    async def annotators(self, principal: Principal, project: str) -> AnnotatorQuality:
        """Return what was learned last about how often annotators are right; nothing is learned by asking.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project)
            return await tx.answers.quality(project) or AnnotatorQuality(project=project)

    async def learn(self, principal: Principal, project: str) -> AnnotatorQuality:
        """Learn it anew from what is known now. The audit trail tells that it was asked for.

        Raises:
            NotFoundError: There is no such project that the key sees.
        """
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project)
            tx.audit.append(
                project, actor=principal.actor_id, action="annotators.learned", subject=f"project/{project}", body={}
            )
        return await learn_annotators(self._database, project)


def _experts(compared: int, agreed: int) -> ExpertAgreement | None:
    if not compared:
        return None
    low, high = wilson_interval(agreed, compared)
    return ExpertAgreement(compared=compared, agreed=agreed, share=agreed / compared, low=low, high=high)


async def _count_probes(tx: Transaction, project: str, most: int, builder: QualityBuilder) -> None:
    before: tuple[datetime, UUID] | None = None
    rules = (await rules_of(tx, project)).consensus
    left = most
    while left > 0:
        page = await tx.probes.answers(project, before=before, limit=min(_PAGE, left))
        known = await tx.quality.gold(project, tuple({answer.probe.ref.sample_id for answer in page}))
        for answer in page:
            gold = known.get(answer.probe.ref.sample_id)
            sample = await judged_probe(tx, answer, None if gold is None else gold.answer)
            builder.add_answers(score_sample(sample))
            builder.add_labels(score_labels(sample, rules))
        if len(page) < _PAGE:
            return
        left -= len(page)
        before = (page[-1].answered_at, page[-1].decision.task_id)


async def _count(tx: Transaction, project: str, page: tuple[SampleSummary, ...], builder: QualityBuilder) -> None:
    known = await tx.quality.gold(project, tuple({summary.ref.sample_id for summary in page}))
    rules = (await rules_of(tx, project)).consensus
    for summary in page:
        ref = summary.ref
        gold = known.get(ref.sample_id)
        newest = await tx.samples.newest(ref.project, ref.sample_id) or ref
        *_, sample = await judged_revisions(tx, newest, None if gold is None else gold.answer, first=ref.revision)
        builder.add(score_sample(sample), gold=gold is not None)
        builder.add_labels(score_labels(sample, rules))


async def _ensure_project(tx: Transaction, principal: Principal, project: str) -> None:
    ensure_sees(principal, project)
    if await tx.projects.get(project) is None:
        raise project_not_found(project)


def _note(tx: Transaction, principal: Principal, project: str, action: str, digest: str) -> None:
    tx.audit.append(
        project, actor=principal.actor_id, action=action, subject=f"gold/{digest}", body={"answer_sha256": digest}
    )

"""Read what decisions teach, page by page, from what is stored about a project."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from services.contracts.access import Principal
from services.contracts.feedback import CorrectedSample, ModelQuality, NextSamples, ThresholdReport
from services.contracts.lifecycle import FINAL_STAGES
from services.contracts.records import GroundTruth
from services.feedback.corrections import corrected_sample, is_judged, newest_predictions
from services.feedback.models import QualityTally
from services.feedback.ranking import Ranking
from services.feedback.thresholds import ThresholdTally, ruling_on
from services.ground_truth.history import HistoryReader, SampleHistory, findings_of
from services.lifecycle.earlier import read_earlier_decisions
from services.ports.database import Database, Transaction
from services.projects.registry import rules_of
from services.report.reader import OUT, newest_revisions
from services.rules.consensus import ConsensusRules
from services.samples.reader import ensure_project

MAX_READ = 100_000
"""Most samples of one answer: each is read with its labels and decisions."""

_PAGE = 50


class FeedbackReader:
    """What the decisions of a project teach; nothing here changes anything.

    Each method raises NotFoundError for a project that does not exist and for one the key does not see, alike.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def models(self, principal: Principal, project: str, *, max_records: int) -> ModelQuality:
        """Return how good each model version is on each class, by the newest committed record of each sample.

        Args:
            principal: Who asks.
            project: The project.
            max_records: Most committed samples to read, by sample id.
        """
        tally, complete = await self._tally(principal, project, max_records)
        return tally.finish(project, complete=complete)

    async def thresholds(
        self, principal: Principal, project: str, *, target_precision: float, max_samples: int
    ) -> ThresholdReport:
        """Return what verdicts on findings say about the thresholds these were made with.

        Args:
            principal: Who asks.
            project: The project.
            target_precision: Least share of confirmed findings, by its lower bound.
            max_samples: Most samples to read, the newest.
        """
        await self._rules(principal, project)
        tally = ThresholdTally()
        histories = HistoryReader(project)
        read, complete = 0, True
        async for page in newest_revisions(self._database, project):
            async with self._database.transaction() as tx:
                for summary in page:
                    if summary.stage in OUT:
                        continue
                    if read == max_samples:
                        complete = False
                        break
                    read += 1
                    await _judge(tx, await histories.read(tx, summary.ref), tally)
            if not complete:
                break
        return ThresholdReport(
            project=project,
            target_precision=target_precision,
            samples=read,
            complete=complete,
            advice=await asyncio.to_thread(tally.finish, target_precision),
            varying=tally.varying(),
        )

    async def next_samples(self, principal: Principal, project: str, *, limit: int, max_samples: int) -> NextSamples:
        """Return which samples are worth labelling next, the most valuable first.

        Args:
            principal: Who asks.
            project: The project.
            limit: How many.
            max_samples: Most committed samples, and most others, to read.
        """
        tally, complete = await self._tally(principal, project, max_samples)
        ranking = Ranking(tally.classes(), tally.truth, limit=limit)
        histories = HistoryReader(project)
        full = False
        async for page in newest_revisions(self._database, project):
            async with self._database.transaction() as tx:
                for summary in page:
                    if summary.stage in FINAL_STAGES:
                        continue
                    if ranking.candidates == max_samples:
                        full = True
                        break
                    said = newest_predictions((await histories.read(tx, summary.ref)).label_sets)
                    ranking.add(summary.ref, summary.stage, [(model, one.annotations) for model, one in said.items()])
            if full:
                break
        return NextSamples(
            project=project,
            records=tally.records,
            candidates=ranking.candidates,
            unpredicted=ranking.unpredicted,
            complete=complete and not full,
            items=ranking.best(),
        )

    async def corrections(
        self, principal: Principal, project: str, *, after: tuple[str, int] | None, limit: int
    ) -> tuple[tuple[CorrectedSample, ...], tuple[str, int] | None]:
        """Return the corrected ones among the next committed samples, and where to go on; None at the end.

        A page may hold nothing and still not be the last: it is as long as what was read for it.

        Args:
            principal: Who asks.
            project: The project.
            after: (sample id, revision) of the last record that was read before.
            limit: How many records to read.
        """
        rules = await self._rules(principal, project)
        found: list[CorrectedSample] = []
        histories = HistoryReader(project)
        async with self._database.transaction() as tx:
            page = await tx.ground_truth.list(project, after=after, limit=limit + 1)
            read = page[:limit]
            for record, following in zip(read, (*page[1:], None), strict=False):
                # Of a sample only the newest record counts.
                if following is not None and following.ref.sample_id == record.ref.sample_id:
                    continue
                if not record.body:
                    continue
                history = await histories.read(tx, record.ref)
                found_about = await findings_of(tx, history)
                item = await asyncio.to_thread(corrected_sample, record, history, found_about, rules)
                if item is not None:
                    found.append(item)
        last = read[-1].ref if len(page) > limit else None
        return tuple(found), None if last is None else (last.sample_id, last.revision)

    async def _rules(self, principal: Principal, project: str) -> ConsensusRules:
        async with self._database.transaction() as tx:
            await ensure_project(tx, principal, project)
            return (await rules_of(tx, project)).consensus or ConsensusRules()

    async def _tally(self, principal: Principal, project: str, max_records: int) -> tuple[QualityTally, bool]:
        tally = QualityTally(await self._rules(principal, project))
        histories = HistoryReader(project)
        read = 0
        async for record in self._newest_records(project):
            if read == max_records:
                return tally, False
            read += 1
            if not record.body:
                tally.skip("erased")
                continue
            async with self._database.transaction() as tx:
                history = await histories.read(tx, record.ref)
            label_sets = history.label_sets
            versions = [one.annotations for one in label_sets if one.origin != "prediction"]
            committed = versions[-1] if versions else ()
            said = [(model, one.annotations) for model, one in newest_predictions(label_sets).items()]
            if not said:
                tally.skip("unpredicted", committed)
            elif not is_judged(label_sets, history.decisions):
                tally.skip("unjudged", committed)
            else:
                # Matching is work for the processor; other requests go on meanwhile.
                await asyncio.to_thread(tally.add, said, committed)
        return tally, True

    async def _newest_records(self, project: str) -> AsyncIterator[GroundTruth]:
        """Yield the newest committed record of each sample, by sample id, one page in memory at a time."""
        after: tuple[str, int] | None = None
        held: GroundTruth | None = None
        while True:
            async with self._database.transaction() as tx:
                page = await tx.ground_truth.list(project, after=after, limit=_PAGE)
            for record in page:
                if held is not None and held.ref.sample_id != record.ref.sample_id:
                    yield held
                held = record
            if not page:
                break
            after = (page[-1].ref.sample_id, page[-1].ref.revision)
        if held is not None:
            yield held


async def _judge(tx: Transaction, history: SampleHistory, tally: ThresholdTally) -> None:
    findings = [stored for stored in await findings_of(tx, history) if stored.finding.measured is not None]
    earlier = await read_earlier_decisions(tx, history.ref, findings)
    for stored in findings:
        kept = [one for one in earlier if one.decision_id == stored.decision_id]
        ruling = ruling_on(stored.finding.finding_id, kept or history.decisions)
        if ruling is not None:
            tally.add(stored.finding, ruling)

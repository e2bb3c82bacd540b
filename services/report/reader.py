"""The report of a project, from what is stored about its samples."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

from services.access.policy import ensure_sees, project_not_found
from services.alignment.sample import CheckSample
from services.contracts.access import Principal
from services.contracts.annotations import Annotation
from services.contracts.dataset_report import DatasetReport
from services.contracts.label_base import Author
from services.contracts.lifecycle import Stage
from services.contracts.records import CheckRun, LabelSet, SampleSummary
from services.contracts.review import FindingState
from services.ground_truth.history import HistoryReader, SampleHistory
from services.lifecycle.earlier import read_earlier_decisions
from services.ports.database import Database, Transaction
from services.projects.registry import rules_of
from services.report.build import ReportBuilder
from services.report.sample import ReportSample, ReviewEvidence

MAX_SAMPLES = 10_000
"""Most samples of one report: each is read with its labels, findings and decisions."""

_PAGE = 100
_NO_EXCHANGE = "exchanged files are looked for by concord report on files, not in what is stored"
OUT = frozenset({Stage.WITHDRAWN, Stage.REOPENED})
"""Stages of samples that are in no report."""
_WITH_RECORD = frozenset({Stage.COMMITTED, Stage.REOPENED})


class ReportReader:
    """Scores a project on the nine ways in which large datasets fail.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def report(
        self, principal: Principal, project: str, *, max_samples: int, max_listed: int | None
    ) -> DatasetReport:
        """Return the report of the newest revision of each sample.

        What a sample's last check run found counts, whatever people decided about it since; what is open says the
        number of unvalidated ground truth. Samples that were withdrawn or not checked yet, and older ones beyond
        ``max_samples``, are in no number; ``left_out`` says how many.

        Args:
            principal: Who asks.
            project: The project.
            max_samples: Most samples to read, the newest.
            max_listed: Most entries to list behind each number, the gravest; None lists all.

        Raises:
            NotFoundError: There is no such project, or the key does not see it.
        """
        async with self._database.transaction() as tx:
            ensure_sees(principal, project)
            if await tx.projects.get(project) is None:
                raise project_not_found(project)
            rules = await rules_of(tx, project)
        builder = ReportBuilder(rules, max_listed=max_listed)
        builder.not_compared("misaligned_modalities", _NO_EXCHANGE, "metadata_source")
        histories = HistoryReader(project)
        left_out = 0
        read = 0
        async for page in newest_revisions(self._database, project):
            items: list[ReportSample] = []
            async with self._database.transaction() as tx:
                for summary in page:
                    left = summary.stage in OUT or read >= max_samples
                    item = None if left else await stored_sample(tx, await histories.read(tx, summary.ref))
                    if item is None:
                        left_out += 1
                    else:
                        read += 1
                        items.append(item)
            # Counting is work for the processor; other requests go on meanwhile.
            await asyncio.to_thread(_add, builder, items)
        return await asyncio.to_thread(builder.finish, left_out=left_out)


async def newest_revisions(database: Database, project: str) -> AsyncIterator[list[SampleSummary]]:
    """Yield the newest revision of each sample of a project, page by page, the newest samples first."""
    seen: set[str] = set()
    after: tuple[datetime, str, int] | None = None
    while True:
        async with database.transaction() as tx:
            page = await tx.samples.list(project, stage=None, after=after, limit=_PAGE)
        if not page:
            return
        fresh = []
        for summary in page:
            if summary.ref.sample_id not in seen:
                seen.add(summary.ref.sample_id)
                fresh.append(summary)
        yield fresh
        last = page[-1]
        after = (last.created_at, last.ref.sample_id, last.ref.revision)


def _add(builder: ReportBuilder, items: Iterable[ReportSample]) -> None:
    for item in items:
        builder.add(item)


async def stored_sample(tx: Transaction, history: SampleHistory) -> ReportSample | None:
    """Return what is stored of a revision; None where it was not checked yet.

    A record that a migration made without asking anybody was accepted with the run of the one it was made of.
    """
    ref = history.ref
    revision = await tx.samples.get(ref)
    run = None if revision is None else await _last_run(tx, history, revision.stage)
    if run is None or revision is None:
        return None
    label_sets = [one for one in history.label_sets if one.origin != "prediction"]
    labels = label_sets[-1].annotations if label_sets else ()
    findings = await tx.review.findings(ref)
    earlier = await read_earlier_decisions(tx, ref, findings)
    return ReportSample(
        CheckSample(revision.manifest, labels),
        run.report,
        ReviewEvidence(
            authors=authors_of(label_sets),
            decisions=(*(one for one in earlier if one not in history.decisions), *history.decisions),
            open_findings=tuple(
                stored.finding for stored in findings if stored.blocking and stored.state is FindingState.OPEN
            ),
            hashed_streams=frozenset(asset.stream for asset in await tx.samples.assets(ref) if asset.role == "stream"),
        ),
    )


async def _last_run(tx: Transaction, history: SampleHistory, stage: Stage) -> CheckRun | None:
    for revision in reversed(history.revisions):
        run = await tx.samples.last_check_run(revision.ref)
        if run is not None or stage not in _WITH_RECORD:
            return run
    return None


def authors_of(label_sets: Iterable[LabelSet]) -> dict[str, Author]:
    """Return who made each label of the newest set: the author of the first set that has it as it is now.

    Args:
        label_sets: Versions of the labels, oldest first, without predictions.
    """
    before: dict[str, Annotation] = {}
    found: dict[str, Author] = {}
    for label_set in label_sets:
        now = {label.id: label for label in label_set.annotations}
        found = {
            name: found[name] if name in found and before[name] == label else label.author or label_set.author
            for name, label in now.items()
        }
        before = now
    return found

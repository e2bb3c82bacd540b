"""How far the people of a project agree, from what is stored of its samples."""

from __future__ import annotations

import asyncio

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.agreement import AgreementReport
from services.contracts.consensus import Answer
from services.contracts.records import LabelSet
from services.ground_truth.history import HistoryReader, RevisionHistory, SampleHistory
from services.ports.database import Database
from services.projects.registry import rules_of
from services.report.agreement_build import AgreementBuilder
from services.report.agreement_units import answers_by_author, author_name
from services.report.reader import OUT, newest_revisions
from services.review.overlap import submissions

_ANSWERS = frozenset({"annotator", "external"})


class AgreementReader:
    """Measures the agreement of a project.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def agreement(
        self, principal: Principal, project: str, *, max_samples: int, max_listed: int | None, window_days: int
    ) -> AgreementReport:
        """Return the report on the newest revision of each sample, and on those it was made of by migrations.

        An answer is what somebody submitted to label a sample; of a sample that came with labels of several authors,
        each author's. Reviews, corrections, rework and predictions are no answers: whoever made them had seen others'.

        Args:
            principal: Who asks.
            project: The project.
            max_samples: Most samples to read, the newest.
            max_listed: Most entries to list behind each number, the worst; None lists all.
            window_days: Length of a window of time.

        Raises:
            NotFoundError: There is no such project, or the key does not see it.
        """
        async with self._database.transaction() as tx:
            ensure_sees(principal, project)
            if await tx.projects.get(project) is None:
                raise project_not_found(project)
            rules = await rules_of(tx, project)
        builder = AgreementBuilder(rules.consensus, max_listed=max_listed, window_days=window_days)
        histories = HistoryReader(project)
        read = left_out = 0
        async for page in newest_revisions(self._database, project):
            async with self._database.transaction() as tx:
                for summary in page:
                    if summary.stage in OUT or read >= max_samples:
                        left_out += 1
                        continue
                    read += 1
                    ref = summary.ref
                    builder.add(project, ref.sample_id, answers_of(await histories.read(tx, ref)))
        return await asyncio.to_thread(builder.finish, left_out=left_out)


def answers_of(history: SampleHistory) -> list[Answer]:
    """Return the answers about a sample: those of the newest revision that has any."""
    for read in (_submitted, _brought):
        for revision in reversed(history.revisions):
            found = read(revision)
            if found:
                return found
    return []


def _submitted(revision: RevisionHistory) -> list[Answer]:
    submitted = submissions(revision.decisions)
    return [
        answer
        for item in revision.label_sets
        if item.origin in _ANSWERS and item.decision_id in submitted and (answer := _answer(item)) is not None
    ]


def _brought(revision: RevisionHistory) -> list[Answer]:
    brought = [item for item in revision.label_sets if item.origin in ("manifest", "label_files")]
    # Label files have the manifest's labels too.
    return answers_by_author(brought[-1].annotations)[0] if brought else []


def _answer(item: LabelSet) -> Answer | None:
    name = author_name(item.author)
    if name is None:
        return None
    own = (label.author.team for label in item.annotations if label.author is not None and label.author.id == name)
    team = item.author.team or next((team for team in own if team is not None), None)
    return Answer(annotator=name, team=team, answered_at=item.created_at, annotations=item.annotations)

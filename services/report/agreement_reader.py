"""How far the people of a project agree, from what is stored of its samples."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import Principal
from services.contracts.agreement import AgreementReport
from services.contracts.consensus import Answer
from services.contracts.records import LabelSet
from services.ports.database import Database, Transaction
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
        """Return the report on the newest revision of each sample.

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
        read = left_out = 0
        async for page in newest_revisions(self._database, project):
            async with self._database.transaction() as tx:
                for summary in page:
                    if summary.stage in OUT or read >= max_samples:
                        left_out += 1
                        continue
                    read += 1
                    ref = summary.ref
                    builder.add(project, ref.sample_id, await answers_of(tx, await tx.samples.label_sets(ref)))
        return await asyncio.to_thread(builder.finish, left_out=left_out)


async def answers_of(tx: Transaction, label_sets: Iterable[LabelSet]) -> list[Answer]:
    """Return the answers among the label sets of one revision.

    Args:
        tx: The transaction.
        label_sets: All its label sets, oldest first.
    """
    sets = list(label_sets)
    found: list[Answer] = []
    if sets:
        submitted = submissions(await tx.review.decisions(sets[0].ref))
        found = [
            answer
            for item in sets
            if item.origin in _ANSWERS and item.decision_id in submitted and (answer := _answer(item)) is not None
        ]
    if not found:
        for item in sets:
            if item.origin in ("manifest", "label_files"):
                found = answers_by_author(item.annotations)[0]  # label files have the manifest's labels too
    return found


def _answer(item: LabelSet) -> Answer | None:
    name = author_name(item.author)
    if name is None:
        return None
    own = (label.author.team for label in item.annotations if label.author is not None and label.author.id == name)
    team = item.author.team or next((team for team in own if team is not None), None)
    return Answer(annotator=name, team=team, answered_at=item.created_at, annotations=item.annotations)

"""Learn how good a project's annotators are, from what is stored. It may be done at any time, as often as one likes."""

from __future__ import annotations

import asyncio

from services.consensus.build import consensus
from services.contracts.consensus import Consensus, JoinedAnswers
from services.contracts.lifecycle import Stage
from services.contracts.quality import AnnotatorQuality, GoldAnswer
from services.contracts.review import FindingState
from services.ports.database import Database, Transaction
from services.projects.registry import rules_of
from services.quality.learning import Unit, learn_skills, unit_of
from services.review.overlap import open_answers
from services.review.worth import NOTHING
from services.rules.answer_agreement import ANSWER_AGREEMENT
from services.rules.asking import AskingRules
from services.rules.rule_set import RuleSet

MAX_SAMPLES = 2_000
_PAGE = 50
_GROWN = 1.1


async def learn_when_due(database: Database, project: str) -> None:
    """Learn anew once there are a tenth more samples to learn from than the last time.

    What is done for all samples together is then a constant number of times what is done for each.
    """
    async with database.transaction() as tx:
        there = await tx.answers.count_joined_labels(project)
        learned_from = await tx.answers.learned_from(project)
    if there >= max(learned_from + 1, _GROWN * learned_from):
        await learn_annotators(database, project)


async def learn_annotators(database: Database, project: str) -> AnnotatorQuality:
    """Learn how often people are right from the newest joined answers, and keep it in place of what was known.

    What a thing is follows from the answers, and is known where an expert decided it, in a sample that was committed
    since, or where the sample has a known answer with labels.

    Raises:
        NotFoundError: There is no such project.
    """
    units: list[Unit] = []
    samples = 0
    after: JoinedAnswers | None = None
    async with database.transaction() as tx:
        rules = await rules_of(tx, project)
        there = await tx.answers.count_joined_labels(project)
    while samples < MAX_SAMPLES:
        async with database.transaction() as tx:
            page = await tx.answers.joined_labels(project, after=after, limit=min(_PAGE, MAX_SAMPLES - samples))
            for joined in page:
                units += await _units_of(tx, joined, rules)
        if not page:
            break
        samples += len(page)
        after = page[-1]
    pooling = (rules.asking or AskingRules()).pooling
    skills = await asyncio.to_thread(learn_skills, units, pooling)
    async with database.transaction() as tx:
        quality = AnnotatorQuality(
            project=project,
            samples=samples,
            joined=there,
            units=len(units),
            known=sum(unit.known is not None for unit in units),
            learned_at=await tx.now(),
            skills=skills,
        )
        await tx.answers.put_quality(quality)
    return quality


async def _units_of(tx: Transaction, joined: JoinedAnswers, rules: RuleSet) -> list[Unit]:
    gold = (await tx.quality.gold(joined.ref.project, (joined.ref.sample_id,))).get(joined.ref.sample_id)
    if gold is not None and gold.answer.labels:
        said = await _said_of_gold(tx, joined, gold.answer, rules)
        known = {label.id: label.label for label in gold.answer.labels}
        found = [unit_of(item, known.get(item.annotation.id)) for item in said.labels]
    else:
        decided = await _decided(tx, joined)
        found = [unit_of(item, decided.get(item.annotation.id)) for item in joined.consensus.labels]
    return [unit for unit in found if unit is not None]


async def _said_of_gold(tx: Transaction, joined: JoinedAnswers, gold: GoldAnswer, rules: RuleSet) -> Consensus:
    """Return what the same answers say where the labels of the known answer stand."""
    label_sets = [
        item for item in await tx.samples.label_sets(joined.ref) if item.version < (joined.label_version or 0)
    ]
    answers = open_answers(label_sets, await tx.review.decisions(joined.ref))
    return consensus(answers, rules.consensus, accepted=gold.labels)


async def _decided(tx: Transaction, joined: JoinedAnswers) -> dict[str, str]:
    """Return the class of each label of a committed sample that somebody decided after the answers were joined."""
    revision = await tx.samples.get(joined.ref)
    if revision is None or revision.stage is not Stage.COMMITTED:
        return {}
    newest = await tx.samples.label_set(joined.ref)
    now = {label.id: label for label in newest.annotations} if newest is not None else {}
    approved = {
        name
        for item in await tx.review.findings(joined.ref)
        if item.finding.check == ANSWER_AGREEMENT and item.state is FindingState.DISMISSED
        for name in item.finding.annotations
    }
    decided = {}
    for item in joined.consensus.labels:
        name = item.annotation.id
        label = now.get(name)
        if label is None:
            decided[name] = NOTHING
        elif label.label != item.annotation.label or name in approved:
            decided[name] = label.label
    return decided

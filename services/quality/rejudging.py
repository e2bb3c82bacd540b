"""Judge people again as their answers grow old, without waiting for a decision of theirs."""

from __future__ import annotations

from datetime import timedelta

from services.contracts.access import SYSTEM_ACTOR
from services.contracts.calibration import GoldPolicy, PersonPause, ResumePerson
from services.contracts.records import Project
from services.ports.database import Database, Transaction
from services.quality.answers import judge_skills, known_answers_of
from services.quality.resuming import resume_person
from services.quality.standing import ends_by_itself

AT_WORK = timedelta(days=1)
"""Who has answered within this is judged by their decisions alone: what changes right after an answer tells of it."""


class StandingKeeper:
    """Ends pauses whose reasons have grown old, and gives and takes earned skills as windows move on.

    Any number of keepers may work at once: each person is judged under their lock, and nothing follows twice.

    Args:
        database: The store of record.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def step(self) -> bool:
        """Judge everybody once; False, as nothing is left.

        Raises:
            UnavailableError: The database does not answer.
        """
        async with self._database.transaction() as tx:
            projects = await tx.projects.list()
        for project in projects:
            if project.config.gold is not None:
                await self._look_at_pauses(project, project.config.gold)
            if project.config.earned_skills:
                await self._look_at_skills(project)
        return False

    async def _look_at_pauses(self, project: Project, policy: GoldPolicy) -> None:
        async with self._database.transaction() as tx:
            pauses = await tx.calibration.pauses(project.id)
        for pause in pauses:
            async with self._database.transaction() as tx:
                await _end_if_over(tx, pause, policy)

    async def _look_at_skills(self, project: Project) -> None:
        rules = project.config.earned_skills
        async with self._database.transaction() as tx:
            now = await tx.now()
            oldest = now - timedelta(days=max(rule.window_days for rule in rules))
            people = await tx.calibration.last_answered(project.id, after=oldest, before=now - AT_WORK)
        for actor_id in people:
            async with self._database.transaction() as tx:
                await tx.calibration.lock_person(project.id, actor_id)
                await judge_skills(tx, project.id, actor_id, rules)


async def _end_if_over(tx: Transaction, pause: PersonPause, policy: GoldPolicy) -> None:
    await tx.calibration.lock_person(pause.project, pause.actor_id)
    place = (pause.project, pause.actor_id, pause.queue, pause.kind)
    _, counted_from = await tx.calibration.pause_state(*place)
    figures = await known_answers_of(tx, policy, place, await tx.now(), counted_from)
    if ends_by_itself(figures, policy):
        over = ResumePerson(queue=pause.queue, kind=pause.kind)
        told = {"figures": figures.model_dump(mode="json"), "bar": policy.bar}
        await resume_person(tx, pause.project, pause.actor_id, over, by=SYSTEM_ACTOR, because=told)

"""Reviewers as projects know them."""

from __future__ import annotations

from typing import Any

from pydantic import TypeAdapter
from sqlalchemy import text

from infra.db.documents import body_of, body_text, model_text
from infra.db.repositories.base import Repository
from services.contracts.calibration import Figures, PersonPause
from services.contracts.deadlines import WorkingCalendar
from services.contracts.people import Reviewer, ReviewerProfile, SkillGrant
from services.contracts.queues import RequiredSkill

_GRANTS = TypeAdapter(tuple[SkillGrant, ...])
_PAUSES = TypeAdapter(tuple[PersonPause, ...])

WITH_SKILLS = """
    reviewer.*, coalesce((
        SELECT json_agg(json_build_object('name', skill.name, 'level', skill.level, 'source', skill.source,
                                          'set_by', skill.set_by, 'set_at', skill.set_at, 'figures', skill.figures)
                        ORDER BY skill.name, skill.source)
        FROM reviewer_skills AS skill
        WHERE skill.project = reviewer.project AND skill.actor_id = reviewer.actor_id), '[]') AS grants,
    coalesce((
        SELECT json_agg(pause.pause ORDER BY pause.queue, pause.kind) FROM person_pauses AS pause
        WHERE pause.project = reviewer.project AND pause.actor_id = reviewer.actor_id AND pause.paused
    ), '[]') AS pauses
"""
"""The columns of :func:`reviewer_of`."""

TURN = "SELECT pg_advisory_xact_lock(hashtextextended(:actor_id, 3))"
"""One person's claims one after the other.

Two at the same time could not see that they take two tasks of which the person may have one, or one more than they may
hold.
"""

_AT_WORK = text(f"""
    SELECT turn.*, {WITH_SKILLS}
    FROM ({TURN}) AS turn
    LEFT JOIN reviewers AS reviewer ON reviewer.actor_id = :actor_id
""")  # noqa: S608 - constants
_GET = f"""
    SELECT {WITH_SKILLS} FROM reviewers AS reviewer WHERE project = :project AND actor_id = :actor_id
"""  # noqa: S608
_GET_PLAIN = text(_GET)
_GET_LOCKED = text(f"{_GET} FOR NO KEY UPDATE OF reviewer")
_LIST = text(f"SELECT {WITH_SKILLS} FROM reviewers AS reviewer WHERE project = :project ORDER BY actor_id")  # noqa: S608
_PUT = text("""
    INSERT INTO reviewers (project, actor_id, teams, calendar, max_claims, max_claims_of_queue)
    VALUES (:project, :actor_id, CAST(:teams AS text[]), CAST(:calendar AS json), :max_claims,
            CAST(:max_claims_of_queue AS json))
    ON CONFLICT (project, actor_id) DO UPDATE SET
        teams = EXCLUDED.teams, calendar = EXCLUDED.calendar,
        max_claims = EXCLUDED.max_claims, max_claims_of_queue = EXCLUDED.max_claims_of_queue
""")
_FORGET_GRANTS = text("""
    DELETE FROM reviewer_skills
    WHERE project = :project AND actor_id = :actor_id AND source = 'granted'
      AND NOT (name = ANY (CAST(:names AS text[])))
""")
# A grant that stays as it is keeps its date and who gave it.
_GRANT = text("""
    INSERT INTO reviewer_skills (project, actor_id, name, source, level, set_by, set_at)
    SELECT :project, :actor_id, name, 'granted', level, :set_by, clock_timestamp()
    FROM unnest(CAST(:names AS text[]), CAST(:levels AS integer[])) AS given (name, level)
    ON CONFLICT (project, actor_id, name, source) DO UPDATE SET
        level = EXCLUDED.level, set_by = EXCLUDED.set_by, set_at = EXCLUDED.set_at
    WHERE reviewer_skills.level <> EXCLUDED.level
""")
_ENSURE = text("""
    INSERT INTO reviewers (project, actor_id, teams, max_claims_of_queue) VALUES (:project, :actor_id, '{}', '{}')
    ON CONFLICT DO NOTHING
""")
_MEASURE = text("""
    INSERT INTO reviewer_skills (project, actor_id, name, source, level, set_by, set_at, figures)
    VALUES (:project, :actor_id, :name, 'measured', :level, :set_by, clock_timestamp(), :figures)
    ON CONFLICT (project, actor_id, name, source) DO UPDATE SET
        level = EXCLUDED.level, set_by = EXCLUDED.set_by, set_at = EXCLUDED.set_at, figures = EXCLUDED.figures
""")
_UNMEASURE = text("""
    DELETE FROM reviewer_skills
    WHERE project = :project AND actor_id = :actor_id AND name = :name AND source = 'measured'
""")
_DELETE = text("DELETE FROM reviewers WHERE project = :project AND actor_id = :actor_id")


def reviewer_of(row: Any) -> Reviewer:
    """Return a person of a row of :data:`WITH_SKILLS`."""
    skills = _GRANTS.validate_json(row.grants)
    profile = ReviewerProfile(
        actor_id=row.actor_id,
        skills=tuple(
            RequiredSkill(name=skill.name, level=skill.level) for skill in skills if skill.source == "granted"
        ),
        teams=tuple(row.teams),
        calendar=None if row.calendar is None else WorkingCalendar.model_validate_json(row.calendar),
        max_claims=row.max_claims,
        max_claims_of_queue=body_of(row.max_claims_of_queue),
    )
    return Reviewer(profile=profile, skills=skills, paused=_PAUSES.validate_json(row.pauses))


class PostgresPeople(Repository):
    """Implements :class:`services.ports.queues.PeopleRepository`."""

    async def at_work(self, actor_id: str) -> dict[str, Reviewer]:
        """Serialise the person's claims until the transaction ends, and return who they are, by project."""
        rows = await self._run(_AT_WORK, actor_id=actor_id)
        return {row.project: reviewer_of(row) for row in rows if row.project is not None}

    async def get(self, project: str, actor_id: str, *, lock: bool = False) -> Reviewer | None:
        """Return a person; with ``lock`` no other transaction changes them until this one ends."""
        row = await self._first(_GET_LOCKED if lock else _GET_PLAIN, project=project, actor_id=actor_id)
        return None if row is None else reviewer_of(row)

    async def list(self, project: str) -> tuple[Reviewer, ...]:
        """Return all people of a project, by id."""
        return tuple(reviewer_of(row) for row in await self._run(_LIST, project=project))

    async def put(self, project: str, profile: ReviewerProfile, *, set_by: str) -> None:
        """Insert or replace what is set by hand for a person; skills of other sources stay."""
        person = {"project": project, "actor_id": profile.actor_id}
        await self._count(
            _PUT,
            **person,
            teams=[*profile.teams],
            calendar=None if profile.calendar is None else model_text(profile.calendar),
            max_claims=profile.max_claims,
            max_claims_of_queue=body_text(profile.max_claims_of_queue),
        )
        names = [skill.name for skill in profile.skills]
        await self._count(_FORGET_GRANTS, **person, names=names)
        if names:
            levels = [skill.level for skill in profile.skills]
            await self._count(_GRANT, **person, names=names, levels=levels, set_by=set_by)

    async def delete(self, project: str, actor_id: str) -> bool:
        """Forget a person; False if there is none."""
        return await self._count(_DELETE, project=project, actor_id=actor_id) == 1

    async def ensure(self, project: str, actor_id: str) -> None:
        """Let the project know a person, without any limit, unless it does."""
        await self._count(_ENSURE, project=project, actor_id=actor_id)

    async def measure_skill(
        self, project: str, actor_id: str, name: str, level: int, figures: Figures, *, set_by: str
    ) -> None:
        """Give a person a skill by what was measured, or another level of it; what was granted by hand stays."""
        await self.ensure(project, actor_id)
        await self._count(
            _MEASURE,
            project=project,
            actor_id=actor_id,
            name=name,
            level=level,
            figures=model_text(figures),
            set_by=set_by,
        )

    async def forget_measured(self, project: str, actor_id: str, name: str) -> None:
        """Take back a skill that was measured."""
        await self._count(_UNMEASURE, project=project, actor_id=actor_id, name=name)

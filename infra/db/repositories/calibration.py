"""Scored answers, what they add up to, and who is paused for them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from infra.db.documents import model_text
from infra.db.repositories.base import Repository
from services.contracts.calibration import EarnedSkill, PersonPause, ScoredAnswer
from services.contracts.review import TaskKind

# Claims have a lock of their own (namespace 3): a decision holds its task first, a claim its person.
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 4))")
_FORGET = text("DELETE FROM scored_answers WHERE decision_id = ANY (CAST(:decision_ids AS uuid[]))")
_ADD = text("""
    INSERT INTO scored_answers (decision_id, finding_id, project, task_id, actor_id, queue, kind, "check",
                                finding_kind, labels, reference, "right", decided_at)
    VALUES (:decision_id, :finding_id, :project, :task_id, :actor_id, :queue, :kind, :check, :finding_kind,
            CAST(:labels AS text[]), :reference, :right, :decided_at)
    ON CONFLICT (decision_id, finding_id) DO UPDATE SET reference = EXCLUDED.reference, "right" = EXCLUDED."right"
""")
_GOLD = text("""
    SELECT count(*) AS judged, count(*) FILTER (WHERE answer."right") AS right_ones
    FROM (SELECT count(*) FILTER (WHERE "right") >= CAST(:least AS float8) * count(*) AS "right" FROM scored_answers
          WHERE project = :project AND actor_id = :actor_id AND decided_at > :since AND queue = :queue AND kind = :kind
            AND reference = 'gold'
          GROUP BY task_id) AS answer
""")
_FOR_RULE = text("""
    SELECT count(*) AS judged, count(*) FILTER (WHERE "right") AS right_ones FROM scored_answers
    WHERE project = :project AND actor_id = :actor_id AND decided_at > :since
      AND (CAST(:checks AS text[]) = '{}' OR "check" = ANY (CAST(:checks AS text[])))
      AND (CAST(:kinds AS text[]) = '{}' OR finding_kind = ANY (CAST(:kinds AS text[])))
      AND (CAST(:labels AS text[]) = '{}' OR labels && CAST(:labels AS text[]))
""")
_LAST_ANSWERED = text("""
    SELECT actor_id FROM scored_answers WHERE project = :project
    GROUP BY actor_id HAVING max(decided_at) > :after AND max(decided_at) <= :before ORDER BY actor_id
""")
_PAUSE = text("""
    INSERT INTO person_pauses (project, actor_id, queue, kind, paused, pause)
    VALUES (:project, :actor_id, :queue, :kind, true, :pause)
    ON CONFLICT (project, actor_id, queue, kind) DO UPDATE SET paused = true, pause = EXCLUDED.pause
""")
_OF_PERSON = "project = :project AND actor_id = :actor_id AND queue = :queue AND kind = :kind"
_END = text(f"""
    UPDATE person_pauses SET paused = false, counted_from = clock_timestamp() WHERE {_OF_PERSON} AND paused
""")  # noqa: S608 - a constant
_STATE = text(f"SELECT paused, counted_from FROM person_pauses WHERE {_OF_PERSON}")  # noqa: S608
_PAUSES = text("""
    SELECT pause FROM person_pauses WHERE project = :project AND paused ORDER BY actor_id, queue, kind
""")


class PostgresCalibration(Repository):
    """Implements :class:`services.ports.calibration.CalibrationRepository`."""

    async def lock_person(self, project: str, actor_id: str) -> None:
        """Let nobody else add up the person's answers until the transaction ends."""
        await self._run(_LOCK, name=f"{project}/{actor_id}")

    async def put_scores(self, decision_ids: Sequence[UUID], scores: Sequence[ScoredAnswer]) -> None:
        """Replace what is kept about these decisions."""
        await self._count(_FORGET, decision_ids=[*decision_ids])
        for score in scores:
            await self._count(
                _ADD, **score.model_dump(exclude={"kind", "labels"}), kind=score.kind.value, labels=[*score.labels]
            )

    async def gold_answers(
        self, project: str, actor_id: str, queue: str, kind: TaskKind, since: datetime, *, least: float = 1.0
    ) -> tuple[int, int]:
        """Return how many tasks with a known answer the person decided since, and how many right; see the port."""
        row = await self._first(
            _GOLD, project=project, actor_id=actor_id, queue=queue, kind=kind.value, since=since, least=least
        )
        return (0, 0) if row is None else (row.judged, row.right_ones)

    async def answers_for(self, project: str, actor_id: str, rule: EarnedSkill, since: datetime) -> tuple[int, int]:
        """Return how many scored answers of the person a rule is about, and how many were right."""
        row = await self._first(
            _FOR_RULE,
            project=project,
            actor_id=actor_id,
            since=since,
            checks=[*rule.checks],
            kinds=[*rule.kinds],
            labels=[*rule.labels],
        )
        return (0, 0) if row is None else (row.judged, row.right_ones)

    async def last_answered(self, project: str, *, after: datetime, before: datetime) -> tuple[str, ...]:
        """Return the people whose newest scored answer was given between two moments, by id."""
        rows = await self._run(_LAST_ANSWERED, project=project, after=after, before=before)
        return tuple(row.actor_id for row in rows)

    async def put_pause(self, pause: PersonPause) -> None:
        """Pause a person, or replace the figures of their pause."""
        await self._count(
            _PAUSE,
            project=pause.project,
            actor_id=pause.actor_id,
            queue=pause.queue,
            kind=pause.kind.value,
            pause=model_text(pause),
        )

    async def end_pause(self, project: str, actor_id: str, queue: str, kind: TaskKind) -> bool:
        """End a pause; only what is answered from now on counts for the next. False if there is none."""
        return await self._count(_END, project=project, actor_id=actor_id, queue=queue, kind=kind.value) == 1

    async def pause_state(
        self, project: str, actor_id: str, queue: str, kind: TaskKind
    ) -> tuple[bool, datetime | None]:
        """Return whether a person is paused, and from when on their answers count."""
        row = await self._first(_STATE, project=project, actor_id=actor_id, queue=queue, kind=kind.value)
        return (False, None) if row is None else (row.paused, row.counted_from)

    async def pauses(self, project: str) -> tuple[PersonPause, ...]:
        """Return all pauses of a project that last, by person, queue and kind."""
        return tuple(PersonPause.model_validate_json(row.pause) for row in await self._run(_PAUSES, project=project))

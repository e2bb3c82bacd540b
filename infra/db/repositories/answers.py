"""Joined answers, and the skills of annotators."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import text

from infra.db.documents import model_text
from infra.db.repositories.base import OF_REVISION, Repository
from services.contracts.consensus import Consensus, JoinedAnswers
from services.contracts.lifecycle import RevisionRef
from services.contracts.quality import AnnotatorQuality, AnnotatorSkill

_PUT = text("""
    INSERT INTO joined_answers (project, sample_id, revision, answers, label_version, body, joined_at)
    VALUES (:project, :sample_id, :revision, :answers, :label_version, :body, :joined_at)
    ON CONFLICT (project, sample_id, revision, answers) DO UPDATE SET
        label_version = EXCLUDED.label_version, body = EXCLUDED.body, joined_at = EXCLUDED.joined_at
""")
_LAST = text(f"SELECT body FROM joined_answers WHERE {OF_REVISION} ORDER BY answers DESC LIMIT 1")  # noqa: S608
_CONSENSUS = text(f"""
    SELECT body FROM joined_answers WHERE {OF_REVISION} AND label_version IS NOT NULL ORDER BY answers DESC LIMIT 1
""")  # noqa: S608
_LABELS = "FROM joined_answers WHERE project = :project AND label_version IS NOT NULL"
_JOINED = text(f"""
    SELECT body {_LABELS}
      AND (CAST(:joined_at AS timestamptz) IS NULL
           OR (joined_at, sample_id, revision)
              < (CAST(:joined_at AS timestamptz), CAST(:sample_id AS text), CAST(:revision AS integer)))
    ORDER BY joined_at DESC, sample_id DESC, revision DESC LIMIT :limit
""")
_COUNT = text(f"SELECT count(*) AS found {_LABELS}")
_PUT_QUALITY = text("""
    INSERT INTO annotator_quality (project, samples, joined, units, known, learned_at)
    VALUES (:project, :samples, :joined, :units, :known, :learned_at)
    ON CONFLICT (project) DO UPDATE SET
        samples = EXCLUDED.samples, joined = EXCLUDED.joined, units = EXCLUDED.units, known = EXCLUDED.known,
        learned_at = EXCLUDED.learned_at
""")
_DROP_SKILLS = text("DELETE FROM annotator_skills WHERE project = :project")
_PUT_SKILLS = text("""
    INSERT INTO annotator_skills (project, actor_id, label, judged, correct, share, low, high)
    SELECT CAST(:project AS text), * FROM unnest(
        CAST(:actors AS text[]), CAST(:labels AS text[]), CAST(:judged AS float8[]), CAST(:correct AS float8[]),
        CAST(:shares AS float8[]), CAST(:lows AS float8[]), CAST(:highs AS float8[]))
""")
_QUALITY = text("SELECT * FROM annotator_quality WHERE project = :project")
_ALL_SKILLS = text("SELECT * FROM annotator_skills WHERE project = :project ORDER BY actor_id, label")
_SKILLS = text("""
    SELECT * FROM annotator_skills
    WHERE project = :project AND actor_id = ANY (CAST(:people AS text[])) ORDER BY actor_id, label
""")


class PostgresAnswers(Repository):
    """Implements :class:`services.ports.answers.AnswerRepository`."""

    async def put_joined(self, joined: JoinedAnswers) -> None:
        """Keep what the answers of a revision said together, by revision and number of answers."""
        await self._count(
            _PUT,
            **joined.ref.model_dump(),
            answers=joined.answers,
            label_version=joined.label_version,
            body=model_text(joined),
            joined_at=joined.joined_at,
        )

    async def last_joined(self, ref: RevisionRef) -> JoinedAnswers | None:
        """Return what was kept last of a revision."""
        row = await self._first(_LAST, **ref.model_dump())
        return None if row is None else JoinedAnswers.model_validate_json(row.body)

    async def consensus_of(self, ref: RevisionRef) -> Consensus | None:
        """Return what the answers said together of which labels of a revision were made, if they were."""
        row = await self._first(_CONSENSUS, **ref.model_dump())
        return None if row is None else JoinedAnswers.model_validate_json(row.body).consensus

    async def joined_labels(
        self, project: str, *, after: JoinedAnswers | None, limit: int
    ) -> tuple[JoinedAnswers, ...]:
        """Return joined answers of which labels were made, the newest first, after those that were read before."""
        rows = await self._run(
            _JOINED,
            project=project,
            limit=limit,
            **dict.fromkeys(("joined_at", "sample_id", "revision"), None)
            if after is None
            else {
                "joined_at": after.joined_at,
                "sample_id": after.ref.sample_id,
                "revision": after.ref.revision,
            },
        )
        return tuple(JoinedAnswers.model_validate_json(row.body) for row in rows)

    async def count_joined_labels(self, project: str) -> int:
        """Return how many there are."""
        row = await self._first(_COUNT, project=project)
        return 0 if row is None else int(row.found)

    async def learned_from(self, project: str) -> int:
        """Return how many there were when the skills of the project's annotators were learned last; 0 before."""
        row = await self._first(_QUALITY, project=project)
        return 0 if row is None else int(row.joined)

    async def put_quality(self, quality: AnnotatorQuality) -> None:
        """Replace what is known about a project's annotators."""
        # The row of the project first: who comes at the same time waits there.
        await self._count(
            _PUT_QUALITY,
            project=quality.project,
            samples=quality.samples,
            joined=quality.joined,
            units=quality.units,
            known=quality.known,
            learned_at=quality.learned_at,
        )
        await self._count(_DROP_SKILLS, project=quality.project)
        await self._count(
            _PUT_SKILLS,
            project=quality.project,
            actors=[skill.actor_id or "" for skill in quality.skills],
            labels=[skill.label or "" for skill in quality.skills],
            judged=[skill.judged for skill in quality.skills],
            correct=[skill.right for skill in quality.skills],
            shares=[skill.share for skill in quality.skills],
            lows=[skill.low for skill in quality.skills],
            highs=[skill.high for skill in quality.skills],
        )

    async def quality(self, project: str) -> AnnotatorQuality | None:
        """Return what was learned last about a project's annotators."""
        row = await self._first(_QUALITY, project=project)
        if row is None:
            return None
        skills = await self._run(_ALL_SKILLS, project=project)
        return AnnotatorQuality(
            project=project,
            samples=row.samples,
            joined=row.joined,
            units=row.units,
            known=row.known,
            learned_at=row.learned_at,
            skills=tuple(_skill_of(skill) for skill in skills),
        )

    async def skills(self, project: str, people: Sequence[str]) -> tuple[AnnotatorSkill, ...]:
        """Return the skills of these people and of everybody together."""
        rows = await self._run(_SKILLS, project=project, people=["", *people])
        return tuple(_skill_of(row) for row in rows)


def _skill_of(row: Any) -> AnnotatorSkill:
    return AnnotatorSkill(
        actor_id=row.actor_id or None,
        label=row.label or None,
        judged=row.judged,
        right=row.correct,
        share=row.share,
        low=row.low,
        high=row.high,
    )

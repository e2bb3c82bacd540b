"""Probes: finished tasks that are given again, apart from all real work."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import TextClause, text

from infra.db.documents import annotations_of, annotations_text, body_text, model_text
from infra.db.repositories import claims
from infra.db.repositories.base import OF_REVISION, Repository
from infra.db.repositories.probe_choice import OPEN
from infra.db.repositories.samples import ref_of
from infra.db.repositories.task_rows import task_of
from infra.db.repositories.verdicts import draft_of
from services.contracts.annotations import Annotations
from services.contracts.calibration import Disagreement, MixedIn, Probe, ProbeAnswer
from services.contracts.lifecycle import RevisionRef
from services.contracts.review import Decision, Draft, Lease, ReviewTask, TaskKind, TaskState
from services.errors import IntegrityError, TaskFinishedError
from services.ports.probes import Choice


def _of_probes(statement: TextClause) -> TextClause:
    """Return a statement about review tasks as one about probes, so that both are held in the same way."""
    return text(statement.text.replace("review_tasks", "probe_tasks"))


_CLAIM, _RENEW, _RELEASE = map(_of_probes, (claims.HOLD, claims.RENEW, claims.RELEASE))
_GET = text("SELECT * FROM probe_tasks WHERE task_id = :task_id")
_TASK = "SELECT *, clock_timestamp() AS now FROM probe_tasks WHERE task_id = :task_id"
_TASK_PLAIN = text(_TASK)
_TASK_LOCKED = text(f"{_TASK} FOR NO KEY UPDATE")
_FREE = text("""
    SELECT probe.*, clock_timestamp() AS now
    FROM probe_seen AS seen JOIN probe_tasks AS probe ON probe.task_id = seen.task_id
    WHERE seen.actor_id = :actor_id
      AND (probe.state = 'open' OR probe.state = 'claimed' AND probe.lease_expires_at <= clock_timestamp())
    ORDER BY probe.created_at, probe.task_id
""")
_HELD = text("""
    SELECT *, clock_timestamp() AS now FROM probe_tasks
    WHERE held_by = :actor_id AND state = 'claimed' AND lease_expires_at > clock_timestamp()
      AND project = ANY (CAST(:projects AS text[]))
""")
_NEW_SECRET = text("""
    INSERT INTO probe_secrets (project, secret) VALUES (:project, gen_random_uuid()::text) ON CONFLICT DO NOTHING
""")
_SECRET = text("SELECT secret FROM probe_secrets WHERE project = :project")
_NEXT_TURN = text("""
    INSERT INTO probe_turns (project, actor_id, turns, given, missing) VALUES (:project, :actor_id, 1, 0, 0)
    ON CONFLICT (project, actor_id) DO UPDATE SET turns = probe_turns.turns + 1
    RETURNING turns
""")
_NOTE_TURN = text("""
    UPDATE probe_turns SET given = given + :given, missing = missing + :missing
    WHERE project = :project AND actor_id = :actor_id
""")
_SEEN = text("""
    INSERT INTO probe_seen (project, actor_id, sample_id, task_id)
    SELECT project, :actor_id, sample_id, task_id FROM probe_tasks WHERE task_id = :task_id
    ON CONFLICT DO NOTHING
""")
_GIVEN = text("SELECT 1 FROM probe_seen WHERE task_id = :task_id AND actor_id = :actor_id")
_CLOSE = text("""
    UPDATE probe_tasks
    SET state = :state, held_by = NULL, lease_expires_at = NULL, completed_at = clock_timestamp()
    WHERE task_id = :task_id AND state IN ('open', 'claimed')
""")
_CANCEL_OF = text(f"""
    UPDATE probe_tasks
    SET state = 'cancelled', held_by = NULL, lease_expires_at = NULL, completed_at = clock_timestamp()
    WHERE {OF_REVISION} AND state IN ('open', 'claimed')
""")  # noqa: S608 - a constant
# What the person is just deciding in another transaction is finished there.
_RELEASE_ALL = """
    UPDATE {table} SET state = 'open', held_by = NULL, lease_expires_at = NULL
    WHERE task_id IN (
        SELECT task_id FROM {table}
        WHERE held_by = :actor_id AND project = :project AND queue = :queue AND kind = :kind AND state = 'claimed'
        FOR NO KEY UPDATE SKIP LOCKED)
"""
_RELEASE_TASKS, _RELEASE_PROBES = (text(_RELEASE_ALL.format(table=table)) for table in ("review_tasks", "probe_tasks"))
_SAVE_DRAFT = text("""
    INSERT INTO probe_drafts (task_id, actor_id, body, saved_at)
    VALUES (:task_id, :actor_id, :body, clock_timestamp())
    ON CONFLICT (task_id, actor_id) DO UPDATE SET body = EXCLUDED.body, saved_at = EXCLUDED.saved_at
    RETURNING *
""")
_DRAFT = text("SELECT * FROM probe_drafts WHERE task_id = :task_id AND actor_id = :actor_id")
_ANSWER = text("""
    UPDATE probe_tasks SET decision = :decision, body = :body, labels_after = :labels_after, answered_by = :actor_id
    WHERE task_id = :task_id AND decision IS NULL
""")
_AGREED = text("UPDATE probe_tasks SET agreed = :agreed WHERE task_id = :task_id")
_ABOUT = text("""
    SELECT * FROM probe_tasks
    WHERE project = :project AND sample_id = :sample_id AND purpose = 'gold' AND decision IS NOT NULL
    ORDER BY completed_at, task_id
""")
_ANSWERS = text("""
    SELECT * FROM probe_tasks
    WHERE project = :project AND purpose = 'gold' AND decision IS NOT NULL
      AND (CAST(:before_at AS timestamptz) IS NULL
           OR (completed_at, task_id) < (CAST(:before_at AS timestamptz), CAST(:before_task AS uuid)))
    ORDER BY completed_at DESC, task_id DESC LIMIT :limit
""")
_MIXED_IN = text("SELECT * FROM probe_turns WHERE project = :project ORDER BY actor_id")
_SECOND = text("""
    SELECT count(*) AS compared, count(*) FILTER (WHERE agreed) AS agreed
    FROM probe_tasks WHERE project = :project AND purpose = 'second_opinion' AND agreed IS NOT NULL
""")
_DISAGREEMENTS = text("""
    SELECT probe.*, source.actor_id AS first_actor, source.verdict AS first_verdict
    FROM probe_tasks AS probe JOIN decisions AS source ON source.task_id = probe.source_task_id
    WHERE probe.project = :project AND probe.purpose = 'second_opinion' AND probe.agreed = false
    ORDER BY probe.completed_at DESC, probe.task_id LIMIT :limit
""")


def _probe_of(row: Any) -> Probe:
    return Probe(
        task_id=row.task_id,
        purpose=row.purpose,
        source_task_id=row.source_task_id,
        ref=ref_of(row),
        kind=TaskKind(row.kind),
        queue=row.queue,
        label_version=row.label_version,
        shift_s=row.shift_s,
    )


def _answer_of(row: Any) -> ProbeAnswer:
    return ProbeAnswer(
        probe=_probe_of(row),
        decision=Decision.model_validate_json(row.decision),
        labels_after=annotations_of(row.labels_after),
        answered_at=row.completed_at,
    )


class PostgresProbes(Repository):
    """Implements :class:`services.ports.probes.ProbeRepository`."""

    async def get(self, task_id: UUID) -> Probe | None:
        """Return a probe; None for real tasks and unknown ids."""
        row = await self._first(_GET, task_id=task_id)
        return None if row is None else _probe_of(row)

    async def secret(self, project: str) -> str:
        """Return what the project's choices hang on; made when it is first asked for."""
        row = await self._first(_SECRET, project=project)
        if row is None:
            await self._count(_NEW_SECRET, project=project)
            row = await self._first(_SECRET, project=project)
        if row is None:
            raise IntegrityError(f"the secret of project {project} was not kept")
        return str(row.secret)

    async def next_turn(self, project: str, actor_id: str) -> int:
        """Count one more task that the person is given, and return its number, from 1."""
        row = await self._first(_NEXT_TURN, project=project, actor_id=actor_id)
        if row is None:
            raise IntegrityError(f"a turn of {actor_id} was not counted")
        return int(row.turns)

    async def note_turn(self, project: str, actor_id: str, *, given: bool) -> None:
        """Note whether a known answer that was due was given, or was missing."""
        await self._count(_NOTE_TURN, project=project, actor_id=actor_id, given=int(given), missing=int(not given))

    async def open(self, choice: Choice) -> UUID | None:
        """Open a probe that fits and that the person does not know; None if there is none."""
        head = choice.head
        row = await self._first(
            OPEN[choice.purpose],
            task_id=uuid4(),
            head=head.task_id,
            project=head.ref.project,
            queue=head.queue,
            kind=head.kind.value,
            skill=head.skill,
            risk=head.risk,
            actor_id=choice.actor_id,
            salt=choice.salt,
            place=choice.place,
            opened_since=choice.opened_since,
            share=choice.share,
        )
        return None if row is None else row.task_id

    async def task(self, task_id: UUID, *, lock: bool = False) -> ReviewTask | None:
        """Return the probe as the task that it looks like."""
        row = await self._first(_TASK_LOCKED if lock else _TASK_PLAIN, task_id=task_id)
        return None if row is None else task_of(row)

    async def was_given(self, task_id: UUID, actor_id: str) -> bool:
        """Whether the person was given this probe."""
        return await self._first(_GIVEN, task_id=task_id, actor_id=actor_id) is not None

    async def free(self, actor_id: str) -> tuple[ReviewTask, ...]:
        """Return unanswered probes that the person was given and that nobody holds now."""
        return tuple(task_of(row) for row in await self._run(_FREE, actor_id=actor_id))

    async def held(self, actor_id: str, projects: Sequence[str]) -> tuple[ReviewTask, ...]:
        """Return the probes that the person holds now."""
        return tuple(task_of(row) for row in await self._run(_HELD, actor_id=actor_id, projects=[*projects]))

    async def claim(self, task_id: UUID, actor_id: str, lease: timedelta) -> ReviewTask | None:
        """Claim a probe if nobody else holds a live lease on it; the person counts as given the sample."""
        row = await self._first(_CLAIM, task_id=task_id, actor_id=actor_id, lease=lease)
        if row is None:
            return None
        await self._count(_SEEN, task_id=task_id, actor_id=actor_id)
        return task_of(row)

    async def renew(self, task_id: UUID, fence: int, lease: timedelta) -> Lease | None:
        """Extend a live lease held under ``fence``; None if it is over or another's."""
        row = await self._first(_RENEW, task_id=task_id, fence=fence, lease=lease)
        if row is None:
            return None
        return Lease(task_id=row.task_id, fence=row.fence, lease_expires_at=row.lease_expires_at)

    async def release(self, task_id: UUID, fence: int) -> bool:
        """Give a probe back; False if the lease is over or another's."""
        return await self._count(_RELEASE, task_id=task_id, fence=fence) == 1

    async def close(self, task_id: UUID, state: TaskState) -> None:
        """Complete or cancel a probe and drop its lease.

        Raises:
            TaskFinishedError: It has ended.
        """
        if not await self._count(_CLOSE, task_id=task_id, state=state.value):
            raise TaskFinishedError(f"task {task_id} has ended")

    async def cancel_of(self, ref: RevisionRef) -> None:
        """Cancel all probes of a revision that nobody has answered."""
        await self._count(_CANCEL_OF, **ref.model_dump())

    async def release_all(self, project: str, actor_id: str, queue: str, kind: TaskKind) -> int:
        """Take all tasks and probes of a queue and kind out of a person's hands; return how many. Drafts stay."""
        released = 0
        for statement in (_RELEASE_TASKS, _RELEASE_PROBES):
            released += await self._count(statement, project=project, actor_id=actor_id, queue=queue, kind=kind.value)
        return released

    async def save_draft(self, task_id: UUID, actor_id: str, body: dict[str, Any]) -> Draft:
        """Keep the person's draft."""
        row = await self._first(_SAVE_DRAFT, task_id=task_id, actor_id=actor_id, body=body_text(body))
        if row is None:
            raise IntegrityError("a draft was not kept")
        return draft_of(row)

    async def draft(self, task_id: UUID, actor_id: str) -> Draft | None:
        """Return the person's draft."""
        row = await self._first(_DRAFT, task_id=task_id, actor_id=actor_id)
        return None if row is None else draft_of(row)

    async def answer(self, task_id: UUID, decision: Decision, body: dict[str, Any], labels: Annotations) -> None:
        """Keep the answer to a probe with the labels as it left them.

        Raises:
            TaskFinishedError: It has one.
        """
        kept = await self._count(
            _ANSWER,
            task_id=task_id,
            decision=model_text(decision),
            body=body_text(body),
            labels_after=annotations_text(labels),
            actor_id=decision.actor_id,
        )
        if not kept:
            raise TaskFinishedError("This task is decided already; the first decision stands.")

    async def note_agreement(self, task_id: UUID, *, agreed: bool) -> None:
        """Keep whether a second opinion is that of the first."""
        await self._count(_AGREED, task_id=task_id, agreed=agreed)

    async def answer_of(self, task_id: UUID) -> ProbeAnswer | None:
        """Return the answer to a probe."""
        row = await self._first(_GET, task_id=task_id)
        return None if row is None or row.decision is None else _answer_of(row)

    async def answers_about(self, project: str, sample_id: str) -> tuple[ProbeAnswer, ...]:
        """Return all answers to probes of a sample for its known answer, oldest first."""
        return tuple(_answer_of(row) for row in await self._run(_ABOUT, project=project, sample_id=sample_id))

    async def answers(
        self, project: str, *, before: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[ProbeAnswer, ...]:
        """Return answers to probes for known answers, newest first by (answered, task id)."""
        at, task_id = (None, None) if before is None else before
        rows = await self._run(_ANSWERS, project=project, before_at=at, before_task=task_id, limit=limit)
        return tuple(_answer_of(row) for row in rows)

    async def mixed_in(self, project: str) -> tuple[MixedIn, ...]:
        """Return how many known answers each person was given, by person."""
        return tuple(
            MixedIn(actor_id=row.actor_id, turns=row.turns, given=row.given, missing=row.missing)
            for row in await self._run(_MIXED_IN, project=project)
        )

    async def second_opinions(self, project: str) -> tuple[int, int]:
        """Return how many adjudications a second expert decided, and how many of them alike."""
        row = await self._first(_SECOND, project=project)
        return (0, 0) if row is None else (row.compared, row.agreed)

    async def disagreements(self, project: str, *, limit: int) -> tuple[Disagreement, ...]:
        """Return adjudications that a second expert decided otherwise, newest first."""
        found = []
        for row in await self._run(_DISAGREEMENTS, project=project, limit=limit):
            second = Decision.model_validate_json(row.decision)
            found.append(
                Disagreement(
                    task_id=row.source_task_id,
                    sample_id=row.sample_id,
                    revision=row.revision,
                    finding_ids=tuple(row.finding_ids),
                    first_actor=row.first_actor,
                    first_verdict=row.first_verdict,
                    second_actor=second.actor_id,
                    second_verdict=second.verdict,
                    decided_at=second.decided_at,
                )
            )
        return tuple(found)

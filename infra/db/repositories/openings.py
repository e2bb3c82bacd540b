"""New samples: first revisions, their labels, stages and tasks, a statement for all of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import text

from infra.db.documents import annotations_text, model_text
from infra.db.repositories.base import Repository
from infra.db.repositories.inbox import event_key
from services.contracts.annotations import annotations_sha256
from services.ports.openings import Opening

# In the order of their names, so that two transactions with the same samples never wait for each other.
_RESERVE = text("""
    INSERT INTO samples (project, sample_id, current_revision, event_sequence)
    SELECT :project, sample_id, 1, 0 FROM unnest(CAST(:sample_ids AS text[])) AS sample_id ORDER BY sample_id
    ON CONFLICT DO NOTHING RETURNING sample_id
""")
_SEQUENCES = text("""
    UPDATE samples SET event_sequence = told.n
    FROM unnest(CAST(:projects AS text[]), CAST(:samples AS text[]), CAST(:told AS int[]))
         AS told (project, sample_id, n)
    WHERE samples.project = told.project AND samples.sample_id = told.sample_id
""")
_REVISIONS = text("""
    INSERT INTO sample_revisions (project, sample_id, revision, stage, risk, manifest, manifest_sha256,
                                  label_version, prediction_version, event_key, event_source, event_id)
    SELECT project, sample_id, 1, stage, risk, CAST(manifest AS json), manifest_sha256, label_version, 0,
           event_key, event_source, event_id
    FROM unnest(CAST(:projects AS text[]), CAST(:samples AS text[]), CAST(:stages AS text[]), CAST(:risks AS text[]),
                CAST(:manifests AS text[]), CAST(:hashes AS text[]), CAST(:versions AS int[]),
                CAST(:keys AS text[]), CAST(:sources AS text[]), CAST(:ids AS text[]))
         WITH ORDINALITY AS it (project, sample_id, stage, risk, manifest, manifest_sha256, label_version,
                                event_key, event_source, event_id, n)
    ORDER BY n
""")
_LABELS = text("""
    INSERT INTO label_sets (project, sample_id, revision, prediction, version, origin, author, annotations, sha256)
    SELECT project, sample_id, 1, false, 1, 'manifest', CAST(author AS json), CAST(annotations AS json), sha256
    FROM unnest(CAST(:projects AS text[]), CAST(:samples AS text[]), CAST(:authors AS text[]),
                CAST(:annotations AS text[]), CAST(:hashes AS text[]))
         AS it (project, sample_id, author, annotations, sha256)
""")
_STAGES = text("""
    INSERT INTO stage_changes (project, sample_id, sequence, revision, stage, previous_stage, actor, at)
    SELECT * FROM unnest(CAST(:projects AS text[]), CAST(:samples AS text[]), CAST(:sequences AS int[]),
                         CAST(:revisions AS int[]), CAST(:stages AS text[]), CAST(:before AS text[]),
                         CAST(:actors AS text[]), CAST(:moments AS timestamptz[]))
""")
_TASKS = text("""
    INSERT INTO review_tasks (task_id, project, sample_id, revision, kind, queue, risk, priority, state, worth,
                              finding_ids, excluded_actors, fence, start_by_at, due_at, domain, language, region)
    SELECT task_id, project, sample_id, 1, kind, queue, risk, priority, 'open', worth, '{}', '{}', 0,
           start_by_at, due_at, domain, language, region
    FROM unnest(CAST(:task_ids AS uuid[]), CAST(:projects AS text[]), CAST(:samples AS text[]),
                CAST(:kinds AS text[]), CAST(:queues AS text[]), CAST(:risks AS text[]), CAST(:priorities AS int[]),
                CAST(:worths AS float[]), CAST(:starts AS timestamptz[]), CAST(:dues AS timestamptz[]),
                CAST(:domains AS text[]), CAST(:languages AS text[]), CAST(:regions AS text[]))
         WITH ORDINALITY AS it (task_id, project, sample_id, kind, queue, risk, priority, worth, start_by_at, due_at,
                                domain, language, region, n)
    ORDER BY n
""")


class PostgresOpenings(Repository):
    """Implements :class:`services.ports.openings.OpeningRepository`."""

    async def reserve(self, project: str, sample_ids: Sequence[str]) -> frozenset[str]:
        """Make samples that were not there, locked for this transaction, and return which; no others are touched."""
        rows = await self._run(_RESERVE, project=project, sample_ids=[*sample_ids])
        return frozenset(row.sample_id for row in rows)

    async def add(self, openings: Sequence[Opening]) -> None:
        """Keep the first revisions of samples that this transaction has made."""
        await self._count(
            _SEQUENCES, **_of(openings, projects=_project, samples=_sample, told=lambda it: len(it.changes))
        )
        await self._count(
            _REVISIONS,
            **_of(
                openings,
                projects=_project,
                samples=_sample,
                stages=lambda it: it.changes[-1].stage.value,
                risks=lambda it: it.risk,
                manifests=lambda it: model_text(it.manifest),
                hashes=lambda it: it.manifest_sha256,
                versions=lambda it: 1 if it.labels else 0,
                keys=lambda it: event_key(it.event.source, it.event.id),
                sources=lambda it: it.event.source,
                ids=lambda it: it.event.id,
            ),
        )
        labelled = [opening for opening in openings if opening.labels]
        if labelled:
            await self._add_labels(labelled)
        await self._add_stages(openings)
        if any(opening.tasks for opening in openings):
            await self._add_tasks(openings)

    async def _add_labels(self, openings: Sequence[Opening]) -> None:
        await self._count(
            _LABELS,
            **_of(
                openings,
                projects=_project,
                samples=_sample,
                authors=lambda it: model_text(it.author),
                annotations=lambda it: annotations_text(it.labels),
                hashes=lambda it: annotations_sha256(it.labels),
            ),
        )

    async def _add_stages(self, openings: Sequence[Opening]) -> None:
        changes = [change for opening in openings for change in opening.changes]
        await self._count(
            _STAGES,
            projects=[change.ref.project for change in changes],
            samples=[change.ref.sample_id for change in changes],
            sequences=[change.sequence for change in changes],
            revisions=[change.ref.revision for change in changes],
            stages=[change.stage.value for change in changes],
            before=[None if change.previous_stage is None else change.previous_stage.value for change in changes],
            actors=[change.actor for change in changes],
            moments=[change.at for change in changes],
        )

    async def _add_tasks(self, openings: Sequence[Opening]) -> None:
        ids = [task_id for opening in openings for task_id, _ in opening.tasks]
        tasks = [task for opening in openings for _, task in opening.tasks]
        await self._count(
            _TASKS,
            task_ids=ids,
            projects=[task.ref.project for task in tasks],
            samples=[task.ref.sample_id for task in tasks],
            kinds=[task.kind.value for task in tasks],
            queues=[task.queue for task in tasks],
            risks=[task.risk for task in tasks],
            priorities=[task.priority for task in tasks],
            worths=[task.worth for task in tasks],
            starts=[task.start_by_at for task in tasks],
            dues=[task.due_at for task in tasks],
            domains=[task.facts.domain for task in tasks],
            languages=[task.facts.language for task in tasks],
            regions=[task.facts.region for task in tasks],
        )


def _of(openings: Sequence[Opening], **columns: Callable[[Opening], Any]) -> dict[str, list[Any]]:
    """Return a column of each name, with a value an opening."""
    return {name: [value(opening) for opening in openings] for name, value in columns.items()}


def _project(opening: Opening) -> str:
    return opening.ref.project


def _sample(opening: Opening) -> str:
    return opening.ref.sample_id

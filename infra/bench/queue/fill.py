"""Open review tasks by the million, made by SQL from one that the product itself has stored."""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

from infra.db.engine import open_database
from services.contracts.canonical import content_sha256
from services.contracts.findings import Finding
from services.contracts.label_base import Author
from services.contracts.labels_visual import Box
from services.contracts.lifecycle import RevisionRef, Stage
from services.contracts.manifest import SampleManifest
from services.contracts.records import Project, ProjectConfig
from services.contracts.review import FindingState, StoredFinding
from services.lifecycle.journal import move, record_stage
from services.ports.database import Transaction
from services.review.authorship import concerned_sha256
from services.rules.rule_set import DEFAULT_RULE_SET

PROJECT = "bench"
TASKS_A_SAMPLE = 4
_REF = RevisionRef(project=PROJECT, sample_id="template", revision=1)
_AUTHOR = Author(kind="human", id="author")

# Without triggers and keys: what is made here is consistent by itself, and a million rows take a minute.
_COPIES = (
    """
    INSERT INTO samples (project, sample_id, current_revision, event_sequence)
    SELECT project, 's' || n, 1, 4 FROM samples, generate_series(1, {samples}) AS n
    """,
    """
    INSERT INTO sample_revisions (project, sample_id, revision, stage, risk, manifest, manifest_sha256, label_version,
                                  prediction_version)
    SELECT project, 's' || n, revision, stage, risk, replace(manifest::text, 'template', 's' || n)::json,
           manifest_sha256, label_version, prediction_version
    FROM sample_revisions, generate_series(1, {samples}) AS n
    """,
    """
    INSERT INTO label_sets
    SELECT made.* FROM label_sets AS template, generate_series(1, {samples}) AS n,
        LATERAL jsonb_populate_record(template, jsonb_build_object('sample_id', 's' || n)) AS made
    """,
    """
    INSERT INTO findings
    SELECT made.* FROM findings AS template, generate_series(0, {tasks} - 1, {answers}) AS n,
        LATERAL jsonb_populate_record(template, jsonb_build_object(
            'sample_id', 's' || 1 + n / {tasks_a_sample}, 'finding_id', 'f-' || n % {tasks_a_sample} / {answers},
            'finding', replace(template.finding::text, 'f-template', 'f-' || n % {tasks_a_sample} / {answers})::jsonb
        )) AS made
    """,
    """
    INSERT INTO review_lanes (project, queue, kind, skill, ageing_per_hour)
    SELECT '{project}', 'q' || n, 'review', CASE WHEN n % 4 = 0 THEN 'spatial' ELSE '' END, n % 3
    FROM generate_series(0, {queues} - 1) AS n
    """,
    # Spread evenly: every queue has tasks of every priority and age; one in a hundred is in somebody's hands.
    """
    INSERT INTO review_tasks (task_id, project, sample_id, revision, kind, queue, skill, risk, priority, state,
                              finding_ids, excluded_actors, fence, created_at, held_by, lease_expires_at, lane_id, rank)
    SELECT gen_random_uuid(), lane.project, 's' || 1 + n / {tasks_a_sample}, 1, lane.kind, lane.queue,
           nullif(lane.skill, ''), 'low', n * 7 % 300, CASE WHEN {held} THEN 'claimed' ELSE 'open' END,
           ARRAY['f-' || n % {tasks_a_sample} / {answers}], ARRAY['author', 'person-' || n % {people}], 1, made.at,
           CASE WHEN {held} THEN 'holder-' || n % 997 END, CASE WHEN {held} THEN now() + interval '1 day' END,
           lane.lane_id, concord_rank(lane.ageing_per_hour, made.at, (n * 7 % 300)::integer, 0)
    FROM generate_series(0, {tasks} - 1) AS n
    JOIN review_lanes AS lane ON lane.queue = 'q' || n * 31 % {queues}
    CROSS JOIN LATERAL (SELECT now() - make_interval(secs => n * 13 % 1000000) AS at) AS made
    """,
    # What was decided before, about other findings of some of the samples.
    """
    WITH decided AS (
        INSERT INTO review_tasks (task_id, project, sample_id, revision, kind, queue, skill, risk, priority, state,
                                  finding_ids, excluded_actors, fence, created_at, completed_at, lane_id, rank)
        SELECT gen_random_uuid(), lane.project, 's' || 1 + n * 3 % {samples}, 1, lane.kind, lane.queue,
               nullif(lane.skill, ''), 'low', 0, 'completed', ARRAY['f-before'], ARRAY['author'], 1,
               now() - interval '30 days', now() - interval '20 days', lane.lane_id, 0
        FROM generate_series(1, {decided}) AS n JOIN review_lanes AS lane ON lane.queue = 'q' || n % {queues}
        RETURNING task_id, project, sample_id, revision, kind, finding_ids, completed_at
    )
    INSERT INTO decisions (decision_id, task_id, project, sample_id, revision, task_kind, actor_id, verdict,
                           finding_ids, fence, label_version_before, label_version_after, content_sha256, body,
                           decided_at)
    SELECT gen_random_uuid(), task_id, project, sample_id, revision, kind,
           'person-' || row_number() OVER () % {people}, 'approve', finding_ids, 1, 1, 1, repeat('0', 64),
           '{{"verdict": "approve"}}', completed_at
    FROM decided
    """,
)
_BARE = (
    """
    CREATE TABLE bare_tasks (task_id uuid PRIMARY KEY, priority integer NOT NULL, created_at timestamptz NOT NULL,
                             state text NOT NULL, held_by text, lease_expires_at timestamptz)
    """,
    "INSERT INTO bare_tasks SELECT task_id, priority, created_at, 'open' FROM review_tasks WHERE state = 'open'",
    """
    CREATE INDEX ix_bare_tasks ON bare_tasks (priority DESC, created_at, task_id)
    WHERE state IN ('open', 'claimed')
    """,
)


async def fill(
    url: str,
    *,
    tasks: int,
    queues: int = 20,
    people: int = 1_000,
    answers: int = 1,
    some_held: bool = True,
    decided: int = 0,
    lease_s: int = 900,
) -> None:
    """Put open tasks into a migrated, empty database, and as many rows into a bare table beside them.

    Args:
        url: The database.
        tasks: How many; four to a sample, each with a finding of its own.
        queues: Over how many queues they are spread; every fourth asks for a skill, two of three age.
        people: ``person-0`` and so on; each is excluded from every so many-th task.
        answers: How many tasks, 1, 2 or 4, ask about the same finding, for as many different people.
        decided: How many tasks there are beside them that were decided long ago.
        some_held: Whether one in a hundred is in somebody's hands.
        lease_s: Length of a lease in the project, seconds.
    """
    async with open_database(url, pool_size=1) as database, database.transaction() as tx:
        await _put_template(tx, lease_s)
    values = {
        "tasks": tasks,
        "samples": -(-tasks // TASKS_A_SAMPLE),
        "tasks_a_sample": TASKS_A_SAMPLE,
        "queues": queues,
        "project": PROJECT,
        "people": people,
        "answers": answers,
        "decided": decided,
        "held": "n % 100 = 7" if some_held else "false",
    }
    connection = await asyncpg.connect(url, server_settings={"session_replication_role": "replica", "jit": "off"})
    try:
        for statement in (*_COPIES, *_BARE):
            await connection.execute(statement.format(**values))
        # Now, and not when autovacuum thinks of it in the middle of a measurement.
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


async def _put_template(tx: Transaction, lease_s: int) -> None:
    """Store one sample under review with its labels and a finding, the way the product does; no task is open."""
    await tx.projects.add_rule_set(DEFAULT_RULE_SET)
    await tx.projects.add(Project(id=PROJECT, name="Benchmark", config=ProjectConfig(lease_s=lease_s)))
    manifest = SampleManifest.model_validate(
        {
            "format": "concord.sample/1",
            "sample_id": _REF.sample_id,
            "project": PROJECT,
            "streams": [{"id": "cam", "modality": "image", "uri": "a.png"}],
        }
    )
    label = Box(id="a1", stream="cam", label="car", frame=0, box=(1.5, 2.0, 30.0, 40.25), author=_AUTHOR)
    await tx.samples.lock_sample(PROJECT, _REF.sample_id)
    await tx.samples.add_revision(
        _REF, manifest, manifest_sha256=content_sha256(manifest), risk=manifest.context.risk, event=None
    )
    await record_stage(tx, _REF, None, Stage.RECEIVED, actor="bench")
    await tx.samples.add_label_set(_REF, (label,), origin="manifest", author=_AUTHOR)
    revision = await tx.samples.get(_REF, lock=True)
    if revision is not None:
        await move(tx, revision, Stage.PRE_LABELING, Stage.CHECKING, Stage.IN_REVIEW, actor="bench")
    finding = Finding(
        finding_id="f-template",
        check="lidar_camera",
        kind="low_overlap",
        severity="major",
        message="The cuboid covers 12 % of its box.",
        annotations=("a1",),
        rule=DEFAULT_RULE_SET.reference,
    )
    at = datetime.now(UTC)
    await tx.review.put_finding(
        StoredFinding(
            ref=_REF,
            finding=finding,
            state=FindingState.OPEN,
            blocking=True,
            labels_sha256=concerned_sha256(finding, (label,)),
            label_version=1,
            found_at=at,
            updated_at=at,
        )
    )

"""Index what ground truth rests on, for the records that are there too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa
from alembic import op

from services.contracts.lifecycle import RevisionRef
from services.contracts.records import GroundTruth
from services.ground_truth.origins import origins_of

revision = "20261130_1600"
down_revision = "20261130_1505"
branch_labels = None
depends_on = None

_BATCH = 500
_RECORDS = sa.text("""
    SELECT * FROM ground_truth WHERE (project, sample_id, revision) > (:project, :sample_id, :revision)
    ORDER BY project, sample_id, revision LIMIT :limit
""")
_ADD = sa.text("""
    INSERT INTO ground_truth_origins (project, kind, key, sample_id, revision)
    SELECT * FROM unnest(CAST(:projects AS text[]), CAST(:kinds AS text[]), CAST(:keys AS text[]),
                         CAST(:samples AS text[]), CAST(:revisions AS integer[]))
""")


def upgrade() -> None:
    op.create_table(
        "ground_truth_origins",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('event', 'asset', 'calibration', 'model', 'person', 'rule_set', 'taxonomy', 'label_set', "
            "'decision', 'workflow', 'incident')",
            name=op.f("ck_ground_truth_origins_kind"),
        ),
        sa.ForeignKeyConstraint(
            ["project", "sample_id", "revision"],
            ["ground_truth.project", "ground_truth.sample_id", "ground_truth.revision"],
            name=op.f("fk_ground_truth_origins_ground_truth"),
        ),
        sa.PrimaryKeyConstraint(
            "project", "kind", "key", "sample_id", "revision", name=op.f("pk_ground_truth_origins")
        ),
    )
    _keep_origins()
    # After the rows: an index over what is there costs less than one that grows with them.
    op.create_index("ix_ground_truth_origins_record", "ground_truth_origins", ["project", "sample_id", "revision"])
    op.execute(
        "CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON ground_truth_origins "
        "FOR EACH STATEMENT EXECUTE FUNCTION concord_refuse_change()"
    )


def downgrade() -> None:
    op.drop_table("ground_truth_origins")


def _keep_origins() -> None:
    for batch in _batches():
        rows = [
            (record.ref.project, origin.kind.value, origin.key, record.ref.sample_id, record.ref.revision)
            for record in batch
            for origin in sorted(origins_of(record), key=lambda origin: (origin.kind, origin.key))
        ]
        if rows:
            names = ("projects", "kinds", "keys", "samples", "revisions")
            values = dict(zip(names, (list(column) for column in zip(*rows, strict=True)), strict=True))
            op.get_bind().execute(_ADD, values)


def _batches() -> Iterator[list[GroundTruth]]:
    after: dict[str, Any] = {"project": "", "sample_id": "", "revision": 0}
    while True:
        rows = op.get_bind().execute(_RECORDS, {**after, "limit": _BATCH}).all()
        if not rows:
            return
        yield [_record(row) for row in rows]
        after = {name: getattr(rows[-1], name) for name in after}


def _record(row: Any) -> GroundTruth:
    return GroundTruth(
        ref=RevisionRef(project=row.project, sample_id=row.sample_id, revision=row.revision),
        content_sha256=row.content_sha256,
        lineage_sha256=row.lineage_sha256,
        body=_object(row.body),
        lineage=_object(row.lineage),
        committed_at=row.committed_at,
    )


def _object(document: Any) -> Any:
    return json.loads(document) if isinstance(document, str) else document

"""Incidents: one cause behind findings of many samples."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "20261129_1100"
down_revision = "20261129_1700"
branch_labels = None
depends_on = None

_ORIGINS = (
    "'manifest', 'label_files', 'prediction', 'pre_label', 'annotator', 'external', 'reviewer', 'adjudicator', "
    "'rework', 'consensus'"
)


def _of_revision(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["project", "sample_id", "revision"],
        ["sample_revisions.project", "sample_revisions.sample_id", "sample_revisions.revision"],
        name=op.f(f"fk_{table}_sample_revisions"),
        initially="DEFERRED",
        deferrable=True,
    )


def upgrade() -> None:
    op.create_table(
        "incidents",
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("cause_key", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("incident", sa.JSON(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("state IN ('open', 'fixing', 'closed', 'dismissed')", name=op.f("ck_incidents_state")),
        sa.ForeignKeyConstraint(["project"], ["projects.id"], name=op.f("fk_incidents_projects")),
        sa.PrimaryKeyConstraint("incident_id", name=op.f("pk_incidents")),
    )
    op.create_index(
        "ix_incidents_newest", "incidents", ["project", sa.text("opened_at DESC"), sa.text("incident_id DESC")]
    )
    op.create_index(
        "ix_incidents_live_cause",
        "incidents",
        ["project", "cause_key"],
        postgresql_where=sa.text("state IN ('fixing', 'open')"),
    )
    op.create_table(
        "incident_findings",
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("spot_check", sa.Boolean(), nullable=False),
        sa.Column("position", sa.Double(), nullable=True),
        sa.Column("estimate", sa.JSON(), nullable=False),
        sa.Column("label_version", sa.Integer(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("joined_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'ordered', 'applied', 'explained', 'left', 'decided', 'gone', 'released')",
            name=op.f("ck_incident_findings_state"),
        ),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.incident_id"], name=op.f("fk_incident_findings_incidents")
        ),
        _of_revision("incident_findings"),
        sa.PrimaryKeyConstraint("incident_id", "sample_id", "finding_id", name=op.f("pk_incident_findings")),
    )
    op.create_index(
        "uq_incident_findings_live",
        "incident_findings",
        ["project", "sample_id", "finding_id"],
        unique=True,
        postgresql_where=sa.text("state IN ('applied', 'ordered', 'waiting')"),
    )
    op.create_index("ix_incident_findings_sample", "incident_findings", ["project", "sample_id"])
    op.create_index(
        "ix_incident_findings_position",
        "incident_findings",
        ["incident_id", "position"],
        postgresql_where=sa.text("state = 'waiting'"),
    )
    op.create_table(
        "incident_previews",
        sa.Column("incident_id", sa.Uuid(), nullable=False),
        sa.Column("correction_sha256", sa.Text(), nullable=False),
        sa.Column("preview", sa.JSON(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["incident_id"], ["incidents.incident_id"], name=op.f("fk_incident_previews_incidents")
        ),
        sa.PrimaryKeyConstraint("incident_id", "correction_sha256", name=op.f("pk_incident_previews")),
    )
    op.create_table(
        "cause_candidates",
        sa.Column("project", sa.Text(), nullable=False),
        sa.Column("sample_id", sa.Text(), nullable=False),
        sa.Column("finding_id", sa.Text(), nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("cause_key", sa.Text(), nullable=False),
        sa.Column("estimate", sa.JSON(), nullable=False),
        sa.Column("kept_at", sa.DateTime(timezone=True), server_default=sa.text("clock_timestamp()"), nullable=False),
        _of_revision("cause_candidates"),
        sa.PrimaryKeyConstraint("project", "sample_id", "finding_id", name=op.f("pk_cause_candidates")),
    )
    op.create_index("ix_cause_candidates_key", "cause_candidates", ["project", "cause_key"])
    op.add_column("label_sets", sa.Column("incident_id", sa.Uuid(), nullable=True))
    op.create_foreign_key(op.f("fk_label_sets_incidents"), "label_sets", "incidents", ["incident_id"], ["incident_id"])
    _allow_origins(f"{_ORIGINS}, 'incident'")


def downgrade() -> None:
    _allow_origins(_ORIGINS)
    op.drop_constraint(op.f("fk_label_sets_incidents"), "label_sets", type_="foreignkey")
    op.drop_column("label_sets", "incident_id")
    for table in ("cause_candidates", "incident_previews", "incident_findings", "incidents"):
        op.drop_table(table)


def _allow_origins(origins: str) -> None:
    op.drop_constraint(op.f("ck_label_sets_origin"), "label_sets", type_="check")
    op.create_check_constraint(op.f("ck_label_sets_origin"), "label_sets", f"origin IN ({origins})")

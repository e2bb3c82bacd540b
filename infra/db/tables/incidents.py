"""Incidents, their members and previews, and findings that may become members."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import Boolean, Double, ForeignKeyConstraint, Index, text
from sqlmodel import Field

from infra.db.tables.base import (
    Table,
    document_column,
    integer_column,
    moment_column,
    one_of,
    text_column,
    uuid_column,
    written_at_column,
)
from infra.db.tables.samples import of_revision
from services.contracts.incidents import LIVE_INCIDENT_STATES, LIVE_MEMBER_STATES, IncidentState, MemberState


def _among(states: frozenset[IncidentState] | frozenset[MemberState]) -> str:
    return f"state IN ({', '.join(repr(state.value) for state in sorted(states))})"


LIVE_INCIDENT = _among(LIVE_INCIDENT_STATES)
LIVE_MEMBER = _among(LIVE_MEMBER_STATES)


class IncidentRow(Table, table=True):
    """An incident; the document is the whole of it, the columns are what is asked for."""

    __tablename__ = "incidents"
    __table_args__ = (
        one_of("state", IncidentState),
        Index("ix_incidents_newest", "project", text("opened_at DESC"), text("incident_id DESC")),
        Index("ix_incidents_live_cause", "project", "cause_key", postgresql_where=text(LIVE_INCIDENT)),
    )

    incident_id: UUID = uuid_column(primary_key=True)
    project: str = text_column(foreign_key="projects.id")
    cause_key: str = text_column()
    state: str = text_column()
    incident: str = document_column()
    opened_at: datetime = moment_column()
    updated_at: datetime = moment_column()


class IncidentFindingRow(Table, table=True):
    """A finding as a member of an incident; it is a live member of at most one."""

    __tablename__ = "incident_findings"
    __table_args__ = (
        of_revision(),
        ForeignKeyConstraint(["incident_id"], ["incidents.incident_id"]),
        one_of("state", MemberState),
        Index(
            "uq_incident_findings_live",
            "project",
            "sample_id",
            "finding_id",
            unique=True,
            postgresql_where=text(LIVE_MEMBER),
        ),
        Index("ix_incident_findings_sample", "project", "sample_id"),
        Index("ix_incident_findings_position", "incident_id", "position", postgresql_where=text("state = 'waiting'")),
    )

    incident_id: UUID = uuid_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    finding_id: str = text_column(primary_key=True)
    project: str = text_column()
    revision: int = integer_column()
    state: str = text_column()
    spot_check: bool = Field(sa_type=Boolean)
    position: float | None = Field(default=None, sa_type=Double, nullable=True)
    estimate: str = document_column()
    label_version: int | None = integer_column(default=None, nullable=True)
    reason: str | None = text_column(default=None, nullable=True)
    joined_at: datetime = moment_column()
    updated_at: datetime = moment_column()


class IncidentPreviewRow(Table, table=True):
    """What a correction of an incident would explain."""

    __tablename__ = "incident_previews"
    __table_args__ = (ForeignKeyConstraint(["incident_id"], ["incidents.incident_id"]),)

    incident_id: UUID = uuid_column(primary_key=True)
    correction_sha256: str = text_column(primary_key=True)
    preview: str = document_column()
    made_at: datetime = moment_column()


class CauseCandidateRow(Table, table=True):
    """An open finding whose cause too few samples share so far."""

    __tablename__ = "cause_candidates"
    __table_args__ = (of_revision(), Index("ix_cause_candidates_key", "project", "cause_key"))

    project: str = text_column(primary_key=True)
    sample_id: str = text_column(primary_key=True)
    finding_id: str = text_column(primary_key=True)
    revision: int = integer_column()
    cause_key: str = text_column()
    estimate: str = document_column()
    kept_at: datetime = written_at_column()

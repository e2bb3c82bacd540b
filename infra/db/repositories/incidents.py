"""Incidents, their members and previews, and findings that may become members."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from sqlalchemy import text

from infra.db.documents import model_text
from infra.db.repositories.base import Repository
from infra.db.repositories.samples import ref_of
from services.contracts.incidents import (
    FixPreview,
    Incident,
    IncidentMember,
    IncidentProgress,
    IncidentState,
    MemberState,
    MemberValue,
)
from services.contracts.lifecycle import FINAL_STAGES, RevisionRef
from services.ports.incidents import CauseCandidate, IncidentCounts, Placed

_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:cause, 4))")
_PUT = text("""
    INSERT INTO incidents (incident_id, project, cause_key, state, incident, opened_at, updated_at)
    VALUES (:incident_id, :project, :cause_key, :state, :incident, :opened_at, :updated_at)
    ON CONFLICT (incident_id) DO UPDATE SET
        state = EXCLUDED.state, incident = EXCLUDED.incident, updated_at = EXCLUDED.updated_at
""")
_GET = text("SELECT incident FROM incidents WHERE project = :project AND incident_id = :incident_id")
_LIVE = text("""
    SELECT incident FROM incidents
    WHERE project = :project AND cause_key = :cause_key AND state IN ('fixing', 'open')
    ORDER BY opened_at, incident_id
""")
_LIST = text("""
    SELECT incident FROM incidents
    WHERE project = :project AND (CAST(:state AS text) IS NULL OR state = CAST(:state AS text))
      AND (CAST(:after_id AS uuid) IS NULL
           OR (opened_at, incident_id) < (CAST(:after_at AS timestamptz), CAST(:after_id AS uuid)))
    ORDER BY opened_at DESC, incident_id DESC LIMIT :limit
""")
_PUT_CANDIDATE = text("""
    INSERT INTO cause_candidates (project, sample_id, finding_id, revision, cause_key, estimate)
    VALUES (:project, :sample_id, :finding_id, :revision, :cause_key, :estimate)
    ON CONFLICT (project, sample_id, finding_id) DO UPDATE SET
        revision = EXCLUDED.revision, cause_key = EXCLUDED.cause_key, estimate = EXCLUDED.estimate,
        kept_at = EXCLUDED.kept_at
""")
_DROP_CANDIDATE = text("""
    DELETE FROM cause_candidates
    WHERE project = :project AND sample_id = :sample_id AND finding_id = :finding_id
""")
_CANDIDATES = text("""
    SELECT candidate.* FROM cause_candidates AS candidate
    JOIN findings USING (project, sample_id, revision, finding_id)
    JOIN sample_revisions AS revision USING (project, sample_id, revision)
    WHERE candidate.project = :project AND candidate.cause_key = :cause_key
      AND findings.state = 'open' AND findings.blocking AND NOT (revision.stage = ANY (CAST(:final AS text[])))
    ORDER BY candidate.kept_at DESC, candidate.sample_id LIMIT :limit
""")
_PUT_MEMBER = text("""
    INSERT INTO incident_findings (incident_id, sample_id, finding_id, project, revision, state, spot_check, position,
                                   estimate, label_version, reason, joined_at, updated_at)
    VALUES (:incident_id, :sample_id, :finding_id, :project, :revision, :state, :spot_check, :position,
            :estimate, :label_version, :reason, :joined_at, :updated_at)
    ON CONFLICT (incident_id, sample_id, finding_id) DO UPDATE SET
        revision = EXCLUDED.revision, state = EXCLUDED.state, spot_check = EXCLUDED.spot_check,
        position = EXCLUDED.position, estimate = EXCLUDED.estimate, label_version = EXCLUDED.label_version,
        reason = EXCLUDED.reason, updated_at = EXCLUDED.updated_at
""")
_OF_SAMPLE = text("""
    SELECT * FROM incident_findings WHERE project = :project AND sample_id = :sample_id
    ORDER BY joined_at, incident_id, finding_id
""")
_MEMBERS = text("""
    SELECT * FROM incident_findings
    WHERE incident_id = :incident_id AND (CAST(:states AS text[]) IS NULL OR state = ANY (CAST(:states AS text[])))
      AND (spot_check OR NOT CAST(:spot_checks AS boolean))
      AND (sample_id, finding_id) > (:after_sample, :after_finding)
    ORDER BY sample_id, finding_id LIMIT :limit
""")
_PLACED = text("""
    SELECT project, sample_id, revision, finding_id, position, spot_check,
           spot_check AND (member.state <> 'waiting' OR EXISTS (
               SELECT FROM review_tasks AS task
               WHERE task.project = member.project AND task.sample_id = member.sample_id
                 AND task.revision = member.revision AND member.finding_id = ANY (task.finding_ids)
                 AND (task.state = 'completed'
                      OR (task.state = 'claimed' AND task.lease_expires_at > clock_timestamp())))) AS kept
    FROM incident_findings AS member
    WHERE incident_id = :incident_id AND (member.state = 'waiting' OR spot_check)
    ORDER BY sample_id, finding_id
""")
_BOUNDS = text("""
    SELECT min(position) AS lowest, max(position) AS highest FROM incident_findings
    WHERE incident_id = :incident_id AND state = 'waiting' AND position IS NOT NULL
""")
_SET_SPOT_CHECK = text("""
    UPDATE incident_findings SET spot_check = :spot_check, updated_at = clock_timestamp()
    WHERE incident_id = :incident_id AND sample_id = :sample_id AND finding_id = :finding_id
""")
_CHANGE_STATE = text("""
    UPDATE incident_findings SET state = :after, updated_at = clock_timestamp()
    WHERE incident_id = :incident_id AND state = :before
""")
_COUNTS = text("""
    SELECT state, count(*) AS members, count(*) FILTER (WHERE spot_check) AS spot_checks
    FROM incident_findings WHERE incident_id = :incident_id GROUP BY state
""")
_SAMPLES = text("SELECT count(DISTINCT sample_id) AS n FROM incident_findings WHERE incident_id = :incident_id")
_PUT_PREVIEW = text("""
    INSERT INTO incident_previews (incident_id, correction_sha256, preview, made_at)
    VALUES (:incident_id, :correction_sha256, :preview, :made_at)
    ON CONFLICT (incident_id, correction_sha256) DO UPDATE SET preview = EXCLUDED.preview, made_at = EXCLUDED.made_at
""")
_PREVIEW = text("""
    SELECT preview FROM incident_previews
    WHERE incident_id = :incident_id AND correction_sha256 = :correction_sha256
""")
_FINAL = [stage.value for stage in sorted(FINAL_STAGES)]


@cache
def _values() -> TypeAdapter[tuple[MemberValue, ...]]:
    return TypeAdapter(tuple[MemberValue, ...])


def _incident_of(row: Any) -> Incident:
    return Incident.model_validate_json(row.incident)


def _member_of(row: Any) -> IncidentMember:
    return IncidentMember(
        incident_id=row.incident_id,
        ref=ref_of(row),
        finding_id=row.finding_id,
        state=MemberState(row.state),
        spot_check=row.spot_check,
        position=row.position,
        values=_values().validate_json(row.estimate),
        label_version=row.label_version,
        reason=row.reason,
        joined_at=row.joined_at,
        updated_at=row.updated_at,
    )


def _values_text(values: tuple[MemberValue, ...]) -> str:
    return _values().dump_json(values, exclude_none=True).decode()


class PostgresIncidents(Repository):
    """Implements :class:`services.ports.incidents.IncidentRepository`."""

    async def lock_causes(self, project: str, keys: Iterable[str]) -> None:
        """Lock causes until the transaction ends, in one order for everybody; after samples, before audit chains."""
        for key in sorted(set(keys)):
            await self._run(_LOCK, cause=f"{project}/{key}")

    async def put(self, incident: Incident) -> None:
        """Insert or replace an incident."""
        await self._count(
            _PUT,
            incident_id=incident.incident_id,
            project=incident.project,
            cause_key=incident.cause_key,
            state=incident.state.value,
            incident=model_text(incident),
            opened_at=incident.opened_at,
            updated_at=incident.updated_at,
        )

    async def get(self, project: str, incident_id: UUID) -> Incident | None:
        """Return an incident of a project."""
        row = await self._first(_GET, project=project, incident_id=incident_id)
        return None if row is None else _incident_of(row)

    async def live_of_cause(self, project: str, key: str) -> tuple[Incident, ...]:
        """Return the open and fixing incidents under a key, oldest first."""
        return tuple(_incident_of(row) for row in await self._run(_LIVE, project=project, cause_key=key))

    async def list(
        self, project: str, *, state: IncidentState | None, after: tuple[datetime, UUID] | None, limit: int
    ) -> tuple[Incident, ...]:
        """Return incidents, newest first, by (opened_at, incident id) after the cursor."""
        after_at, after_id = after or (None, None)
        rows = await self._run(
            _LIST,
            project=project,
            state=None if state is None else state.value,
            after_at=after_at,
            after_id=after_id,
            limit=limit,
        )
        return tuple(_incident_of(row) for row in rows)

    async def put_candidate(self, candidate: CauseCandidate, key: str) -> None:
        """Keep an open finding as a candidate for an incident, or replace what is kept of it."""
        await self._count(
            _PUT_CANDIDATE,
            **candidate.ref.model_dump(),
            finding_id=candidate.finding_id,
            cause_key=key,
            estimate=_values_text(candidate.values),
        )

    async def drop_candidate(self, ref: RevisionRef, finding_id: str) -> None:
        """Forget a candidate; none is no fault."""
        await self._count(_DROP_CANDIDATE, project=ref.project, sample_id=ref.sample_id, finding_id=finding_id)

    async def candidates(self, project: str, key: str, *, limit: int) -> tuple[CauseCandidate, ...]:
        """Return candidates under a key whose finding is still open and whose revision is alive, newest first."""
        rows = await self._run(_CANDIDATES, project=project, cause_key=key, final=_FINAL, limit=limit)
        return tuple(CauseCandidate(ref_of(row), row.finding_id, _values().validate_json(row.estimate)) for row in rows)

    async def put_member(self, member: IncidentMember) -> None:
        """Insert or replace a member by (incident, sample, finding)."""
        await self._count(
            _PUT_MEMBER,
            incident_id=member.incident_id,
            **member.ref.model_dump(),
            finding_id=member.finding_id,
            state=member.state.value,
            spot_check=member.spot_check,
            position=member.position,
            estimate=_values_text(member.values),
            label_version=member.label_version,
            reason=member.reason,
            joined_at=member.joined_at,
            updated_at=member.updated_at,
        )

    async def members_of_sample(self, project: str, sample_id: str) -> tuple[IncidentMember, ...]:
        """Return every membership of a sample's findings, live or settled, in any incident."""
        return tuple(_member_of(row) for row in await self._run(_OF_SAMPLE, project=project, sample_id=sample_id))

    async def members(
        self,
        incident_id: UUID,
        *,
        states: frozenset[MemberState] | None = None,
        spot_checks: bool = False,
        after: tuple[str, str] | None = None,
        limit: int,
    ) -> tuple[IncidentMember, ...]:
        """Return members by (sample id, finding id) after the cursor."""
        after_sample, after_finding = after or ("", "")
        rows = await self._run(
            _MEMBERS,
            incident_id=incident_id,
            states=None if states is None else [state.value for state in states],
            spot_checks=spot_checks,
            after_sample=after_sample,
            after_finding=after_finding,
            limit=limit,
        )
        return tuple(_member_of(row) for row in rows)

    async def placed(self, incident_id: UUID) -> tuple[Placed, ...]:
        """Return the members that wait and all spot checks, with who of them must stay one."""
        rows = await self._run(_PLACED, incident_id=incident_id)
        return tuple(Placed(ref_of(row), row.finding_id, row.position, row.spot_check, row.kept) for row in rows)

    async def bounds(self, incident_id: UUID) -> tuple[float, float] | None:
        """Return the lowest and highest position of the members that wait; None where none has one."""
        row = await self._first(_BOUNDS, incident_id=incident_id)
        return None if row is None or row.lowest is None else (row.lowest, row.highest)

    async def set_spot_check(self, incident_id: UUID, ref: RevisionRef, finding_id: str, *, spot_check: bool) -> None:
        """Make a member a spot check, or no longer one."""
        await self._count(
            _SET_SPOT_CHECK,
            incident_id=incident_id,
            sample_id=ref.sample_id,
            finding_id=finding_id,
            spot_check=spot_check,
        )

    async def change_state(self, incident_id: UUID, before: MemberState, after: MemberState) -> int:
        """Move all members in one state to another; return how many."""
        return await self._count(_CHANGE_STATE, incident_id=incident_id, before=before.value, after=after.value)

    async def counts(self, incident_id: UUID) -> IncidentCounts:
        """Return how large an incident is and how far."""
        rows = await self._run(_COUNTS, incident_id=incident_id)
        samples = await self._first(_SAMPLES, incident_id=incident_id)
        progress = IncidentProgress(**{row.state: row.members for row in rows})
        return IncidentCounts(0 if samples is None else samples.n, sum(row.spot_checks for row in rows), progress)

    async def put_preview(self, preview: FixPreview) -> None:
        """Keep a preview, the newest by (incident, correction)."""
        await self._count(
            _PUT_PREVIEW,
            incident_id=preview.incident_id,
            correction_sha256=preview.correction_sha256,
            preview=model_text(preview),
            made_at=preview.made_at,
        )

    async def preview(self, incident_id: UUID, correction_sha256: str) -> FixPreview | None:
        """Return the newest preview of a correction."""
        row = await self._first(_PREVIEW, incident_id=incident_id, correction_sha256=correction_sha256)
        return None if row is None else FixPreview.model_validate_json(row.preview)

"""Calls about incidents, known answers, and how often people are right."""

from __future__ import annotations

from uuid import UUID

from infra.api_pages import VERIFY_WITHIN_S, Page, path_part
from infra.client_queues import QueueCalls
from services.contracts.incidents import (
    DismissRequest,
    FixPreview,
    FixRequest,
    IncidentMember,
    IncidentState,
    IncidentSummary,
    MemberState,
)
from services.contracts.quality import AnnotatorQuality, GoldAnswer, QualityReport, StoredGoldAnswer


class IncidentCalls(QueueCalls):
    """The part of the API about causes that samples share, and about the quality of answers."""

    # Incidents

    async def incidents(
        self,
        project: str,
        *,
        state: IncidentState | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[IncidentSummary]:
        """Return a page of incidents, newest first."""
        return await self.page_of(IncidentSummary, _incident_path(project), state=state, cursor=cursor, limit=limit)

    async def incident(self, project: str, incident_id: UUID | str) -> IncidentSummary:
        """Return an incident with how far it is."""
        return IncidentSummary.model_validate(await self.call("GET", _incident_path(project, incident_id)))

    async def incident_samples(
        self,
        project: str,
        incident_id: UUID | str,
        *,
        state: MemberState | None = None,
        spot_checks: bool | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[IncidentMember]:
        """Return a page of an incident's findings, by sample and finding id."""
        path = f"{_incident_path(project, incident_id)}/samples"
        return await self.page_of(
            IncidentMember, path, state=state, spot_checks=spot_checks, cursor=cursor, limit=limit
        )

    async def preview_fix(self, project: str, incident_id: UUID | str, fix: FixRequest) -> FixPreview:
        """Return what a correction explains; nothing is changed. The checks of the spot checks are run meanwhile."""
        body = fix.model_copy(update={"dry_run": True})
        path = f"{_incident_path(project, incident_id)}/fix"
        return FixPreview.model_validate(await self.call("POST", path, body, timeout_s=VERIFY_WITHIN_S))

    async def fix_incident(self, project: str, incident_id: UUID | str, fix: FixRequest) -> IncidentSummary:
        """Order a fix that was previewed."""
        body = fix.model_copy(update={"dry_run": False})
        return IncidentSummary.model_validate(
            await self.call("POST", f"{_incident_path(project, incident_id)}/fix", body)
        )

    async def dismiss_incident(
        self, project: str, incident_id: UUID | str, dismissal: DismissRequest
    ) -> IncidentSummary:
        """Say that an incident is none."""
        path = f"{_incident_path(project, incident_id)}/dismiss"
        return IncidentSummary.model_validate(await self.call("POST", path, dismissal))

    # Quality

    async def quality(
        self, project: str, *, samples: int | None = None, listed: int | None = None, bar: float | None = None
    ) -> QualityReport:
        """Return how often the people of a project were right."""
        path = f"/v1/projects/{path_part(project)}/quality"
        query = {"samples": samples, "listed": listed, "bar": bar}
        answer = await self.call("GET", path, query=query, timeout_s=VERIFY_WITHIN_S)
        return QualityReport.model_validate(answer)

    async def annotator_quality(self, project: str) -> AnnotatorQuality:
        """Return what was learned about how often the annotators of a project are right."""
        path = f"/v1/projects/{path_part(project)}/quality/annotators"
        return AnnotatorQuality.model_validate(await self.call("GET", path))

    async def learn_annotators(self, project: str) -> AnnotatorQuality:
        """Learn it anew from what is known now."""
        path = f"/v1/projects/{path_part(project)}/quality/annotators/learn"
        return AnnotatorQuality.model_validate(await self.call("POST", path, timeout_s=VERIFY_WITHIN_S))

    async def gold(
        self, project: str, *, cursor: str | None = None, limit: int | None = None
    ) -> Page[StoredGoldAnswer]:
        """Return a page of known answers, by sample id."""
        return await self.page_of(
            StoredGoldAnswer, f"/v1/projects/{path_part(project)}/gold", cursor=cursor, limit=limit
        )

    async def put_gold(self, project: str, answer: GoldAnswer) -> StoredGoldAnswer:
        """Keep the known answer of a sample."""
        path = f"/v1/projects/{path_part(project)}/gold/{path_part(answer.sample_id)}"
        return StoredGoldAnswer.model_validate(await self.call("PUT", path, answer))

    async def drop_gold(self, project: str, sample_id: str) -> None:
        """Forget a known answer."""
        await self.call("DELETE", f"/v1/projects/{path_part(project)}/gold/{path_part(sample_id)}")


def _incident_path(project: str, incident_id: UUID | str | None = None) -> str:
    path = f"/v1/projects/{path_part(project)}/incidents"
    return path if incident_id is None else f"{path}/{path_part(incident_id)}"

"""What the decisions of a project teach, over the typed client."""

from __future__ import annotations

from infra.api_pages import VERIFY_WITHIN_S, Page, PagedCaller, path_part
from services.contracts.feedback import CorrectedSample, ModelQuality, NextSamples, ThresholdReport


class FeedbackCalls:
    """What is called below ``/v1/projects/{project}/feedback``.

    Args:
        client: An open client.
        project: The project.
    """

    def __init__(self, client: PagedCaller, project: str) -> None:
        self._client = client
        self._base = f"/v1/projects/{path_part(project)}/feedback"

    async def models(self, *, samples: int | None = None) -> ModelQuality:
        """Return how good each pre-label model is on each class."""
        answer = await self._client.call(
            "GET", f"{self._base}/models", query={"samples": samples}, timeout_s=VERIFY_WITHIN_S
        )
        return ModelQuality.model_validate(answer)

    async def thresholds(self, *, target_precision: float | None = None, samples: int | None = None) -> ThresholdReport:
        """Return what tighter thresholds would have kept of the judged findings."""
        query = {"target_precision": target_precision, "samples": samples}
        answer = await self._client.call("GET", f"{self._base}/thresholds", query=query, timeout_s=VERIFY_WITHIN_S)
        return ThresholdReport.model_validate(answer)

    async def next_samples(self, *, limit: int | None = None, samples: int | None = None) -> NextSamples:
        """Return what to label next."""
        query = {"limit": limit, "samples": samples}
        answer = await self._client.call("GET", f"{self._base}/next", query=query, timeout_s=VERIFY_WITHIN_S)
        return NextSamples.model_validate(answer)

    async def corrections(self, *, cursor: str | None = None, limit: int | None = None) -> Page[CorrectedSample]:
        """Return a page of committed samples in which a model was corrected."""
        return await self._client.page_of(CorrectedSample, f"{self._base}/corrections", cursor=cursor, limit=limit)

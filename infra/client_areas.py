"""The areas of the API that have calls of their own: each is asked for by the project that it is about."""

from __future__ import annotations

from infra.client_search import SearchCalls
from infra.dataset_calls import DatasetCalls
from infra.erasure_calls import ErasureCalls
from infra.feedback_calls import FeedbackCalls
from infra.note_calls import NoteCalls
from infra.recall_calls import RecallCalls
from infra.webhook_calls import WebhookCalls


class AreaCalls(SearchCalls):
    """Where the calls of an area are found; none of these methods calls the service."""

    def datasets(self, project: str) -> DatasetCalls:
        """Return the calls about datasets, their versions and members."""
        return DatasetCalls(self, project)

    def recall(self, project: str) -> RecallCalls:
        """Return the calls about what rests on something."""
        return RecallCalls(self, project)

    def erasure(self, project: str) -> ErasureCalls:
        """Return the calls about erasures and legal holds."""
        return ErasureCalls(self, project)

    def feedback(self, project: str) -> FeedbackCalls:
        """Return the calls about what decisions teach."""
        return FeedbackCalls(self, project)

    def notes(self, project: str, sample_id: str) -> NoteCalls:
        """Return the calls about the notes of a sample."""
        return NoteCalls(self, project, sample_id)

    def webhooks(self, project: str) -> WebhookCalls:
        """Return the calls about the webhooks of a project."""
        return WebhookCalls(self, project)

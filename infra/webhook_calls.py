"""The webhooks of one project, over the typed client."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from infra.api_pages import Answer, Page, PagedCaller, path_part
from services.contracts.webhooks import (
    DeliveryLog,
    DeliveryState,
    Redelivered,
    RedeliverRange,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSettings,
)


class WebhookWithSecret(Answer):
    """A webhook with its new secret, which is told this once."""

    webhook: WebhookEndpoint
    secret: str


class WebhookCalls:
    """What is called below ``/v1/projects/{project}/webhooks``.

    Args:
        client: An open client.
        project: The project.
    """

    def __init__(self, client: PagedCaller, project: str) -> None:
        self._client = client
        self._base = f"/v1/projects/{path_part(project)}/webhooks"

    async def create(self, settings: WebhookSettings) -> WebhookWithSecret:
        """Make an endpoint; its secret is told this once."""
        return WebhookWithSecret.model_validate(await self._client.call("POST", self._base, settings))

    async def list(self) -> tuple[WebhookEndpoint, ...]:
        """Return all endpoints."""
        return await self._client.all_of(WebhookEndpoint, self._base)

    async def get(self, endpoint_id: UUID) -> WebhookEndpoint:
        """Return an endpoint."""
        return WebhookEndpoint.model_validate(await self._client.call("GET", self._path(endpoint_id)))

    async def update(self, endpoint_id: UUID, settings: WebhookSettings) -> WebhookEndpoint:
        """Replace what is set for an endpoint."""
        return WebhookEndpoint.model_validate(await self._client.call("PUT", self._path(endpoint_id), settings))

    async def rotate(self, endpoint_id: UUID, overlap_s: int) -> WebhookWithSecret:
        """Make a new secret; the one so far signs too for ``overlap_s``."""
        return WebhookWithSecret.model_validate(await self._post(endpoint_id, "rotate", {"overlap_s": overlap_s}))

    async def disable(self, endpoint_id: UUID) -> WebhookEndpoint:
        """Send no more."""
        return WebhookEndpoint.model_validate(await self._post(endpoint_id, "disable"))

    async def enable(self, endpoint_id: UUID) -> WebhookEndpoint:
        """Send again."""
        return WebhookEndpoint.model_validate(await self._post(endpoint_id, "enable"))

    async def ping(self, endpoint_id: UUID) -> WebhookDelivery:
        """Send a test event."""
        return WebhookDelivery.model_validate(await self._post(endpoint_id, "ping"))

    async def deliveries(
        self,
        endpoint_id: UUID,
        *,
        state: DeliveryState | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> Page[WebhookDelivery]:
        """Return a page of deliveries, newest first."""
        path = f"{self._path(endpoint_id)}/deliveries"
        return await self._client.page_of(WebhookDelivery, path, state=state, cursor=cursor, limit=limit)

    async def log(self, endpoint_id: UUID, delivery_id: UUID) -> DeliveryLog:
        """Return a delivery with all its attempts."""
        path = f"{self._path(endpoint_id)}/deliveries/{delivery_id}"
        return DeliveryLog.model_validate(await self._client.call("GET", path))

    async def redeliver(self, endpoint_id: UUID, delivery_id: UUID) -> WebhookDelivery:
        """Send one event again."""
        return WebhookDelivery.model_validate(await self._post(endpoint_id, f"deliveries/{delivery_id}/redeliver"))

    async def redeliver_range(self, endpoint_id: UUID, span: RedeliverRange) -> Redelivered:
        """Send the events of a span of time again."""
        return Redelivered.model_validate(await self._post(endpoint_id, "redeliver", span))

    def _path(self, endpoint_id: UUID) -> str:
        return f"{self._base}/{endpoint_id}"

    async def _post(self, endpoint_id: UUID, action: str, body: Any = None) -> Any:
        return await self._client.call("POST", f"{self._path(endpoint_id)}/{action}", body)

"""Outgoing webhooks: endpoints, their secrets, and how every delivery went."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from api.auth import Services
from api.bodies import json_body, page_reply, reply
from api.etags import IfMatch, expected_version
from api.idempotency import Idempotent
from api.paging import DEFAULT_LIMIT, Cursor, Limit, NumberKey, TimeKey, cut_page, decode_cursor, slice_page
from api.policies import requires
from api.problems import problem_of
from api.schemas import CreatedWebhook, Page, ProjectPath
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.webhooks import (
    DeliveryLog,
    DeliveryState,
    Redelivered,
    RedeliverRange,
    RotateSecret,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSettings,
)
from services.errors import SecretToldError
from services.ports.database import Database
from services.webhooks.registry import IssuedSecret, WebhookRegistry

router = APIRouter(prefix="/v1/projects/{project}/webhooks", tags=["webhooks"])

_SETTINGS = {
    "url": "https://training.example.com/concord",
    "event_types": ["concord.sample.committed.v1"],
    "description": "starts a training run",
}
_RANGE = {"since": "2026-03-01T00:00:00Z", "until": "2026-03-02T00:00:00Z", "states": ["failed", "cancelled"]}

EndpointPath = Annotated[UUID, Path(description="Id of the webhook.")]
DeliveryPath = Annotated[UUID, Path(description="Id of the delivery.")]
MayRead = Annotated[Principal, Depends(requires(Permission.WEBHOOKS_READ))]
MayWrite = Annotated[Principal, Depends(requires(Permission.WEBHOOKS_WRITE))]
MaySend = Annotated[Principal, Depends(requires(Permission.WEBHOOKS_SEND))]
Settings = Annotated[WebhookSettings, Depends(json_body(WebhookSettings, what="webhook", example=_SETTINGS))]


def _registry(services: Services, database: Database | None = None) -> WebhookRegistry:
    return WebhookRegistry(database or services.database, services.webhook_targets)


def _told(endpoint: WebhookEndpoint, *, status: int = 200) -> Response:
    return reply(endpoint, status=status, headers={"ETag": f'"{endpoint.version}"'})


def _secret_told(request: Request, issued: list[IssuedSecret]) -> Response:
    endpoint_id = str(issued[0].endpoint.endpoint_id)
    return problem_of(
        request.scope,
        SecretToldError(
            f"The secret of webhook {endpoint_id} was told by this call before, once. Rotate it to get another.",
            facts={"endpoint_id": endpoint_id},
        ),
    )


@router.post("", status_code=201, response_model=CreatedWebhook)
async def create_webhook(
    request: Request,
    services: Services,
    principal: MayWrite,
    project: ProjectPath,
    settings: Settings,
    once: Idempotent,
) -> Response:
    """Make an endpoint; the secret that verifies its signatures is in this answer and nowhere else.

    A repeated call with the same Idempotency-Key makes no second endpoint, but can not tell the secret again: it is
    answered 409 ``secret-told`` with the endpoint's id.
    """
    issued: list[IssuedSecret] = []

    async def call(database: Database) -> Response:
        issued.append(await _registry(services, database).create(principal, project, settings))
        return reply(CreatedWebhook(webhook=issued[0].endpoint, secret=issued[0].secret), status=201)

    return await once.run(principal, call, stored=lambda _: _secret_told(request, issued))


@router.get("", response_model=Page[WebhookEndpoint])
async def list_webhooks(
    services: Services, principal: MayRead, project: ProjectPath, cursor: Cursor = None, limit: Limit = DEFAULT_LIMIT
) -> Response:
    """List the project's endpoints, oldest first, never their secrets."""
    endpoints = await _registry(services).list(principal, project)
    return page_reply(
        *slice_page(
            endpoints,
            "webhooks",
            lambda item: (item.created_at, item.endpoint_id),
            cursor=cursor,
            kind=TimeKey,
            limit=limit,
        )
    )


@router.get("/{endpoint_id}", response_model=WebhookEndpoint)
async def get_webhook(
    services: Services, principal: MayRead, project: ProjectPath, endpoint_id: EndpointPath
) -> Response:
    """Return an endpoint with its ETag."""
    return _told(await _registry(services).get(principal, project, endpoint_id))


@router.put("/{endpoint_id}", response_model=WebhookEndpoint)
async def update_webhook(
    services: Services,
    principal: MayWrite,
    project: ProjectPath,
    endpoint_id: EndpointPath,
    settings: Settings,
    once: Idempotent,
    if_match: IfMatch = None,
) -> Response:
    """Replace an endpoint's address, event types and description; its secret and what waits stay."""

    async def call(database: Database) -> Response:
        expected = expected_version(if_match, "webhook")
        return _told(
            await _registry(services, database).update(principal, project, endpoint_id, settings, expected=expected)
        )

    return await once.run(principal, call)


@router.post("/{endpoint_id}/rotate", response_model=CreatedWebhook)
async def rotate_secret(
    request: Request,
    services: Services,
    principal: MayWrite,
    project: ProjectPath,
    endpoint_id: EndpointPath,
    rotation: Annotated[RotateSecret, Depends(json_body(RotateSecret, what="rotation", optional=True))],
    once: Idempotent,
) -> Response:
    """Make a new secret, told this once; until the overlap ends the one so far signs beside it."""
    issued: list[IssuedSecret] = []

    async def call(database: Database) -> Response:
        issued.append(await _registry(services, database).rotate(principal, project, endpoint_id, rotation))
        return reply(CreatedWebhook(webhook=issued[0].endpoint, secret=issued[0].secret))

    return await once.run(principal, call, stored=lambda _: _secret_told(request, issued))


@router.post("/{endpoint_id}/disable", response_model=WebhookEndpoint)
async def disable_webhook(
    services: Services, principal: MayWrite, project: ProjectPath, endpoint_id: EndpointPath, once: Idempotent
) -> Response:
    """Send no more to an endpoint; what waits is cancelled, and events pass it by."""

    async def call(database: Database) -> Response:
        return _told(await _registry(services, database).disable(principal, project, endpoint_id))

    return await once.run(principal, call)


@router.post("/{endpoint_id}/enable", response_model=WebhookEndpoint)
async def enable_webhook(
    services: Services, principal: MayWrite, project: ProjectPath, endpoint_id: EndpointPath, once: Idempotent
) -> Response:
    """Send again; after a pause with everything that was kept for it, in order."""

    async def call(database: Database) -> Response:
        return _told(await _registry(services, database).enable(principal, project, endpoint_id))

    return await once.run(principal, call)


@router.post("/{endpoint_id}/ping", status_code=202, response_model=WebhookDelivery)
async def ping_webhook(
    services: Services, principal: MaySend, project: ProjectPath, endpoint_id: EndpointPath, once: Idempotent
) -> Response:
    """Send a test event, signed and logged like any other; read how it went under its delivery id."""

    async def call(database: Database) -> Response:
        return reply(await _registry(services, database).ping(principal, project, endpoint_id), status=202)

    return await once.run(principal, call)


@router.get("/{endpoint_id}/deliveries", response_model=Page[WebhookDelivery])
async def list_deliveries(
    services: Services,
    principal: MayRead,
    project: ProjectPath,
    endpoint_id: EndpointPath,
    state: Annotated[DeliveryState | None, Query(description="Only deliveries in this state.")] = None,
    cursor: Cursor = None,
    limit: Limit = DEFAULT_LIMIT,
) -> Response:
    """List what was, is and is to be sent to an endpoint, newest first."""
    after = decode_cursor("deliveries", NumberKey, cursor)
    found = await _registry(services).deliveries(
        principal, project, endpoint_id, state=state, before=after[0] if after else None, limit=limit + 1
    )
    return page_reply(*cut_page(found, "deliveries", lambda item: (item.position,), limit=limit))


@router.get("/{endpoint_id}/deliveries/{delivery_id}", response_model=DeliveryLog)
async def get_delivery(
    services: Services, principal: MayRead, project: ProjectPath, endpoint_id: EndpointPath, delivery_id: DeliveryPath
) -> Response:
    """Return a delivery with every attempt: when, how long it took, the status, the error, how the answer began."""
    return reply(await _registry(services).log(principal, project, endpoint_id, delivery_id))


@router.post("/{endpoint_id}/deliveries/{delivery_id}/redeliver", status_code=202, response_model=WebhookDelivery)
async def redeliver(
    services: Services,
    principal: MaySend,
    project: ProjectPath,
    endpoint_id: EndpointPath,
    delivery_id: DeliveryPath,
    once: Idempotent,
) -> Response:
    """Send one event again, under the same webhook-id, whatever became of it before."""

    async def call(database: Database) -> Response:
        return reply(
            await _registry(services, database).redeliver(principal, project, endpoint_id, delivery_id), status=202
        )

    return await once.run(principal, call)


@router.post("/{endpoint_id}/redeliver", status_code=202, response_model=Redelivered)
async def redeliver_range(
    services: Services,
    principal: MaySend,
    project: ProjectPath,
    endpoint_id: EndpointPath,
    span: Annotated[RedeliverRange, Depends(json_body(RedeliverRange, what="range", example=_RANGE))],
    once: Idempotent,
) -> Response:
    """Send the failed and cancelled events of a span of time again, the oldest first, up to 10,000 a call."""

    async def call(database: Database) -> Response:
        return reply(
            await _registry(services, database).redeliver_range(principal, project, endpoint_id, span), status=202
        )

    return await once.run(principal, call)

"""Endpoints of a project: made, changed, stopped, tested; their deliveries listed and begun again."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from services.access.policy import ensure_sees, project_not_found
from services.contracts.access import SYSTEM_ACTOR, Principal
from services.contracts.canonical import parse_json
from services.contracts.events import OUTGOING_SOURCE
from services.contracts.webhooks import (
    MAX_ENDPOINTS,
    MAX_REDELIVERED,
    PING_TYPE,
    DeliveryLog,
    DeliveryState,
    EndpointState,
    NextStep,
    Pinged,
    Redelivered,
    RedeliverRange,
    RotateSecret,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSettings,
)
from services.errors import AlreadyExistsError, ChangedMeanwhileError, InvalidInputError, NotFoundError
from services.intake.cloud_events import structured_event
from services.ports.database import Database, Transaction
from services.ports.webhooks import ClaimedDelivery, WebhookTargets
from services.webhooks.signing import new_signing_secret


@dataclass(frozen=True, slots=True)
class IssuedSecret:
    """An endpoint with its new secret, which is told this once."""

    endpoint: WebhookEndpoint
    secret: str = field(repr=False)


class WebhookRegistry:
    """What people do with webhooks.

    Every method raises NotFoundError for what is not there and for what lies in a project that the key does not see.

    Args:
        database: The store of record.
        targets: The operator's rule of where webhooks may go.
    """

    def __init__(self, database: Database, targets: WebhookTargets) -> None:
        self._database = database
        self._targets = targets

    async def create(self, principal: Principal, project: str, settings: WebhookSettings) -> IssuedSecret:
        """Make an endpoint, active at once; its secret is told in this answer and never again.

        Raises:
            InvalidInputError: The operator does not let events be posted there.
            AlreadyExistsError: The project has 100 endpoints already.
        """
        secret = new_signing_secret()
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project, lock=True)
            self._targets.ensure_allowed(settings.url)
            if len(await tx.webhooks.endpoints(project)) >= MAX_ENDPOINTS:
                raise AlreadyExistsError(
                    f"Project {project!r} has {MAX_ENDPOINTS} webhooks already; change one that is no longer used."
                )
            now = await tx.now()
            endpoint = WebhookEndpoint(
                endpoint_id=uuid4(),
                project=project,
                state=EndpointState.ACTIVE,
                version=1,
                created_at=now,
                updated_at=now,
                **settings.model_dump(),
            )
            await tx.webhooks.add(endpoint, secret)
            _note(tx, endpoint, principal.actor_id, "webhook.created")
        return IssuedSecret(endpoint, secret)

    async def list(self, principal: Principal, project: str) -> tuple[WebhookEndpoint, ...]:
        """Return the endpoints of a project, oldest first."""
        async with self._database.transaction() as tx:
            await _ensure_project(tx, principal, project)
            return await tx.webhooks.endpoints(project)

    async def get(self, principal: Principal, project: str, endpoint_id: UUID) -> WebhookEndpoint:
        """Return an endpoint."""
        async with self._database.transaction() as tx:
            return await _endpoint(tx, principal, project, endpoint_id)

    async def update(
        self,
        principal: Principal,
        project: str,
        endpoint_id: UUID,
        settings: WebhookSettings,
        *,
        expected: str | None = None,
    ) -> WebhookEndpoint:
        """Replace the address, the types of events and the description; the secret and what waits stay.

        Args:
            principal: Who asks.
            project: The endpoint's project.
            endpoint_id: The endpoint.
            settings: The new settings.
            expected: The version this change was made from; None changes any.

        Raises:
            ChangedMeanwhileError: Somebody else has changed it since ``expected``.
            InvalidInputError: The operator does not let events be posted there.
        """
        async with self._database.transaction() as tx:
            known = await _endpoint(tx, principal, project, endpoint_id, lock=True)
            self._targets.ensure_allowed(settings.url)
            if expected is not None and expected != str(known.version):
                raise ChangedMeanwhileError(f"Webhook {endpoint_id} was changed since you read it; read it again.")
            if settings == _settings_of(known):
                return known
            await tx.webhooks.change(endpoint_id, settings)
            changed = await _endpoint(tx, principal, project, endpoint_id)
            _note(tx, changed, principal.actor_id, "webhook.updated")
        return changed

    async def rotate(
        self, principal: Principal, project: str, endpoint_id: UUID, request: RotateSecret
    ) -> IssuedSecret:
        """Make a new secret; the one so far signs too until the overlap ends. One before that ends now."""
        secret = new_signing_secret()
        async with self._database.transaction() as tx:
            await _endpoint(tx, principal, project, endpoint_id, lock=True)
            await tx.webhooks.rotate(endpoint_id, secret, overlap_s=request.overlap_s)
            rotated = await _endpoint(tx, principal, project, endpoint_id)
            _note(tx, rotated, principal.actor_id, "webhook.secret_rotated", overlap_s=request.overlap_s)
        return IssuedSecret(rotated, secret)

    async def disable(self, principal: Principal, project: str, endpoint_id: UUID) -> WebhookEndpoint:
        """Send no more: what waits is cancelled, and events pass the endpoint by until it is enabled."""
        return await self._set(principal, project, endpoint_id, EndpointState.DISABLED, "webhook.disabled")

    async def enable(self, principal: Principal, project: str, endpoint_id: UUID) -> WebhookEndpoint:
        """Send again: after a pause what waits is due now; after disabling it begins with what comes."""
        return await self._set(principal, project, endpoint_id, EndpointState.ACTIVE, "webhook.enabled")

    async def ping(self, principal: Principal, project: str, endpoint_id: UUID) -> WebhookDelivery:
        """Send a test event, signed and logged like any other.

        Raises:
            InvalidInputError: The endpoint is not active, so that nothing would be sent.
        """
        async with self._database.transaction() as tx:
            endpoint = await _endpoint(tx, principal, project, endpoint_id)
            if endpoint.state is not EndpointState.ACTIVE:
                raise InvalidInputError(f"Webhook {endpoint_id} is {endpoint.state}; enable it, then test it.")
            delivery_id = uuid4()
            event_id = f"{project}/webhooks/{endpoint_id}/{delivery_id}"
            data = Pinged(project=project, endpoint_id=endpoint_id, actor=principal.actor_id, at=await tx.now())
            envelope = structured_event(
                event_id=event_id,
                source=OUTGOING_SOURCE,
                event_type=PING_TYPE,
                subject=subject_of_webhook(endpoint_id),
                time=data.at,
                data=data,
                extensions={},
            )
            await tx.webhooks.add_ping(
                endpoint_id, delivery_id, event_type=PING_TYPE, event_id=event_id, body=parse_json(envelope)
            )
            tx.outbox.wake()
            return await _delivery(tx, endpoint_id, delivery_id)

    async def deliveries(
        self,
        principal: Principal,
        project: str,
        endpoint_id: UUID,
        *,
        state: DeliveryState | None,
        before: int | None,
        limit: int,
    ) -> tuple[WebhookDelivery, ...]:
        """Return deliveries, newest first, below a position."""
        async with self._database.transaction() as tx:
            await _endpoint(tx, principal, project, endpoint_id)
            return await tx.webhooks.deliveries(endpoint_id, state=state, before=before, limit=limit)

    async def log(self, principal: Principal, project: str, endpoint_id: UUID, delivery_id: UUID) -> DeliveryLog:
        """Return a delivery with all its attempts."""
        async with self._database.transaction() as tx:
            await _endpoint(tx, principal, project, endpoint_id)
            delivery = await _delivery(tx, endpoint_id, delivery_id)
            return DeliveryLog(delivery=delivery, attempts=await tx.webhooks.attempts(delivery_id))

    async def redeliver(
        self, principal: Principal, project: str, endpoint_id: UUID, delivery_id: UUID
    ) -> WebhookDelivery:
        """Send an event once more, under the same webhook-id, whatever became of it before."""
        async with self._database.transaction() as tx:
            endpoint = await _endpoint(tx, principal, project, endpoint_id, lock=True)
            _ensure_not_disabled(endpoint)
            delivery = await _delivery(tx, endpoint_id, delivery_id)
            await tx.webhooks.begin_again(delivery_id)
            _note(tx, endpoint, principal.actor_id, "webhook.redelivered", event_id=delivery.event_id)
            tx.outbox.wake()
            return await _delivery(tx, endpoint_id, delivery_id)

    async def redeliver_range(
        self, principal: Principal, project: str, endpoint_id: UUID, span: RedeliverRange
    ) -> Redelivered:
        """Send the events of a span of time once more, the oldest first, at most 10,000 at once."""
        async with self._database.transaction() as tx:
            endpoint = await _endpoint(tx, principal, project, endpoint_id, lock=True)
            if span.until is not None and span.until <= span.since:
                sentence = "must be later than since"
                raise InvalidInputError(f"The span is not valid: /until: {sentence}", places=(("/until", sentence),))
            _ensure_not_disabled(endpoint)
            begun = await tx.webhooks.begin_range_again(endpoint_id, span, limit=MAX_REDELIVERED)
            told = span.model_dump(mode="json", exclude_none=True)
            _note(tx, endpoint, principal.actor_id, "webhook.redelivered", count=begun.count, **told)
            tx.outbox.wake()
        return begun

    async def _set(
        self, principal: Principal, project: str, endpoint_id: UUID, state: EndpointState, action: str
    ) -> WebhookEndpoint:
        async with self._database.transaction() as tx:
            known = await _endpoint(tx, principal, project, endpoint_id, lock=True)
            if known.state is state:
                return known
            reason = None if state is EndpointState.ACTIVE else f"Disabled by {principal.actor_id}."
            await tx.webhooks.set_state(endpoint_id, state, reason)
            changed = await _endpoint(tx, principal, project, endpoint_id)
            _note(tx, changed, principal.actor_id, action)
            tx.outbox.wake()
        return changed


async def record_attempt(tx: Transaction, claimed: ClaimedDelivery, attempt: WebhookAttempt, step: NextStep) -> bool:
    """Keep what came of an attempt, and stop the endpoint where that follows; the audit trail is told of a stop.

    Returns:
        False, and nothing was kept, if the delivery was claimed again since.
    """
    if not await tx.webhooks.record(claimed, attempt, step):
        return False
    if step.endpoint is None or not await tx.webhooks.stop(claimed, step.endpoint, step.reason or ""):
        return True
    tx.audit.append(
        claimed.project,
        actor=SYSTEM_ACTOR,
        action=f"webhook.{step.endpoint.value}",
        subject=subject_of_webhook(claimed.endpoint_id),
        body={"reason": step.reason, "delivery_id": str(claimed.delivery_id)},
    )
    return True


def subject_of_webhook(endpoint_id: UUID) -> str:
    """Return how the audit trail names an endpoint."""
    return f"webhooks/{endpoint_id}"


def _settings_of(endpoint: WebhookEndpoint) -> WebhookSettings:
    return WebhookSettings(url=endpoint.url, event_types=endpoint.event_types, description=endpoint.description)


async def _ensure_project(tx: Transaction, principal: Principal, project: str, *, lock: bool = False) -> None:
    ensure_sees(principal, project)
    if await tx.projects.get(project, lock=lock) is None:
        raise project_not_found(project)


async def _endpoint(
    tx: Transaction, principal: Principal, project: str, endpoint_id: UUID, *, lock: bool = False
) -> WebhookEndpoint:
    await _ensure_project(tx, principal, project)
    found = await tx.webhooks.endpoint(project, endpoint_id, lock=lock)
    if found is None:
        raise NotFoundError(f"There is no webhook {str(endpoint_id)!r} in project {project!r}.")
    return found


async def _delivery(tx: Transaction, endpoint_id: UUID, delivery_id: UUID) -> WebhookDelivery:
    found = await tx.webhooks.delivery(endpoint_id, delivery_id)
    if found is None:
        raise NotFoundError(f"There is no delivery {str(delivery_id)!r} of this webhook.")
    return found


def _ensure_not_disabled(endpoint: WebhookEndpoint) -> None:
    if endpoint.state is EndpointState.DISABLED:
        raise InvalidInputError(
            f"Webhook {endpoint.endpoint_id} is disabled, so nothing would be sent; enable it, then redeliver."
        )


def _note(tx: Transaction, endpoint: WebhookEndpoint, actor: str, action: str, **more: object) -> None:
    # An address may hold a password in its path or query; the trail tells host and hash.
    body = {
        "host": urlsplit(endpoint.url).hostname,
        "url_sha256": hashlib.sha256(endpoint.url.encode()).hexdigest(),
        "event_types": list(endpoint.event_types),
        "state": endpoint.state.value,
        "version": endpoint.version,
        **more,
    }
    tx.audit.append(
        endpoint.project, actor=actor, action=action, subject=subject_of_webhook(endpoint.endpoint_id), body=body
    )

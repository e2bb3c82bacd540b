"""``concord webhook``: who is told of events over HTTP, and how that went."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import typer

from infra.cli.connection import KeyOption, UrlOption, with_client
from infra.cli.console import JsonOption, age, messages, output, plain, print_facts, print_json, print_table
from infra.client import ConcordClient, WebhookWithSecret
from infra.webhook_calls import WebhookCalls
from services.contracts.validation import validate
from services.contracts.webhooks import (
    DeliveryLog,
    DeliveryState,
    Redelivered,
    RedeliverRange,
    WebhookDelivery,
    WebhookEndpoint,
    WebhookSettings,
)
from services.errors import InvalidInputError

app = typer.Typer(
    help="Tell other systems of events over HTTP: endpoints, secrets, deliveries.",
    no_args_is_help=True,
    add_completion=False,
)

Project = Annotated[str, typer.Argument(help="The project.")]
Endpoint = Annotated[UUID, typer.Argument(help="The webhook's id, from `concord webhook list`.")]
Event = Annotated[list[str] | None, typer.Option(help="A type of event to send; may be repeated; every one if none.")]


def _settings(target: str, event: list[str] | None, description: str) -> WebhookSettings:
    values = {"url": target, "event_types": event or [], "description": description}
    return validate(WebhookSettings, values, what="webhook")


@app.command("create")
def create_webhook(
    project: Project,
    target: Annotated[str, typer.Argument(help="The address that events are posted to.")],
    event: Event = None,
    description: Annotated[str, typer.Option(help="For people.")] = "",
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make an endpoint; the secret that verifies its signatures is printed this once."""
    settings = _settings(target, event, description)

    async def work(client: ConcordClient) -> WebhookWithSecret:
        return await WebhookCalls(client, project).create(settings)

    _tell_secret(with_client(url, key, work), json_output)


@app.command("list")
def list_webhooks(
    project: Project, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """List the endpoints of a project, never their secrets."""

    async def work(client: ConcordClient) -> tuple[WebhookEndpoint, ...]:
        return await WebhookCalls(client, project).list()

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("webhook", "state", "url", "events", "failing", "reason", "description"),
        [
            (
                item.endpoint_id,
                item.state,
                item.url,
                ", ".join(item.event_types) or "all",
                age(item.failing_since),
                item.reason,
                item.description,
            )
            for item in found
        ],
    )


@app.command("show")
def show_webhook(project: Project, webhook: Endpoint, url: UrlOption = None, key: KeyOption = None) -> None:
    """Print an endpoint as JSON."""

    async def work(client: ConcordClient) -> WebhookEndpoint:
        return await WebhookCalls(client, project).get(webhook)

    print_json(with_client(url, key, work))


@app.command("update")
def update_webhook(
    project: Project,
    webhook: Endpoint,
    target: Annotated[str | None, typer.Option(help="Another address.")] = None,
    event: Event = None,
    all_events: Annotated[bool, typer.Option("--all-events", help="Send every type of event.")] = False,
    description: Annotated[str | None, typer.Option(help="Another description.")] = None,
    *,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Change an endpoint's address, event types or description; what is not given stays."""
    if all_events and event:
        raise InvalidInputError("--all-events and --event contradict each other; give one of them")

    async def work(client: ConcordClient) -> WebhookEndpoint:
        calls = WebhookCalls(client, project)
        known = await calls.get(webhook)
        types = [] if all_events else event or list(known.event_types)
        text = known.description if description is None else description
        return await calls.update(webhook, _settings(target or known.url, types, text))

    _tell("updated", with_client(url, key, work), json_output)


@app.command("rotate")
def rotate_secret(
    project: Project,
    webhook: Endpoint,
    overlap_h: Annotated[float, typer.Option(min=0, max=720, help="Hours for which both secrets sign.")] = 24.0,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Make a new secret, printed this once; the one so far signs too until the overlap ends."""

    async def work(client: ConcordClient) -> WebhookWithSecret:
        return await WebhookCalls(client, project).rotate(webhook, round(overlap_h * 3_600))

    _tell_secret(with_client(url, key, work), json_output)


@app.command("disable")
def disable_webhook(
    project: Project, webhook: Endpoint, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """Send no more: what waits is cancelled, and events pass the endpoint by."""

    async def work(client: ConcordClient) -> WebhookEndpoint:
        return await WebhookCalls(client, project).disable(webhook)

    _tell("disabled", with_client(url, key, work), json_output)


@app.command("enable")
def enable_webhook(
    project: Project, webhook: Endpoint, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """Send again; after a pause with everything that was kept, in order."""

    async def work(client: ConcordClient) -> WebhookEndpoint:
        return await WebhookCalls(client, project).enable(webhook)

    _tell("enabled", with_client(url, key, work), json_output)


@app.command("ping")
def ping_webhook(
    project: Project, webhook: Endpoint, json_output: JsonOption = False, url: UrlOption = None, key: KeyOption = None
) -> None:
    """Send a test event; see how it went with `concord webhook deliveries PROJECT WEBHOOK DELIVERY`."""

    async def work(client: ConcordClient) -> WebhookDelivery:
        return await WebhookCalls(client, project).ping(webhook)

    _tell_delivery(with_client(url, key, work), json_output)


@app.command("deliveries")
def list_deliveries(
    project: Project,
    webhook: Endpoint,
    delivery: Annotated[UUID | None, typer.Argument(help="One delivery: all its attempts.")] = None,
    state: Annotated[DeliveryState | None, typer.Option(help="Only deliveries in this state.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="At most so many, newest first.")] = 50,
    *,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """List what was, is and is to be sent, or tell every attempt of one delivery."""
    if delivery is not None:
        _one_delivery(project, webhook, delivery, json_output, url, key)
        return

    async def work(client: ConcordClient) -> list[WebhookDelivery]:
        calls = WebhookCalls(client, project)
        found: list[WebhookDelivery] = []
        size = min(limit, 200)
        pages = client.each(lambda cursor: calls.deliveries(webhook, state=state, cursor=cursor, limit=size))
        async for item in pages:
            found.append(item)
            if len(found) == limit:
                break
        return found

    found = with_client(url, key, work)
    if json_output:
        print_json({"items": found})
        return
    print_table(
        ("delivery", "age", "event", "type", "state", "attempts", "status", "error"),
        [
            (
                item.delivery_id,
                age(item.created_at),
                item.event_id,
                item.event_type,
                item.state,
                item.attempts,
                item.last_status or "",
                item.last_error,
            )
            for item in found
        ],
    )


def _one_delivery(
    project: str, webhook: UUID, delivery: UUID, json_output: bool, url: str | None, key: str | None
) -> None:
    async def work(client: ConcordClient) -> DeliveryLog:
        return await WebhookCalls(client, project).log(webhook, delivery)

    log = with_client(url, key, work)
    if json_output:
        print_json(log)
        return
    told = log.delivery
    print_facts(
        [
            ("delivery", told.delivery_id),
            ("webhook-id", told.webhook_id),
            ("event", told.event_id),
            ("type", told.event_type),
            ("state", told.state),
            ("next attempt", told.next_attempt_at.isoformat() if told.next_attempt_at else "none"),
        ]
    )
    print_table(
        ("#", "at", "ms", "status", "error", "answer"),
        [(a.number, a.started_at.isoformat(), a.latency_ms, a.status or "", a.error, a.excerpt) for a in log.attempts],
        title="\nattempts",
    )


@app.command("redeliver")
def redeliver(
    project: Project,
    webhook: Endpoint,
    delivery: Annotated[UUID | None, typer.Argument(help="One delivery; else give --since.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Those of events that came about since then, UTC.")] = None,
    until: Annotated[datetime | None, typer.Option(help="And before then, UTC; now if left out.")] = None,
    state: Annotated[
        list[DeliveryState] | None, typer.Option(help="Of a span, these states; failed and cancelled if none.")
    ] = None,
    *,
    json_output: JsonOption = False,
    url: UrlOption = None,
    key: KeyOption = None,
) -> None:
    """Send one event again, or those of a span of time that failed or were cancelled; webhook-ids stay."""
    if (delivery is None) == (since is None):
        raise InvalidInputError("say what to send again: one delivery by its id, or a span with --since")
    if delivery is not None:
        single = delivery

        async def work_one(client: ConcordClient) -> WebhookDelivery:
            return await WebhookCalls(client, project).redeliver(webhook, single)

        _tell_delivery(with_client(url, key, work_one), json_output)
        return
    values: dict[str, object] = {"since": _utc(since), "until": _utc(until)}
    if state:
        values["states"] = [one.value for one in state]
    span = validate(RedeliverRange, values, what="span")

    async def work(client: ConcordClient) -> Redelivered:
        return await WebhookCalls(client, project).redeliver_range(webhook, span)

    begun = with_client(url, key, work)
    if json_output:
        print_json(begun)
    else:
        more = "; there are more, run it again once these are through" if begun.more else ""
        output().print(plain(f"{begun.count} begun again{more}"))


def _utc(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat()


def _tell(what: str, endpoint: WebhookEndpoint, json_output: bool) -> None:
    if json_output:
        print_json(endpoint)
    else:
        output().print(plain(f"{what} webhook {endpoint.endpoint_id}, now {endpoint.state}"))


def _tell_secret(made: WebhookWithSecret, json_output: bool) -> None:
    if json_output:
        print_json(made)
        return
    messages().print(plain(f"webhook {made.webhook.endpoint_id} to {made.webhook.url}; its secret, told once:"))
    output().print(plain(made.secret))


def _tell_delivery(delivery: WebhookDelivery, json_output: bool) -> None:
    if json_output:
        print_json(delivery)
    else:
        output().print(plain(f"delivery {delivery.delivery_id} of {delivery.event_id} is {delivery.state}"))

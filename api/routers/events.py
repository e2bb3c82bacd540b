"""Events in over HTTP."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import structlog
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from api.auth import Services
from api.bodies import reply
from api.cloud_events import REQUEST_DOCUMENTATION, BatchReply, read_request
from api.policies import requires
from api.problems import problem_document
from services.access.policy import Permission
from services.contracts.access import Principal
from services.contracts.events import AnyReceipt
from services.errors import ConcordError, UnavailableError
from services.intake.arrivals import Arrival
from services.intake.cloud_events import EventMessage
from services.intake.inbox import Inbox

router = APIRouter(tags=["events"])
_log = structlog.stdlib.get_logger("concord.api")

# Leaves most of the connection pool to others while a large batch is taken in.
_LANES_AT_ONCE = 4


@router.post(
    "/v1/events",
    status_code=202,
    response_model=AnyReceipt | BatchReply,
    responses={207: {"model": BatchReply, "description": "Some events of the batch were refused"}},
    openapi_extra=REQUEST_DOCUMENTATION,
)
async def post_events(
    request: Request,
    services: Services,
    principal: Annotated[Principal, Depends(requires(Permission.EVENTS_SEND))],
) -> Response:
    """Take in one CloudEvent, structured or binary, or a batch of up to 1,000.

    The pair (source, id) is the key of deduplication, for ever: the same event again is answered alike, with the
    outcome ``duplicate``; the pair with other content is refused. A refused event is kept as a dead letter.
    """
    message = await read_request(request)
    if isinstance(message, EventMessage):
        receipt = await services.inbox.receive(message, via="http", projects=principal.projects)
        _log_taken(request, receipt)
        return reply(receipt, status=202)
    results = await _take_batch(request, services.inbox, message, principal)
    refused = any(result["outcome"] == "refused" for result in results)
    return reply({"results": results}, status=207 if refused else 202)


async def _take_batch(
    request: Request, inbox: Inbox, batch: tuple[EventMessage, ...], principal: Principal
) -> list[dict[str, Any]]:
    """Take what can be taken together at once; then events of one sample in their order, those of others beside them.

    Raises:
        UnavailableError: Some events may have been accepted; the batch may be sent again as it is.
    """
    results: list[dict[str, Any]] = [{} for _ in batch]
    arrivals: list[tuple[int, Arrival]] = []
    for number, message in enumerate(batch):
        try:
            arrival = await inbox.read(message, via="http", projects=principal.projects)
        except UnavailableError:
            raise
        except ConcordError as error:
            results[number] = {"outcome": "refused", "problem": problem_document(error)}
        else:
            arrivals.append((number, arrival))
    taken = await inbox.accept_together([arrival for _, arrival in arrivals], via="http", projects=principal.projects)
    lanes: dict[tuple[str | int, ...], list[tuple[int, Arrival]]] = {}
    for place, (number, arrival) in enumerate(arrivals):
        if place in taken:
            results[number] = _told(request, taken[place])
        else:
            lanes.setdefault(arrival.lane(number), []).append((number, arrival))
    slots = asyncio.Semaphore(_LANES_AT_ONCE)

    async def run_lane(lane: list[tuple[int, Arrival]]) -> None:
        async with slots:
            for number, arrival in lane:
                results[number] = await _take(request, inbox, arrival, principal)

    # All lanes are left to finish: a half-done batch is smaller when it is sent again.
    outcomes = await asyncio.gather(*(run_lane(lane) for lane in lanes.values()), return_exceptions=True)
    for outcome in outcomes:
        if outcome is not None:
            raise outcome
    return results


async def _take(request: Request, inbox: Inbox, arrival: Arrival, principal: Principal) -> dict[str, Any]:
    try:
        receipt = await inbox.take(arrival, via="http", projects=principal.projects)
    except UnavailableError:
        raise
    except ConcordError as error:
        event = arrival.event
        return {"source": event.source, "id": event.id, "outcome": "refused", "problem": problem_document(error)}
    return _told(request, receipt)


def _told(request: Request, receipt: AnyReceipt) -> dict[str, Any]:
    _log_taken(request, receipt)
    return receipt.model_dump(mode="json")


def _log_taken(request: Request, receipt: AnyReceipt) -> None:
    # The first line about a sample: from here its workflow's id leads through the logs of every process.
    _log.info("event_taken_in", request_id=request.state.request_id, outcome=receipt.outcome, **receipt.traced)

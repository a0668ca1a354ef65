"""Webhooks: endpoints to which events are sent, and the log of their deliveries."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from longshore.producers.gateway.access.callers import Caller, needs
from longshore.producers.gateway.answers import (
    DEFAULT_LIMIT,
    Cursor,
    Limit,
    Page,
    read_cursor,
    write_cursor,
    wrong_cursor,
)
from longshore.producers.gateway.serving.idempotency import REPEATABLE
from longshore.producers.gateway.state import gateway_of
from longshore.producers.gateway.webhooks.documents import (
    ChangedEndpointBody,
    DeletedEndpoint,
    DeliveryDocument,
    EndpointDocument,
    NewEndpointBody,
    NewEndpointDocument,
    RedeliverBody,
    Sent,
    SentTest,
)
from longshore.producers.gateway.webhooks.endpoints import WebhookEndpoints
from longshore.shared.ledger.gateway.tokens import Scope

router = APIRouter(prefix="/webhooks", tags=["webhooks"])


@router.post("", status_code=201)
async def create_webhook(
    body: NewEndpointBody,
    request: Request,
    response: Response,
    caller: Annotated[Caller, needs(Scope.WEBHOOKS_WRITE)],
) -> NewEndpointDocument:
    """Add an endpoint. Its secret is only in this answer."""
    response.headers["Cache-Control"] = "no-store"
    endpoints = _endpoints(request, caller)
    new = await gateway_of(request).threads.call(
        endpoints.create, body.url, types=body.types, description=body.description
    )
    return NewEndpointDocument.of_new(new)


@router.get("")
async def list_webhooks(
    request: Request, caller: Annotated[Caller, needs(Scope.WEBHOOKS_READ)]
) -> Page[EndpointDocument]:
    """All endpoints of the caller's producer, the oldest first."""
    found = await gateway_of(request).threads.call(_endpoints(request, caller).all)
    return Page(data=[EndpointDocument.of(each) for each in found], has_more=False, next=None)


@router.get("/{id}")
async def show_webhook(
    id: str, request: Request, caller: Annotated[Caller, needs(Scope.WEBHOOKS_READ)]
) -> EndpointDocument:
    """An endpoint."""
    return EndpointDocument.of(await gateway_of(request).threads.call(_endpoints(request, caller).get, id))


@router.patch("/{id}")
async def change_webhook(
    id: str, body: ChangedEndpointBody, request: Request, caller: Annotated[Caller, needs(Scope.WEBHOOKS_WRITE)]
) -> EndpointDocument:
    """Change an endpoint."""
    endpoints = _endpoints(request, caller)
    changed = await gateway_of(request).threads.call(
        endpoints.change, id, url=body.url, types=body.types, description=body.description
    )
    return EndpointDocument.of(changed)


@router.delete("/{id}")
async def delete_webhook(
    id: str, request: Request, caller: Annotated[Caller, needs(Scope.WEBHOOKS_WRITE)]
) -> DeletedEndpoint:
    """Delete an endpoint with its log. What was not delivered is not sent any more."""
    await gateway_of(request).threads.call(_endpoints(request, caller).delete, id)
    return DeletedEndpoint(id=id)


@router.post("/{id}/enable", dependencies=[REPEATABLE])
async def enable_webhook(
    id: str, request: Request, caller: Annotated[Caller, needs(Scope.WEBHOOKS_WRITE)]
) -> EndpointDocument:
    """Send events again to an endpoint that was disabled because it has answered 410, from now on."""
    return EndpointDocument.of(await gateway_of(request).threads.call(_endpoints(request, caller).enable, id))


@router.post("/{id}/rotate")
async def rotate_webhook(
    id: str, request: Request, response: Response, caller: Annotated[Caller, needs(Scope.WEBHOOKS_WRITE)]
) -> NewEndpointDocument:
    """Replace the secret. For 24 hours messages are also signed with the one before."""
    response.headers["Cache-Control"] = "no-store"
    return NewEndpointDocument.of_new(await gateway_of(request).threads.call(_endpoints(request, caller).rotate, id))


@router.post("/{id}/test")
async def send_test(id: str, request: Request, caller: Annotated[Caller, needs(Scope.WEBHOOKS_WRITE)]) -> SentTest:
    """Send an event of type `webhook.test` to an endpoint."""
    return SentTest(event=await gateway_of(request).threads.call(_endpoints(request, caller).test, id))


@router.post("/{id}/redeliver", dependencies=[REPEATABLE])
async def redeliver(
    id: str, body: RedeliverBody, request: Request, caller: Annotated[Caller, needs(Scope.WEBHOOKS_WRITE)]
) -> Sent:
    """Send one event again, or all since a time, with their old ids."""
    endpoints = _endpoints(request, caller)
    count = await gateway_of(request).threads.call(endpoints.redeliver, id, event=body.event, since=body.since)
    return Sent(events=count)


@router.get("/{id}/deliveries")
async def list_deliveries(
    id: str,
    request: Request,
    caller: Annotated[Caller, needs(Scope.WEBHOOKS_READ)],
    state: Annotated[
        Literal["pending", "delivered", "failed"] | None, Query(description="Only those in this state.")
    ] = None,
    limit: Limit = DEFAULT_LIMIT,
    cursor: Cursor = None,
) -> Page[DeliveryDocument]:
    """The log of deliveries of the last 30 days, the newest first."""
    before = None if cursor is None else _place_of(cursor)
    found = await gateway_of(request).threads.call(
        _endpoints(request, caller).deliveries, id, state=state, before=before, limit=limit + 1
    )
    data, has_more = found[:limit], len(found) > limit
    last = write_cursor((data[-1].created_at.isoformat(), data[-1].event_id)) if has_more else None
    return Page(data=[DeliveryDocument.of(each) for each in data], has_more=has_more, next=last)


def _endpoints(request: Request, caller: Caller) -> WebhookEndpoints:
    return WebhookEndpoints(caller.client.ledger.webhooks, caller.producer, gateway_of(request).options.webhooks)


def _place_of(cursor: str) -> tuple[datetime, str]:
    match read_cursor(cursor):
        case (str(time), str(event)) if "\0" not in event:
            with suppress(ValueError):
                return datetime.fromisoformat(time), event
    raise wrong_cursor()

"""Endpoints and deliveries of webhooks as documents."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from longshore.producers.gateway.webhooks.endpoints import NewEndpoint
from longshore.shared.ledger.gateway.webhooks import Delivery, WebhookEndpoint

_DOCUMENT = ConfigDict(use_attribute_docstrings=True)
_BODY = ConfigDict(use_attribute_docstrings=True, extra="forbid")
EXAMPLE_URL = "https://example.com/hooks"


class EndpointDocument(BaseModel):
    """A URL to which events are sent."""

    model_config = _DOCUMENT

    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    id: str
    url: str
    types: Sequence[str]
    """Types of events that it gets, or patterns such as `job.*`; empty for all."""
    description: str
    created_at: datetime
    enabled: bool
    disabled_at: datetime | None
    disabled_reason: str | None
    failing_since: datetime | None
    """Since when each try has failed; null if the last one has not."""

    @classmethod
    def of(cls, endpoint: WebhookEndpoint) -> EndpointDocument:
        """The document of an endpoint in the ledger."""
        return cls.model_validate(_fields(endpoint))


class NewEndpointDocument(EndpointDocument):
    """An endpoint with its secret, which cannot be read again."""

    secret: str
    """With which messages are signed, as Standard Webhooks says."""

    @classmethod
    def of_new(cls, new: NewEndpoint) -> NewEndpointDocument:
        """The document of an endpoint with a new secret."""
        return cls.model_validate({**_fields(new.endpoint), "secret": new.secret})


class TryDocument(BaseModel):
    """One try to deliver an event."""

    model_config = _DOCUMENT

    attempt: int
    at: datetime
    status: int | None
    """Of the HTTP response; null if there was none."""
    duration_ms: int
    error: str | None


class DeliveryDocument(BaseModel):
    """An event that was, or is to be, sent to an endpoint."""

    model_config = _DOCUMENT

    event: str
    type: str
    state: str
    """`pending`, `delivered` or `failed`."""
    attempt: int
    """Tries that have ended, since it was last sent by hand."""
    next_try_at: datetime | None
    created_at: datetime
    tries: Sequence[TryDocument]
    """The last 20 tries."""

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryDocument:
        """The document of a delivery in the ledger."""
        return cls(
            event=delivery.event_id,
            type=delivery.type,
            state=delivery.state,
            attempt=delivery.attempt,
            next_try_at=delivery.next_try_at,
            created_at=delivery.created_at,
            tries=[TryDocument.model_validate(each) for each in delivery.tries],
        )


class DeletedEndpoint(BaseModel):
    """An endpoint that was deleted."""

    id: str
    object: Literal["webhook_endpoint"] = "webhook_endpoint"
    deleted: Literal[True] = True


class Sent(BaseModel):
    """Events that are sent."""

    model_config = _DOCUMENT

    events: int
    """How many."""


class SentTest(BaseModel):
    """A test that is sent."""

    model_config = _DOCUMENT

    event: str
    """Its id, as in the log of deliveries."""


class NewEndpointBody(BaseModel):
    """An endpoint to add."""

    model_config = _BODY

    url: Annotated[str, Field(examples=[EXAMPLE_URL])]
    """Begins with `https://`."""
    types: Annotated[list[str], Field(examples=[["job.*", "batch.completed"]])] = []
    """Types of events that it gets, or patterns such as `job.*`; empty for all."""
    description: str = ""


class ChangedEndpointBody(BaseModel):
    """What is to change; what is left out, or null, stays."""

    model_config = _BODY

    url: Annotated[str | None, Field(examples=[EXAMPLE_URL])] = None
    types: list[str] | None = None
    description: str | None = None


class RedeliverBody(BaseModel):
    """What is to be sent again: one of the two."""

    model_config = _BODY

    event: Annotated[str | None, Field(examples=["evt_0123456789abcdef0123456789abcdef"])] = None
    """The id of one event."""
    since: Annotated[AwareDatetime | None, Field(examples=["2026-11-30T08:00:00Z"])] = None
    """All events since then that the endpoint has subscribed to."""


def _fields(endpoint: WebhookEndpoint) -> dict[str, object]:
    return {
        **{"id": endpoint.id, "url": endpoint.url, "types": endpoint.types, "description": endpoint.description},
        **{"created_at": endpoint.created_at, "enabled": endpoint.disabled_at is None},
        **{"disabled_at": endpoint.disabled_at, "disabled_reason": endpoint.disabled_reason},
        "failing_since": endpoint.failing_since,
    }

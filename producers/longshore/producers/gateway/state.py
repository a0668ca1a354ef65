"""What all requests to one gateway share."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from fastapi import Request

from longshore.broker.gateway.rate_limits import RateLimits
from longshore.producers.aio.threads import Threads
from longshore.producers.gateway.access.tokens import TokenCache
from longshore.producers.gateway.clients import Clients
from longshore.producers.gateway.serving.admission import Admission
from longshore.producers.gateway.serving.readiness import Readiness
from longshore.producers.gateway.settings import GatewaySettings
from longshore.producers.gateway.text_channels import TextChannels
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings


@dataclass(frozen=True)
class Gateway:
    """The gateway of one cluster."""

    settings: Settings
    options: GatewaySettings
    #: For what belongs to no producer: the tokens.
    ledger: Ledger
    threads: Threads
    clients: Clients
    #: Hears the texts that workers write.
    texts: TextChannels
    tokens: TokenCache
    #: Counts what callers use.
    rates: RateLimits
    readiness: Readiness
    #: Says when the gateway begins to stop: ``admission.stopping``.
    admission: Admission
    #: Uploads that are completed at the same time: each writes its file once more.
    joining: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(4))


def gateway_of(request: Request) -> Gateway:
    """The gateway that a request came to."""
    gateway = request.app.state.gateway
    assert isinstance(gateway, Gateway)
    return gateway

"""Who calls, and whether it calls too often, found out before anything of the request but its headers is read."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from longshore.producers.gateway.access.shown_token import shown_token
from longshore.producers.gateway.access.usage import USAGE, CallerUsage
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.state import gateway_of

#: What needs a token.
_PATHS: Final = "/v1"


def identified(app: ASGIApp) -> ASGIApp:
    """The application that knows the caller of each request to the API, as ``request.state.usage``, and its
    ``request.state.token``.
    """

    async def call(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and (scope["path"] + "/").startswith(f"{_PATHS}/"):
            gateway = gateway_of(Request(scope))
            token = await gateway.tokens.valid(shown_token(scope))
            if token is None:
                raise Problem(
                    401,
                    "unauthorized",
                    "send a valid token, as in `Authorization: Bearer lsk_...`; an operator makes one with "
                    "`longshore tokens create`",
                    headers={"WWW-Authenticate": "Bearer"},
                )
            with gateway.clients.using(token.producer, token.queued_jobs) as client:
                usage = CallerUsage(token, client, gateway.rates)
                scope["state"] |= {"token": token, USAGE: usage}
                await usage.count_request()
                await app(scope, receive, send)
        else:
            await app(scope, receive, send)

    return call

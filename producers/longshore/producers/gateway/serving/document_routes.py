"""Routes whose body was read before, with all others, by :mod:`~longshore.producers.gateway.serving.bodies`."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from longshore.producers.gateway.serving.bodies import DOCUMENT


class _ReadRequest(Request):
    """A request whose body is not read again."""

    async def json(self) -> Any:
        """The value of the body."""
        return getattr(self.state, DOCUMENT)


class DocumentRoute(APIRoute):
    """A route with a body in JSON or msgpack, as the ``route_class`` of a router."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """See :meth:`APIRoute.get_route_handler`."""
        handle = super().get_route_handler()

        async def handle_read(request: Request) -> Response:
            if hasattr(request.state, DOCUMENT):
                request = _ReadRequest(request.scope, request.receive)
            return await handle(request)

        return handle_read

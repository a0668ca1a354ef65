"""Routes whose body was read before, with all others, by :mod:`~longshore.producers.gateway.serving.bodies`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, get_type_hints

from fastapi import Request, Response
from fastapi.params import Security
from fastapi.routing import APIRoute
from pydantic import BaseModel, ValidationError
from starlette.types import Receive, Scope, Send

from longshore.producers.gateway.access.callers import caller_of
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


class DirectRoute(DocumentRoute):
    """A route that calls its function itself. For short requests the framework's way to find the arguments of a
    function takes longer than all else.

    The function's parameters are those of the path, ``request``, ``caller``, ``key``, ``prefer``, and ``body``, a
    model of pydantic. They are described as those of any route. What is not a request with a right body goes the
    framework's way: there is one place that says what is wrong.
    """

    def __init__(self, path: str, endpoint: Callable[..., Awaitable[Response]], **more: Any) -> None:
        super().__init__(path, endpoint, **more)
        hints = get_type_hints(endpoint, include_extras=True)
        [needed] = (each for each in hints["caller"].__metadata__ if isinstance(each, Security))
        self._scopes = tuple(needed.scopes or ())
        self._body: type[BaseModel] = hints["body"]

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See :meth:`APIRoute.handle`."""
        state = scope["state"]
        # What the dependencies of all routes look at goes to them.
        is_plain = DOCUMENT in state and not state.get("is_repeated") and not scope["query_string"]
        if is_plain and scope["method"] in (self.methods or ()):
            request = Request(scope, receive)
            caller = caller_of(request, self._scopes)
            try:
                body = self._body.model_validate(state[DOCUMENT])
            except ValidationError:
                pass
            else:
                arguments = {"body": body, "caller": caller, "key": state.get("repeat_key")}
                prefer = request.headers.get("prefer")
                response = await self.endpoint(**scope["path_params"], **arguments, prefer=prefer, request=request)
                await response(scope, receive, send)
                return
        await super().handle(scope, receive, send)

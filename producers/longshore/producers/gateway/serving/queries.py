"""Parameters of a query that no route knows are refused, so that a filter that is misspelt does not list everything."""

from __future__ import annotations

from collections.abc import Iterator

from fastapi import Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from longshore.shared.errors import InvalidInput


async def check_query(request: Request) -> None:
    """:raises InvalidInput: the query has a parameter that the route does not have."""
    route = request.scope.get("route")
    if not request.query_params or not isinstance(route, APIRoute):
        return
    known = tuple(_names_in(route.dependant))
    for name in request.query_params:
        if name not in known:
            listed = f"; its parameters are {', '.join(known)}" if known else ""
            raise InvalidInput(name, f"the query of this route has no such parameter{listed}")


def _names_in(dependant: Dependant) -> Iterator[str]:
    yield from (field.alias for field in dependant.query_params)
    for each in dependant.dependencies:
        yield from _names_in(each)

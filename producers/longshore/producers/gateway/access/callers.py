"""The caller of a request: the token that it shows.

A route names the scopes that it needs::

    @router.get("/jobs/{id}")
    async def show_job(id: str, caller: Annotated[Caller, needs(Scope.JOBS_READ)]) -> JobDocument: ...
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, cast

import pyarrow as pa
from fastapi import Request, Security
from fastapi.params import Security as SecurityParameter
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes
from pydantic import JsonValue

from longshore.producers.aio.client import AsyncClient
from longshore.producers.aio.job import AsyncJob
from longshore.producers.gateway.access.addresses import check_addresses
from longshore.producers.gateway.access.usage import USAGE, CallerUsage
from longshore.producers.gateway.bodies.data import count_rows
from longshore.producers.gateway.files.rows import is_file_id, rows_of_file
from longshore.producers.gateway.problems import Problem
from longshore.producers.gateway.state import gateway_of
from longshore.producers.planning.planner import numbered
from longshore.producers.requests import Generate, with_data
from longshore.producers.requests import Request as JobRequest
from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.gateway.tokens import Scope, ValidToken, matches_model

_bearer = HTTPBearer(auto_error=False, scheme_name="token", description="A token of `longshore tokens create`.")


@dataclass(frozen=True)
class Caller:
    """Who calls."""

    token: ValidToken
    #: Of the token's producer.
    client: AsyncClient
    #: Counts what it uses. A route that submits jobs calls ``usage.admit`` before, and ``usage.submitted`` after it.
    usage: CallerUsage
    #: The files that callers may name, as in :attr:`GatewaySettings.data`.
    data: tuple[str, ...]

    @property
    def producer(self) -> str:
        """Whose jobs it submits and sees."""
        return self.token.producer

    def check_model(self, name: str) -> None:
        """Check that the caller may use a model.

        :param name: of the model, without version or alias.
        :raises Problem: 403; whether there is such a model is not said.
        """
        if not matches_model(self.token.models, name):
            raise Problem(403, "forbidden", f"this token may not use the model {name!r}")

    async def submit(self, request: JobRequest) -> AsyncJob:
        """Submit a job, as :meth:`AsyncClient.submit`, within the limits of the token.

        :raises Problem: 429: the token has used up what it may.
        :raises InvalidInput: it names a file that callers may not name.
        """
        [request] = await self._with_rows([request])
        async with self._admitted([request]):
            job = await self.client.submit(request)
        await self.usage.submitted([job.id])
        return job

    async def submit_many(self, requests: Sequence[JobRequest]) -> list[AsyncJob]:
        """As :meth:`submit`, for many jobs in one transaction."""
        requests = await self._with_rows(requests)
        async with self._admitted(requests):
            jobs = await self.client.submit_many(requests)
        await self.usage.submitted([job.id for job in jobs])
        return jobs

    async def rows_of(self, id: str, options: Mapping[str, JsonValue]) -> pa.Table:
        """The rows of an uploaded file.

        :raises Problem: 403: the token may read no files.
        :raises InvalidInput: there is no such file, or it has no rows that can be used.
        """
        if Scope.FILES_READ not in self.token.scopes:
            raise Problem(403, "forbidden", f"this token lacks the scope {Scope.FILES_READ}, to read {id}")
        return await self.client.call(rows_of_file, self.producer, id, options.get("format"))

    async def _with_rows(self, requests: Sequence[JobRequest]) -> list[JobRequest]:
        """The requests, with rows in place of uploaded files."""
        found: list[JobRequest] = []
        for number, request in enumerate(requests):
            if not is_file_id(request.data):
                found.append(request)
                continue
            options = cast("Mapping[str, JsonValue]", request.options)
            with numbered(number, len(requests)):
                found.append(with_data(request, await self.rows_of(str(request.data), options)))
        return found

    @asynccontextmanager
    async def _admitted(self, requests: Sequence[JobRequest]) -> AsyncIterator[None]:
        for number, request in enumerate(requests):
            with numbered(number, len(requests)):
                check_addresses(request, self.data)
        rows = sum(count_rows(request.data, generates=isinstance(request, Generate)) for request in requests)
        await self.usage.admit(rows=rows, jobs=len(requests))
        try:
            yield
        except LongshoreError:
            await self.usage.give_back(rows)
            raise


def needs(*scopes: Scope) -> SecurityParameter:
    """The caller, as a parameter of a route that needs these scopes."""
    parameter: SecurityParameter = Security(authorize, scopes=list(scopes))
    return parameter


async def authorize(
    request: Request,
    needed: SecurityScopes,
    credentials: Annotated[HTTPAuthorizationCredentials | None, Security(_bearer)] = None,
) -> Caller:
    """:func:`caller_of` as a dependency; a coroutine, as others are called in threads.

    :param credentials: for the description of the API.
    """
    return caller_of(request, needed.scopes)


def caller_of(request: Request, scopes: Sequence[str]) -> Caller:
    """The caller that :mod:`~longshore.producers.gateway.access.identification` has let through.

    :raises Problem: 403, its token lacks a scope.
    """
    usage = getattr(request.state, USAGE)
    assert isinstance(usage, CallerUsage)  # every route with a caller is below the paths that need a token
    missing = [scope for scope in scopes if scope not in usage.token.scopes]
    if missing:
        raise Problem(403, "forbidden", f"this token lacks the scope {', '.join(missing)}")
    return Caller(usage.token, usage.client, usage, gateway_of(request).options.data)

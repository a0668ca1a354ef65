"""The client for asyncio: what services call."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, NoReturn, ParamSpec, Self, TypeVar, Unpack, cast
from uuid import UUID

from longshore.producers.aio.changes import Changes
from longshore.producers.aio.gathered import Gathered
from longshore.producers.aio.job import AsyncJob
from longshore.producers.aio.models import AsyncModels
from longshore.producers.aio.outcomes import read_outcomes
from longshore.producers.aio.threads import Threads, client_closed
from longshore.producers.client import Client
from longshore.producers.data import Data, GenerateData, is_small
from longshore.producers.http.address import needs_httpx, speaks_http
from longshore.producers.job import Job
from longshore.producers.requests import CrossValidate, Evaluate, Generate, Infer, Request, Train, Tune
from longshore.shared import forks
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Settings
from longshore.shared.store_gc import GRACE

if TYPE_CHECKING:
    from longshore.producers.cleaning import Cleaned
    from longshore.producers.disk_usage import DiskUsage
    from longshore.producers.options.keywords import (
        CrossValidateOptions,
        EvaluateOptions,
        GenerateOptions,
        InferOptions,
        SearchSpace,
        TrainOptions,
        TuneOptions,
    )
    from longshore.shared.ledger.queries import Outcome
    from longshore.shared.ledger.retention.removal import Pruned
    from longshore.shared.store_gc import StoreSweep

P = ParamSpec("P")
T = TypeVar("T")


class AsyncClient:
    """A producer's connection to a cluster, for asyncio: :class:`~longshore.producers.client.Client` with coroutines,
    whose methods and errors are described there. All coroutines of one event loop may share one.

    Any number of coroutines can wait for jobs at the same time: one connection listens for all of them. Calls that ask
    Postgres take turns on as many connections as a client has. Small requests for inference or for texts that come
    while others are submitted are committed together.

    With a URL it speaks HTTP, as ``Client`` does, with the same methods: ``AsyncClient("https://longshore.example.org",
    token="lsk_...")``. It needs the extra ``http``. See docs/how-to/http.md.

    Once it is closed, every call raises a ServiceUnavailable.

    :param url: of a gateway.
    :param token: for it. Default: ``LONGSHORE_TOKEN``, or the content of the file ``LONGSHORE_TOKEN_FILE``.
    :param home: the folder of an embedded cluster.
    :param producer: who submits, ``user@host`` if not given; idempotency keys are the producer's own. Over HTTP it is
        that of the token.
    :raises InvalidInput: an address is not valid.
    :raises NoCluster: there are no addresses and no home is up.
    """

    def __new__(
        cls,
        url: str | None = None,
        *,
        token: str | None = None,
        redis_url: str | None = None,
        database_url: str | None = None,
        store: str | None = None,
        home: str | os.PathLike[str] | None = None,
        producer: str | None = None,
    ) -> Self:
        others = {"redis_url": redis_url, "database_url": database_url, "store": store, "home": home}
        if cls is AsyncClient and speaks_http(url, token, {**others, "producer": producer}):
            return cast(Self, object.__new__(_http_client()))
        return object.__new__(cls)

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        redis_url: str | None = None,
        database_url: str | None = None,
        store: str | None = None,
        home: str | os.PathLike[str] | None = None,
        producer: str | None = None,
    ) -> None:
        self._client = Client(redis_url=redis_url, database_url=database_url, store=store, home=home, producer=producer)
        self._threads = Threads()
        self._changes = Changes(self._client.ledger, self._threads)
        self._small: Gathered[Infer | Generate, Job] = Gathered(self._threads, self._client._submit_apart)
        self._outcomes: Gathered[UUID, Outcome] = Gathered(
            self._threads, partial(read_outcomes, self._client.ledger.queries)
        )

    @property
    def settings(self) -> Settings:
        """The addresses of the cluster."""
        return self._client.settings

    @property
    def ledger(self) -> Ledger:
        """What is in Postgres, for what is built on a client. Its calls block."""
        return self._client.ledger

    async def infer(self, model: str, data: Data, **options: Unpack[InferOptions]) -> AsyncJob:
        """See :meth:`Client.infer`."""
        return await self.submit(Infer(model, data, options))

    async def generate(self, model: str, data: GenerateData, **options: Unpack[GenerateOptions]) -> AsyncJob:
        """See :meth:`Client.generate`."""
        return await self.submit(Generate(model, data, options))

    async def train(
        self, model: str, family: str, data: Data, target: str | None = None, **options: Unpack[TrainOptions]
    ) -> AsyncJob:
        """See :meth:`Client.train`."""
        return (await self.submit_many([Train(model, family, data, target, options)]))[0]

    async def tune(
        self, model: str, family: str, data: Data, target: str, space: SearchSpace, **options: Unpack[TuneOptions]
    ) -> AsyncJob:
        """See :meth:`Client.tune`."""
        return (await self.submit_many([Tune(model, family, data, target, space, options)]))[0]

    async def cross_validate(
        self, model: str, family: str, data: Data, target: str, **options: Unpack[CrossValidateOptions]
    ) -> AsyncJob:
        """See :meth:`Client.cross_validate`."""
        return (await self.submit_many([CrossValidate(model, family, data, target, options)]))[0]

    async def evaluate(
        self, model: str, data: Data, target: str | None = None, **options: Unpack[EvaluateOptions]
    ) -> AsyncJob:
        """See :meth:`Client.evaluate`."""
        return (await self.submit_many([Evaluate(model, data, target, options)]))[0]

    async def submit(self, request: Request) -> AsyncJob:
        """Submit one request, together with other small ones that come meanwhile.

        :raises InvalidInput, UnknownModel, QueueFull, SubmissionUncertain, ServiceUnavailable: as
            :meth:`Client.infer`.
        """
        if isinstance(request, Infer | Generate) and _is_small(request):
            return self._of(await self._small.call(request))
        return (await self.submit_many([request]))[0]

    async def submit_many(self, requests: Iterable[Request]) -> list[AsyncJob]:
        """See :meth:`Client.submit_many`.

        A call that has begun is not undone if the coroutine is cancelled: the jobs may be there.
        """
        return [self._of(job) for job in await self._threads.call(self._client.submit_many, requests)]

    async def job(self, id: str | UUID) -> AsyncJob:
        """See :meth:`Client.job`."""
        return self._of(await self._threads.call(self._client.job, id))

    async def jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        model: str | None = None,
        producer: str | None = None,
        since: str | timedelta | None = None,
        limit: int = 100,
    ) -> list[AsyncJob]:
        """See :meth:`Client.jobs`."""
        filters = {"state": state, "kind": kind, "model": model, "producer": producer}
        jobs = await self._threads.call(self._client.jobs, **filters, since=since, limit=limit)
        return [self._of(job) for job in jobs]

    async def wait(self, jobs: Sequence[AsyncJob], timeout: float | None = None) -> None:
        """See :meth:`Client.wait`."""
        await self._changes.wait_for_ends([job.id for job in jobs], timeout)

    async def outcome(self, job: AsyncJob) -> Outcome:
        """How a job has ended, with all its rows, which should be few. Those of several jobs are read together.

        :raises WaitTimeout: it has not ended.
        :raises UnknownJob: the job no longer exists.
        :raises ResultsPruned: the results were removed.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        return await self._outcomes.call(job.id)

    async def call(self, function: Callable[Concatenate[Client, P], T], *args: P.args, **keywords: P.kwargs) -> T:
        """What a function returns or raises that is called with the client that blocks, in a thread: for what is built
        on a client. A call that has begun goes on if the coroutine is cancelled.
        """
        return await self._threads.call(partial(function, self._client, *args, **keywords))

    async def warm_up(self, model: str | None = None) -> None:
        """See :meth:`Client.warm_up`."""
        await self._threads.call(self._client.warm_up, model)

    @property
    def models(self) -> AsyncModels:
        """See :attr:`Client.models`."""
        return AsyncModels(self._client.models, self._threads)

    async def prune(self, older_than: str | timedelta, *, dry_run: bool = False) -> Pruned:
        """See :meth:`Client.prune`."""
        return await self._threads.call(self._client.prune, older_than, dry_run=dry_run)

    async def sweep_store(self, grace: str | timedelta = GRACE, *, dry_run: bool = False) -> StoreSweep:
        """See :meth:`Client.sweep_store`."""
        return await self._threads.call(self._client.sweep_store, grace, dry_run=dry_run)

    async def clean(
        self, older_than: str | timedelta | None = None, *, grace: str | timedelta = GRACE, dry_run: bool = False
    ) -> Cleaned:
        """See :meth:`Client.clean`."""
        return await self._threads.call(self._client.clean, older_than, grace=grace, dry_run=dry_run)

    async def disk_usage(self, top: int = 10) -> DiskUsage:
        """See :meth:`Client.disk_usage`."""
        return await self._threads.call(self._client.disk_usage, top)

    async def close(self) -> None:
        """Give the connections back, after the calls that run. Coroutines that still wait get a ServiceUnavailable."""
        self._small.close(client_closed())
        self._outcomes.close(client_closed())
        await self._changes.close()
        await self._threads.close()
        await asyncio.to_thread(self._client.close)

    def _of(self, job: Job) -> AsyncJob:
        return AsyncJob(job, self._threads, self._changes)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def __reduce__(self) -> NoReturn:
        raise forks.refuse_pickling(self, "make an AsyncClient in each process")

    def __repr__(self) -> str:
        return repr(self._client).replace("<Client", "<AsyncClient", 1)


def _http_client() -> type[AsyncClient]:
    with needs_httpx():
        found: type[AsyncClient] = import_module("longshore.producers.http.aio.client").AsyncHttpClient
    return found


def _is_small(request: Infer | Generate) -> bool:
    if isinstance(request, Infer):
        return is_small(request.data)
    # Brings Arrow; see Client.submit_many.
    from longshore.producers.planning.language.prompt_data import address_of, rows_of

    return address_of(request.data, request.options.get("format")) is None and is_small(rows_of(request.data))

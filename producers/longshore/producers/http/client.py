"""The client over HTTP."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from importlib import import_module
from typing import TYPE_CHECKING, Final, NoReturn
from uuid import UUID

from pydantic import JsonValue

from longshore.producers.client import Client
from longshore.producers.http.address import find_address
from longshore.producers.http.connection import GatewayConnection
from longshore.producers.http.data import RequestBodies
from longshore.producers.http.job import MAX_LIMIT, HttpJob
from longshore.producers.http.models import HttpModels, refuse
from longshore.producers.http.records import job_record, listed
from longshore.producers.http.then import HttpThen, MakeBody
from longshore.producers.http.uploads import send_bytes, send_file
from longshore.producers.http.waiting import wait_for_all
from longshore.producers.job import Job
from longshore.producers.requests import Request
from longshore.shared.durations import parse_duration
from longshore.shared.errors import InvalidInput, UnknownJob
from longshore.shared.notebook import html_table
from longshore.shared.store_gc import GRACE

if TYPE_CHECKING:
    from longshore.producers.cleaning import Cleaned
    from longshore.producers.disk_usage import DiskUsage
    from longshore.shared.ledger.records import JobRecord
    from longshore.shared.ledger.retention.removal import Pruned
    from longshore.shared.store_gc import StoreSweep

#: Requests that the gateway takes in one transaction.
MAX_REQUESTS: Final = 1000
#: Seconds after which rows that were uploaded for a request expire: it stores them with its job.
ROWS_EXPIRY_S: Final = 3600
#: What is built on the connection to Postgres.
_DIRECT: Final = frozenset({"ledger", "settings"})


class HttpClient(Client):
    """A producer's connection to a gateway: what ``Client("https://...", token=...)`` makes. Each method is described
    at :class:`Client`, and raises what it raises there; an InvalidInput of ``token`` if the token does not do.
    """

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
        self._connection = GatewayConnection(find_address(url, token))
        self._http_models = HttpModels(self._connection)

    def __getattr__(self, name: str) -> NoReturn:
        if name in _DIRECT:
            raise InvalidInput(name, "not over HTTP; connect to Redis and Postgres for it")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}", name=name, obj=self)

    def submit_many(self, requests: Iterable[Request]) -> list[Job]:
        """See :meth:`Client.submit_many`. At most 1,000 requests a call."""
        listing = list(requests)
        if len(listing) > MAX_REQUESTS:
            raise InvalidInput(
                "requests", f"{len(listing):,}, and the gateway takes {MAX_REQUESTS:,} in one transaction; call again"
            )
        if not listing:
            return []
        bodies = RequestBodies(self._upload)
        sent: list[JsonValue] = []
        for number, request in enumerate(listing):
            try:
                sent.append(bodies.request(request))
            except InvalidInput as error:
                field = error.field if len(listing) == 1 else f"requests[{number}].{error.field}"
                raise InvalidInput(field, error.reason) from None
        if len(listing) == 1 and isinstance(sent[0], dict):
            return [self._of(self._connection.post("/jobs", sent[0]))]
        return [self._of(each) for each in listed(self._connection.post("/jobs/batch", {"requests": sent}))]

    def job(self, id: str | UUID) -> Job:
        """See :meth:`Client.job`.

        :param id: the whole id, or ``@last``.
        """
        if str(id) == "@last":
            for newest in self.jobs(limit=1):
                return newest
            raise UnknownJob("job", "this producer has submitted no job yet")
        try:
            whole = UUID(str(id))
        except ValueError:
            raise UnknownJob("job", f"{str(id)[:80]!r}: over HTTP, give the whole id, or @last") from None
        return self._of(self._connection.get(f"/jobs/{whole}"))

    def jobs(
        self,
        *,
        state: str | None = None,
        kind: str | None = None,
        model: str | None = None,
        producer: str | None = None,
        since: str | timedelta | None = None,
        limit: int = 100,
    ) -> list[Job]:
        """See :meth:`Client.jobs`. Only those of the token's producer."""
        if producer is not None:
            raise InvalidInput("producer", "a token shows the jobs of its own producer; leave it out")
        age = None
        if since is not None:
            age = f"{max(int(parse_duration(since, 'since', short=True).total_seconds()), 1)}s"
        query = {"state": state, "kind": kind, "model": model, "since": age, "limit": min(max(limit, 1), MAX_LIMIT)}
        found: list[Job] = []
        for each in self._connection.items("/jobs", query):
            if len(found) >= limit:
                break
            found.append(self._of(each))
        return found

    def wait(
        self,
        jobs: Sequence[Job],
        timeout: float | None = None,
        on_end: Callable[[Job], None] | None = None,
        progress: bool | None = None,
    ) -> None:
        """See :meth:`Client.wait`."""
        from longshore.producers.reporting.progress_bar import count_display

        by_id = {job.id: job for job in jobs}

        def records() -> dict[UUID, JobRecord]:
            return {job.id: job.record() for job in jobs}

        with count_display(progress, len(by_id), records) as count:

            def ended(id: UUID) -> None:
                if count is not None:
                    count()
                if on_end is not None:
                    on_end(by_id[id])

            wait_for_all(self._connection, list(by_id), timeout, ended)

    def upload_file(self, path: str | os.PathLike[str], *, expires_after: str | timedelta | None = None) -> str:
        """Send a file of this machine (Parquet, Arrow, JSON Lines) to the gateway, and return its id: the ``data`` of
        jobs. Only over HTTP.

        A file of more than 16 MiB is sent in parts: if the connection is lost, it goes on with the part that was on its
        way. The gateway checks what comes by its SHA-256.

        :param expires_after: from ``1h`` to ``30d``. Default: it stays until it is deleted.
        :raises InvalidInput: the file cannot be read, or the gateway takes no such file.
        :raises DataError: the file changes while it is sent.
        :raises ServiceUnavailable: the gateway is away for more than a minute.
        """
        seconds = None if expires_after is None else parse_duration(expires_after, "expires_after").total_seconds()
        return send_file(self._connection, path, None if seconds is None else int(seconds))

    def warm_up(self, model: str | None = None) -> None:
        """See :meth:`Client.warm_up`.

        :raises ServiceUnavailable: the gateway cannot be reached.
        """
        for module in ("http.data", "results"):
            import_module(f"longshore.producers.{module}")
        self.jobs(limit=1)
        if model is not None:
            self.models.get(model)

    @property
    def models(self) -> HttpModels:
        """The models, their versions and aliases."""
        return self._http_models

    def prune(self, older_than: str | timedelta, *, dry_run: bool = False) -> Pruned:
        """:raises InvalidInput: always; it is an operator's."""
        refuse("prune")

    def sweep_store(self, grace: str | timedelta = GRACE, *, dry_run: bool = False) -> StoreSweep:
        """:raises InvalidInput: always; it is an operator's."""
        refuse("sweep_store")

    def clean(
        self, older_than: str | timedelta | None = None, *, grace: str | timedelta = GRACE, dry_run: bool = False
    ) -> Cleaned:
        """:raises InvalidInput: always; it is an operator's."""
        refuse("clean")

    def disk_usage(self, top: int = 10) -> DiskUsage:
        """:raises InvalidInput: always; it is an operator's."""
        refuse("disk_usage")

    def close(self) -> None:
        """Close the connections."""
        self._connection.close()

    def forget_parent(self) -> None:
        """The connection forgets its parent itself."""

    def _of(self, document: JsonValue) -> Job:
        record = job_record(document)
        return HttpJob(record.id, self._connection, self._http_models, self._then, record)

    def _then(self, after: UUID) -> HttpThen[Job]:
        def send(body: MakeBody) -> Job:
            return self._of(self._connection.post(f"/jobs/{after}/then", body()))

        return HttpThen(send, self._upload)

    def _upload(self, content: bytes) -> str:
        return send_bytes(self._connection, content, "rows.arrow", ROWS_EXPIRY_S)

    def __repr__(self) -> str:
        return f"<Client {self._connection.url}>"

    def _repr_html_(self) -> str:
        return html_table("Longshore client", {"gateway": self._connection.url})

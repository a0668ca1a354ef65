"""The client: what producers call."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, NoReturn, Self, Unpack, cast
from uuid import UUID

from longshore.producers.data import Data, GenerateData
from longshore.producers.http.address import needs_httpx, speaks_http
from longshore.producers.job import Job
from longshore.producers.job_filter import job_filter
from longshore.producers.job_ids import find_job
from longshore.producers.models.client import ModelsClient
from longshore.producers.requests import CrossValidate, Evaluate, Generate, Infer, Request, Train, Tune
from longshore.producers.submission.publisher import Publisher
from longshore.producers.submission.submitter import Submitter
from longshore.producers.then import Then
from longshore.producers.waiting import wait_all
from longshore.shared import forks
from longshore.shared.durations import parse_duration
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.notebook import html_table
from longshore.shared.settings import load_settings
from longshore.shared.store.address import is_remote, public
from longshore.shared.store.store import Store
from longshore.shared.store_gc import GRACE, check_grace

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
    from longshore.producers.planning.chain import LinkPlanner
    from longshore.shared.ledger.jobs.submission import Condition
    from longshore.shared.ledger.records import JobRecord, NewJob
    from longshore.shared.ledger.retention.removal import Pruned
    from longshore.shared.store_gc import StoreSweep


class Client:
    """A producer's connection to a cluster. Threads may share one, and so may the children of a fork, which open their
    own connections. It cannot be pickled.

    With a URL it speaks HTTP, with the same methods: ``Client("https://longshore.example.org", token="lsk_...")``, for
    services that cannot reach Redis and Postgres. It needs the extra ``http``. What only an operator does, and files of
    models, are refused with an InvalidInput. See docs/how-to/http.md.

    Without arguments it finds the cluster by ``LONGSHORE_REDIS_URL``, ``LONGSHORE_DATABASE_URL`` and
    ``LONGSHORE_STORE``, or else the gateway by ``LONGSHORE_URL``, or else the home that is up.

    Each method says what it raises. With logins of its own roles, Postgres may also refuse what a login has no right
    to, with a LedgerRefused.

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
        if cls is Client and speaks_http(url, token, {**others, "producer": producer}):
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
        self.settings = load_settings(
            redis_url=redis_url, database_url=database_url, store=store, home=home, producer=producer
        )
        #: What is in Postgres, for what is built on a client.
        self.ledger = Ledger(self.settings.database_url, "longshore client", producer=self.settings.producer)
        self._publisher = Publisher(self.ledger, self.settings)
        self._submitter = Submitter(self.ledger, self.settings, self._publisher)
        self._making = threading.RLock()
        self._made_models: ModelsClient | None = None
        forks.call_after_fork(self)

    def infer(self, model: str, data: Data, **options: Unpack[InferOptions]) -> Job:
        """Submit a batch-inference job. When this returns, the job is durable.

        :param model: ``digits``, ``digits:3`` or ``digits@production``. An alias is resolved once, by this call.
        :param data: a path or URI of a file or a folder that the workers can reach
            (docs/reference/data-formats.md); or rows: a list of dict, a dict of columns, a NumPy array of shape
            (n, ...), an Arrow table, a pandas frame.
        :param options: each has its type, default and meaning in
            :class:`~longshore.producers.options.keywords.InferOptions` (docs/reference/options.md).
        :raises InvalidInput: names the option and the reason; nothing was queued.
        :raises ServiceUnavailable: Postgres cannot be reached; nothing was queued.
        :raises UnknownModel: there is no such version.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises SubmissionUncertain: as :meth:`submit_many`.
        """
        return self.submit_many([Infer(model, data, options)])[0]

    def generate(self, model: str, data: GenerateData, **options: Unpack[GenerateOptions]) -> Job:
        """Submit a job that generates text with a language model. When this returns, the job is durable.

        :param model: a version whose task is ``generation``, as for :meth:`infer`.
        :param data: a prompt, a list of prompts, a list of messages (``{"role": "user", "content": "..."}``), or a list
            of such lists. Or a file or rows as for :meth:`infer`, with a column ``prompt`` (texts) or ``messages``
            (such lists); a column with the name of an option overrides it by row. A text is a path if it is one word,
            ends like a file of a known format, or is there.
        :param options: each has its type, default and meaning in
            :class:`~longshore.producers.options.keywords.GenerateOptions` (docs/reference/options.md).
        :raises InvalidInput: names the option and the reason; nothing was queued.
        :raises ServiceUnavailable: Postgres cannot be reached; nothing was queued.
        :raises UnknownModel: there is no such version.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises SubmissionUncertain: as :meth:`submit_many`.
        """
        return self.submit_many([Generate(model, data, options)])[0]

    def train(
        self, model: str, family: str, data: Data, target: str | None = None, **options: Unpack[TrainOptions]
    ) -> Job:
        """Submit a training job. It makes a new version of ``model``.

        :param family: ``linear``, ``mlp``, ``cnn``, ``rnn``, ``transformer``, ``lightgbm``, or one that a package on
            the workers adds.
        :param data: as for :meth:`infer`.
        :param target: the column to predict. Language models learn the column ``text`` by default, as text files
            (``book.txt``) have it; other families need it.
        :param options: each has its type, default and meaning in
            :class:`~longshore.producers.options.keywords.TrainOptions` (docs/reference/options.md).
        :raises InvalidInput: names the option and the reason; nothing was queued.
        :raises ServiceUnavailable: Postgres cannot be reached; nothing was queued.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises SubmissionUncertain: as :meth:`submit_many`.
        """
        return self.submit_many([Train(model, family, data, target, options)])[0]

    def tune(
        self,
        model: str,
        family: str,
        data: Data,
        target: str,
        space: SearchSpace,
        **options: Unpack[TuneOptions],
    ) -> Job:
        """Submit a search for the best training: many trials, on all devices at once. The best of them becomes a
        version of ``model``. ``job.trials()`` lists them.

        :param model: as for :meth:`train`, and so are ``family``, ``data`` and ``target``.
        :param space: the values to try, by the name of an option of :meth:`train`, or by ``config.`` and a key of the
            family: a list of values, or an interval such as ``{"low": 1e-4, "high": 0.1, "log": True}``. With ``step``,
            only ``low``, ``low + step``, ... are tried. The numbers are integers if both ends are.
        :param options: the options of the search, and those that every trial has in common. Each has its type, default
            and meaning in :class:`~longshore.producers.options.keywords.TuneOptions` (docs/reference/options.md).
        :raises InvalidInput: names the option and the reason; nothing was queued.
        :raises ServiceUnavailable: Postgres cannot be reached; nothing was queued.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises SubmissionUncertain: as :meth:`submit_many`.
        """
        return self.submit_many([Tune(model, family, data, target, space, options)])[0]

    def cross_validate(
        self, model: str, family: str, data: Data, target: str, **options: Unpack[CrossValidateOptions]
    ) -> Job:
        """Submit a cross-validation. It trains once for each fold, on all devices at once, and measures on that fold.
        It makes no version. ``job.record().outcome`` has the mean and the deviation of each metric, ``job.trials()``
        every fold.

        :param model: as for :meth:`train`, and so are ``family``, ``data`` and ``target``.
        :param options: each has its type, default and meaning in
            :class:`~longshore.producers.options.keywords.CrossValidateOptions` (docs/reference/options.md).
        :raises InvalidInput: names the option and the reason; nothing was queued.
        :raises ServiceUnavailable: Postgres cannot be reached; nothing was queued.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises SubmissionUncertain: as :meth:`submit_many`.
        """
        return self.submit_many([CrossValidate(model, family, data, target, options)])[0]

    def evaluate(self, model: str, data: Data, target: str | None = None, **options: Unpack[EvaluateOptions]) -> Job:
        """Submit a job that measures a version on data whose targets are known; see :meth:`Job.evaluation`.

        :param model: as for :meth:`infer`.
        :param data: as for :meth:`infer`.
        :param target: the column with the expected values; ``None`` is the column that the version was trained on.
        :param options: each has its type, default and meaning in
            :class:`~longshore.producers.options.keywords.EvaluateOptions` (docs/reference/options.md).
        :raises InvalidInput: names the option and the reason; nothing was queued.
        :raises ServiceUnavailable: Postgres cannot be reached; nothing was queued.
        :raises UnknownModel: there is no such version.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises SubmissionUncertain: as :meth:`submit_many`.
        """
        return self.submit_many([Evaluate(model, data, target, options)])[0]

    def submit_many(self, requests: Iterable[Request]) -> list[Job]:
        """Submit many jobs in one transaction: all of them are durable, or none is.

        If the connection to Postgres is lost meanwhile, the call finds out by itself whether the jobs are there, and
        submits them if not.

        :returns: the jobs, in the order of the requests.
        :raises QueueFull: the producer has as many jobs as an operator allows.
        :raises SubmissionUncertain: it could not find out for half a minute. The error has the ids that the jobs have
            if they were submitted.
        :raises InvalidInput: as for :meth:`infer`; of several requests, the field names which: ``requests[7].model``.
        :raises ServiceUnavailable: Postgres cannot be reached; nothing was queued.
        """
        return self._submit_if(requests, None)

    def _submit_if(self, requests: Iterable[Request], condition: Condition | None) -> list[Job]:
        """:meth:`submit_many`, in a transaction with a condition."""
        return [self._job(id_) for id_ in self._submitter.submit(requests, condition)]

    def _submit_apart(self, requests: Sequence[Infer | Generate]) -> list[Job | Exception]:
        """Submit small requests of several callers, in one transaction if that can be; each as if alone.

        :returns: for each request, what :meth:`infer` or :meth:`generate` returns or raises.
        """
        outcomes = self._submitter.submit_apart(requests)
        return [outcome if isinstance(outcome, Exception) else self._job(outcome) for outcome in outcomes]

    def job(self, id: str | UUID) -> Job:
        """A job that was submitted before, by anybody.

        :param id: its id; the start of it, if no other id starts like this; or ``@last``, the newest of this producer.
        :raises UnknownJob: there is none with this id.
        :raises AmbiguousJob: several ids start like this.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        job = self._job(find_job(self.ledger, id, self.settings.producer))
        job.record()
        return job

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
        """The newest jobs, newest first.

        :param state: waiting, queued, running, succeeded, failed or cancelled.
        :param kind: infer, generate, train, evaluate, promote, tune or cross_validate.
        :param model: ``digits``, or those that have run or made a version: ``digits:3``, ``digits@production``.
        :param since: of at most this age, as in ``30m``, ``2h`` or ``7d``, or a timedelta.
        :raises InvalidInput: a value is wrong; names the argument.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        chosen = job_filter(
            self.ledger,
            states=() if state is None else (state,),
            kinds=() if kind is None else (kind,),
            model=model,
            producer=producer,
            since=since,
        )
        return [self._job(record.id, record) for record in self.ledger.queries.jobs(chosen, limit)]

    def wait(
        self,
        jobs: Sequence[Job],
        timeout: float | None = None,
        on_end: Callable[[Job], None] | None = None,
        progress: bool | None = None,
    ) -> None:
        """Wait until all of many jobs have ended, however they ended.

        :param timeout: seconds; ``None`` waits for ever.
        :param on_end: is called with each job once it has ended, in that order.
        :param progress: whether to show how many have ended. ``None`` shows it in a notebook.
        :raises WaitTimeout: some had not ended in time; they go on.
        :raises ServiceUnavailable: Postgres cannot be reached for a minute; the jobs go on.
        """
        from longshore.producers.reporting.progress_bar import count_display

        by_id = {job.id: job for job in jobs}
        ids = list(by_id)
        with count_display(progress, len(ids), lambda: self.ledger.queries.some_jobs(ids)) as count:

            def ended(id: UUID) -> None:
                if count is not None:
                    count()
                if on_end is not None:
                    on_end(by_id[id])

            wait_all(self.ledger, ids, timeout, ended)

    def warm_up(self, model: str | None = None) -> None:
        """Do now what the first request would do: import what it needs, and connect to Postgres and Redis. For the
        start of a service.

        :param model: a reference to look up, to fail at the start rather than at the first request.
        :raises UnknownModel: there is no such version.
        :raises ServiceUnavailable: Postgres cannot be reached. If Redis cannot, nothing is raised: it is not needed to
            take requests.
        """
        for module in ("broker.publishing", "producers.planning.planner", "producers.results"):
            import_module(f"longshore.{module}")
        with self.ledger.notifications.jobs():
            if model is not None:
                self.models.get(model)
        self._publisher.connect()

    @property
    def models(self) -> ModelsClient:
        """The models, their versions and aliases.

        :raises InvalidInput: the address of the store cannot be used.
        """
        with self._making:
            if self._made_models is None:
                self._made_models = ModelsClient(self.ledger, self._store(), self.settings.producer)
            return self._made_models

    def prune(self, older_than: str | timedelta, *, dry_run: bool = False) -> Pruned:
        """Remove the results, row errors and inline rows of jobs that have ended longer ago. The jobs stay.

        A week of submissions in which a job has not ended, or not so long ago, stays whole.

        :param older_than: as in ``30d``, ``12h`` or ``2w``, or a timedelta.
        :param dry_run: remove nothing, and say what would be.
        :raises InvalidInput: ``older_than`` is no duration.
        :raises LedgerBusy: somebody uses old results all the time; what was removed before that is removed.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        from longshore.producers.retention import prune

        return prune(self.ledger, self.settings, parse_duration(older_than, "older_than"), dry_run=dry_run)

    def sweep_store(self, grace: str | timedelta = GRACE, *, dry_run: bool = False) -> StoreSweep:
        """Remove the blobs in the store that no version, no job that can still run and no inline rows name.

        :param grace: blobs that were put within this time stay, as what will name them may not be committed yet.
        :param dry_run: remove nothing, and say what would be.
        :raises InvalidInput: ``grace`` is no duration, or under two hours.
        :raises CorruptBlob: a version in the store cannot be read, so that what it names is not known; nothing was
            removed.
        :raises ServiceUnavailable: Postgres or the store cannot be reached.
        """
        from longshore.shared.store_gc import sweep

        grace = parse_duration(grace, "grace")
        return sweep(self._store(), self.ledger, grace=grace, dry_run=dry_run)

    def clean(
        self, older_than: str | timedelta | None = None, *, grace: str | timedelta = GRACE, dry_run: bool = False
    ) -> Cleaned:
        """Free space: what nothing uses in the store and in Postgres, and with ``older_than`` what old jobs have left.

        It removes the results, row errors, logs, inline rows and checkpoints of jobs that have ended longer ago than
        ``older_than``; the blobs that no version, no job that can still run and no inline rows name; files that were
        being written when a process ended; and workers that have not reported for a day. Jobs and versions stay.

        :param older_than: as in ``30d``, ``12h`` or ``2w``, or a timedelta. Default: no job is old.
        :param grace: files that were stored within this time stay. Default: a day; at least two hours.
        :param dry_run: remove nothing, and say what would be.
        :raises InvalidInput: ``older_than`` or ``grace`` is no duration, or ``grace`` is under two hours.
        :raises LedgerBusy: somebody uses old results all the time; what was removed before that is removed.
        :raises CorruptBlob: a version in the store cannot be read, so that what it names is not known; no blob was
            removed.
        :raises ServiceUnavailable: Postgres or the store cannot be reached.
        """
        from longshore.producers.cleaning import clean

        age = None if older_than is None else parse_duration(older_than, "older_than")
        grace = check_grace(parse_duration(grace, "grace"))
        return clean(self.ledger, self._store(), age, grace, dry_run=dry_run)

    def disk_usage(self, top: int = 10) -> DiskUsage:
        """How much space the store and the tables in Postgres take, for what, and which models and jobs take most.

        It reads the sizes of all files in the store. What models and jobs take in Postgres is read from the tables, or
        estimated from a sample of large ones. An operator's login is needed where the database has roles.

        :param top: how many models and jobs to list.
        :raises InvalidInput: ``top`` is negative.
        :raises ServiceUnavailable: Postgres or the store cannot be reached, or this login may not read the tables.
        """
        from longshore.producers.disk_usage import disk_usage

        return disk_usage(self.ledger, self._store(), top)

    def close(self) -> None:
        """Give the connections back."""
        self.ledger.close()
        self._publisher.close()

    def forget_parent(self) -> None:
        """In a forked child: see :mod:`longshore.shared.forks`. Ledger and publisher forget their connections
        themselves.
        """
        self._making = threading.RLock()
        forks.keep(self._made_models)
        self._made_models = None

    def __reduce__(self) -> NoReturn:
        raise forks.refuse_pickling(self, "make a Client in each process; a child of a fork can use this one")

    def _job(self, id: UUID, record: JobRecord | None = None) -> Job:
        return Job(id, self.ledger, self._publisher.publish, record, self._then)

    def _store(self) -> Store:
        return Store(self.settings.store, expected=self.ledger.models.exist)

    def _then(self, after: UUID) -> Then[Job]:
        """What submits links after a job."""

        def submit(plan: Callable[[LinkPlanner], NewJob]) -> Job:
            from longshore.producers.planning.chain import LinkPlanner

            record = self.ledger.queries.job(after)
            planner = LinkPlanner(self.ledger, self.settings.producer, self._store, record)
            link = plan(planner)
            return self._job(self.ledger.submissions.submit([link], planner.blocks.made)[0])

        return Then(submit)

    def __repr__(self) -> str:
        return f"<Client {_location(self.settings.database_url)} as {self.settings.producer}>"

    def _repr_html_(self) -> str:
        from longshore.broker.redis_address import parse_redis_url

        rows = {
            "producer": self.settings.producer,
            "home": self.settings.home,
            "Postgres": _location(self.settings.database_url),
            "Redis": parse_redis_url(self.settings.redis_url).location,
            "store": public(self.settings.store),
        }
        return html_table("Longshore client", rows)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _http_client() -> type[Client]:
    with needs_httpx():
        found: type[Client] = import_module("longshore.producers.http.client").HttpClient
    return found


def _location(url: str) -> str:
    """The URL of a service without user, password and query."""
    return public(url) if is_remote(url) else "a connection string"

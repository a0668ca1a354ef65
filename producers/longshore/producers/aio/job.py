"""A job, as a coroutine uses it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NoReturn
from uuid import UUID

from longshore.producers.aio.changes import Changes
from longshore.producers.aio.threads import Threads
from longshore.producers.job import Job
from longshore.producers.job_errors import JobError, check_succeeded
from longshore.producers.logs import POLL_INTERVAL_S, LogLine
from longshore.producers.reporting.progress import Progress, progress_of
from longshore.producers.results import ResultRow, Results
from longshore.producers.then import Then
from longshore.shared import forks
from longshore.shared.ledger.records import JobRecord, MetricRecord, ShardRecord, TrialRecord
from longshore.shared.vocabulary import State

if TYPE_CHECKING:
    from longshore.producers.planning.chain import LinkPlanner
    from longshore.producers.reporting.activity.why import Why
    from longshore.shared.ledger.records import NewJob
    from longshore.shared.specs.evaluate import Evaluation


class AsyncJob:
    """A job in the ledger: :class:`~longshore.producers.job.Job` for asyncio, whose methods are described there.

    ``await job`` waits until it has succeeded, and returns it.
    """

    def __init__(self, job: Job, threads: Threads, changes: Changes) -> None:
        self._job = job
        self._threads = threads
        self._changes = changes

    @property
    def id(self) -> UUID:
        """Of the job."""
        return self._job.id

    async def record(self) -> JobRecord:
        """See :meth:`Job.record`."""
        return await self._threads.call(self._job.record)

    async def state(self) -> State:
        """See :attr:`Job.state`."""
        return (await self.record()).state

    async def progress(self) -> Progress:
        """See :attr:`Job.progress`."""
        return progress_of(await self.record())

    async def notes(self) -> list[str]:
        """See :attr:`Job.notes`."""
        return list((await self.record()).notes)

    async def why(self) -> Why:
        """See :meth:`Job.why`."""
        return await self._threads.call(self._job.why)

    async def wait(self, timeout: float | None = None) -> AsyncJob:
        """Wait until the job has ended.

        :param timeout: seconds; ``None`` waits forever.
        :returns: the job itself.
        :raises JobFailed: the job failed or was cancelled.
        :raises WaitTimeout: the job did not end in time; it continues to run.
        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached for a minute; the job continues to run.
        """
        await self._changes.wait_for_ends([self.id], timeout)
        record = await self.record()
        if record.state is not State.SUCCEEDED:
            await self._threads.call(check_succeeded, self._job._ledger, record)
        return self

    def __await__(self) -> Generator[None, None, AsyncJob]:
        return self.wait().__await__()

    async def follow(self) -> AsyncGenerator[Progress, None]:
        """The progress now, and after each change, until the job has ended; the last is that of its end.

        Changes that come faster than they are taken are left out.

        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        async with aclosing(self.records()) as records:
            async for record in records:
                yield progress_of(record)

    async def records(self) -> AsyncGenerator[JobRecord, None]:
        """As :meth:`follow`, with the job's record in place of its progress.

        :raises UnknownJob: the job no longer exists.
        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        with self._changes.watching(self.id) as changed:
            while True:
                changed.clear()
                record = await self._changes.record(self.id)
                yield record
                if record.state.final:
                    return
                await changed.wait()

    async def results(self) -> Results:
        """See :meth:`Job.results`."""
        return await self._threads.call(self._job.results)

    async def texts(self) -> list[str | None]:
        """See :meth:`Job.texts`."""
        return await self._threads.call(self._job.texts)

    def stream(self) -> AsyncGenerator[ResultRow, None]:
        """See :meth:`Job.stream`."""
        return self._threads.iterate(self._job.stream())

    async def parts(self) -> list[str]:
        """See :meth:`Job.parts`."""
        return await self._threads.call(self._job.parts)

    async def metrics(self) -> list[MetricRecord]:
        """See :meth:`Job.metrics`."""
        return await self._threads.call(self._job.metrics)

    async def trials(self) -> list[TrialRecord]:
        """See :meth:`Job.trials`."""
        return await self._threads.call(self._job.trials)

    async def evaluation(self) -> Evaluation:
        """See :meth:`Job.evaluation`."""
        return await self._threads.call(self._job.evaluation)

    async def shards(self) -> list[ShardRecord]:
        """See :meth:`Job.shards`."""
        return await self._threads.call(self._job.shards)

    async def rows_not_run(self, limit: int = 1000) -> list[range]:
        """See :meth:`Job.rows_not_run`."""
        return await self._threads.call(self._job.rows_not_run, limit)

    async def errors(self, limit: int = 1000, after: int | None = None) -> list[JobError]:
        """See :meth:`Job.errors`."""
        return await self._threads.call(self._job.errors, limit, after)

    async def logs(
        self, *, shard: int | None = None, attempt: int | None = None, follow: bool = False
    ) -> AsyncGenerator[LogLine, None]:
        """See :meth:`Job.logs`."""
        steps = self._job._log_steps(shard, attempt, follow)
        while (lines := await self._threads.call(steps.next)) is not None:
            for line in lines:
                yield line
            if not lines:
                await asyncio.sleep(POLL_INTERVAL_S)

    async def plot(self, path: str | Path) -> Path:
        """See :meth:`Job.plot`."""
        return await self._threads.call(self._job.plot, path)

    async def report(self, path: str | Path) -> Path:
        """See :meth:`Job.report`."""
        return await self._threads.call(self._job.report, path)

    async def tensorboard(self, folder: str | Path) -> Path:
        """See :meth:`Job.tensorboard`."""
        return await self._threads.call(self._job.tensorboard, folder)

    async def cancel(self) -> bool:
        """See :meth:`Job.cancel`."""
        return await self._threads.call(self._job.cancel)

    async def retry(self, rows: Literal["failed"] | None = None) -> AsyncJob:
        """See :meth:`Job.retry`."""
        await self._threads.call(self._job.retry, rows)
        return self

    async def extend(self, epochs: int) -> AsyncJob:
        """See :meth:`Job.extend`."""
        return self._of(await self._threads.call(self._job.extend, epochs))

    async def chain(self) -> list[AsyncJob]:
        """See :meth:`Job.chain`."""
        return [self._of(job) for job in await self._threads.call(self._job.chain)]

    async def is_version_deleted(self) -> bool:
        """See :meth:`Job.is_version_deleted`."""
        return await self._threads.call(self._job.is_version_deleted)

    @property
    def then(self) -> Then[Awaitable[AsyncJob]]:
        """See :attr:`Job.then`. It is used as in ``await job.then.evaluate(...)``."""
        submit = self._job.then.submit

        async def submit_in_thread(plan: Callable[[LinkPlanner], NewJob]) -> AsyncJob:
            return self._of(await self._threads.call(submit, plan))

        return Then(submit_in_thread)

    def _of(self, job: Job) -> AsyncJob:
        return AsyncJob(job, self._threads, self._changes)

    def __reduce__(self) -> NoReturn:
        raise forks.refuse_pickling(self, "pass job.id, and ask a client there for its job(id)")

    def __repr__(self) -> str:
        return repr(self._job).replace("<Job", "<AsyncJob", 1)

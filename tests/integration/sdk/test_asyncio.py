"""What only asyncio has, in the cluster and over HTTP: any number of coroutines that wait, and progress as it comes."""

from __future__ import annotations

import asyncio
import json
import pickle
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack
from urllib.parse import urlsplit

import numpy as np
import psutil
import pyarrow as pa
import pytest

from longshore.producers import AsyncClient, Infer, Progress
from longshore.producers.data import Data
from longshore.producers.logs import LogLine
from longshore.producers.options.keywords import InferOptions
from longshore.shared.errors import InvalidInput, JobFailed, ServiceUnavailable, WaitTimeout
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.integration.gateway_beside import RunningGateway, running_gateway
from tests.waiting import TIMEOUT_S

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("digits_version")]

IMAGES, _ = digits.digits()
#: Connections to a gateway that are kept without a request, at most: those of calls, and of requests that last.
MAX_IDLE = 64
Work = Callable[[AsyncClient], Awaitable[None]]


@dataclass(frozen=True)
class Target:
    """Where clients connect: the cluster itself, or a gateway before it."""

    cluster: Cluster
    gateway: RunningGateway | None

    def client(self) -> AsyncClient:
        """A client; to be closed by who asked for it."""
        if self.gateway is None:
            return self.cluster.async_client()
        return AsyncClient(self.gateway.url, token=self.gateway.token())

    def connections(self) -> int:
        """How many connections this process has to the gateway."""
        port = None if self.gateway is None else urlsplit(self.gateway.url).port
        connections = psutil.Process().net_connections("tcp")
        return sum(bool(each.raddr) and each.raddr.port == port for each in connections)

    async def hears(self, waits: int) -> None:
        """Until so many waits have begun. Over HTTP, each has a connection; the gateway listens all the time."""
        while self.connections() < waits if self.gateway is not None else not listeners(self.cluster):
            await asyncio.sleep(0.01)

    def run(self, work: Work) -> None:
        """Run something with a client."""

        async def main() -> None:
            async with self.client() as client:
                await work(client)

        asyncio.run(main())


@pytest.fixture(scope="module", params=["cluster", "HTTP"])
def target(request: pytest.FixtureRequest, cluster: Cluster) -> Iterator[Target]:
    if request.param == "cluster":
        yield Target(cluster, None)
        return
    with running_gateway(cluster) as gateway:
        yield Target(cluster, gateway)


def listeners(cluster: Cluster) -> int:
    """Connections that listen for changes of jobs."""
    with cluster.ledger.database.connection() as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%jobs%%'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_many_wait_at_once_on_one_connection(target: Target) -> None:
    async def work(client: AsyncClient) -> None:
        async def one(row: int) -> int:
            job = await client.infer("digits", IMAGES[row : row + 1])
            await job
            table = await job.results()
            return len(table)

        before = listeners(target.cluster)
        answers = asyncio.gather(*map(one, range(200)))
        most = 0
        while not answers.done():
            most = max(most, listeners(target.cluster))
            await asyncio.sleep(0.01)
        assert await answers == [1] * 200
        assert most <= before + 1

    target.run(work)


def test_requests_that_are_submitted_together_get_what_they_would_get_alone(target: Target) -> None:
    async def work(client: AsyncClient) -> None:
        async def outcome(data: Data, **options: Unpack[InferOptions]) -> list[object]:
            try:
                job = await client.infer("digits", data, **options)
                await job
                return [row.output async for row in job.stream()]
            except (InvalidInput, JobFailed) as error:
                return [type(error), str(error).partition(";")[0]]

        row, other = IMAGES[:1], IMAGES[1:2]
        requests: list[tuple[Data, InferOptions]] = [
            (row, {}),
            (other.astype(np.float64), {"priority": 7}),
            (row[:, :7], {}),
            (IMAGES[:300], {}),
            (IMAGES[:200], {}),
            (IMAGES[:3], {"top_k": 2}),
            (row, {"idempotency_key": "once"}),
            (row, {"idempotency_key": "once"}),
            (other, {"idempotency_key": "once"}),
            (row, {"timeout": -1}),
        ]
        alone = [await outcome(data, **options) for data, options in requests]
        before = {job.id for job in await client.jobs(limit=1000)}
        for _, options in requests:
            if "idempotency_key" in options:
                options["idempotency_key"] = "once more"
        together = await asyncio.gather(*(outcome(data, **options) for data, options in requests))
        refused = 3
        if target.gateway is not None and isinstance(together[8][0], dict):
            # Each request has a connection of its own: any of the three with one key may come first, and the others
            # are judged by it. Here it was the one with other data, whose rows the second request had as well.
            refusal = alone[8]
            alone[6:9] = [refusal, refusal, alone[1]]
            refused = 4
        for expected, found in zip(alone, together, strict=True):
            text = str(found).replace("once more", "once")
            assert text.partition(", job ")[0] == str(expected).partition(", job ")[0]
        assert [type(each[0]) for each in together].count(type) == refused
        assert len({job.id for job in await client.jobs(limit=1000)} - before) == 6

    target.run(work)


def test_progress_comes_until_the_end(target: Target, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 5000)

    async def work(client: AsyncClient) -> None:
        job = await client.infer("digits", path, rows_per_shard=500)
        seen = [progress async for progress in job.follow()]
        assert [progress.done for progress in seen] == sorted(progress.done for progress in seen)
        assert (seen[-1].state, seen[-1].done) == (State.SUCCEEDED, 5000)
        assert all(not progress.state.final for progress in seen[:-1])
        # A job that has ended long ago.
        assert [progress.done async for progress in job.follow()] == [5000]
        assert (await job).id == job.id

    target.run(work)


def test_a_lost_connection_is_made_again(target: Target, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 100_000)

    async def work(client: AsyncClient) -> None:
        job = await client.infer("digits", path, batch_size=50)
        waiting = asyncio.create_task(job.wait(TIMEOUT_S))
        following = asyncio.create_task(_last(job.follow()))
        await target.hears(2)
        with target.cluster.ledger.database.connection() as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%jobs%'")
        await waiting
        assert (await following).state is State.SUCCEEDED

    target.run(work)


def test_hundreds_wait_without_a_thread_each_and_leave_nothing_when_they_are_cancelled(target: Target) -> None:
    async def work(client: AsyncClient) -> None:
        threads, connections = threading.active_count(), target.connections()
        # No worker of this cluster has a GPU.
        requests = [Infer("digits", IMAGES[row : row + 1], {"device": "gpu"}) for row in range(300)]
        jobs = await client.submit_many(requests)
        waiting = [asyncio.create_task(job.wait()) for job in jobs]
        following = [asyncio.create_task(_last(job.follow())) for job in jobs[:20]]
        reading = [asyncio.create_task(_read(job.logs(follow=True))) for job in jobs[:20]]
        await target.hears(150)
        assert threading.active_count() <= threads + 40
        cancelled = [*waiting[:200], *following, *reading]
        for task in cancelled:
            task.cancel()
        ends = await asyncio.gather(*cancelled, return_exceptions=True)
        assert {type(end) for end in ends} == {asyncio.CancelledError}
        while target.connections() > connections + 100 + MAX_IDLE:
            await asyncio.sleep(0.01)
        for job in jobs:
            target.cluster.ledger.control.cancel(job.id)
        ends = await asyncio.gather(*waiting[200:], *(job.wait() for job in jobs[:200]), return_exceptions=True)
        assert {type(end) for end in ends} == {JobFailed}

    target.run(work)


async def _read(lines: AsyncIterator[LogLine]) -> list[LogLine]:
    return [line async for line in lines]


async def _last(progress: AsyncIterator[Progress]) -> Progress:
    return [each async for each in progress][-1]


def test_a_wait_ends_by_its_timeout_and_leaves_the_job(target: Target, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 200_000)

    async def work(client: AsyncClient) -> None:
        job = await client.infer("digits", path, batch_size=1)
        with pytest.raises(WaitTimeout):
            await job.wait(0.05)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await job
        assert not (await job.state()).final
        await job.cancel()

    target.run(work)


def test_the_outcome_of_a_job_has_its_rows_and_their_errors(target: Target) -> None:
    pixels = pa.array([IMAGES[0].tolist(), None, IMAGES[2].tolist()])

    async def work(client: AsyncClient) -> None:
        job = await client.infer("digits", pa.table({"pixels": pixels}), max_row_errors=1)
        with pytest.raises(WaitTimeout):
            await client.outcome(await client.infer("digits", IMAGES[:1], device="gpu"))
        await job
        outcome = await client.outcome(job)
        assert (outcome.job, outcome.state, outcome.rows_total, outcome.rows_failed) == (job.id, "succeeded", 3, 1)
        streamed = [(row.row, row.output) async for row in job.stream()]
        assert [(row.row, json.loads(row.output)) for row in outcome.results] == streamed
        assert [(error.row, "pixels" in error.error) for error in outcome.errors] == [(1, True)]
        assert [row for row, _ in streamed] == [0, 2]

    target.run(work)


def test_closing_ends_those_who_wait(target: Target, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 200_000)

    async def main() -> None:
        client = target.client()
        job = await client.infer("digits", path, batch_size=1)
        logs = asyncio.create_task(_read(job.logs(follow=True)))
        waiting = asyncio.create_task(job.wait())
        await target.hears(2)
        await client.close()
        for each in (waiting, logs, job.wait(), job.record(), _last(job.follow()), client.infer("digits", IMAGES[:1])):
            with pytest.raises(ServiceUnavailable, match="closed"):
                await each
        await client.close()
        with target.cluster.client() as another:
            another.job(job.id).cancel()

    asyncio.run(main())


def test_it_cannot_be_pickled(target: Target) -> None:
    async def work(client: AsyncClient) -> None:
        job = await client.infer("digits", IMAGES[:1])
        for of in (client, job):
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(of)
        await job

    target.run(work)

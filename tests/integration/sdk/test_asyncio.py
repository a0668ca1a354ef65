"""What only asyncio has: any number of coroutines that wait, and progress as it comes."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Unpack

import numpy as np
import pytest

from longshore.producers import AsyncClient, Progress
from longshore.producers.data import Data
from longshore.producers.options.keywords import InferOptions
from longshore.shared.errors import InvalidInput, JobFailed, ServiceUnavailable, WaitTimeout
from longshore.shared.vocabulary import State
from tests.integration import digits
from tests.integration.cluster import Cluster
from tests.waiting import TIMEOUT_S

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("digits_version")]

IMAGES, _ = digits.digits()
Work = Callable[[AsyncClient], Awaitable[None]]


def run(cluster: Cluster, work: Work) -> None:
    async def main() -> None:
        async with cluster.async_client() as client:
            await work(client)

    asyncio.run(main())


def listeners(cluster: Cluster) -> int:
    """Connections that listen for changes of jobs."""
    with cluster.ledger.database.connection() as conn:
        row = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%jobs%%'"
        ).fetchone()
    assert row is not None
    return int(row[0])


def test_many_wait_at_once_on_one_connection(cluster: Cluster) -> None:
    async def work(client: AsyncClient) -> None:
        async def one(row: int) -> int:
            job = await client.infer("digits", IMAGES[row : row + 1])
            await job
            table = await job.results()
            return len(table)

        before = listeners(cluster)
        answers = asyncio.gather(*map(one, range(200)))
        most = 0
        while not answers.done():
            most = max(most, listeners(cluster))
            await asyncio.sleep(0.01)
        assert await answers == [1] * 200
        assert most - before == 1

    run(cluster, work)


def test_requests_that_are_submitted_together_get_what_they_would_get_alone(cluster: Cluster) -> None:
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
        for expected, found in zip(alone, together, strict=True):
            text = str(found).replace("once more", "once")
            assert text.partition(", job ")[0] == str(expected).partition(", job ")[0]
        assert [type(each[0]) for each in together].count(type) == 3
        assert len({job.id for job in await client.jobs(limit=1000)} - before) == 6

    run(cluster, work)


def test_progress_comes_until_the_end(cluster: Cluster, tmp_path: Path) -> None:
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

    run(cluster, work)


def test_a_lost_connection_is_made_again(cluster: Cluster, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 100_000)

    async def work(client: AsyncClient) -> None:
        job = await client.infer("digits", path, batch_size=50)
        waiting = asyncio.create_task(job.wait(TIMEOUT_S))
        following = asyncio.create_task(_last(job.follow()))
        while not listeners(cluster):
            await asyncio.sleep(0.01)
        with cluster.ledger.database.connection() as conn:
            conn.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%jobs%'")
        await waiting
        assert (await following).state is State.SUCCEEDED

    run(cluster, work)


async def _last(progress: AsyncIterator[Progress]) -> Progress:
    return [each async for each in progress][-1]


def test_a_wait_ends_by_its_timeout_and_leaves_the_job(cluster: Cluster, tmp_path: Path) -> None:
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

    run(cluster, work)


def test_closing_ends_those_who_wait(cluster: Cluster, tmp_path: Path) -> None:
    path = digits.write(tmp_path / "rows.parquet", 200_000)

    async def main() -> None:
        client = cluster.async_client()
        job = await client.infer("digits", path, batch_size=1)
        waiting = asyncio.create_task(job.wait())
        while not listeners(cluster):
            await asyncio.sleep(0.01)
        await client.close()
        with pytest.raises(ServiceUnavailable, match="closed"):
            await waiting
        with cluster.client() as another:
            another.job(job.id).cancel()

    asyncio.run(main())


def test_it_cannot_be_pickled(cluster: Cluster) -> None:
    async def work(client: AsyncClient) -> None:
        job = await client.infer("digits", IMAGES[:1])
        for of in (client, job):
            with pytest.raises(TypeError, match="cannot be pickled"):
                pickle.dumps(of)
        await job

    run(cluster, work)

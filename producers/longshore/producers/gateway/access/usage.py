"""What a caller uses of the limits of its token, and the headers that say how much is left.

The headers are those of draft-ietf-httpapi-ratelimit-headers, "RateLimit header fields for HTTP".
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final
from uuid import UUID

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from longshore.broker.gateway.rate_limits import Bucket, BucketLevel, RateLimits
from longshore.producers.aio.client import AsyncClient
from longshore.producers.gateway.problems import Problem
from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.gateway.tokens import ValidToken
from longshore.shared.ledger.jobs.open_jobs import OpenJobsLimit

MINUTE_S: Final = 60
#: More than any bucket lacks.
_ANY: Final = 1e18
DAY_S: Final = 86400
#: Behind the id of a job that was run again: the tokens that it had used before. They are counted for its runs before.
_AFTER: Final = ":"
#: Where the state of a request keeps what it uses.
USAGE: Final = "usage"


@dataclass(frozen=True)
class CallerUsage:
    """What one request uses.

    :param levels: of the limits that it touched, for the headers of its answer.
    """

    token: ValidToken
    client: AsyncClient
    rates: RateLimits
    levels: dict[str, BucketLevel] = field(default_factory=dict)

    async def count_request(self) -> None:
        """:raises Problem: 429."""
        limit = self.token.requests_per_minute
        if limit is not None:
            await self._take("requests", limit, MINUTE_S, cost=1)

    async def admit(self, *, rows: int = 0, jobs: int = 1) -> None:
        """Check before jobs are submitted that the token allows it, and count their rows.

        :param rows: as far as their number is known.
        :raises Problem: 429, with the time after which to try again.
        :raises QueueFull: the producer has too many jobs that have not ended.
        :raises InvalidInput: these are more rows than may be submitted in a day.
        """
        if self.token.queued_jobs is not None:
            await self._check_queue(self.token.queued_jobs, jobs)
        if self.token.tokens_per_day is not None:
            await self._check_tokens(self.token.tokens_per_day)
        if self.token.rows_per_day is not None and rows:
            if rows > self.token.rows_per_day:
                limit = f"this token may submit {self.token.rows_per_day:,} a day"
                raise InvalidInput("data", f"{rows:,} rows, and {limit}")
            await self._take("rows", self.token.rows_per_day, DAY_S, cost=rows)

    async def give_back(self, rows: int) -> None:
        """Count rows no longer whose jobs were refused."""
        if self.token.rows_per_day is not None and rows:
            await self._take("rows", self.token.rows_per_day, DAY_S, cost=-rows, need=-_ANY)

    async def submitted(self, jobs: Sequence[UUID]) -> None:
        """Have the tokens of jobs counted that generate text, once they have ended."""
        if self.token.tokens_per_day is not None and jobs:
            await self.rates.add_unsettled(self.token.id, [str(job) for job in jobs])

    @asynccontextmanager
    async def running_again(self, job: UUID) -> AsyncIterator[None]:
        """Run a job again, and those of its chain, and have the tokens counted that this adds."""
        if self.token.tokens_per_day is None:
            yield
            return
        chain = await self.client.call(lambda client: client.ledger.chains.of(job))
        before = await self._usage([str(each) for each in (chain or [job])])
        yield
        if before:
            await self.rates.add_unsettled(self.token.id, [_entry(id_, tokens) for id_, tokens in before.items()])

    async def _check_queue(self, limit: int, jobs: int) -> None:
        """Refuse early, before anything is planned. The transaction that submits checks it again."""
        count = await self.client.call(lambda client: client.ledger.tokens.count_open_jobs(self.token.producer, limit))
        if count + jobs > limit:
            raise OpenJobsLimit(self.token.producer, limit).refusal()

    async def _check_tokens(self, limit: int) -> None:
        """What a text costs is known at its end: so a token is refused when it has used more than it may."""
        runs: defaultdict[str, list[int]] = defaultdict(list)
        for entry in await self.rates.unsettled(self.token.id):
            job, _, before = entry.partition(_AFTER)
            runs[job].append(int(before or 0))
        for job, tokens in (await self._usage(list(runs))).items():
            starts = sorted(runs[job])
            for start, end in pairwise([*starts, tokens]):
                if await self.rates.settle(self.token.id, _entry(job, start)) and end > start:
                    await self._take("tokens", limit, DAY_S, cost=end - start, need=-_ANY)
        await self._take("tokens", limit, DAY_S, cost=0, need=1)

    async def _usage(self, jobs: Sequence[str]) -> dict[str, int]:
        """The tokens of those of the jobs that have ended."""
        if not jobs:
            return {}
        return await self.client.call(lambda client: client.ledger.tokens.usage(jobs))

    async def _take(self, name: str, limit: int, window_s: int, *, cost: float, need: float | None = None) -> None:
        level = await self.rates.take(Bucket(f"{name}:{self.token.id}", limit, window_s), cost, need=need)
        self.levels[name] = level
        if not level.taken:
            wait_s = math.ceil(level.seconds_until(cost if need is None else need)) or 1
            window = "minute" if window_s == MINUTE_S else "day"
            raise Problem(
                429,
                "rate_limited",
                f"this token may use {limit:,} {name} a {window}; try again in {wait_s:,} seconds",
                headers={"Retry-After": str(wait_s)},
            )


def _entry(job: str, before: int) -> str:
    """How a run of a job is kept until it is counted."""
    return f"{job}{_AFTER}{before}" if before else job


class RateLimitHeaders:
    """Adds ``RateLimit`` and ``RateLimit-Policy`` to the answers of requests that have touched a limit."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})

        async def send_with_headers(message: Message) -> None:
            usage: CallerUsage | None = state.get(USAGE)
            if message["type"] == "http.response.start" and usage is not None and usage.levels:
                message["headers"] = [*message.get("headers", ()), *_headers(usage.levels)]
            await send(message)

        await self._app(scope, receive, send_with_headers)


def _headers(levels: dict[str, BucketLevel]) -> list[tuple[bytes, bytes]]:
    policies = [f'"{name}";q={level.bucket.capacity};w={level.bucket.window_s}' for name, level in levels.items()]
    left = [
        f'"{name}";r={max(0, math.floor(level.left))};t={math.ceil(level.seconds_until(level.bucket.capacity))}'
        for name, level in levels.items()
    ]
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(left).encode())]

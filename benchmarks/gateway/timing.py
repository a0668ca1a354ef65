"""Whether the time of an answer tells another producer's job from one that does not exist, or a wrong token from an
unknown one.

usage: python -m benchmarks.gateway.timing URL --token TOKEN --foreign JOB [--count 4000]

TOKEN is of one producer and JOB is of another. Pairs of requests are sent one after the other in random order, so that
both sides see the same load. A t of Welch's test beyond 4.5 would be a difference (dudect). Nothing is asserted: a busy
machine has differences of its own.
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from uuid_utils.compat import uuid7

#: The share of the slowest requests that is left out: they measure the machine.
LEFT_OUT = 0.1


@dataclass(frozen=True)
class TimingComparison:
    """Two kinds of requests. Times are in seconds.

    :param medians: of each kind.
    :param t: of Welch's test over all but the slowest.
    """

    name: str
    medians: tuple[float, float]
    t: float


def compare(name: str, first: Callable[[], None], second: Callable[[], None], count: int) -> TimingComparison:
    """Send ``count`` requests of each kind."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(count):
        pair = [(0, first), (1, second)]
        random.shuffle(pair)
        for kind, send in pair:
            start = time.perf_counter()
            send()
            times[kind].append(time.perf_counter() - start)
    limit = sorted((*times[0], *times[1]))[int(2 * count * (1 - LEFT_OUT))]
    kept = [[each for each in side if each < limit] for side in times]
    error = math.sqrt(sum(statistics.variance(side) / len(side) for side in kept))
    t = (statistics.fmean(kept[0]) - statistics.fmean(kept[1])) / error
    return TimingComparison(name, (statistics.median(times[0]), statistics.median(times[1])), t)


def compare_all(url: str, token: str, foreign: str, count: int) -> list[TimingComparison]:
    """The comparisons that matter to somebody who guesses."""
    id_ = token.split("_")[1]
    with httpx.Client(base_url=url) as http:

        def ask(path: Callable[[], str], shown: Callable[[], str], status: int) -> Callable[[], None]:
            def send() -> None:
                answer = http.get(path(), headers={"Authorization": f"Bearer {shown()}"})
                assert answer.status_code == status, answer.text

            return send

        def absent() -> str:
            # Made as the ids of jobs are, so that it falls into the same part of the index.
            return f"/v1/jobs/{uuid7()}"

        def secret() -> str:
            return "".join(random.choices("0123456789abcdef", k=64))

        right = token.rpartition("_")[2]
        return [
            compare(
                "another producer's job, and none",
                ask(lambda: f"/v1/jobs/{foreign}", lambda: token, 404),
                ask(absent, lambda: token, 404),
                count,
            ),
            compare(
                "a secret that begins right, and one that does not",
                ask(absent, lambda: f"lsk_{id_}_{right[:-8]}{secret()[:8]}", 401),
                ask(absent, lambda: f"lsk_{id_}_{secret()}", 401),
                count,
            ),
        ]


def main() -> int:
    """:returns: the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway.timing", description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--token", required=True)
    parser.add_argument("--foreign", required=True)
    parser.add_argument("--count", type=int, default=4000)
    options = parser.parse_args()
    for each in compare_all(options.url, options.token, options.foreign, options.count):
        first, second = (f"{median * 1000:.3f} ms" for median in each.medians)
        sys.stdout.write(f"{each.name}: medians {first} and {second}, t = {each.t:.1f}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

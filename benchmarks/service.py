"""A web service whose every request is one small job: requests per second, latency, and the first request.

usage: python -m benchmarks.service [--requests 3000] [--at-once 20]

The service of ``examples/service_fastapi.py`` runs in one process under uvicorn, and that of
``examples/service_flask.py`` in four under gunicorn. Both are asked by one process with so many requests at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import aiohttp
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.cluster import running_cluster, train_mlp
from longshore.broker.embedded.services.ports import any_free_port
from longshore.producers import Client

ROW = [[0.5] * 784]
SERVICES = {
    "FastAPI, uvicorn, 1 process": ("uvicorn", "examples.service_fastapi:app", "--log-level", "warning", "--port"),
    "Flask, gunicorn, 4 processes": (
        *("gunicorn", "--workers", "4", "--threads", "8", "--preload", "--log-level", "warning"),
        *("examples.service_flask:app", "--bind"),
    ),
}


@contextmanager
def serving(client: Client, command: Sequence[str]) -> Iterator[str]:
    """Run a service; its address, once it answers anything."""
    port = any_free_port()
    where = f"127.0.0.1:{port}" if command[-1] == "--bind" else str(port)
    environment = {**os.environ, **client.settings.environment(), "MODEL": "mlp:1"}
    with subprocess.Popen([sys.executable, "-m", *command, where], env=environment) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            while not answers(address):
                assert process.poll() is None, "the service did not start"
                time.sleep(0.05)
            yield address
        finally:
            process.terminate()


def answers(address: str) -> bool:
    """Whether a server listens there, without a request that does anything."""
    try:
        urllib.request.urlopen(f"{address}/nothing", timeout=5).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


async def ask(address: str, requests: int, at_once: int) -> tuple[float, list[float], float]:
    """Seconds of the first request, of each of the others, and of all of these together."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=at_once)) as session:

        async def one() -> float:
            start = time.perf_counter()
            async with session.post(f"{address}/predict", json=ROW) as answer:
                body = await answer.json()
                assert answer.status == 200, body
                assert len(body["outputs"]) == 1
            return time.perf_counter() - start

        first = await one()
        left = iter(range(requests))
        times: list[float] = []

        async def member() -> None:
            for _ in left:
                times.append(await one())

        start = time.perf_counter()
        await asyncio.gather(*(member() for _ in range(at_once)))
        return first, times, time.perf_counter() - start


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=3000)
    parser.add_argument("--at-once", type=int, default=20)
    options = parser.parse_args()
    table = Table(title=f"{options.requests:,} requests of one row, {options.at_once} at a time")
    for header in ("service", "requests/s", "p50, ms", "p99, ms", "first request, ms"):
        table.add_column(header, justify="left" if header == "service" else "right")
    with running_cluster() as client:
        train_mlp(client, "mlp", 784, 256, 10)
        client.infer("mlp:1", np.asarray(ROW, np.float32)).wait(60)
        for name, command in SERVICES.items():
            with serving(client, command) as address:
                first, times, total = asyncio.run(ask(address, options.requests, options.at_once))
            p50, p99 = 1000 * np.percentile(times, [50, 99])
            table.add_row(name, f"{len(times) / total:,.0f}", f"{p50:.0f}", f"{p99:.0f}", f"{1000 * first:.0f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    main()

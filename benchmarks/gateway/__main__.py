"""1,000 concurrent predictions of one row over HTTP, against the SDK and against a plain Flask loop.

usage: python -m benchmarks.gateway [--callers 1000] [--seconds 15]

The model is an MLP of sizes 784-256-10. Every service runs alone, and the callers in another process. Of the idle
cluster, one caller asks at a time.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.cluster import owner_url, running_cluster, train_mlp
from benchmarks.gateway.load import CLASSES, HIDDEN, WIDTH
from longshore.broker.embedded.services.ports import any_free_port
from longshore.producers import AsyncClient, Client
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Process, load_settings

GATEWAY = ("longshore.producers.gateway", "--port")
FLASK = ("benchmarks.gateway.flask_loop",)
#: Requests of which the first is not counted, one after the other.
IDLE_REQUESTS = 200


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    name: str
    rate: float
    p50: float
    p99: float
    note: str


@contextmanager
def serving(command: Sequence[str], environment: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    """Run a service; its address, once it answers anything."""
    port = any_free_port()
    with subprocess.Popen([sys.executable, "-m", *command, str(port)], env={**os.environ, **environment}) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            while not answers(address):
                assert process.poll() is None, "the service did not start"
                time.sleep(0.05)
            yield address, psutil.Process(process.pid)
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


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    """Seconds of CPU time that processes and their descendants have used."""
    total = 0.0
    for process in {each for parent in processes for each in (parent, *parent.children(recursive=True))}:
        with suppress(psutil.NoSuchProcess):  # its parent has its time now
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
    return total


def cluster_processes(client: Client) -> list[psutil.Process]:
    """What runs the cluster: Redis, Postgres, the relay and the worker are its descendants."""
    home = str(client.settings.home)
    return [each for each in psutil.process_iter(["cmdline"]) if home in " ".join(each.info["cmdline"] or ())]


def loaded(
    name: str,
    url: str,
    server: psutil.Process,
    options: argparse.Namespace,
    token: str = "",
    cluster: Sequence[psutil.Process] = (),
) -> Row:
    """A service under the load of all callers, after a short one."""
    arguments = [sys.executable, "-m", "benchmarks.gateway.load", url]
    subprocess.run([*arguments, str(min(50, options.callers)), "3", token], check=True, stdout=subprocess.DEVNULL)
    with subprocess.Popen(
        [*arguments, str(options.callers), str(options.seconds), token], stdout=subprocess.PIPE
    ) as callers:
        most, before = 0, (cpu_seconds([server]), cpu_seconds(cluster))
        while callers.poll() is None:
            most = max(most, server.memory_info().rss)
            time.sleep(0.1)
        assert callers.stdout is not None
        load = json.loads(callers.stdout.read())
        after = cpu_seconds([server]), cpu_seconds(cluster)
    good = load["statuses"].get("200", 0)
    of_server, of_cluster = (1000 * (end - begin) / max(good, 1) for begin, end in zip(before, after, strict=True))
    note = f"CPU time of a request {of_server:.2f} ms" + (
        f" and {of_cluster:.2f} of the cluster; " if cluster else "; "
    )
    note += f"{load['lost']} lost, {load['wrong']} wrong, {most / 1e6:,.0f} MB"
    others = {status: count for status, count in load["statuses"].items() if status != "200"}
    if others:
        note += f", {others}, {load['without_retry_after']} without Retry-After"
    return Row(name, good / load["seconds"], load["p50"], load["p99"], note)


async def sdk_load(client: Client, options: argparse.Namespace) -> Row:
    """The SDK for asyncio with as many coroutines."""
    row = np.random.default_rng(0).random((1, WIDTH), dtype=np.float32)
    times: list[float] = []
    settings = client.settings
    async with AsyncClient(
        redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store
    ) as sdk:
        end = time.perf_counter() + options.seconds

        async def caller() -> None:
            while not times or time.perf_counter() < end:
                start = time.perf_counter()
                job = await (await sdk.infer("mlp:1", row)).wait()
                assert [result async for result in job.stream()]
                times.append(time.perf_counter() - start)

        began = time.perf_counter()
        await asyncio.gather(*(caller() for _ in range(options.callers)))
        seconds = time.perf_counter() - began
    memory = psutil.Process().memory_info().rss
    return Row("AsyncClient", len(times) / seconds, *percentiles(times), f"{memory / 1e6:,.0f} MB with the benchmark")


def idle(name: str, ask: Callable[[], object]) -> Row:
    """One request after the other."""
    ask()
    times = []
    for _ in range(IDLE_REQUESTS):
        start = time.perf_counter()
        ask()
        times.append(time.perf_counter() - start)
    return Row(name, len(times) / sum(times), *percentiles(times), "idle, one at a time")


def percentiles(times: Sequence[float]) -> tuple[float, float]:
    """The median and the 99th percentile."""
    p50, p99 = np.percentile(times, [50, 99])
    return float(p50), float(p99)


def predict_over_http(url: str, token: str) -> Callable[[], object]:
    """A request of one row on a connection that is kept."""
    import httpx

    http = httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60)
    body = {"rows": np.random.default_rng(0).random((1, WIDTH)).round(3).tolist()}

    def ask() -> object:
        answer = http.post(url, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["outputs"][0]["label"]

    return ask


def measure(options: argparse.Namespace) -> list[Row]:
    """All lines of the table."""
    rows = []
    with running_cluster() as client:
        train_mlp(client, "mlp", WIDTH, HIDDEN, CLASSES)
        row = np.random.default_rng(0).random((1, WIDTH), dtype=np.float32)
        rows.append(idle("Client", lambda: len(client.infer("mlp:1", row).wait(60, progress=False).results())))
        with Ledger(owner_url(client)) as ledger:
            token = ledger.tokens.create("benchmark", ["jobs:read", "jobs:write"], created_by="benchmark").text
        settings = load_settings(home=client.settings.home, environ={}, process=Process.GATEWAY)
        with serving(GATEWAY, dict(settings.environment())) as (address, server):
            url = f"{address}/v1/models/mlp:1/predict"
            rows.append(idle("gateway", predict_over_http(url, token)))
            rows.append(loaded("gateway", url, server, options, token, cluster_processes(client)))
        limits = {"LONGSHORE_GATEWAY_MAX_REQUESTS": "100", "LONGSHORE_GATEWAY_MAX_WAITING": "100"}
        with serving(GATEWAY, {**settings.environment(), **limits}) as (address, server):
            url = f"{address}/v1/models/mlp:1/predict"
            rows.append(loaded("gateway with room for 200 requests", url, server, options, token))
        rows.append(asyncio.run(sdk_load(client, options)))
    with serving(FLASK, {}) as (address, server):
        rows.append(loaded("Flask loop", f"{address}/predict", server, options))
    return rows


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--callers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=15.0)
    options = parser.parse_args()
    table = Table(title=f"{options.callers:,} callers at once, one row each")
    for header in ("service", "requests/s", "p50, ms", "p99, ms", ""):
        table.add_column(header, justify="right" if header.endswith(("s", "ms")) else "left")
    for row in measure(options):
        table.add_row(row.name, f"{row.rate:,.0f}", f"{1000 * row.p50:.1f}", f"{1000 * row.p99:.1f}", row.note)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()

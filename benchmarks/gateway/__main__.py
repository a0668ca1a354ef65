"""1,000 concurrent predictions of one row over HTTP, against the SDK and against a plain Flask loop.

usage: python -m benchmarks.gateway [--model bert] [--callers 1000] [--seconds 10] [--rounds 5] [--one-at-a-time]

The models are an encoder like BERT of 2 layers, 128 wide, which takes ``input_ids``, ``attention_mask`` and
``token_type_ids`` of up to 32 tokens; one of 4 layers, 512 wide; and an MLP 784-256-4. The callers are in a process of
their own, and the services take turns, so that what else the machine does disturbs all of them. On the idle cluster,
one caller asks the gateway and the SDK in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.cluster import owner_url, running_cluster
from benchmarks.gateway.workloads import WORKLOADS, Workload, read_requests
from benchmarks.service import answers
from longshore.broker.embedded.services.ports import any_free_port
from longshore.producers import AsyncClient, Client
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import Process, load_settings

GATEWAY = ("longshore.producers.gateway", "--port")
#: Requests of one caller to the gateway and to the SDK, after the first ones.
IDLE_REQUESTS = 100
#: Slots and places to wait of the gateway that has too much to do.
FEW = {"LONGSHORE_GATEWAY_MAX_REQUESTS": "100", "LONGSHORE_GATEWAY_MAX_WAITING": "100"}


@dataclass(frozen=True)
class Round:
    """What callers have seen of a service in some seconds: answers a second, and milliseconds until an answer, and of
    CPU time of a request.
    """

    rate: float
    p50: float
    p99: float
    cpu: float
    cpu_cluster: float


@dataclass
class LoadSide:
    """A service, and its rounds.

    :param cluster: the processes that work for it besides its own.
    :param memory: the most that it had, in bytes.
    """

    name: str
    url: str
    server: psutil.Process
    token: str = ""
    cluster: Sequence[psutil.Process] = ()
    rounds: list[Round] = field(default_factory=list)
    memory: int = 0
    statuses: Counter[str] = field(default_factory=Counter)
    lost: int = 0
    wrong: int = 0
    without_retry_after: int = 0

    def median(self, name: str) -> float:
        """Of a field of the rounds."""
        return float(np.median([getattr(each, name) for each in self.rounds]))


@contextmanager
def serving(command: Sequence[str], environment: dict[str, str]) -> Iterator[tuple[str, psutil.Process]]:
    """Run a service; its address, once it answers anything."""
    port = any_free_port()
    command = [sys.executable, "-m", *command, str(port)]
    with (
        tempfile.TemporaryFile() as log,
        subprocess.Popen(command, env={**os.environ, **environment}, stdout=log, stderr=log) as process,
    ):
        try:
            address = f"http://127.0.0.1:{port}"
            while not answers(address):
                if process.poll() is not None:
                    log.seek(0)
                    raise RuntimeError(f"the service did not start: {log.read().decode()}")
                time.sleep(0.05)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()


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


def load(side: LoadSide, folder: Path, callers: int, seconds: float) -> None:
    """One round of a service."""
    arguments = [side.url, str(folder), str(callers), str(seconds), side.token]
    with subprocess.Popen(
        [sys.executable, "-m", "benchmarks.gateway.load", *arguments], stdout=subprocess.PIPE
    ) as process:
        before = cpu_seconds([side.server]), cpu_seconds(side.cluster)
        while process.poll() is None:
            side.memory = max(side.memory, side.server.memory_info().rss)
            time.sleep(0.1)
        assert process.stdout is not None
        seen = json.loads(process.stdout.read())
        after = cpu_seconds([side.server]), cpu_seconds(side.cluster)
    good = seen["statuses"].get("200", 0)
    cpu, cpu_cluster = (1000 * (end - begin) / max(good, 1) for begin, end in zip(before, after, strict=True))
    side.rounds.append(Round(seen["in_time"] / seconds, 1000 * seen["p50"], 1000 * seen["p99"], cpu, cpu_cluster))
    side.statuses.update(seen["statuses"])
    side.lost += seen["lost"]
    side.wrong += seen["wrong"]
    side.without_retry_after += seen["without_retry_after"]


def compare(sides: Sequence[LoadSide], folder: Path, options: argparse.Namespace, *, rounds: int) -> None:
    """All rounds of some services, in turn, after a short one of each."""
    for side in sides:
        load(side, folder, min(50, options.callers), 3)
        side.rounds.clear()
    for number in range(rounds):
        for side in sides:
            load(side, folder, options.callers, options.seconds)
            sys.stderr.write(f"round {number + 1}: {side.name}: {side.rounds[-1]}\n")


def idle(client: Client, url: str, token: str, workload: Workload, folder: Path) -> tuple[list[float], list[float]]:
    """Milliseconds of requests of one caller to the gateway, and to the SDK."""
    import httpx

    bodies = [json.loads(body) for body, _ in read_requests(folder)]

    def ask_gateway(body: dict[str, list[list[float]]]) -> None:
        assert http.post(url, json=body).json()["outputs"][0]["label"] is not None

    def ask_sdk(body: dict[str, list[list[float]]]) -> None:
        data = np.array(body["rows"], dtype=np.float32) if "rows" in body else body
        job = client.infer(f"{workload.name}:1", data)
        assert job.wait(60, progress=False).results().num_rows == 1

    times: tuple[list[float], list[float]] = ([], [])
    with httpx.Client(headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:
        for number in range(-10, IDLE_REQUESTS):
            for ask, taken in zip((ask_gateway, ask_sdk), times, strict=True):
                start = time.perf_counter()
                ask(bodies[number % len(bodies)])
                if number >= 0:
                    taken.append(1000 * (time.perf_counter() - start))
    return times


async def sdk_load(client: Client, workload: Workload, folder: Path, options: argparse.Namespace) -> str:
    """The SDK for asyncio with as many coroutines."""
    body = json.loads(read_requests(folder)[0][0])
    data = np.array(body["rows"], dtype=np.float32) if "rows" in body else body
    count, settings = 0, client.settings
    async with AsyncClient(
        redis_url=settings.redis_url, database_url=settings.database_url, store=settings.store
    ) as sdk:
        began = time.perf_counter()

        async def caller() -> None:
            nonlocal count
            while time.perf_counter() < began + options.seconds:
                job = await (await sdk.infer(f"{workload.name}:1", data)).wait()
                assert [result async for result in job.stream()]
                count += 1

        await asyncio.gather(*(caller() for _ in range(options.callers)))
        return (
            f"AsyncClient with {options.callers:,} coroutines: {count / (time.perf_counter() - began):,.0f} requests/s"
        )


def measure(options: argparse.Namespace, folder: Path, show: Callable[..., None]) -> list[LoadSide]:
    """Everything; the sides for the table."""
    workload = WORKLOADS[options.model]
    workload.prepare(folder)
    with running_cluster() as client, ExitStack() as stack:
        workload.submit(client, folder)
        with Ledger(owner_url(client)) as ledger:
            token = ledger.tokens.create("benchmark", ["jobs:read", "jobs:write"], created_by="benchmark").text
        settings = load_settings(home=client.settings.home, environ={}, process=Process.GATEWAY)
        environment = dict(settings.environment())
        processes, path = cluster_processes(client), f"/v1/models/{workload.name}:1/predict"
        address, server = stack.enter_context(serving(GATEWAY, environment))
        gateway = LoadSide("gateway", f"{address}{path}", server, token, processes)
        taken = idle(client, gateway.url, token, workload, folder)
        for name, each in zip(("gateway", "SDK"), taken, strict=True):
            p50, p99 = np.percentile(each, [50, 99])
            show(f"idle, in turn: {name}: median {p50:.1f} ms, 99th percentile {p99:.1f} ms")
        sides = [gateway]
        plain = [("Flask, app.run()", "threads"), ("Flask, threaded=False", "one")][: 1 + options.one_at_a_time]
        for name, threads in plain:
            command = ("benchmarks.gateway.flask_loop", workload.name, str(folder), threads)
            address, server = stack.enter_context(serving(command, {}))
            sides.append(LoadSide(name, f"{address}/predict", server))
        compare(sides, folder, options, rounds=options.rounds)
        show(asyncio.run(sdk_load(client, workload, folder, options)))
        address, server = stack.enter_context(serving(GATEWAY, {**environment, **FEW}))
        full = LoadSide("gateway, room for 200", f"{address}{path}", server, token, processes)
        compare([full], folder, options, rounds=1)
        return [*sides, full]


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=sorted(WORKLOADS), default="bert")
    parser.add_argument("--callers", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--one-at-a-time", action="store_true", help="also Flask without threads; takes minutes")
    options = parser.parse_args()
    table = Table(title=f"{options.callers:,} callers at once, one row each: medians of {options.rounds} rounds")
    for header in ("service", "requests/s", "p50, ms", "p99, ms", "CPU ms", "of the cluster", "MB", ""):
        table.add_column(header, justify="left" if header in ("service", "") else "right")
    console = Console(width=160)
    with tempfile.TemporaryDirectory(prefix="longshore-benchmark-", dir="/tmp") as folder:
        sides = measure(options, Path(folder), console.print)
    first = sides[0]
    for side in sides:
        note = f"{side.lost} lost, {side.wrong} wrong, {dict(side.statuses)}"
        note += f", {side.without_retry_after} without Retry-After" if side.without_retry_after else ""
        numbers = [side.median(name) for name in ("rate", "p50", "p99")]
        cpu = [f"{side.median(name):.2f}" for name in ("cpu", "cpu_cluster")]
        table.add_row(side.name, *(f"{each:,.0f}" for each in numbers), *cpu, f"{side.memory / 1e6:,.0f}", note)
    console.print(table)
    for side in sides[1:-1]:
        ratios = [one.rate / other.rate for one, other in zip(first.rounds, side.rounds, strict=True)]
        rounds = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        console.print(f"gateway to {side.name}: {np.median(ratios):.2f} times the rate ({rounds})")


if __name__ == "__main__":
    main()

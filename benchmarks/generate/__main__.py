"""Texts of a language model by jobs against the engine alone: one job, many services, and a shared beginning.

Both sides use a Llama with random weights and a tokenizer that is trained on the texts: of 4 layers, 256 wide, in
float32, or with --size 1b of 16 layers, 2048 wide, in bfloat16, for GPUs. Tokens are those that are generated.

usage: python -m benchmarks.generate AG_NEWS.csv [--engine transformers|vllm] [--prompts 2000] [--services 200]
    [--requests 2] [--rounds 3] [--only job|services|prefix] [--size small|1b] [--devices cpu]

AG_NEWS.csv has no header: class, title, description. For --engine vllm, run it by the command that
`python -m tests.vllm_environment` prints, instead of python.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import torch

from benchmarks.cluster import TIMEOUT_S, running_cluster
from benchmarks.generate.bare import Bare, BareTransformers, BareVllm
from benchmarks.generate.model import CONTEXT, LONGEST, SHORTEST, Prompts, make_model
from benchmarks.report import SpeedComparison, in_turn, show
from benchmarks.text import read_texts
from longshore.producers import AsyncClient, Client
from longshore.shared.vocabulary import EngineName

#: Tokens of a text, and of the system prompt that all rows share.
NEW_TOKENS, SYSTEM_TOKENS = 64, 500
#: The share of a GPU's memory that each side takes.
GPU_SHARE: Final = 0.4


class Benchmark:
    """A cluster with the model ``news``, and the same model in the library of the engine."""

    def __init__(self, client: Client, engine: EngineName, bare: Bare, prompts: Prompts, folder: Path) -> None:
        self._client = client
        self._engine = engine
        self._bare = bare
        self._prompts = prompts
        self._folder = folder

    def job(self, rows: int, rounds: int) -> SpeedComparison:
        """One job from a file, results in Postgres."""
        # Others in each round: what a round before has left in a cache does not count.
        prompts = [self._prompts.many(rows, SHORTEST, LONGEST) for _ in range(rounds + 1)]
        paths = [self._write(f"{at}", [{"prompt": prompt} for prompt in each]) for at, each in enumerate(prompts)]
        own_rounds, bare_rounds = iter(paths), iter(prompts)
        rates = in_turn(
            rounds,
            lambda: self._job_rate(next(own_rounds)),
            lambda: self._bare.batch(next(bare_rounds), NEW_TOKENS),
        )
        work = f"{rows:,} prompts of {SHORTEST} to {LONGEST} tokens, {NEW_TOKENS} new ones"
        return SpeedComparison(work, "tokens", *rates, self._bare_name, 0.95)

    def services(self, services: int, requests: int, rounds: int) -> SpeedComparison:
        """Services that wait for each answer before they send the next prompt."""
        prompts = self._prompts.many(services, SHORTEST, LONGEST)
        some = prompts[:10]  # one after the other, so that more take longer than all services

        def ours() -> float:
            start = time.perf_counter()
            asyncio.run(self._serve(prompts, requests))
            return services * requests / (time.perf_counter() - start)

        rates = in_turn(rounds, ours, lambda: self._bare.one_by_one(some, NEW_TOKENS))
        return SpeedComparison(f"{services} services, a prompt each at a time", "prompts", *rates, "one by one", 5.0)

    def prefix(self, rows: int, rounds: int) -> SpeedComparison:
        """Rows that begin with the same system prompt, against rows with one each, which no cache can help."""
        shared = self._prompts.of_length(SYSTEM_TOKENS)
        round_number = iter(range(10**6))

        def rate(name: str, systems: Sequence[str]) -> float:
            # Others in each round, as above.
            prompts = self._prompts.many(rows, 20, 60)
            documents = [{"system": system, "prompt": prompt} for system, prompt in zip(systems, prompts, strict=True)]
            return self._job_rate(self._write(f"{name}{next(round_number)}", documents))

        rates = in_turn(
            rounds,
            lambda: rate("shared", [shared] * rows),
            lambda: rate("own", self._prompts.many(rows, SYSTEM_TOKENS, SYSTEM_TOKENS)),
        )
        return SpeedComparison(
            f"{rows:,} prompts after the same {SYSTEM_TOKENS} tokens", "tokens", *rates, "other beginnings", 2.0
        )

    @property
    def _bare_name(self) -> str:
        return BareVllm.name if self._engine == "vllm" else BareTransformers.name

    def _job_rate(self, path: Path) -> float:
        start = time.perf_counter()
        job = self._client.generate("news", path, max_tokens=NEW_TOKENS, engine=self._engine)
        job.wait(TIMEOUT_S, progress=False)
        seconds = time.perf_counter() - start
        return sum(_generated(row.output) for row in job.results()) / seconds

    async def _serve(self, prompts: Sequence[str], requests: int) -> None:
        async with AsyncClient(home=self._client.settings.home) as client:

            async def service(prompt: str) -> None:
                for number in range(requests):
                    text = f"{number} {prompt}"
                    job = await client.generate("news", [text], max_tokens=NEW_TOKENS, engine=self._engine)
                    await job.wait(TIMEOUT_S)

            await asyncio.gather(*map(service, prompts))

    def _write(self, name: str, rows: Sequence[dict[str, str]]) -> Path:
        path = self._folder / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return path


def _generated(output: object) -> int:
    assert isinstance(output, dict)
    return int(output["usage"]["completion_tokens"])


@contextmanager
def prepared(data: Path, engine: EngineName, devices: str, *, large: bool) -> Iterator[Benchmark]:
    """Start everything."""
    torch.set_num_threads(os.cpu_count() or 1)
    texts, gpu = read_texts(data, 7_000), devices.startswith("cuda")
    with tempfile.TemporaryDirectory() as temporary, running_cluster(devices=devices) as client:
        folder = Path(temporary) / "model"
        make_model(folder, texts, large=large)
        client.models.import_(folder, "news", generation={"memory_share": GPU_SHARE} if gpu else None)
        share = GPU_SHARE if gpu else None
        bare: Bare = BareVllm(folder, CONTEXT, share) if engine == "vllm" else BareTransformers(folder, gpu)
        yield Benchmark(client, engine, bare, Prompts(folder, texts), Path(temporary))


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--engine", choices=["transformers", "vllm"], default="transformers")
    parser.add_argument("--prompts", type=int, default=2_000)
    parser.add_argument("--services", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2, help="of each service")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", choices=["small", "1b"], default="small")
    parser.add_argument("--devices", default="cpu", help="of the worker: cpu, or cuda:0")
    parser.add_argument("--only", choices=["job", "services", "prefix"])
    options = parser.parse_args()
    with prepared(options.data, options.engine, options.devices, large=options.size == "1b") as benchmark:
        measurements = {
            "job": lambda: benchmark.job(options.prompts, options.rounds),
            "services": lambda: benchmark.services(options.services, options.requests, options.rounds),
            "prefix": lambda: benchmark.prefix(max(1, options.prompts // 4), options.rounds),
        }
        names = [options.only] if options.only else list(measurements)
        show([measurements[name]() for name in names])


if __name__ == "__main__":
    main()

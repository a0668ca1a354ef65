"""Tokens that are generated twice because the worker is killed in the middle of a job.

A job runs undisturbed, and once more with the process that computes killed when so much of its tokens are done. Tokens
are counted by the metrics of the worker; those of the second over those of the first is what the kills cost.

usage: python -m benchmarks.generate.kills AG_NEWS.csv [--engine transformers|vllm] [--prompts 2000] [--tokens 64]
    [--at 0.33,0.67] [--rounds 3]

For --engine vllm, run it by the command that `python -m tests.vllm_environment` prints, instead of python.
"""

from __future__ import annotations

import argparse
import os
import socket
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from benchmarks.cluster import TIMEOUT_S, kill_children, running_cluster
from benchmarks.generate.model import LONGEST, SHORTEST, Prompts, make_model
from benchmarks.text import read_texts
from longshore.producers import Client, Job
from longshore.shared.vocabulary import EngineName

#: Seconds between two looks at the tokens.
POLL_INTERVAL_S = 0.02


def generated(port: int) -> float:
    """Tokens that the worker and its children have generated since it began."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=TIMEOUT_S) as response:
        families = text_string_to_metric_families(response.read().decode())
    samples = [sample for family in families for sample in family.samples]
    (value,) = [sample.value for sample in samples if sample.name == "longshore_generated_tokens_total"]
    return float(value)


def run_job(client: Client, prompts: Sequence[str], tokens: int, engine: EngineName) -> Job:
    """Submit. The texts end by their length only."""
    return client.generate("news", prompts, max_tokens=tokens, min_tokens=tokens, engine=engine)


def cost(client: Client, port: int, prompts: Sequence[str], tokens: int, engine: EngineName, at: list[float]) -> float:
    """All tokens of a job whose worker is killed, over those of its texts.

    :param at: the shares of the tokens after which it is killed.
    """
    before, total = generated(port), float(len(prompts) * tokens)
    job = run_job(client, prompts, tokens, engine)
    for share in at:
        while generated(port) - before < share * total:
            assert not job.state.final, "the job had ended before its worker was killed"
            time.sleep(POLL_INTERVAL_S)
        kill_children(client)
    job.wait(TIMEOUT_S, progress=False)
    rows = [row.row for row in job.results()]
    assert rows == list(range(len(prompts))), "a row has no answer, or several"
    return (generated(port) - before) / total


def free_ports() -> int:
    """The first of two ports that nobody listens to: the relay's, and then the worker's."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def main() -> None:
    """Run the benchmark and print what the kills have cost."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--engine", choices=["transformers", "vllm"], default="transformers")
    parser.add_argument("--prompts", type=int, default=2_000)
    parser.add_argument("--tokens", type=int, default=64, help="of each text")
    parser.add_argument("--at", default="0.33,0.67", help="shares of the job's tokens at which it is killed")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    at = [float(each) for each in options.at.split(",")]
    port = free_ports()
    os.environ["LONGSHORE_METRICS_PORT"] = str(port)
    texts = read_texts(options.data, 7_000)
    costs = []
    with tempfile.TemporaryDirectory() as temporary, running_cluster() as client:
        folder = Path(temporary) / "model"
        make_model(folder, texts, large=False)
        client.models.import_(folder, "news")
        prompts = Prompts(folder, texts)
        for number in range(options.rounds):
            many = prompts.many(options.prompts, SHORTEST, LONGEST)
            start = time.perf_counter()
            run_job(client, many, options.tokens, options.engine).wait(TIMEOUT_S, progress=False)
            seconds = time.perf_counter() - start
            costs.append(cost(client, port + 1, many, options.tokens, options.engine, at))
            sys.stderr.write(f"round {number + 1}: undisturbed {seconds:.0f} s, tokens x {costs[-1]:.3f}\n")
    sys.stdout.write(
        f"{options.prompts:,} texts of {options.tokens} tokens, killed after {options.at} of them: "
        f"tokens x {statistics.median(costs):.3f} ({min(costs):.3f} to {max(costs):.3f}), wanted <= 1.15\n"
    )


if __name__ == "__main__":
    main()

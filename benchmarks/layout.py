"""Networks of the family ``cnn`` laid out with channels last against the same in PyTorch's own layout.

usage: python -m benchmarks.layout [--rounds 3] [--batch 64]

Needs no service. Rows a second in this process, forward alone and whole steps of training. The workers' memory settings
are not set here: to have them, set MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_
as longshore.workers.process.supervisor does.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from benchmarks.report import Comparison, in_turn, show
from longshore.shared.specs.families import CnnConfig
from longshore.workers.families.cnn import CNN
from longshore.workers.families.layout import channels_last

CLASSES = 10


@dataclass(frozen=True)
class Work:
    """A network, and how many rows a measurement has."""

    config: CnnConfig
    rows: int


WORKS = {
    "tutorial's, 3x32x32": Work(CnnConfig(input_shape=(3, 32, 32)), 4096),
    "16-32, kernel 3": Work(CnnConfig(input_shape=(3, 32, 32), channels=(16, 32), kernel_size=3), 4096),
    "32-64-128, kernel 3, batch norm": Work(
        CnnConfig(input_shape=(3, 32, 32), channels=(32, 64, 128), kernel_size=3, padding=1, norm="batch"), 1024
    ),
    "8-16, 1x28x28": Work(CnnConfig(input_shape=(1, 28, 28), channels=(8, 16), kernel_size=3), 4096),
}


def build(work: Work, *, last: bool) -> nn.Module:
    """The network with channels last, or as PyTorch has it."""
    channels, height, width = work.config.input_shape
    network = CNN.build(work.config, channels * height * width, CLASSES)
    if last:
        channels_last(network, CNN)
    return network


def running(network: nn.Module, rows: torch.Tensor, batch: int) -> Callable[[], float]:
    """Rows a second forward."""
    network = network.eval()

    @torch.inference_mode()
    def run() -> float:
        start = time.perf_counter()
        for first in range(0, len(rows), batch):
            network(rows[first : first + batch])
        return len(rows) / (time.perf_counter() - start)

    return run


def training(network: nn.Module, rows: torch.Tensor, batch: int) -> Callable[[], float]:
    """Rows a second of steps of Adam."""
    network, classes = network.train(), torch.arange(len(rows)) % CLASSES
    optimizer = torch.optim.Adam(network.parameters(), fused=True)

    def run() -> float:
        start = time.perf_counter()
        for first in range(0, len(rows), batch):
            loss = functional.cross_entropy(network(rows[first : first + batch]), classes[first : first + batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        return len(rows) / (time.perf_counter() - start)

    return run


def main() -> None:
    """Run all networks and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=64)
    options = parser.parse_args()
    torch.set_num_threads(os.cpu_count() or 1)
    found = []
    for name, work in WORKS.items():
        channels, height, width = work.config.input_shape
        rows = torch.rand(work.rows, channels * height * width)
        for what, side in (("run", running), ("train", training)):
            last, plain = (side(build(work, last=last), rows, options.batch) for last in (True, False))
            measured = in_turn(options.rounds, last, plain)
            found.append(Comparison(f"{what} {name}", "rows", *measured, "PyTorch's own", 1.0))
    show(found)


if __name__ == "__main__":
    main()

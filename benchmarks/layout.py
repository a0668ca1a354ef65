"""Networks of the family ``cnn`` in the channels-last layout against PyTorch's default layout.

usage: python -m benchmarks.layout [--rounds 3] [--batch 64]

Needs no service. Rows per second in this process, for the forward pass and for training steps. To use the memory
settings of the workers, set MALLOC_TRIM_THRESHOLD_ and MALLOC_MMAP_THRESHOLD_ as longshore.workers.process.supervisor
does.
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

from benchmarks.report import SpeedComparison, in_turn, show
from longshore.shared.specs.families import CnnConfig
from longshore.workers.families.cnn import CNN
from longshore.workers.families.layout import channels_last

CLASSES = 10


@dataclass(frozen=True)
class LayoutCase:
    """A network, and the number of rows in a measurement."""

    config: CnnConfig
    rows: int


CASES = {
    "PyTorch tutorial, 3x32x32": LayoutCase(CnnConfig(input_shape=(3, 32, 32)), 4096),
    "16-32, kernel 3": LayoutCase(CnnConfig(input_shape=(3, 32, 32), channels=(16, 32), kernel_size=3), 4096),
    "32-64-128, kernel 3, batch norm": LayoutCase(
        CnnConfig(input_shape=(3, 32, 32), channels=(32, 64, 128), kernel_size=3, padding=1, norm="batch"), 1024
    ),
    "8-16, 1x28x28": LayoutCase(CnnConfig(input_shape=(1, 28, 28), channels=(8, 16), kernel_size=3), 4096),
}


def build(case: LayoutCase, *, last: bool) -> nn.Module:
    """The network with channels last, or in PyTorch's default layout."""
    channels, height, width = case.config.input_shape
    network = CNN.build(case.config, channels * height * width, CLASSES)
    if last:
        channels_last(network, CNN)
    return network


def running(network: nn.Module, rows: torch.Tensor, batch: int) -> Callable[[], float]:
    """A function that returns the rows per second of the forward pass."""
    network = network.eval()

    @torch.inference_mode()
    def run() -> float:
        start = time.perf_counter()
        for first in range(0, len(rows), batch):
            network(rows[first : first + batch])
        return len(rows) / (time.perf_counter() - start)

    return run


def training(network: nn.Module, rows: torch.Tensor, batch: int) -> Callable[[], float]:
    """A function that returns the rows per second of training steps with Adam."""
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
    comparisons = []
    for name, case in CASES.items():
        channels, height, width = case.config.input_shape
        rows = torch.rand(case.rows, channels * height * width)
        for what, side in (("run", running), ("train", training)):
            last, default = (side(build(case, last=last), rows, options.batch) for last in (True, False))
            rates = in_turn(options.rounds, last, default)
            comparisons.append(SpeedComparison(f"{what} {name}", "rows", *rates, "default layout", 1.0))
    show(comparisons)


if __name__ == "__main__":
    main()

"""The other side of ``benchmarks.training``: a bare PyTorch loop, or Lightning's Trainer.

usage: python -m benchmarks.sides.training mlp|cnn bare|lightning EPOCHS

Prints the rows per second of all epochs but the first.
"""

from __future__ import annotations

import os
import sys
import time

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.networks import cnn, mlp


def work(name: str) -> tuple[nn.Module, torch.Tensor, torch.Tensor, int]:
    """The network, the rows, their classes and the size of a batch."""
    network, count, width, batch = (mlp(), 60_000, 784, 128) if name == "mlp" else (cnn(), 10_000, 3 * 32 * 32, 64)
    return network.train(), torch.rand(count, width), torch.randint(0, 10, (count,)), batch


def bare(network: nn.Module, rows: torch.Tensor, classes: torch.Tensor, batch: int, epochs: int) -> list[float]:
    """Train. Returns the time at the end of each epoch."""
    optimizer, ends = torch.optim.Adam(network.parameters()), []
    for _ in range(epochs):
        order = torch.randperm(len(rows))
        for start in range(0, len(rows), batch):
            picked = order[start : start + batch]
            loss = functional.cross_entropy(network(rows[picked]), classes[picked])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        ends.append(time.perf_counter())
    return ends


def lightning(network: nn.Module, rows: torch.Tensor, classes: torch.Tensor, batch: int, epochs: int) -> list[float]:
    """Train. Returns the time at the end of each epoch."""
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    import lightning as L  # type: ignore[import-not-found]

    ends: list[float] = []

    class Module(L.LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def training_step(self, batch: tuple[torch.Tensor, torch.Tensor], _: int) -> torch.Tensor:
            return functional.cross_entropy(self.network(batch[0]), batch[1])

        def on_train_epoch_end(self) -> None:
            ends.append(time.perf_counter())

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters())

    trainer = L.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(Module(), DataLoader(TensorDataset(rows, classes), batch_size=batch, shuffle=True))
    return ends


def main() -> None:
    """Train, and print the rate."""
    name, runner, epochs = sys.argv[1], sys.argv[2], int(sys.argv[3])
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    network, rows, classes, batch = work(name)
    ends = (bare if runner == "bare" else lightning)(network, rows, classes, batch, epochs)
    print((epochs - 1) * len(rows) / (ends[-1] - ends[0]))


if __name__ == "__main__":
    main()

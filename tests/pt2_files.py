"""Archives of ``torch.export``, and networks to export."""

from __future__ import annotations

import json
import math
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from longshore.shared.specs.signature import Feature, Signature


class TutorialCnn(nn.Module):
    """https://docs.pytorch.org/tutorials/beginner/blitz/cifar10_tutorial.html"""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 6, 5), nn.Conv2d(6, 16, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(torch.relu(self.conv1(x)))
        x = torch.flatten(self.pool(torch.relu(self.conv2(x))), 1)
        x = torch.relu(self.fc2(torch.relu(self.fc1(x))))
        out: torch.Tensor = self.fc3(x)
        return out


class Recurrent(nn.Module):
    """Two layers in both directions, from states whose size is that of the batch."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 8, 2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.head(self.lstm(x.reshape(x.shape[0], 6, 4))[0][:, -1])
        return out


class Attention(nn.Module):
    """A transformer encoder with positions that are not among its saved parameters, and a mask of infinities."""

    positions: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.register_buffer("positions", torch.randn(6, 8), persistent=False)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mask = torch.full((6, 6), float("-inf"), device=x.device).triu(1)
        out: torch.Tensor = self.head(
            self.encoder(x.view(-1, 6, 8) + self.positions, mask=mask, is_causal=False).mean(1)
        )
        return out


class Mixed(nn.Module):
    """Arithmetic on the batch's size, in-place writes, tied weights, indices, a constant, and one number a row."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(5)
        self.weight = nn.Parameter(torch.randn(5, 5))
        self.tied = self.weight
        self.spread = nn.Parameter(torch.randn(5, 8)[:, ::2])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(x) @ self.weight + torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0])
        n = x.shape[0]
        written = torch.zeros(n, 5, device=x.device)
        written[:, 0] = x[:, 0]
        first, second = torch.split(torch.where(x > 0, x, 0.5).view(n * 5).view(n, -1), [2, 3], 1)
        hot = nn.functional.one_hot(x.argmax(1), 5) + torch.einsum("ij,kj->ik", x, self.tied)
        return torch.cat([written, first, second, hot, x[:, [0, 2]], x @ self.spread], 1).sum(1)


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Dropout(0.1), nn.Linear(16, 4))


def _normalised() -> nn.Module:
    convolution = nn.Conv2d(3, 8, 3, padding=1, bias=False)
    pooling = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(convolution, nn.BatchNorm2d(8), nn.SiLU(), pooling, nn.Linear(8, 4))


#: Each with the shape of its rows, and its outputs.
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], int]] = {
    "mlp": (_mlp, (12,), 4),
    "cnn": (TutorialCnn, (3, 32, 32), 10),
    "batchnorm": (_normalised, (3, 16, 16), 4),
    "lstm": (Recurrent, (24,), 3),
    "transformer": (Attention, (48,), 3),
    "mixed": (Mixed, (5,), 1),
}


def make(network: str) -> tuple[nn.Module, tuple[int, ...], int]:
    """A network in eval mode, the shape of its rows, and its outputs."""
    torch.manual_seed(0)
    made, shape, outputs = NETWORKS[network]
    module = made()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):  # as after training
            assert layer.running_mean is not None
            assert layer.running_var is not None
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2)
    return module.eval(), shape, outputs


def save(
    module: nn.Module,
    shape: tuple[int, ...],
    path: Path,
    rows: object = "any",
    decompose: bool | None = None,
    example: int = 3,
) -> Path:
    """Export a network and save it.

    :param rows: the dimension of the rows, as ``dynamic_shapes`` takes it; ``None``: as many as the example has.
    :param decompose: ``False`` writes in-place operators as others, ``True`` everything in few operators.
    """
    rows = torch.export.Dim("rows") if rows == "any" else rows
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch.export itself uses is deprecated
        exported = torch.export.export(
            module, (torch.randn(example, *shape),), dynamic_shapes=None if rows is None else ({0: rows},)
        )
        if decompose is not None:
            exported = exported.run_decompositions() if decompose else exported.run_decompositions({})
        torch.export.save(exported, path)
    return path


def signature(shape: tuple[int, ...], outputs: int) -> Signature:
    """A classification, or of one output a regression."""
    return Signature(
        features=(Feature(name="x", width=math.prod(shape)),),
        task="regression" if outputs == 1 else "classification",
        target="y",
        labels=None if outputs == 1 else tuple(range(outputs)),
    )


def rewrite(
    source: Path,
    target: Path,
    change: Callable[[dict[str, bytes]], None],
    compression: int = zipfile.ZIP_STORED,
) -> Path:
    """A copy of an archive with other files; those of ``change`` are named without their folder."""
    with zipfile.ZipFile(source) as archive:
        root = archive.namelist()[0].split("/")[0]
        files = {name.removeprefix(f"{root}/"): archive.read(name) for name in archive.namelist()}
    change(files)
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(f"{root}/{name}", content)
    return target


def edited(files: dict[str, bytes], name: str, edit: Callable[[Any], object]) -> None:
    """Change a JSON file among those of :func:`rewrite`."""
    document = json.loads(files[name])
    edit(document)
    files[name] = json.dumps(document).encode()

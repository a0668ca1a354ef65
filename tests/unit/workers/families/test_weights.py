"""Weights files."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from longshore.shared.errors import CorruptBlob, ServiceUnavailable
from longshore.workers.families.weights import fill, read_weights, save_weights


def test_weights_come_back_as_they_were(tmp_path: Path) -> None:
    module, other = nn.Linear(3, 2), nn.Linear(3, 2)
    save_weights(module, tmp_path / "weights")
    fill(other, read_weights(tmp_path / "weights"), "the module")
    assert torch.equal(module.weight, other.weight)
    assert torch.equal(module.bias, other.bias)


def test_equal_weights_give_equal_bytes(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    save_weights(module, tmp_path / "one")
    save_weights(module, tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_layers_that_share_weights_can_be_saved(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    module[1].weight = module[0].weight
    save_weights(module, tmp_path / "weights")
    fill(module, read_weights(tmp_path / "weights"), "the module")


@pytest.mark.parametrize("content", [b"", b"not safetensors", b"\x80\x04\x95pickle" * 9])
def test_what_is_no_weights_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights").write_bytes(content)
    with pytest.raises(CorruptBlob, match="cannot be read as a safetensors file"):
        read_weights(tmp_path / "weights")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CorruptBlob, match="absent"):
        read_weights(tmp_path / "absent")


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceUnavailable, match="no/weights"):
        save_weights(nn.Linear(1, 1), tmp_path / "no" / "weights")


@pytest.mark.parametrize(
    ("tensors", "reason"),
    [
        ({"weight": torch.zeros(2, 3)}, "bias is missing"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "more": torch.zeros(1)}, "more is not part of it"),
        ({"weight": torch.zeros(2, 4), "bias": torch.zeros(2)}, r"weight is float32 \(2, 4\), not float32 \(2, 3\)"),
        ({"weight": torch.zeros(2, 3), "bias": torch.zeros(2).double()}, r"bias is float64 \(2,\), not float32 \(2,\)"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tensors: dict[str, torch.Tensor], reason: str) -> None:
    with pytest.raises(CorruptBlob, match=f"do not fit family 'linear': .*{reason}"):
        fill(nn.Linear(3, 2), tensors, "family 'linear'")

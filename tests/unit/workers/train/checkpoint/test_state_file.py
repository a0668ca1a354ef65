"""States as files."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from longshore.shared.errors import CorruptBlob
from longshore.workers.train.checkpoint.state_file import copied, read_state, write_state


def test_a_state_comes_back_as_it_was(tmp_path: Path) -> None:
    network = torch.nn.Linear(3, 2)
    optimizer = torch.optim.Adam(network.parameters())
    network(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    plain = {"a": 1, "b": 0.1 + 0.2, "c": None, "d": True, "e": "ä", "f": [1, (2, 3)], 7: {"x": -math.inf}}
    write_state({"optimizer": optimizer.state_dict(), "plain": plain, "bytes": torch.get_rng_state()}, tmp_path / "x")
    found = read_state(tmp_path / "x")
    assert isinstance(found, dict)
    assert found["plain"] == plain
    assert torch.equal(found["bytes"], torch.get_rng_state())
    other = torch.optim.Adam(network.parameters())
    other.load_state_dict(found["optimizer"])
    for one, two in zip(optimizer.state.values(), other.state.values(), strict=True):
        assert all(torch.equal(one[name], two[name]) for name in one)
    assert found["optimizer"]["param_groups"] == optimizer.state_dict()["param_groups"]


def test_a_copy_does_not_change_with_its_original() -> None:
    tensor = torch.zeros(2)
    copy = copied({"x": [tensor, (tensor,)]})
    tensor += 1
    assert isinstance(copy, dict)
    assert copy["x"][0].tolist() == copy["x"][1][0].tolist() == [0, 0]


def test_what_cannot_be_kept_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="object cannot be part of a saved state"):
        write_state({"x": object()}, tmp_path / "x")


def test_other_files_are_no_checkpoints(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no tensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "tensors")
    save_file({"x": torch.zeros(1)}, tmp_path / "odd", metadata={"state": '{"pickle": "x"}'})
    for name in ("text", "tensors", "odd", "missing"):
        with pytest.raises(CorruptBlob, match="cannot be read as a checkpoint"):
            read_state(tmp_path / name)

"""Several processes train what one does, to the rounding of sums, whatever their batches."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
import torch

from longshore.shared.vocabulary import Optimizer
from longshore.workers.train.checkpoint.state_file import read_state
from tests.integration.training.ranks import Asked, alone, together

pytestmark = pytest.mark.slow

#: How far weights may be apart, where one sum is made in another order.
NEAR = 5e-6
IMAGES: dict[str, object] = {
    **{"family": "cnn", "config": {"input_shape": [1, 3, 4], "channels": [4], "kernel_size": 2, "pool": 1}},
    "augment": {"horizontal_flip": 0.5, "random_erasing": {}},
}
SMALL = {"d_model": 8, "nhead": 2, "num_layers": 2, "dim_feedforward": 16, "dropout": 0.0}
TRANSFORMER = {"input_shape": [4, 3], **SMALL}
EVERYTHING: dict[str, object] = {
    **{"accumulate": 2, "clip_grad_norm": 0.1, "schedule": "step", "step_size": 1, "early_stopping": 1, "epochs": 6},
    **{"metrics": ["accuracy", "f1", "auroc", "perplexity"], "test": 0.1, "optimizer": "adamw", "weight_decay": 0.1},
}
OPTIONS: list[dict[str, object]] = [
    EVERYTHING,
    # The last batch is of one row: the second rank has none of it.
    {"batch_size": 6, "epochs": 1, "validation": 0.2},
    # Of some of its parameters the gradients are rounding alone, which Adam would make as large as others.
    {"family": "transformer", "config": TRANSFORMER, "optimizer": "sgd", "epochs": 1},
    {"family": "rnn", "config": {"input_shape": [4, 3], "hidden_size": 8}, "precision": "bf16", "epochs": 1},
    IMAGES,
    *({"family": "linear", "config": {}, "optimizer": name, "epochs": 1} for name in get_args(Optimizer)),
]


@pytest.mark.parametrize("kind", ["ddp", "fsdp"])
def test_two_devices_train_what_one_does(tmp_path: Path, kind: str) -> None:
    asked = [Asked({**options, "devices": 2, "strategy": kind}) for options in OPTIONS]
    for options, two in zip(OPTIONS, together(asked, kind, 2, tmp_path), strict=True):
        one = alone(Asked(options))
        near = 2e-3 if "precision" in options else NEAR
        assert two.distance(one) < near, options
        assert len(two.metrics) == len(one.metrics)
        for found, wanted in zip(two.metrics, one.metrics, strict=True):
            assert found == pytest.approx(wanted, abs=near), options
        assert two.confusion == one.confusion
        assert two.notes == one.notes


@pytest.mark.parametrize(("kind", "size"), [("ddp", 3), ("fsdp", 2)])
def test_a_training_goes_on_with_the_same_bits(tmp_path: Path, kind: str, size: int) -> None:
    spread = {"devices": size, "strategy": kind}
    options = {**EVERYTHING, **spread, "config": {"hidden": [16], "dropout": 0.4}, "early_stopping": 5, "epochs": 4}
    asked = [Asked(options, keep_at=5), Asked(options, keep_at=1000, resume=True), Asked(IMAGES)]
    whole, rest, images = together(asked, kind, size, tmp_path)
    # Two steps an epoch: it went on in the middle of the third.
    assert rest.metrics == whole.metrics[2:]
    assert rest.distance(whole) == 0
    kept: Any = read_state(tmp_path / "state")
    assert len(kept["random"]) == size
    assert not torch.equal(kept["random"][0], kept["random"][1]), "ranks drop out other units"
    assert images.distance(alone(Asked(IMAGES))) < NEAR, "of three ranks, too"

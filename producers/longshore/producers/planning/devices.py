"""Checks that a worker has as many devices as a training needs."""

from __future__ import annotations

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.workers import Workers, joined
from longshore.shared.specs.train import TrainSpec


def check_devices(spec: TrainSpec, queue: str, fleet: Workers) -> None:
    """Check that a live worker has enough GPUs. A worker on CPUs runs any number of processes.

    :raises InvalidInput: every live GPU worker has fewer. If none is alive, one may still start: no error.
    """
    if spec.devices == 1 or queue != "gpu":
        return
    most = fleet.most_devices(queue)
    if most is not None and most < spec.devices:
        has = "one GPU" if most == 1 else f"{most} GPUs"
        raise InvalidInput(
            "devices",
            f"{spec.devices}: no worker has more than {has}; use fewer, or start a worker with {spec.devices}: "
            f"longshore worker --devices {joined(spec.devices)}",
        )

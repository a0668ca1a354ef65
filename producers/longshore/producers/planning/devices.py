"""Whether some worker has as many devices as a training asks for."""

from __future__ import annotations

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.workers import Workers, joined
from longshore.shared.specs.train import TrainSpec


def check_devices(spec: TrainSpec, queue: str, fleet: Workers) -> None:
    """A worker on CPUs runs any number of processes; on GPUs there must be one that sees so many.

    :raises InvalidInput: those that are alive see fewer. Where none is, one may yet come.
    """
    if spec.devices == 1 or queue != "gpu":
        return
    most = fleet.most_devices(queue)
    if most is not None and most < spec.devices:
        has = "one GPU" if most == 1 else f"{most} GPUs"
        raise InvalidInput(
            "devices",
            f"{spec.devices}: no worker has more than {has}; ask for fewer, or start one that sees {spec.devices}: "
            f"longshore worker --devices {joined(spec.devices)}",
        )

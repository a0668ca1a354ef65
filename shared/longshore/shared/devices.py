"""Which devices a machine's workers run on: from ``--devices`` to one slot a worker.

Nothing here imports torch: the supervisor asks, and CUDA may be initialised in a worker's child alone.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from longshore.shared.errors import InvalidInput
from longshore.shared.ledger.workers import count_devices

FORMS = (
    "auto, cpu, cpu:N for N CPU workers, cuda, cuda:I for the I-th GPU from 0, or cuda:I+cuda:J for one worker of "
    "several GPUs, joined by commas"
)
#: Seconds that ``nvidia-smi`` may take; a driver that hangs must not hang the supervisor.
_NVIDIA_SMI_TIMEOUT_S = 20.0
_DEVICE = re.compile(r"(cpu|cuda)(?::([0-9]{1,4}))?")


@dataclass(frozen=True)
class DeviceSlot:
    """The device and the cores of one worker."""

    #: ``cpu:0``, ``cuda:1``, ``cuda:2+cuda:3``, ...: unique on this machine.
    name: str
    queue: Literal["cpu", "gpu"]
    #: Cores this worker is pinned to.
    cores: tuple[int, ...]
    #: Threads for its computations.
    threads: int
    #: Index among the GPUs this process sees, of the first of several; ``None`` on the CPU.
    cuda_index: int | None = None
    #: What the worker's ``CUDA_VISIBLE_DEVICES`` is set to: it then sees its own GPUs from ``cuda:0``, or none at all.
    cuda_visible: str = ""

    @property
    def devices(self) -> int:
        """How many devices it has."""
        return count_devices(self.name)


@dataclass(frozen=True)
class Machine:
    """The cores and GPUs that workers share."""

    #: Cores this process may run on.
    cores: tuple[int, ...]
    #: The visible GPUs, as ``CUDA_VISIBLE_DEVICES`` writes each.
    gpus: tuple[str, ...] = ()


def parse_devices(text: str, machine: Machine) -> tuple[DeviceSlot, ...]:
    """Read ``--devices``: ``auto`` takes every GPU, or one CPU worker if there is none.

    The cores are divided evenly among the slots.

    :raises InvalidInput: ``text`` has none of these forms, or names more than the machine has.
    """
    names = _names(text, machine)
    single = [device for name in names for device in name.split("+")]
    repeated = next((name for name in single if single.count(name) > 1), None)
    if repeated:
        raise InvalidInput("devices", f"{text!r} names {repeated} twice")
    return tuple(_slot(name, machine, index, len(names)) for index, name in enumerate(names))


def detect_machine(environ: Mapping[str, str] = os.environ) -> Machine:
    """Look at this machine, as far as this process may use it."""
    return Machine(cores=_usable_cores(), gpus=visible_gpus(environ.get("CUDA_VISIBLE_DEVICES"), _count_gpus()))


def visible_gpus(variable: str | None, present: int) -> tuple[str, ...]:
    """Apply ``CUDA_VISIBLE_DEVICES`` to a machine of ``present`` GPUs. CUDA hides what follows a wrong index.

    https://docs.nvidia.com/cuda/cuda-c-programming-guide/index.html#env-vars
    """
    if variable is None or not present:
        return tuple(map(str, range(present)))
    seen: list[str] = []
    for entry in (part.strip() for part in variable.split(",")):
        if not (entry.startswith(("GPU-", "MIG-")) or (entry.isdecimal() and int(entry) < present)):
            break
        seen.append(entry)
    return tuple(seen)


def _names(text: str, machine: Machine) -> list[str]:
    if text == "auto":
        return [f"cuda:{index}" for index in range(len(machine.gpus))] or ["cpu:0"]
    names: list[str] = []
    for part in text.split(","):
        if "+" in part:
            names.append(_several(part, text, machine))
            continue
        match = _DEVICE.fullmatch(part.strip())
        if match is None:
            raise InvalidInput("devices", f"{text!r} is not understood; the forms are {FORMS}")
        kind, number = match[1], None if match[2] is None else int(match[2])
        names += _cpu_names(number, machine) if kind == "cpu" else _cuda_names(number, machine)
    return names


def _several(part: str, text: str, machine: Machine) -> str:
    matches = [_DEVICE.fullmatch(each.strip()) for each in part.split("+")]
    if not all(match is not None and match[1] == "cuda" and match[2] is not None for match in matches):
        raise InvalidInput("devices", f"{text!r} is not understood; the forms are {FORMS}")
    return "+".join(name for match in matches if match for name in _cuda_names(int(match[2]), machine))


def _cpu_names(count: int | None, machine: Machine) -> list[str]:
    count = 1 if count is None else count
    if not 0 < count <= len(machine.cores):
        raise InvalidInput(
            "devices",
            f"cpu:{count}: the number of CPU workers is 1 to {len(machine.cores)}, the cores this process may use",
        )
    return [f"cpu:{index}" for index in range(count)]


def _cuda_names(index: int | None, machine: Machine) -> list[str]:
    indices = range(len(machine.gpus)) if index is None else [index]
    if not machine.gpus:
        raise InvalidInput(
            "devices", "cuda: this process sees no GPU; use cpu, or look at nvidia-smi and CUDA_VISIBLE_DEVICES"
        )
    if index is not None and index >= len(machine.gpus):
        raise InvalidInput("devices", f"cuda:{index}: this process sees {len(machine.gpus)} GPUs, counted from 0")
    return [f"cuda:{each}" for each in indices]


def _slot(name: str, machine: Machine, index: int, count: int) -> DeviceSlot:
    cores = _share(machine.cores, index, count)
    if name.startswith("cpu"):
        return DeviceSlot(name, "cpu", cores, len(cores))
    indices = [int(each.removeprefix("cuda:")) for each in name.split("+")]
    visible = ",".join(machine.gpus[index] for index in indices)
    return DeviceSlot(name, "gpu", cores, len(cores), indices[0], visible)


def _share(cores: tuple[int, ...], index: int, count: int) -> tuple[int, ...]:
    """Neighbouring cores, which mostly share a cache; with fewer cores than workers, one core each, in turn."""
    if count > len(cores):
        return (cores[index % len(cores)],)
    return cores[index * len(cores) // count : (index + 1) * len(cores) // count]


def _usable_cores() -> tuple[int, ...]:
    if hasattr(os, "sched_getaffinity"):
        return tuple(sorted(os.sched_getaffinity(0)))
    return tuple(range(os.cpu_count() or 1))


def _count_gpus() -> int:
    """GPUs whose driver answers. Without one there is nothing to run ``nvidia-smi`` for."""
    try:
        listed = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=_NVIDIA_SMI_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        folder = Path("/proc/driver/nvidia/gpus")
        return len(list(folder.iterdir())) if folder.is_dir() else 0
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines()) if listed.returncode == 0 else 0

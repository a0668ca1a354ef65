"""The file that tells the processes of a training what to run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from longshore.shared.ledger.records import Claim

_FILE = "launch.json"


@dataclass(frozen=True, kw_only=True)
class LaunchSpec:
    """One attempt at a training job. It may contain secrets, so it is only written to a private folder."""

    claim: Claim
    #: The number of processes; each has one device.
    devices: int
    device: Literal["cpu", "cuda"]
    #: Threads of each process.
    threads: int
    #: The file of the checkpoint to resume from, and its name for people; ``None`` to train from the beginning.
    state: Path | None
    last: str | None


_LAUNCH_SPEC = TypeAdapter(LaunchSpec)


def write_launch_spec(spec: LaunchSpec, folder: Path) -> None:
    """Write the launch spec to a folder."""
    (folder / _FILE).write_bytes(_LAUNCH_SPEC.dump_json(spec))


def read_launch_spec(folder: Path) -> LaunchSpec:
    """Read the launch spec of a folder."""
    return _LAUNCH_SPEC.validate_json((folder / _FILE).read_bytes())

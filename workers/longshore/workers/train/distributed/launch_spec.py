"""What the processes of a training are told to do."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter

from longshore.shared.ledger.records import Claim

_FILE = "launch.json"


@dataclass(frozen=True, kw_only=True)
class LaunchSpec:
    """One attempt at a training job. It may name keys: it is for a private folder."""

    claim: Claim
    #: How many processes, of which each has one.
    devices: int
    device: Literal["cpu", "cuda"]
    #: Of each process.
    threads: int
    #: The file of the checkpoint to go on from, and what people call it; ``None``: from the beginning.
    state: Path | None
    last: str | None


_LAUNCH_SPEC = TypeAdapter(LaunchSpec)


def write_launch_spec(launch: LaunchSpec, folder: Path) -> None:
    """Put it there."""
    (folder / _FILE).write_bytes(_LAUNCH_SPEC.dump_json(launch))


def read_launch_spec(folder: Path) -> LaunchSpec:
    """Read it there."""
    return _LAUNCH_SPEC.validate_json((folder / _FILE).read_bytes())

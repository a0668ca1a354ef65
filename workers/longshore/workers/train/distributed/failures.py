"""Why a training in several processes failed: what each process says, what the launcher saw, and which of it counts."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter

from longshore.shared.errors import (
    AttemptLost,
    CorruptBlob,
    DataError,
    InvalidInput,
    LongshoreError,
    ServiceUnavailable,
)

_FOLDER = "failures"
_EXIT_CODES = "exits.json"
#: Errors whose words are for the job's owner as they are.
_OWN: dict[str, type[LongshoreError]] = {
    "AttemptLost": AttemptLost,
    "CorruptBlob": CorruptBlob,
    "DataError": DataError,
    "ServiceUnavailable": ServiceUnavailable,
}


class ProcessFailed(LongshoreError):
    """One of a training's processes ended before its time; the attempt may be repeated (inside workers)."""


@dataclass(frozen=True)
class Failure:
    """What ended a process, as it says itself."""

    rank: int
    #: The name of the error, and what it says.
    kind: str
    text: str
    #: Of an ``InvalidInput``.
    field: str | None
    #: Seconds since the epoch.
    at: float


_FAILURE = TypeAdapter(Failure)
_CODES = TypeAdapter(dict[int, int])


def write_failure(error: Exception, rank: int, folder: Path) -> None:
    """Say what ends this process."""
    bad = isinstance(error, InvalidInput)
    own = next((name for name, kind in _OWN.items() if isinstance(error, kind)), type(error).__name__)
    failure = Failure(
        rank=rank,
        kind="InvalidInput" if bad else own,
        text=error.reason if isinstance(error, InvalidInput) else str(error),
        field=error.field if isinstance(error, InvalidInput) else None,
        at=time.time(),
    )
    (folder / _FOLDER).mkdir(exist_ok=True)
    # Renamed, so that whoever reads it reads all of it.
    path = folder / _FOLDER / f"{rank}.json"
    path.with_suffix(".part").write_bytes(_FAILURE.dump_json(failure))
    path.with_suffix(".part").rename(path)


def write_exit_codes(codes: Mapping[int, int], folder: Path) -> None:
    """Say with which status (or, below 0, by which signal) the ranks ended that were the first to fail."""
    (folder / _EXIT_CODES).write_bytes(_CODES.dump_json(dict(codes)))


def attempt_error(folder: Path, size: int) -> Exception:
    """What the attempt ends with: an error with which any rank refuses the job; else a rank that was killed, as
    the others fail because of that; else the first that failed.
    """
    path = folder / _EXIT_CODES
    codes = _CODES.validate_json(path.read_bytes()) if path.exists() else {}
    said = [_FAILURE.validate_json(each.read_bytes()) for each in (folder / _FOLDER).glob("*.json")]
    said.sort(key=lambda each: (each.kind not in ("InvalidInput", *_OWN), each.rank if each.field else 0, each.at))
    if said and said[0].kind in ("InvalidInput", *_OWN):
        return _error(said[0], size)
    killed = [rank for rank, code in sorted(codes.items()) if code < 0]
    if killed:
        return ProcessFailed(_killed(killed, codes, size))
    if said:
        return _error(said[0], size)
    ended = ", ".join(f"rank {rank} with status {code}" for rank, code in sorted(codes.items()))
    return ProcessFailed(f"the processes of the training ended: {ended or 'the launcher did not say why'}; see the log")


def _error(failure: Failure, size: int) -> Exception:
    if failure.kind == "InvalidInput":
        return InvalidInput(failure.field or "data", failure.text)
    if failure.kind in _OWN:
        return _OWN[failure.kind](failure.text)
    return ProcessFailed(f"rank {failure.rank} of {size}: {failure.kind}: {failure.text}")


def _killed(ranks: Sequence[int], codes: Mapping[int, int], size: int) -> str:
    names = " and ".join(f"rank {rank} ({signal.Signals(-codes[rank]).name})" for rank in ranks)
    memory = "; it may have taken more memory than there is" if any(codes[rank] == -9 for rank in ranks) else ""
    return f"{names} of {size} was killed{memory}"

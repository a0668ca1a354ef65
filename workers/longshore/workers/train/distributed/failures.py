"""Why a training in several processes failed: the errors of the processes, their exit codes, and which one counts."""

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
    MissingBlob,
    MissingData,
    ServiceUnavailable,
)

_FOLDER = "failures"
_EXIT_CODES = "exits.json"
#: Errors whose text is written for the job's owner. Subclasses are before their base class.
_OWN: dict[str, type[LongshoreError]] = {
    "AttemptLost": AttemptLost,
    "MissingBlob": MissingBlob,
    "CorruptBlob": CorruptBlob,
    "MissingData": MissingData,
    "DataError": DataError,
    "ServiceUnavailable": ServiceUnavailable,
}


class ProcessFailed(LongshoreError):
    """A process of a training ended early; the attempt may be repeated. Raised inside workers only."""


@dataclass(frozen=True)
class Failure:
    """The error that ended a process, as the process reports it."""

    rank: int
    #: The name and the text of the error.
    kind: str
    text: str
    #: The field, only for ``InvalidInput``.
    field: str | None
    #: Seconds since the epoch.
    at: float


_FAILURE = TypeAdapter(Failure)
_CODES = TypeAdapter(dict[int, int])


def write_failure(error: Exception, rank: int, folder: Path) -> None:
    """Report the error that ends this process."""
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
    # Renamed into place, so that a reader never sees half of it.
    path = folder / _FOLDER / f"{rank}.json"
    path.with_suffix(".part").write_bytes(_FAILURE.dump_json(failure))
    path.with_suffix(".part").rename(path)


def write_exit_codes(codes: Mapping[int, int], folder: Path) -> None:
    """Write the exit codes (or, below 0, the signals) of the ranks that failed first."""
    (folder / _EXIT_CODES).write_bytes(_CODES.dump_json(dict(codes)))


def attempt_error(folder: Path, size: int) -> Exception:
    """The error of the attempt: one with which any rank refuses the job; else a rank that was killed, because
    that makes the others fail; else the first failure.
    """
    path = folder / _EXIT_CODES
    codes = _CODES.validate_json(path.read_bytes()) if path.exists() else {}
    failures = [_FAILURE.validate_json(each.read_bytes()) for each in (folder / _FOLDER).glob("*.json")]
    failures.sort(key=lambda each: (each.kind not in ("InvalidInput", *_OWN), each.rank if each.field else 0, each.at))
    if failures and failures[0].kind in ("InvalidInput", *_OWN):
        return _error(failures[0], size)
    killed = [rank for rank, code in sorted(codes.items()) if code < 0]
    if killed:
        return ProcessFailed(_killed(killed, codes, size))
    if failures:
        return _error(failures[0], size)
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

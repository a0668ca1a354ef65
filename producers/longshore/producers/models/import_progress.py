"""How far an import is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

#: ``read``: the digests of the files are computed. ``store``: they are stored; those that the store has are not copied.
ImportStep: TypeAlias = Literal["read", "store"]


@dataclass(frozen=True)
class ImportProgress:
    """What is being done, and how much of it is done."""

    step: ImportStep
    #: The path of the file in the folder of the version.
    file: str
    #: In bytes, of all files of this step.
    done: int
    total: int


#: Called after each block of a file, in the thread of the import.
ShowProgress: TypeAlias = Callable[[ImportProgress], None]


class StepProgress:
    """Counts the bytes of one step.

    :param show: ``None``: nobody watches.
    :param total: in bytes.
    """

    def __init__(self, show: ShowProgress | None, step: ImportStep, total: int) -> None:
        self._show = show
        self._step: ImportStep = step
        self._total = total
        self._done = 0

    def of(self, file: str) -> Callable[[int], None]:
        """What is called with the number of bytes of a file that have been handled since the last call."""

        def advance(count: int) -> None:
            self._done += count
            if self._show is not None:
                self._show(ImportProgress(self._step, file, self._done, self._total))

        return advance


def total_size(files: Iterable[Path]) -> int:
    """In bytes. Files that cannot be read count nothing; what reads them reports it."""
    return sum(path.stat().st_size for path in files if path.is_file())

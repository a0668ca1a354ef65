"""The logs of a home: kept within bounds, and repeated on the terminal while one looks on."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

#: Bytes a log may have; then it is moved to ``<name>.log.1`` and begun again.
LOG_BYTES = 16 * 2**20
#: Seconds between two looks at the logs.
_PAUSE_S = 0.2


def bound(path: Path, limit: int = LOG_BYTES) -> None:
    """Start a log again that has grown beyond ``limit`` bytes, keeping the old one as ``<name>.log.1``.

    Its content is copied, not renamed: a process that writes to it keeps the file open.
    """
    try:
        if path.stat().st_size <= limit:
            return
        old = path.with_name(path.name + ".1")
        try:
            shutil.copyfile(path, old)
            old.chmod(0o600)
        except OSError:
            old.unlink(missing_ok=True)  # no space: a bounded log matters more than an old one
        with path.open("r+b") as file:
            file.truncate(0)
    except OSError:
        return  # there is no log yet; or none can be written, which whoever writes it will say


class Tail:
    """What was added to one log since the last look, line by line."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def lines(self) -> list[str]:
        """The complete lines that are new."""
        try:
            with self._path.open("rb") as file:
                if self._path.stat().st_size < self._position:
                    self._position = 0
                file.seek(self._position)
                added = file.read()
        except OSError:
            return []
        self._position += len(added)
        *complete, self._rest = (self._rest + added).split(b"\n")
        return [line.decode(errors="replace") for line in complete]


class Echo:
    """Repeats the lines of logs on a terminal, each behind the name of its process, until it is left.

    :param output: ``None`` repeats nothing.
    :param logs: also those that do not exist yet. What they hold already is not repeated.
    """

    def __init__(self, output: TextIO | None, logs: Iterable[Path]) -> None:
        self._output = output
        self._tails = [Tail(path) for path in logs]
        self._width = max((len(tail.name) for tail in self._tails), default=0)
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, name="echo", daemon=True)

    def __enter__(self) -> Echo:
        if self._output is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._output is not None:
            self._leave.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._leave.wait(_PAUSE_S):
            self._repeat()
        self._repeat()

    def _repeat(self) -> None:
        for tail in self._tails:
            for line in tail.lines():
                self._write(f"{tail.name:<{self._width}} | {line}\n")

    def _write(self, line: str) -> None:
        if self._output is None:
            return
        try:
            self._output.write(line)
            self._output.flush()
        except (OSError, ValueError):
            self._output = None  # the terminal was closed; the logs go on

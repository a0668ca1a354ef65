"""The logs of a home: limited in size, and repeated on the terminal while ``up`` runs in the foreground."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

#: The size in bytes at which a log is rotated to ``<name>.log.1``.
MAX_LOG_BYTES = 16 * 2**20
#: Seconds between two reads of the logs.
_POLL_INTERVAL_S = 0.2


def rotate(path: Path, limit: int = MAX_LOG_BYTES) -> None:
    """Move the content of a log of more than ``limit`` bytes to ``<name>.log.1``.

    The content is copied and the file emptied, because the process that writes to it has the file open.
    """
    try:
        if path.stat().st_size <= limit:
            return
        old = path.with_name(path.name + ".1")
        try:
            shutil.copyfile(path, old)
            old.chmod(0o600)
        except OSError:
            old.unlink(missing_ok=True)  # no space: the limit matters more than the old log
        with path.open("r+b") as file:
            file.truncate(0)
    except OSError:
        return  # there is no log yet, or it cannot be written: its writer reports that


class LogReader:
    """Reads the lines added to one log since the last read."""

    def __init__(self, path: Path) -> None:
        self.name = path.stem
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._rest = b""

    def lines(self) -> list[str]:
        """The new lines that are complete."""
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
    """Repeats the lines of logs on a terminal, each after the name of its process, until the block ends.

    :param output: ``None`` repeats nothing.
    :param logs: may include logs that do not exist yet. Lines written before the start are not repeated.
    """

    def __init__(self, output: TextIO | None, logs: Iterable[Path]) -> None:
        self._output = output
        self._readers = [LogReader(path) for path in logs]
        self._width = max((len(reader.name) for reader in self._readers), default=0)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="echo", daemon=True)

    def __enter__(self) -> Echo:
        if self._output is not None:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._output is not None:
            self._stop.set()
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_POLL_INTERVAL_S):
            self._repeat()
        self._repeat()

    def _repeat(self) -> None:
        for reader in self._readers:
            for line in reader.lines():
                self._write(f"{reader.name:<{self._width}} | {line}\n")

    def _write(self, line: str) -> None:
        if self._output is None:
            return
        try:
            self._output.write(line)
            self._output.flush()
        except (OSError, ValueError):
            self._output = None  # the terminal was closed; the log files go on

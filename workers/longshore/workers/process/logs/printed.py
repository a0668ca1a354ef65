"""What a process prints, line by line, besides printing it."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import TextIO

#: Characters of a line that are collected before its line break comes, at most.
MAX_LINE_CHARS = 4096


class Printed(io.TextIOBase):
    """Stands for ``sys.stdout`` or ``sys.stderr``: passes everything on, and shows the lines that are complete.

    :param take: gets each line; its errors are dropped.
    """

    def __init__(self, stream: TextIO, take: Callable[[str], None]) -> None:
        self._stream = stream
        self._take = take
        self._rest = ""
        self._lock = threading.Lock()

    @classmethod
    def replace(cls, take: Callable[[str, str], None]) -> None:
        """Show the lines that this process prints from now on.

        :param take: gets ``OUT`` or ``ERR``, and the line.
        """
        sys.stdout = cls(sys.stdout, lambda line: take("OUT", line))
        sys.stderr = cls(sys.stderr, lambda line: take("ERR", line))

    def write(self, text: str) -> int:
        count = self._stream.write(text)
        with suppress(Exception), self._lock:
            *lines, rest = (self._rest + text).split("\n")
            self._rest = rest[-MAX_LINE_CHARS:]
            for line in lines:
                self._take(line)
        return count

    def flush(self) -> None:
        self._stream.flush()

    def fileno(self) -> int:
        return self._stream.fileno()

    def isatty(self) -> bool:
        return self._stream.isatty()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the stream behind."""
        return self._stream.encoding

    @property
    def buffer(self) -> io.BufferedIOBase:
        """Of the stream behind; what is written to it is not shown."""
        return self._stream.buffer  # type: ignore[return-value]

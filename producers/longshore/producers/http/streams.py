"""What is known of a stream of lines that may be cut, so that the next one goes on where it was."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable

from longshore.producers.http.connection import Cut, Params
from longshore.producers.http.records import log_line
from longshore.producers.logs import LogLine
from longshore.producers.results import ROW, ResultRow
from longshore.shared.errors import InvalidInput


class RowStream:
    """The results of a job as lines.

    :param keys: the columns that the job keeps.
    """

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = tuple(keys)
        self._after = -1

    @property
    def query(self) -> Params:
        """Asks for the rows after those that were read."""
        return {"format": "jsonl", "after": self._after}

    def read(self, line: str) -> ResultRow:
        """:raises Cut: the line has no end."""
        try:
            output = json.loads(line)
        except ValueError:
            raise Cut("a line has no end") from None
        self._after = output.pop(ROW)
        key = {name: output.pop(name, None) for name in self._keys}
        return ResultRow(self._after, output, key or None)


class LogStream:
    """The logs of a job as lines. A log that is read again begins anew: what was read before is left out.

    :raises InvalidInput: ``shard`` is below 0, or ``attempt`` below 1.
    """

    def __init__(self, shard: int | None, attempt: int | None, follow: bool) -> None:
        if shard is not None and shard < 0:
            raise InvalidInput("shard", f"{shard}: shards are counted from 0")
        if attempt is not None and attempt < 1:
            raise InvalidInput("attempt", f"{attempt}: attempts are counted from 1")
        self._query: Params = {"shard": shard, "attempt": attempt, "follow": follow}
        self._read: Counter[LogLine] = Counter()
        self._again: Counter[LogLine] = Counter()

    def begin(self) -> Params:
        """Asks for all the lines, before the first of them is read."""
        self._again = self._read.copy()
        return self._query

    def read(self, text: str) -> LogLine | None:
        """A line; ``None`` if it was read before."""
        line = log_line(text)
        if self._again[line] > 0:
            self._again[line] -= 1
            return None
        self._read[line] += 1
        return line

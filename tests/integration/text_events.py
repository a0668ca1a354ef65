"""Reads the server-sent events of texts that the gateway streams."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator


class Events:
    """What a stream of texts has said.

    :param lines: of the answer.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self.names: list[str] = []
        self.texts: defaultdict[tuple[int, int], str] = defaultdict(str)
        self.rows: dict[int, dict[str, object]] = {}
        self.errors: dict[int, str] = {}
        self.last: dict[str, object] = {}

    def read(self, until: str = "") -> Events:
        """Read events, up to one of this name, or all."""
        name = ""
        for line in self._lines:
            kind, _, value = line.partition(": ")
            if kind == "event":
                name = value
            elif kind == "data":
                self._take(name, json.loads(value))
            elif not line and name == until:
                break
        return self

    def _take(self, name: str, document: dict[str, object]) -> None:
        self.names.append(name)
        self.last = document
        place = (document.get("row"), document.get("index"))
        if name == "text":
            self.texts[place] += str(document["text"])  # type: ignore[index]
        elif name == "restart":
            self.texts[place] = ""  # type: ignore[index]
        elif name == "row":
            self.rows[place[0]] = document["output"]  # type: ignore[index, assignment]
        elif name == "row_error":
            self.errors[place[0]] = str(document["error"])  # type: ignore[index]

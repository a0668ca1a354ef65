"""What is fuzzed: valid inputs, and a function that reads a damaged one, or refuses it with an error of Longshore."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.fuzz.mutations import Files


@dataclass(frozen=True)
class Target:
    """One reader, importer or parser."""

    name: str
    #: Valid inputs to start from.
    seeds: Callable[[], Sequence[Files]]
    #: Reads an input, in an empty folder of its own. Any exception but a ``LongshoreError`` is a finding.
    run: Callable[[Files, Path], None]
    #: Inputs in a usual run of the tests.
    usual: int = 200


def text(content: bytes) -> str:
    """A text for a parser of texts, from any bytes."""
    return content.decode("utf-8", "replace")

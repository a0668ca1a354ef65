"""Counts what a template does. Nothing can interrupt a template that runs: it stops itself when it has done too much.

A step is about half a microsecond of work at most: an operation, a value that is looked at, 32 characters of a text.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from operator import length_hint
from types import GeneratorType
from typing import Final, TypeVar

from jinja2.runtime import LoopContext

T = TypeVar("T")

#: Steps that a template may take, and more for each step that it takes to look at its input once.
MAX_STEPS: Final = 500_000
STEPS_PER_INPUT_STEP: Final = 128
#: The most characters of which a text counts as one step.
STEP_CHARACTERS: Final = 32
#: The most parts of an expression, such as a name or an attribute, that count as one step.
STEP_EXPRESSIONS: Final = 1
_CONTAINERS: Final = (list, tuple, Set)


class TemplateTooExpensive(Exception):
    """A template has done more than it may."""


class Meter:
    """The steps that are left for one rendering.

    :param steps: that may be taken.
    :param input: what is given to the template, for which it may take more steps.
    """

    def __init__(self, steps: int, input: object = None) -> None:
        self._left = 2**62
        self._limit = steps + STEPS_PER_INPUT_STEP * self.weigh(input)
        self._left = self._limit

    def take(self, steps: int) -> None:
        """Count steps.

        :raises TemplateTooExpensive: there are not so many left.
        """
        self._left -= steps
        if self._left < 0:
            raise TemplateTooExpensive(f"more than {self._limit:,} steps")

    def weigh(self, value: object) -> int:
        """Count, and return, the steps that it takes to look at a value and all that is in it: to write it, to compare
        it. Containers that hold the same container twice are looked at twice, as they are when they are written.
        """
        steps = 0
        waiting = [value]
        while waiting:
            current = waiting.pop()
            steps += 1
            if isinstance(current, str):
                steps += len(current) // STEP_CHARACTERS
            elif isinstance(current, Mapping):
                waiting += current
                waiting += current.values()
            elif isinstance(current, _CONTAINERS):
                waiting += current
            elif isinstance(current, int):
                steps += current.bit_length() // 64
            else:
                steps += _hint(current)
            if steps + len(waiting) > self._left:
                self.take(steps + len(waiting))
        self.take(steps)
        return steps

    def measure(self, value: object) -> int:
        """Count, and return, the steps that it takes to go once through a container, or through the characters of a
        text, without looking into what is there.
        """
        steps = 1 + (len(value) if isinstance(value, str | Mapping | list | tuple | Set) else _hint(value))
        self.take(steps)
        return steps

    def metered(self, value: T) -> T | Iterator[object]:
        """The value, or, in place of an iterator whose length is not known, one that counts its items."""
        return self._count(value) if isinstance(value, GeneratorType) else value

    def _count(self, values: Iterator[object]) -> Iterator[object]:
        for value in values:
            self.take(1)
            yield value


def _hint(value: object) -> int:
    """How many items something may have that is neither a text nor a container, such as a range or an iterator."""
    if isinstance(value, range | Iterator) and not isinstance(value, LoopContext | GeneratorType):
        return length_hint(value, 0)
    return 0

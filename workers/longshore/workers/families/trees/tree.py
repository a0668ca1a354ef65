"""One tree of a LightGBM model, checked so that no row can lead outside of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

#: Leaves of a tree, at most.
MAX_LEAVES = 4096
#: Words of 32 bits that the sets of categories of a tree have together, at most.
_MAX_WORDS = 1 << 20
#: Characters of a number and the space after it, at most.
_MAX_TOKEN = 80
_INT = re.compile(r"-?\d{1,10}(?: -?\d{1,10})*")
_ONE_NUMBER = r"-?\d{1,32}(?:\.\d{1,32})?(?:e[+-]\d{1,3})?"
_NUMBERS = re.compile(rf"{_ONE_NUMBER}(?: {_ONE_NUMBER})*")
_ONE_STATISTIC = rf"(?:{_ONE_NUMBER}|-?inf|-?nan)"
_STATISTICS = re.compile(rf"{_ONE_STATISTIC}(?: {_ONE_STATISTIC})*")

#: What a line has: whole numbers, finite numbers, or numbers that can be infinite or NaN.
_Kind: TypeAlias = Literal["int", "number", "statistic"]
#: The lines of a tree in their order, with what each has, and for what: a node, or a leaf.
_LINES: tuple[tuple[str, _Kind, Literal["node", "leaf"]], ...] = (
    ("split_feature", "int", "node"),
    ("split_gain", "statistic", "node"),
    ("threshold", "statistic", "node"),  # infinite if a split only parts missing values from the others
    ("decision_type", "int", "node"),
    ("left_child", "int", "node"),
    ("right_child", "int", "node"),
    ("leaf_value", "number", "leaf"),
    ("leaf_weight", "statistic", "leaf"),
    ("leaf_count", "int", "leaf"),
    ("internal_value", "statistic", "node"),
    ("internal_weight", "statistic", "node"),
    ("internal_count", "int", "node"),
)
#: The lines that LightGBM may leave empty in a tree of one leaf.
_LEFT_OUT = ("leaf_weight", "leaf_count")
#: Bits of a node's decision type: whether it splits by categories, and the kind of missing values, up to 2.
_CATEGORICAL, _MISSING_SHIFT, _MAX_MISSING, _MAX_DECISION = 1, 2, 2, 15

Ints: TypeAlias = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tree:
    """A checked tree."""

    #: Its lines in LightGBM's format, without the number of the tree.
    text: str

    def gains(self) -> Iterator[tuple[int, float]]:
        """The column of each split, and the loss that it has saved; without splits whose gain is not finite."""
        lines = dict(line.split("=", 1) for line in self.text.split("\n"))
        for column, gain in zip(lines["split_feature"].split(), map(float, lines["split_gain"].split()), strict=True):
            if np.isfinite(gain):
                yield int(column), gain


def parse_tree(lines: Sequence[str], columns: int) -> Tree:
    """Check the lines of a tree.

    :param columns: how many columns a row has.
    :raises ValueError: a line is missing, or has values that do not make a tree; says which.
    """
    reader = _Lines(lines)
    leaves = reader.whole("num_leaves", 1, MAX_LEAVES)
    sets = reader.whole("num_cat", 0, leaves - 1)
    nodes = leaves - 1
    ints: dict[str, Ints] = {}
    for name, kind, of in _LINES:
        count = nodes if of == "node" else leaves
        if nodes == 0 and name in _LEFT_OUT and reader.skip_empty(name):
            continue
        if kind == "int":
            ints[name] = reader.ints(name, count)
        else:
            values = reader.floats(name, count, _NUMBERS if kind == "number" else _STATISTICS)
            if kind == "number" and not np.isfinite(values).all():
                raise ValueError(f"{name} has a number that is not finite")
            if name == "threshold":
                thresholds = values
                if np.isnan(values).any():
                    raise ValueError("threshold has NaN")
    _check_range(ints, "split_feature", columns - 1)
    if "leaf_count" in ints:
        _check_range(ints, "leaf_count", 2**31 - 1)
    _check_range(ints, "internal_count", 2**31 - 1)
    _check_range(ints, "decision_type", _MAX_DECISION)
    if (ints["decision_type"] >> _MISSING_SHIFT > _MAX_MISSING).any():
        raise ValueError("decision_type has an unknown kind of missing values")
    _check_children(ints["left_child"], ints["right_child"])
    categorical = (ints["decision_type"] & _CATEGORICAL).astype(bool)
    if sets:
        _check_sets(reader, sets)
    elif categorical.any():
        raise ValueError("decision_type has a split by categories, and there are none")
    picked = thresholds[categorical]
    if not (np.isin(picked, np.arange(sets)).all()):
        raise ValueError("threshold has a set of categories that is not there")
    reader.exactly("is_linear", "0")
    reader.floats("shrinkage", 1, _NUMBERS)
    reader.end()
    return Tree("\n".join(lines))


class _Lines:
    """Reads lines of the form ``name=values`` in their order."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = iter(lines)
        self._next = next(self._lines, "")

    def text(self, name: str) -> str:
        key, _, value = self._next.partition("=")
        self._next = next(self._lines, "")
        if key != name:
            raise ValueError(f"has {key[:80]!r} where {name} is expected")
        return value

    def skip_empty(self, name: str) -> bool:
        """Whether the next line has this name and no values; if so, it is read."""
        if self._next != f"{name}=":
            return False
        self.text(name)
        return True

    def exactly(self, name: str, value: str) -> None:
        if (text := self.text(name)) != value:
            raise ValueError(f"{name} is {text[:80]!r}, not {value!r}")

    def whole(self, name: str, least: int, most: int) -> int:
        value = int(self.ints(name, 1)[0])
        if not least <= value <= most:
            raise ValueError(f"{name} is {value}, not {least} to {most}")
        return value

    def ints(self, name: str, count: int) -> Ints:
        return np.array(self._tokens(name, count, _INT), np.int64)

    def floats(self, name: str, count: int, pattern: re.Pattern[str]) -> npt.NDArray[np.float64]:
        return np.array(self._tokens(name, count, pattern), np.float64)

    def end(self) -> None:
        if self._next:
            raise ValueError(f"has the line {self._next[:80]!r} after its end")

    def _tokens(self, name: str, count: int, pattern: re.Pattern[str]) -> list[str]:
        text = self.text(name)
        tokens = text.split(" ") if 0 < len(text) <= count * _MAX_TOKEN else []
        # Python's \d also means digits of other scripts. Lines of nodes are empty in a tree of one leaf.
        if len(tokens) != count or not (text.isascii() and pattern.fullmatch(text) if count else text == ""):
            raise ValueError(f"{name} has not {count} numbers")
        return tokens


def _check_range(values: dict[str, Ints], name: str, most: int) -> None:
    if ((values[name] < 0) | (values[name] > most)).any():
        raise ValueError(f"{name} has a number that is not 0 to {most}")


def _check_children(left: Ints, right: Ints) -> None:
    """Each node but the first, and each leaf, has one parent, whose number is smaller: so every path ends at a leaf."""
    nodes = len(left)
    children = np.concatenate([left, right])
    parents = np.concatenate([np.arange(nodes)] * 2)
    inner = children >= 0
    if (
        not np.array_equal(np.sort(children), np.r_[np.arange(-nodes - 1, 0), np.arange(1, nodes)][: len(children)])
        or (children[inner] <= parents[inner]).any()
    ):
        raise ValueError("left_child and right_child do not make a tree")


def _check_sets(reader: _Lines, sets: int) -> None:
    bounds = reader.ints("cat_boundaries", sets + 1)
    if bounds[0] != 0 or (np.diff(bounds) < 1).any() or bounds[-1] > _MAX_WORDS:
        raise ValueError("cat_boundaries do not increase from 0")
    words = reader.ints("cat_threshold", int(bounds[-1]))
    if ((words < 0) | (words >= 2**32)).any():
        raise ValueError("cat_threshold has a number that is not of 32 bits")

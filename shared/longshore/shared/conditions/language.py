"""The language: from text to a tree.

::

    condition  = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" condition ")" | comparison
    comparison = value ( ">=" | "<=" | ">" | "<" | "==" | "!=" ) value
    value      = number | metric | alias | alias "." metric

A name is a metric where it stands first in a comparison, or is called like one; any other name is an alias, and means
the metric on the other side, of the version that the alias points at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from longshore.shared.conditions.names import is_metric
from longshore.shared.errors import InvalidInput
from longshore.shared.references import check_alias

#: The longest condition, in characters; what nests can nest no deeper than it is long.
LONGEST = 1000
#: Parentheses and ``not`` within each other, at most.
DEEPEST = 50
_TOKEN = re.compile(
    r"\s*(?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?(?![\w.]))"
    r"|(?P<name>[A-Za-z_][\w.-]*)|(?P<sign>>=|<=|==|!=|>|<|\(|\)))"
)
_WORDS = frozenset({"and", "or", "not"})
SIGNS = frozenset({">=", "<=", ">", "<", "==", "!="})


@dataclass(frozen=True)
class Number:
    """A number."""

    value: float


@dataclass(frozen=True)
class Metric:
    """A metric of the version that is to be promoted, or of the one that ``alias`` points at."""

    name: str
    alias: str | None = None

    def __str__(self) -> str:
        return self.name if self.alias is None else f"{self.alias}.{self.name}"


Value: TypeAlias = Number | Metric


@dataclass(frozen=True)
class Comparison:
    """Two values and the sign between them; the text is as it was written."""

    left: Value
    sign: str
    right: Value
    text: str


@dataclass(frozen=True)
class Not:
    """The opposite."""

    of: Node


@dataclass(frozen=True)
class AllOf:
    """``and``."""

    parts: tuple[Node, ...]


@dataclass(frozen=True)
class AnyOf:
    """``or``."""

    parts: tuple[Node, ...]


Node: TypeAlias = Comparison | Not | AllOf | AnyOf


def parse(text: str, field: str) -> Node:
    """Read a condition.

    :param field: the argument that brought it, for errors.
    :raises InvalidInput: it is none; points at the place.
    """
    if len(text) > LONGEST:
        raise InvalidInput(field, f"a condition has at most {LONGEST} characters, and this one {len(text)}")
    return _Parser(text, field).whole()


def comparisons(node: Node) -> Iterator[Comparison]:
    """Those of a condition, in the order in which they are written."""
    if isinstance(node, Comparison):
        yield node
    elif isinstance(node, Not):
        yield from comparisons(node.of)
    else:
        for part in node.parts:
            yield from comparisons(part)


def metrics(node: Node) -> Iterator[Metric]:
    """Those that a condition names, of whichever version."""
    for comparison in comparisons(node):
        yield from (value for value in (comparison.left, comparison.right) if isinstance(value, Metric))


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    start: int
    stop: int


class _Parser:
    def __init__(self, text: str, field: str) -> None:
        self._text = text
        self._field = field
        self._tokens = list(self._read())
        self._place = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._any()
        if self._next.kind != "end":
            self._fail(f"expected and, or or the end, not {self._next.text!r}")
        return node

    def _read(self) -> Iterator[_Token]:
        place = 0
        end = len(self._text.rstrip())
        while place < end:
            found = _TOKEN.match(self._text, place)
            if found is None or found.lastgroup is None:
                while self._text[place].isspace():
                    place += 1
                self._refuse(place, f"{self._text[place]!r} is no part of a condition")
            kind, said = found.lastgroup, found[found.lastgroup]
            yield _Token("word" if said in _WORDS else kind, said, found.start(found.lastgroup), found.end())
            place = found.end()
        yield _Token("end", "the end", end, end)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._place]

    def _take(self, *texts: str) -> bool:
        if self._next.kind in ("word", "sign") and self._next.text in texts:
            self._place += 1
            return True
        return False

    def _any(self) -> Node:
        return self._joined("or", self._all, AnyOf)

    def _all(self) -> Node:
        return self._joined("and", self._one, AllOf)

    def _joined(self, word: str, part: Callable[[], Node], join: Callable[[tuple[Node, ...]], Node]) -> Node:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else join(tuple(parts))

    def _one(self) -> Node:
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(f"more than {DEEPEST} parentheses and nots within each other")
        node = self._inner()
        self._depth -= 1
        return node

    def _inner(self) -> Node:
        if self._take("not"):
            return Not(self._one())
        if self._take("("):
            node = self._any()
            if not self._take(")"):
                self._fail(f"expected ), not {self._next.text!r}")
            return node
        return self._comparison()

    def _comparison(self) -> Comparison:
        first = self._value()
        sign = self._next
        if not self._take(*SIGNS):
            self._fail(f"expected one of {' '.join(sorted(SIGNS))} after {first.text!r}, not {sign.text!r}")
        second = self._value()
        left, right = self._named(first), self._named(second)
        if isinstance(left, str):
            left = Metric(left) if isinstance(right, Number) else self._of_alias(left, right, first)
        if isinstance(right, str):
            right = self._of_alias(right, left, second)
        if not (isinstance(left, Metric) or isinstance(right, Metric)):
            self._refuse(first.start, f"{self._text[first.start : second.stop]!r} compares no metric")
        return Comparison(left, sign.text, right, self._text[first.start : second.stop])

    def _value(self) -> _Token:
        token = self._next
        if token.kind not in ("number", "name"):
            self._fail(f"expected a metric, an alias or a number, not {token.text!r}")
        self._place += 1
        return token

    def _named(self, token: _Token) -> Value | str:
        """A value; the name itself where the other side decides what it is."""
        if token.kind == "number":
            return Number(float(token.text))
        if is_metric(token.text):
            return Metric(token.text)
        alias, dot, metric = token.text.rpartition(".")
        if dot and is_metric(metric):
            return Metric(metric, self._alias(alias, token))
        return token.text

    def _of_alias(self, name: str, other: Value | str, token: _Token) -> Metric:
        if not isinstance(other, Metric):
            self._refuse(token.start, f"{name!r} is no metric, and the other side says none either")
        return Metric(other.name, self._alias(name, token))

    def _alias(self, name: str, token: _Token) -> str:
        try:
            return check_alias(name, self._field)
        except InvalidInput:
            self._refuse(token.start, f"{name!r} is no metric and cannot be an alias")

    def _fail(self, reason: str) -> NoReturn:
        self._refuse(self._next.start, reason)

    def _refuse(self, place: int, reason: str) -> NoReturn:
        shown = f"{self._text[max(place - 40, 0) : place]}⟶{self._text[place : place + 40]}"
        raise InvalidInput(self._field, f"at character {place + 1} ({shown.strip()}): {reason}")

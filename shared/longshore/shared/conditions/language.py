"""The grammar of conditions, and its parser.

::

    condition  = all { "or" all }
    all        = one { "and" one }
    one        = "not" one | "(" condition ")" | comparison
    comparison = value ( ">=" | "<=" | ">" | "<" | "==" | "!=" ) value
    value      = number | metric | alias | alias "." metric

A name is a metric if it is a known metric, or if it is compared with a number. Any other name is an alias: it means the
metric on the other side of the comparison, of the version that the alias points at.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeAlias

from longshore.shared.conditions.names import is_metric
from longshore.shared.errors import InvalidInput
from longshore.shared.references import check_alias

#: The longest condition, in characters.
MAX_LENGTH = 1000
#: The deepest nesting of parentheses and ``not``.
MAX_DEPTH = 50
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
    """A metric of the version to be promoted, or of the version that ``alias`` points at."""

    name: str
    alias: str | None = None

    def __str__(self) -> str:
        return self.name if self.alias is None else f"{self.alias}.{self.name}"


Value: TypeAlias = Number | Metric


@dataclass(frozen=True)
class Comparison:
    """Two values and the operator between them, with the original text."""

    left: Value
    sign: str
    right: Value
    text: str


@dataclass(frozen=True)
class Not:
    """``not``."""

    operand: Node


@dataclass(frozen=True)
class AllOf:
    """``and``."""

    operands: tuple[Node, ...]


@dataclass(frozen=True)
class AnyOf:
    """``or``."""

    operands: tuple[Node, ...]


Node: TypeAlias = Comparison | Not | AllOf | AnyOf


def parse(text: str, field: str) -> Node:
    """Parse a condition.

    :param field: the argument to name in an error.
    :raises InvalidInput: it is not a valid condition; shows the position of the error.
    """
    if len(text) > MAX_LENGTH:
        raise InvalidInput(field, f"a condition can have at most {MAX_LENGTH} characters, and this one has {len(text)}")
    return _Parser(text, field).whole()


def comparisons(node: Node) -> Iterator[Comparison]:
    """The comparisons of a condition, in the order of the text."""
    if isinstance(node, Comparison):
        yield node
    elif isinstance(node, Not):
        yield from comparisons(node.operand)
    else:
        for operand in node.operands:
            yield from comparisons(operand)


def metrics(node: Node) -> Iterator[Metric]:
    """The metrics in a condition, of any version."""
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
        self._index = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._any()
        if self._next.kind != "end":
            self._fail(f"expected and, or or the end, not {self._next.text!r}")
        return node

    def _read(self) -> Iterator[_Token]:
        position = 0
        end = len(self._text.rstrip())
        while position < end:
            match = _TOKEN.match(self._text, position)
            if match is None or match.lastgroup is None:
                while self._text[position].isspace():
                    position += 1
                self._refuse(position, f"{self._text[position]!r} is not allowed in a condition")
            kind, text = match.lastgroup, match[match.lastgroup]
            yield _Token("word" if text in _WORDS else kind, text, match.start(match.lastgroup), match.end())
            position = match.end()
        yield _Token("end", "the end", end, end)

    @property
    def _next(self) -> _Token:
        return self._tokens[self._index]

    def _take(self, *texts: str) -> bool:
        if self._next.kind in ("word", "sign") and self._next.text in texts:
            self._index += 1
            return True
        return False

    def _any(self) -> Node:
        return self._joined("or", self._all, AnyOf)

    def _all(self) -> Node:
        return self._joined("and", self._one, AllOf)

    def _joined(self, word: str, operand: Callable[[], Node], join: Callable[[tuple[Node, ...]], Node]) -> Node:
        operands = [operand()]
        while self._take(word):
            operands.append(operand())
        return operands[0] if len(operands) == 1 else join(tuple(operands))

    def _one(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"parentheses and not are nested more than {MAX_DEPTH} deep")
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
        self._index += 1
        return token

    def _named(self, token: _Token) -> Value | str:
        """The value of a token; the name itself if its meaning depends on the other side."""
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
            self._refuse(token.start, f"{name!r} is not a metric, and neither is the other side")
        return Metric(other.name, self._alias(name, token))

    def _alias(self, name: str, token: _Token) -> str:
        try:
            return check_alias(name, self._field)
        except InvalidInput:
            self._refuse(token.start, f"{name!r} is not a metric and cannot be an alias")

    def _fail(self, reason: str) -> NoReturn:
        self._refuse(self._next.start, reason)

    def _refuse(self, position: int, reason: str) -> NoReturn:
        shown = f"{self._text[max(position - 40, 0) : position]}⟶{self._text[position : position + 40]}"
        raise InvalidInput(self._field, f"at character {position + 1} ({shown.strip()}): {reason}")

"""Whether a condition holds, and why not."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from longshore.shared.conditions.language import AnyOf, Comparison, Metric, Node, Not, Value, comparisons
from longshore.shared.conditions.names import PARTS

_SIGNS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Measured:
    """A version and what was measured of it."""

    #: As in ``digits:3``.
    version: str
    metrics: Mapping[str, float]


#: The version that an alias points at now; ``None`` where it points at none.
Lookup = Callable[[str], Measured | None]


@dataclass(frozen=True)
class Outcome:
    """One comparison, decided."""

    text: str
    #: ``None``: the alias that it names points at no version, so it asks nothing.
    holds: bool | None
    #: With the numbers: ``val_accuracy 0.95 >= production.val_accuracy 0.96 (digits:3)``.
    said: str
    #: A metric that it names was not measured.
    missing: bool = False


@dataclass(frozen=True)
class Decision:
    """A condition, decided."""

    holds: bool
    parts: tuple[Outcome, ...]

    @property
    def reason(self) -> str:
        """The comparisons that are false, with their numbers."""
        wrong = [part for part in self.parts if part.missing] or [part for part in self.parts if part.holds is False]
        return "; ".join(part.said if part.missing else f"{part.said} is false" for part in wrong)

    def document(self) -> list[JsonValue]:
        """As it is kept with a job."""
        return [{"text": part.text, "holds": part.holds, "said": part.said} for part in self.parts]


def decide(node: Node, candidate: Measured, lookup: Lookup) -> Decision:
    """Whether a condition holds for a version.

    A comparison with an alias that points at no version asks nothing: it is left out, whatever stands around it. Where
    a metric was not measured, of either version, the condition is false.
    """
    versions: dict[str | None, Measured | None] = {None: candidate}
    for comparison in comparisons(node):
        for value in (comparison.left, comparison.right):
            if isinstance(value, Metric) and value.alias not in versions:
                assert value.alias is not None
                versions[value.alias] = lookup(value.alias)
    parts = {comparison: _compare(comparison, versions) for comparison in comparisons(node)}
    holds = _holds(node, parts) is not False and not any(part.missing for part in parts.values())
    return Decision(holds, tuple(parts.values()))


def _holds(node: Node, parts: Mapping[Comparison, Outcome]) -> bool | None:
    """Kleene's logic: what is not asked decides nothing."""
    if isinstance(node, Comparison):
        return parts[node].holds
    if isinstance(node, Not):
        inner = _holds(node.of, parts)
        return None if inner is None else not inner
    found = [_holds(part, parts) for part in node.parts]
    decisive = isinstance(node, AnyOf)
    if decisive in found:
        return decisive
    return None if None in found else not decisive


def _compare(comparison: Comparison, versions: Mapping[str | None, Measured | None]) -> Outcome:
    sides = [_look(value, versions) for value in (comparison.left, comparison.right)]
    for value, _, _ in sides:
        if isinstance(value, Metric) and versions[value.alias] is None:
            return Outcome(comparison.text, None, f"{value.alias} points at no version yet")
    for value, number, named in sides:
        if number is None:
            # Evaluations of two versions can only be compared on the same rows.
            same = isinstance(value, Metric) and value.alias is not None and not value.name.startswith(PARTS)
            where = " on the same data" if same else ""
            return Outcome(comparison.text, None, f"{named} was not measured{where}", missing=True)
    numbers = [number for _, number, _ in sides if number is not None]
    said = f"{sides[0][2]} {comparison.sign} {sides[1][2]}"
    return Outcome(comparison.text, _SIGNS[comparison.sign](*numbers), said)


def _look(value: Value, versions: Mapping[str | None, Measured | None]) -> tuple[Value, float | None, str]:
    """The value, its number if there is one, and how it is named."""
    if not isinstance(value, Metric):
        return value, value.value, f"{value.value:g}"
    version = versions[value.alias]
    number = None if version is None else version.metrics.get(value.name)
    shown = "" if number is None else f" {number:.6g}"
    of = "" if version is None or (value.alias is None and number is not None) else f" ({version.version})"
    return value, number, f"{value}{shown}{of}"

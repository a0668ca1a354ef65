"""Evaluates a condition, and explains why it is false."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue

from longshore.shared.conditions.language import AnyOf, Comparison, Metric, Node, Not, Value, comparisons
from longshore.shared.conditions.names import SPLIT_PREFIXES

_SIGNS: Final[Mapping[str, Callable[[float, float], bool]]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class VersionMetrics:
    """A version and its metrics."""

    #: As in ``digits:3``.
    version: str
    metrics: Mapping[str, float]


#: Returns the version that an alias points at; ``None`` if it does not point at a version.
Lookup = Callable[[str], VersionMetrics | None]


@dataclass(frozen=True)
class ComparisonResult:
    """The result of one comparison."""

    text: str
    #: ``None`` if its alias does not point at a version, so that the comparison is ignored.
    holds: bool | None
    #: The comparison with its numbers: ``val_accuracy 0.95 >= production.val_accuracy 0.96 (digits:3)``.
    explanation: str
    #: Whether one of its metrics was not measured.
    missing: bool = False


@dataclass(frozen=True)
class Decision:
    """The result of a condition."""

    holds: bool
    comparisons: tuple[ComparisonResult, ...]

    @property
    def reason(self) -> str:
        """Why the condition is false: the comparisons that are false, with their numbers."""
        missing = [result for result in self.comparisons if result.missing]
        failed = missing or [result for result in self.comparisons if result.holds is False]
        return "; ".join(
            result.explanation if result.missing else f"{result.explanation} is false" for result in failed
        )

    def document(self) -> list[JsonValue]:
        """The JSON document that is stored with a job."""
        return [{"text": result.text, "holds": result.holds, "said": result.explanation} for result in self.comparisons]


def decide(node: Node, candidate: VersionMetrics, lookup: Lookup) -> Decision:
    """Evaluate a condition for a version.

    A comparison with an alias that does not point at a version is ignored, wherever it is in the condition. If a metric
    of either version was not measured, the condition is false.
    """
    versions: dict[str | None, VersionMetrics | None] = {None: candidate}
    for comparison in comparisons(node):
        for value in (comparison.left, comparison.right):
            if isinstance(value, Metric) and value.alias not in versions:
                assert value.alias is not None
                versions[value.alias] = lookup(value.alias)
    results = {comparison: _compare(comparison, versions) for comparison in comparisons(node)}
    holds = _holds(node, results) is not False and not any(result.missing for result in results.values())
    return Decision(holds, tuple(results.values()))


def _holds(node: Node, results: Mapping[Comparison, ComparisonResult]) -> bool | None:
    """Three-valued logic after Kleene: an ignored comparison is unknown."""
    if isinstance(node, Comparison):
        return results[node].holds
    if isinstance(node, Not):
        inner = _holds(node.operand, results)
        return None if inner is None else not inner
    operands = [_holds(operand, results) for operand in node.operands]
    decisive = isinstance(node, AnyOf)
    if decisive in operands:
        return decisive
    return None if None in operands else not decisive


def _compare(comparison: Comparison, versions: Mapping[str | None, VersionMetrics | None]) -> ComparisonResult:
    sides = [_evaluate(value, versions) for value in (comparison.left, comparison.right)]
    for value, _, _ in sides:
        if isinstance(value, Metric) and versions[value.alias] is None:
            return ComparisonResult(comparison.text, None, f"{value.alias} points at no version yet")
    for value, number, label in sides:
        if number is None:
            # Evaluations of two versions can only be compared on the same rows.
            same = isinstance(value, Metric) and value.alias is not None and not value.name.startswith(SPLIT_PREFIXES)
            where = " on the same data" if same else ""
            return ComparisonResult(comparison.text, None, f"{label} was not measured{where}", missing=True)
    numbers = [number for _, number, _ in sides if number is not None]
    explanation = f"{sides[0][2]} {comparison.sign} {sides[1][2]}"
    return ComparisonResult(comparison.text, _SIGNS[comparison.sign](*numbers), explanation)


def _evaluate(value: Value, versions: Mapping[str | None, VersionMetrics | None]) -> tuple[Value, float | None, str]:
    """The value, its number (``None`` if it was not measured), and its label."""
    if not isinstance(value, Metric):
        return value, value.value, f"{value.value:g}"
    version = versions[value.alias]
    number = None if version is None else version.metrics.get(value.name)
    shown = "" if number is None else f" {number:.6g}"
    name = "" if version is None or (value.alias is None and number is not None) else f" ({version.version})"
    return value, number, f"{value}{shown}{name}"

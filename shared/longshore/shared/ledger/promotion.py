"""Moving an alias if a condition on metrics holds, within a transaction that somebody else opened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from longshore.shared.conditions.decision import Decision, Measured, decide
from longshore.shared.conditions.language import parse
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Link, records
from longshore.shared.ledger.records import VersionRecord


@dataclass(frozen=True)
class Promotion:
    """What was decided about an alias."""

    alias: str
    #: Whether it points at the new version now.
    promoted: bool
    #: The version that it pointed at before; ``None`` for none.
    previous: int | None = None
    #: ``None`` where nothing was asked.
    condition: str | None = None
    decision: Decision | None = None

    @property
    def notes(self) -> list[str]:
        """What the job's owner should know: why the alias has not moved."""
        if self.promoted or self.decision is None:
            return []
        where = "points at no version" if self.previous is None else f"stays at version {self.previous}"
        return [f"{self.alias} {where}: {self.decision.reason or f'{self.condition} is false'}"]

    def document(self) -> dict[str, JsonValue]:
        """As it stands in a job's outcome, below ``promotion``; empty where nothing was asked."""
        if self.decision is None:
            return {}
        return {
            "promotion": {
                "alias": self.alias,
                "promoted": self.promoted,
                "previous": self.previous,
                "condition": self.condition,
                "parts": self.decision.document(),
            }
        }


def move_alias(
    link: Link,
    alias: str,
    version: VersionRecord,
    by: str,
    condition: str | None = None,
    metrics: Mapping[str, float] | None = None,
) -> Promotion:
    """Point an alias at a version, if the condition holds. No other can move it until the transaction ends.

    :param metrics: what was measured of ``version``; ``None`` takes what is known of it.
    """
    link.execute(statements.LOCK_MODEL, {"model": version.model})
    values = {"model": version.model, "version": version.version, "alias": alias, "by": by}
    if condition is None:
        link.execute(statements.MOVE_ALIAS, values)
        return Promotion(alias, True)

    def lookup(name: str) -> Measured | None:
        found = _pointed(link, version.model, name)
        return None if found is None else Measured(_name(found), known_metrics(link, found))

    candidate = Measured(_name(version), known_metrics(link, version) if metrics is None else metrics)
    decision = decide(parse(condition, "condition"), candidate, lookup)
    before = _pointed(link, version.model, alias)
    if decision.holds:
        link.execute(statements.MOVE_ALIAS, values)
    return Promotion(alias, decision.holds, None if before is None else before.version, condition, decision)


def known_metrics(link: Link, version: VersionRecord) -> dict[str, float]:
    """What was measured of a version when it was made, and by its newest evaluation."""
    made = version.manifest.get("metrics")
    values = {"model": version.model, "version": version.version}
    row = link.execute(statements.NEWEST_EVALUATION, values).fetchone()
    found = {**(made if isinstance(made, dict) else {}), **(row[0] if row is not None else {})}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _pointed(link: Link, model: str, alias: str) -> VersionRecord | None:
    return records(link, VersionRecord).execute(statements.RESOLVE_ALIAS, {"model": model, "alias": alias}).fetchone()


def _name(version: VersionRecord) -> str:
    return f"{version.model}:{version.version}"

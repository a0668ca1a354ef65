"""Moving an alias if a condition on metrics holds, within a transaction that somebody else opened."""

from __future__ import annotations

from dataclasses import dataclass

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.conditions.decision import Decision, VersionMetrics, decide
from longshore.shared.conditions.language import parse
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, records
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


@dataclass(frozen=True)
class _Evaluated:
    """An evaluation that has succeeded."""

    metrics: dict[str, JsonValue]
    data: JsonValue
    target: str


def move_alias(
    conn: Connection,
    alias: str,
    version: VersionRecord,
    by: str,
    condition: str | None = None,
) -> Promotion:
    """Point an alias at a version, if the condition holds. No other can move it until the transaction ends.

    Evaluations of two versions are compared where they are on the same data: the newest of ``version``, and the newest
    of the other that is like it.
    """
    conn.execute(statements.models.LOCK_MODEL, {"model": version.model})
    values = {"model": version.model, "version": version.version, "alias": alias, "by": by}
    if condition is None:
        conn.execute(statements.models.MOVE_ALIAS, values)
        return Promotion(alias, True)

    newest = _newest_evaluation(conn, version)

    def lookup(name: str) -> VersionMetrics | None:
        found = _pointed(conn, version.model, name)
        like = None if found is None or newest is None else _newest_evaluation(conn, found, newest)
        return None if found is None else VersionMetrics(_name(found), _metrics(found, like))

    candidate = VersionMetrics(_name(version), _metrics(version, newest))
    decision = decide(parse(condition, "condition"), candidate, lookup)
    before = _pointed(conn, version.model, alias)
    if decision.holds:
        conn.execute(statements.models.MOVE_ALIAS, values)
    return Promotion(alias, decision.holds, None if before is None else before.version, condition, decision)


def _metrics(version: VersionRecord, evaluation: _Evaluated | None) -> dict[str, float]:
    """What was measured of a version when it was made, and by an evaluation."""
    made = version.manifest.get("metrics")
    found = {**(made if isinstance(made, dict) else {}), **({} if evaluation is None else evaluation.metrics)}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _newest_evaluation(conn: Connection, version: VersionRecord, like: _Evaluated | None = None) -> _Evaluated | None:
    """:param like: only on the same data, and against the same target."""
    values = {
        **{"model": version.model, "version": version.version},
        "data": None if like is None else Jsonb(like.data),
        "target": None if like is None else like.target,
    }
    return records(conn, _Evaluated).execute(statements.models.NEWEST_EVALUATION, values).fetchone()


def _pointed(conn: Connection, model: str, alias: str) -> VersionRecord | None:
    return (
        records(conn, VersionRecord)
        .execute(statements.models.RESOLVE_ALIAS, {"model": model, "alias": alias})
        .fetchone()
    )


def _name(version: VersionRecord) -> str:
    return f"{version.model}:{version.version}"

"""Moving an alias if a condition on metrics holds. It runs within the caller's transaction."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.conditions.decision import Decision, VersionMetrics, decide
from longshore.shared.conditions.language import parse
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, records
from longshore.shared.ledger.records import VersionRecord


@dataclass(frozen=True)
class Promotion:
    """The decision about an alias."""

    alias: str
    #: Whether the alias points at the new version now.
    promoted: bool
    #: The version that the alias pointed at before; ``None`` if there was none.
    previous: int | None = None
    #: ``None`` if there was no condition.
    condition: str | None = None
    decision: Decision | None = None

    @property
    def notes(self) -> list[str]:
        """Why the alias was not moved, for the job's owner; empty if it was."""
        if self.promoted or self.decision is None:
            return []
        where = "points at no version" if self.previous is None else f"stays at version {self.previous}"
        return [f"{self.alias} {where}: {self.decision.reason or f'{self.condition} is false'}"]

    @property
    def gate(self) -> Jsonb | None:
        """As it is stored in the history of the alias; ``None`` if there was no condition."""
        if self.decision is None:
            return None
        return Jsonb({"condition": self.condition, "parts": self.decision.document()})

    def document(self) -> dict[str, JsonValue]:
        """As it is stored in a job's outcome, under ``promotion``; empty if there was no condition."""
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
    job: UUID | None = None,
) -> Promotion:
    """Point an alias at a version if the condition holds. No other can move it until the transaction ends.

    :param job: the job that moves it; ``None`` for a person.

    Evaluations of two versions are compared only on the same data: the newest evaluation of ``version``, and the newest
    one of the other version on that data.
    """
    conn.execute(statements.models.LOCK_MODEL, {"model": version.model})
    promotion = Promotion(alias, True) if condition is None else _decide(conn, alias, version, condition)
    if promotion.promoted:
        _move(conn, promotion, version, by, job)
    return promotion


def _decide(conn: Connection, alias: str, version: VersionRecord, condition: str) -> Promotion:
    newest = _newest_evaluation(conn, version)

    def lookup(name: str) -> VersionMetrics | None:
        other = _read_alias(conn, version.model, name)
        if other is None:
            return None
        same_data = None if newest is None else _newest_evaluation(conn, other, newest)
        return VersionMetrics(_name(other), _metrics(other, same_data))

    candidate = VersionMetrics(_name(version), _metrics(version, newest))
    decision = decide(parse(condition, "condition"), candidate, lookup)
    before = _read_alias(conn, version.model, alias)
    return Promotion(alias, decision.holds, None if before is None else before.version, condition, decision)


def _move(conn: Connection, promotion: Promotion, version: VersionRecord, by: str, job: UUID | None) -> None:
    values: dict[str, object] = {
        **{"model": version.model, "version": version.version, "alias": promotion.alias},
        **{"by": by, "gate": promotion.gate},
    }
    if job is None:
        conn.execute(statements.models.MOVE_ALIAS, {**values, "is_rollback": False})
    else:
        conn.execute(statements.models.MOVE_ALIAS_BY_JOB, {**values, "job": job})


def _metrics(version: VersionRecord, evaluation: _Evaluated | None) -> dict[str, float]:
    """The metrics of a version, by its training and by an evaluation."""
    made = version.manifest.get("metrics")
    metrics = {**(made if isinstance(made, dict) else {}), **({} if evaluation is None else evaluation.metrics)}
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def _newest_evaluation(conn: Connection, version: VersionRecord, like: _Evaluated | None = None) -> _Evaluated | None:
    """The newest evaluation of a version.

    :param like: only on the data of this evaluation, and against its target.
    """
    values = {
        **{"model": version.model, "version": version.version},
        "data": None if like is None else Jsonb(like.data),
        "target": None if like is None else like.target,
    }
    return records(conn, _Evaluated).execute(statements.models.NEWEST_EVALUATION, values).fetchone()


def _read_alias(conn: Connection, model: str, alias: str) -> VersionRecord | None:
    return (
        records(conn, VersionRecord)
        .execute(statements.models.RESOLVE_ALIAS, {"model": model, "alias": alias})
        .fetchone()
    )


def _name(version: VersionRecord) -> str:
    return f"{version.model}:{version.version}"

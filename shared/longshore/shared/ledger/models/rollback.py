"""Moving an alias back to the version that it pointed at before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from longshore.shared.errors import AliasMoved, InvalidInput, UnknownModel
from longshore.shared.fault_point import fault_point
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.ledger.records import ModelChange


@dataclass(frozen=True, kw_only=True)
class Rollback:
    """A move of an alias back to an earlier version, or with ``dry_run`` the move that would be made."""

    model: str
    alias: str
    #: The version that the alias points at now.
    version: int
    #: The version that it pointed at until then; ``None`` if it had been removed.
    previous: int | None
    dry_run: bool = False


class Rollbacks:
    """The part of the registry that moves aliases back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def roll_back(
        self, model: str, alias: str, set_by: str, *, to: int | None = None, dry_run: bool = False
    ) -> Rollback:
        """Point an alias at the version before, or at another that it has pointed at.

        The version before is the last one that it pointed at and that is not the present one. So a second rollback
        undoes the first.

        :param to: the version to go back to.
        :raises UnknownModel: there is no such alias.
        :raises InvalidInput: there is no earlier version, or it was deleted.
        :raises AliasMoved: somebody else has moved the alias since this call began.
        """
        moves = self._moves(model, alias)
        if not moves:
            raise UnknownModel("model", f"there is no {model}@{alias}; `longshore models list` shows the aliases")
        rollback = Rollback(
            model=model,
            alias=alias,
            version=_target(model, alias, moves, to),
            previous=moves[-1].version,
            dry_run=dry_run,
        )
        fault_point("models:rollback_planned")

        def change(conn: Connection) -> None:
            conn.execute(statements.models.LOCK_MODEL, {"model": model})
            now = _read_moves(conn, model, alias)
            if len(now) != len(moves):
                raise _moved(now[-1])
            self._check_exists(conn, rollback)
            if not dry_run:
                values = {"model": model, "alias": alias, "version": rollback.version, "by": set_by}
                conn.execute(statements.models.MOVE_ALIAS, {**values, "gate": None, "is_rollback": True})

        self._database.change(change)
        return rollback

    @repeat_read
    def _moves(self, model: str, alias: str) -> list[ModelChange]:
        with self._database.connection() as conn:
            return _read_moves(conn, model, alias)

    @staticmethod
    def _check_exists(conn: Connection, rollback: Rollback) -> None:
        values = {"model": rollback.model, "version": rollback.version}
        if conn.execute(statements.models.RESOLVE_VERSION, values).fetchone() is None:
            raise InvalidInput(
                "model",
                f"{rollback.model}:{rollback.version}, to which {rollback.model}@{rollback.alias} would go back, was "
                f"deleted; name another version with --to: `longshore models history {rollback.model}` lists them",
            )


def _read_moves(conn: Connection, model: str, alias: str) -> list[ModelChange]:
    values = {"model": model, "alias": alias}
    return records(conn, ModelChange).execute(statements.models.ALIAS_HISTORY, values).fetchall()


def _target(model: str, alias: str, moves: Sequence[ModelChange], to: int | None) -> int:
    """The version to go back to."""
    current = moves[-1].version
    earlier = [move.version for move in moves if move.version is not None and move.version != current]
    if to is None:
        if not earlier:
            raise InvalidInput(
                "model", f"{model}@{alias} has pointed at no version but {current}; nothing to go back to"
            )
        return earlier[-1]
    if to == current:
        raise InvalidInput("to", f"{model}@{alias} points at version {to} already")
    if to not in earlier:
        known = ", ".join(map(str, sorted(set(earlier)))) or "none"
        raise InvalidInput(
            "to",
            f"{model}@{alias} has never pointed at version {to}, but at: {known}; `longshore models promote "
            f"{model}:{to} {alias}` moves it there",
        )
    return to


def _moved(move: ModelChange) -> AliasMoved:
    where = "was removed" if move.version is None else f"was moved to version {move.version}"
    return AliasMoved(
        f"alias {move.alias} {where} by {move.set_by} in the same moment, so it was not rolled back; look at "
        "`longshore models history`, and roll back again if that is still wanted"
    )

"""Models, versions and aliases. The database numbers the versions, and records every move of an alias."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

from psycopg.types.json import Jsonb
from pydantic import JsonValue

from longshore.shared.errors import InvalidInput, UnknownModel
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database, records
from longshore.shared.ledger.models.deletion import delete_versions
from longshore.shared.ledger.models.promotion import Promotion, move_alias
from longshore.shared.ledger.models.rollback import Rollback, Rollbacks
from longshore.shared.ledger.postgres.repeating import repeat_read
from longshore.shared.ledger.records import ModelChange, ModelRecord, VersionRecord
from longshore.shared.references import ModelReference, check_alias


@dataclass(frozen=True, kw_only=True)
class NewVersion:
    """A version whose bytes are in the store already."""

    model: str
    digest: str
    manifest: dict[str, JsonValue]
    #: Points at the new version at once.
    alias: str | None = None
    #: Points the alias only if this condition on metrics holds; see :mod:`longshore.shared.conditions`.
    promote_if: str | None = None
    #: Who moved the alias.
    set_by: str = ""


class Models:
    """The part of the ledger that holds models, versions and aliases."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._rollbacks = Rollbacks(database)

    @repeat_read
    def resolve(self, reference: ModelReference, field: str = "model") -> VersionRecord:
        """The version that a reference means now.

        :raises UnknownModel: there is no such version; names ``field``.
        """
        values: dict[str, object] = {"model": reference.name, "version": reference.version, "alias": reference.alias}
        statement = statements.models.RESOLVE_NEWEST
        if reference.version is not None:
            statement = statements.models.RESOLVE_VERSION
        elif reference.alias is not None:
            statement = statements.models.RESOLVE_ALIAS
        with self._database.connection() as conn:
            version = records(conn, VersionRecord).execute(statement, values).fetchone()
            if version is None:
                raise UnknownModel(field, self._what_there_is(conn, reference))
        return version

    @repeat_read
    def get(self, reference: ModelReference) -> VersionRecord:
        """Like :meth:`resolve`, with the aliases that point at the version, and its sizes.

        :raises UnknownModel: there is no such version.
        """
        version = self.resolve(reference)
        values = {"model": version.model, "version": version.version}
        with self._database.connection() as conn:
            sizes = conn.execute(statements.models.READ_SIZES, values).fetchone() or (0, 0)
            return replace(version, aliases=_aliases_of(conn, version), size_bytes=sizes[0], shared_bytes=sizes[1])

    @repeat_read
    def exist(self) -> bool:
        """Whether there is any version."""
        with self._database.connection() as conn:
            row = conn.execute(statements.models.ANY_VERSION).fetchone()
        return row is not None and bool(row[0])

    @repeat_read
    def names(self) -> list[ModelRecord]:
        """Every model, by name."""
        with self._database.connection() as conn:
            return records(conn, ModelRecord).execute(statements.models.LIST_MODELS).fetchall()

    @repeat_read
    def versions(self, model: str) -> list[VersionRecord]:
        """Every version of a model, oldest first; empty if there is no such model."""
        with self._database.connection() as conn:
            return records(conn, VersionRecord).execute(statements.models.LIST_VERSIONS, {"model": model}).fetchall()

    @repeat_read
    def alias_history(self, model: str, alias: str) -> list[ModelChange]:
        """Every move of an alias, oldest first."""
        with self._database.connection() as conn:
            values = {"model": model, "alias": alias}
            return records(conn, ModelChange).execute(statements.models.ALIAS_HISTORY, values).fetchall()

    @repeat_read
    def history(self, model: str) -> list[ModelChange]:
        """Every move of every alias of a model, and every deletion of a version, oldest first."""
        with self._database.connection() as conn:
            return records(conn, ModelChange).execute(statements.models.MODEL_HISTORY, {"model": model}).fetchall()

    @repeat_read
    def deleted(self) -> set[tuple[str, int, str]]:
        """Model, number and digest of every version that was deleted."""
        with self._database.connection() as conn:
            return {(model, version, digest) for model, version, digest in conn.execute(statements.models.LIST_DELETED)}

    @repeat_read
    def is_deleted(self, model: str, version: int) -> bool:
        """Whether a version was deleted."""
        with self._database.connection() as conn:
            values = {"model": model, "version": version}
            return conn.execute(statements.models.READ_DELETED, values).fetchone() is not None

    def add(self, new: NewVersion, before_commit: Callable[[int], None]) -> int:
        """Number and add a version; returns its number.

        :param before_commit: called with the number. If it raises, the version is not added.
        """

        def change(conn: Connection) -> int:
            added = add_version(conn, new, None)
            before_commit(added.version)
            return added.version

        return self._database.change(change)

    def promote(
        self, reference: ModelReference, alias: str, set_by: str, condition: str | None = None
    ) -> tuple[VersionRecord, Promotion]:
        """Point an alias at the version that ``reference`` means, if a condition on metrics holds.

        :returns: the version, with its aliases now, and the decision.
        :raises UnknownModel: there is no such version.
        :raises InvalidInput: ``alias`` is not a valid name.
        """
        check_alias(alias)
        version = self.resolve(reference)
        values = {"model": version.model, "version": version.version}

        def change(conn: Connection) -> tuple[VersionRecord, Promotion]:
            conn.execute(statements.models.LOCK_MODEL, values)
            if conn.execute(statements.models.RESOLVE_VERSION, values).fetchone() is None:
                raise UnknownModel("model", f"{version.model}:{version.version} was deleted in the meantime")
            promotion = move_alias(conn, alias, version, set_by, condition)
            return replace(version, aliases=_aliases_of(conn, version)), promotion

        return self._database.change(change)

    def remove_alias(self, model: str, alias: str, set_by: str) -> VersionRecord:
        """Remove an alias. Its history stays, with the removal. Returns the version that it pointed at.

        :raises UnknownModel: there is no such alias.
        """
        reference = ModelReference(model, alias=alias)
        version = self.resolve(reference, "alias")
        values = {"model": model, "alias": alias, "by": set_by}

        def change(conn: Connection) -> None:
            conn.execute(statements.models.LOCK_MODEL, values)
            if conn.execute(statements.models.REMOVE_ALIAS, values).fetchone() is None:
                raise UnknownModel("alias", self._what_there_is(conn, reference))

        self._database.change(change)
        return version

    def roll_back(
        self, model: str, alias: str, set_by: str, *, to: int | None = None, dry_run: bool = False
    ) -> Rollback:
        """See :meth:`~longshore.shared.ledger.models.rollback.Rollbacks.roll_back`."""
        return self._rollbacks.roll_back(model, alias, set_by, to=to, dry_run=dry_run)

    def delete(
        self, references: Sequence[ModelReference], by: str, *, force: bool = False, dry_run: bool = False
    ) -> list[VersionRecord]:
        """Remove versions from the ledger, all or none. Their numbers are never used again.

        A job that is submitted in the same moment either keeps its version, or is refused as UnknownModel.

        :param by: who deletes them.
        :param force: also versions from which others were trained.
        :param dry_run: only check.
        :returns: the versions, with their sizes.
        :raises UnknownModel: there is no such version.
        :raises InvalidInput: a reference names no version.
        :raises VersionInUse: an alias points at one, jobs that have not ended use it, or others were trained from it.
        """
        for reference in references:
            if reference.version is None:
                raise InvalidInput("model", f"{str(reference)!r}: name the version to delete, as in {reference.name}:3")
        versions = [self.get(reference) for reference in dict.fromkeys(references)]
        self._database.change(lambda conn: delete_versions(conn, versions, by, force=force, dry_run=dry_run))
        return versions

    @staticmethod
    def _what_there_is(conn: Connection, reference: ModelReference) -> str:
        versions = (
            records(conn, VersionRecord).execute(statements.models.LIST_VERSIONS, {"model": reference.name}).fetchall()
        )
        values = {"model": reference.name, "version": reference.version}
        deleted = conn.execute(statements.models.READ_DELETED, values).fetchone()
        if not versions and deleted is not None:
            return f"{reference} was deleted {_by(*deleted)}; {reference.name} has no version"
        if not versions:
            models = records(conn, ModelRecord).execute(statements.models.LIST_MODELS).fetchall()
            if any(model.name == reference.name for model in models):
                return f"{reference.name} has no version any more; `longshore models history` shows who deleted them"
            names = [model.name for model in models if model.versions]
            known = f"the models are {', '.join(names[:10])}" if names else "no model has been trained or imported yet"
            return f"there is no model {reference.name!r}; {known}"
        aliases = sorted({alias for version in versions for alias in version.aliases})
        numbers = f"{versions[0].version} to {versions[-1].version}" if len(versions) > 1 else str(versions[0].version)
        what = f"there is no {reference}" if deleted is None else f"{reference} was deleted {_by(*deleted)}"
        return f"{what}; versions: {numbers}; aliases: {', '.join(aliases) or 'none'}"


@dataclass(frozen=True)
class AddedVersion:
    """A version that was added."""

    version: int
    #: The decision about its alias; ``None`` if it has none.
    promotion: Promotion | None


def add_version(conn: Connection, new: NewVersion, job: UUID | None) -> AddedVersion:
    """Number and add a version, and point its alias at it if the condition holds.

    It runs within the caller's transaction.
    """
    row = conn.execute(statements.models.TAKE_VERSION, {"model": new.model}).fetchone()
    assert row is not None  # an INSERT ... DO UPDATE returns its row
    version = int(row[0])
    values = {"model": new.model, "version": version, "digest": new.digest, "manifest": Jsonb(new.manifest), "job": job}
    conn.execute(statements.models.ADD_VERSION, values)
    if new.alias is None:
        return AddedVersion(version, None)
    made = records(conn, VersionRecord).execute(statements.models.RESOLVE_VERSION, values).fetchone()
    assert made is not None  # it was added this moment
    return AddedVersion(version, move_alias(conn, new.alias, made, new.set_by, new.promote_if, job))


def _by(who: str, moment: datetime) -> str:
    return f"by {who} at {moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _aliases_of(conn: Connection, version: VersionRecord) -> list[str]:
    """The aliases that point at a version, by name."""
    values = {"model": version.model, "version": version.version}
    return [row[0] for row in conn.execute(statements.models.ALIASES_OF_VERSION, values)]

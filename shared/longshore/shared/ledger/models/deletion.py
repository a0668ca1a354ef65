"""Deleting versions that nothing uses any more.

A trigger records each deletion, by whichever release, so that the lineage of a deleted version stays readable; another
refuses jobs that are submitted in the same moment. See migration 0015.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from longshore.shared.errors import UnknownModel, VersionInUse
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection
from longshore.shared.ledger.records import VersionRecord

#: How many jobs and versions an error names.
MAX_NAMED: Final = 5


@dataclass(frozen=True)
class VersionUses:
    """What uses a version."""

    #: The aliases that point at it.
    aliases: Sequence[str] = ()
    #: Jobs that have not ended, with their states.
    jobs: Sequence[tuple[UUID, str]] = ()
    #: Versions that were trained from it. They do not need it, but their lineage names it.
    trained: Sequence[str] = field(default=())

    def blocking(self, *, force: bool) -> list[str]:
        """Why it cannot be deleted, each with the remedy; empty if it can."""
        reasons = [
            f"{alias} points at it (`longshore models promote` moves it, `longshore models unalias` removes it)"
            for alias in self.aliases
        ]
        if self.jobs:
            named = ", ".join(f"{job} is {state}" for job, state in self.jobs[:MAX_NAMED])
            more = f" and {len(self.jobs) - MAX_NAMED:,} more jobs" if len(self.jobs) > MAX_NAMED else ""
            reasons.append(f"job {named}{more} (`longshore jobs wait` or `longshore jobs cancel`)")
        if self.trained and not force:
            named = ", ".join(self.trained[:MAX_NAMED])
            more = f" and {len(self.trained) - MAX_NAMED:,} more" if len(self.trained) > MAX_NAMED else ""
            reasons.append(f"{named}{more} trained from it (delete these too, or force the deletion with --force)")
        return reasons


def delete_versions(
    conn: Connection, versions: Sequence[VersionRecord], by: str, *, force: bool, dry_run: bool
) -> None:
    """Delete versions, all or none, within the caller's transaction.

    :raises UnknownModel: one was deleted in the meantime.
    :raises VersionInUse: something uses one of them.
    """
    for model in sorted({version.model for version in versions}):
        conn.execute(statements.models.LOCK_MODEL, {"model": model})
    # In the order in which jobs lock the versions that they use.
    for digest in sorted({version.digest for version in versions}):
        conn.execute(statements.models.LOCK_VERSION, {"digest": digest})
    names = {_name(version) for version in versions}
    reasons = []
    for version in versions:
        values = {"model": version.model, "version": version.version}
        if conn.execute(statements.models.RESOLVE_VERSION, values).fetchone() is None:
            raise UnknownModel("model", f"{_name(version)} was deleted in the meantime")
        blocking = read_uses(conn, version, besides=names).blocking(force=force)
        if blocking:
            reasons.append(f"{_name(version)} is in use: {'; '.join(blocking)}")
    if reasons:
        raise VersionInUse("model", "; ".join(reasons))
    if dry_run:
        return
    conn.execute(statements.models.SET_ACTOR, {"by": by})
    for version in versions:
        conn.execute(statements.models.DELETE_VERSION, {"model": version.model, "version": version.version})


def read_uses(conn: Connection, version: VersionRecord, besides: set[str]) -> VersionUses:
    """What uses a version.

    :param besides: versions that are deleted with it.
    """
    values = {
        **{"model": version.model, "version": version.version, "digest": version.digest},
        "job": None if version.job_id is None else str(version.job_id),
    }
    aliases = [row[0] for row in conn.execute(statements.models.ALIASES_OF_VERSION, values)]
    jobs = [(id_, state) for id_, state in conn.execute(statements.models.JOBS_OF_VERSION, values)]
    trained = conn.execute(statements.models.VERSIONS_TRAINED_FROM, values)
    names = [f"{model}:{number}" for model, number in trained]
    return VersionUses(aliases, jobs, [name for name in names if name not in besides | {_name(version)}])


def _name(version: VersionRecord) -> str:
    return f"{version.model}:{version.version}"

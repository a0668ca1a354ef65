"""Checks of Postgres, its tables, the relay and the workers."""

from __future__ import annotations

from collections.abc import Sequence

from longshore.producers.cli.checks.check import Check, Level
from longshore.producers.cli.connect import open_ledger
from longshore.shared.ledger.schema_revision import find_missing_migrations
from longshore.shared.settings import Settings

#: Workers that are named in one line, at most.
MAX_NAMES = 5
#: Seconds without a sign of life of the leading relay, which gives one every second or two.
MAX_RELAY_SILENCE_S = 15.0


def check_postgres(settings: Settings) -> Check:
    """Check that Postgres can be reached.

    :raises ServiceUnavailable: it cannot be reached, or refuses the login.
    """
    with open_ledger(settings) as ledger:
        return Check("postgres", Level.OK, f"{ledger.queries.server_version()} at {ledger.database.address}")


def check_schema(settings: Settings) -> Check:
    """Check that the tables are those of this release.

    :raises ServiceUnavailable: there are no tables.
    """
    with open_ledger(settings) as ledger:
        revision = ledger.queries.schema_revision()
    missing = find_missing_migrations(revision)
    if missing is None:
        return Check("schema", Level.OK, f"revision {revision}")
    return Check("schema", Level.FAIL, missing)


def check_relay(settings: Settings) -> Check:
    """Check that a relay leads. Without one, jobs run until a ticket, worker or producer is lost."""
    with open_ledger(settings) as ledger:
        silent_s = ledger.queries.relay_silence()
    if silent_s is None:
        return Check("relay", Level.FAIL, "no relay is running, so lost work is not run again; run longshore relay")
    if silent_s > MAX_RELAY_SILENCE_S:
        return Check(
            "relay",
            Level.FAIL,
            f"the relay that leads has done nothing for {silent_s:.0f} s, so lost work is not run again; restart it",
        )
    return Check("relay", Level.OK, "a relay leads")


def check_workers(settings: Settings) -> Check:
    """Check that there are workers to run jobs."""
    with open_ledger(settings) as ledger:
        workers = ledger.workers.workers()
    alive = [worker.name for worker in workers if worker.alive]
    silent = [worker.name for worker in workers if not worker.alive]
    if not alive:
        lost = f" (silent: {_list_names(silent)})" if silent else ""
        return Check("workers", Level.FAIL, f"no worker is alive{lost}, so jobs wait; run longshore worker")
    if silent:
        return Check("workers", Level.WARN, f"{len(alive)} alive; silent: {_list_names(silent)}")
    return Check("workers", Level.OK, f"{len(alive)} alive: {_list_names(alive)}")


def _list_names(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more

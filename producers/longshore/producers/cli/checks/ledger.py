"""Checks of Postgres, its tables, the relay and the workers."""

from __future__ import annotations

from longshore.producers.cli.checks.check import Check, Level
from longshore.producers.cli.connect import open_ledger
from longshore.shared.ledger.migrate import newest_revision
from longshore.shared.settings import Settings


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
    newest = newest_revision()
    if revision == newest:
        return Check("schema", Level.OK, f"revision {revision}")
    return Check("schema", Level.FAIL, f"revision {revision}, but this release needs {newest}; run longshore migrate")


def check_relay(settings: Settings) -> Check:
    """Check that a relay leads. Without one, jobs run until a ticket, worker or producer is lost."""
    with open_ledger(settings) as ledger:
        if ledger.queries.relay_leads():
            return Check("relay", Level.OK, "a relay leads")
    return Check("relay", Level.FAIL, "no relay is running, so lost work is not run again; run longshore relay")


def check_workers(settings: Settings) -> Check:
    """Check that there are workers to run jobs."""
    with open_ledger(settings) as ledger:
        workers = ledger.workers.workers()
    alive = [worker.name for worker in workers if worker.alive]
    silent = [worker.name for worker in workers if not worker.alive]
    if not alive:
        lost = f" (silent: {', '.join(silent)})" if silent else ""
        return Check("workers", Level.FAIL, f"no worker is alive{lost}, so jobs wait; run longshore worker")
    if silent:
        return Check("workers", Level.WARN, f"{len(alive)} alive; silent: {', '.join(silent)}")
    return Check("workers", Level.OK, f"{len(alive)} alive: {', '.join(alive)}")

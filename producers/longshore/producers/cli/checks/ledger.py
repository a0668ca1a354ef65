"""Whether Postgres is there and up to date, and who works on it."""

from __future__ import annotations

from longshore.producers.cli.checks.check import Check, Level
from longshore.producers.cli.connect import open_ledger
from longshore.shared.ledger.migrate import newest_revision
from longshore.shared.settings import Settings


def check_postgres(settings: Settings) -> Check:
    """:raises ServiceUnavailable: it cannot be reached, or refuses the login."""
    with open_ledger(settings) as ledger:
        return Check("postgres", Level.OK, f"{ledger.queries.server_version()} at {ledger.database.address}")


def check_schema(settings: Settings) -> Check:
    """Whether the tables are those of this release.

    :raises ServiceUnavailable: there are none.
    """
    with open_ledger(settings) as ledger:
        found = ledger.queries.schema_revision()
    newest = newest_revision()
    if found == newest:
        return Check("schema", Level.OK, f"revision {found}")
    return Check("schema", Level.FAIL, f"revision {found}, and this release needs {newest}; run longshore migrate")


def check_relay(settings: Settings) -> Check:
    """Whether one leads. Jobs run without it, too, until the first ticket, worker or producer is lost."""
    with open_ledger(settings) as ledger:
        if ledger.queries.relay_leads():
            return Check("relay", Level.OK, "one leads")
    return Check("relay", Level.FAIL, "none runs, so nothing that is lost is run again; run longshore relay")


def check_workers(settings: Settings) -> Check:
    """Whether somebody is there to run jobs."""
    with open_ledger(settings) as ledger:
        workers = ledger.workers.workers()
    alive = [worker.name for worker in workers if worker.alive]
    silent = [worker.name for worker in workers if not worker.alive]
    if not alive:
        gone = f" ({', '.join(silent)} went silent)" if silent else ""
        return Check("workers", Level.FAIL, f"none is alive{gone}, so jobs wait; run longshore worker")
    if silent:
        return Check("workers", Level.WARN, f"{len(alive)} alive; silent: {', '.join(silent)}")
    return Check("workers", Level.OK, f"{len(alive)} alive: {', '.join(alive)}")

"""What the health checks of compose.yaml ask, from inside the container in question.

    python health.py relay | worker | flower PORT

Ends with 0 when the service is at work, else with 1 and a line that says why.
"""

from __future__ import annotations

import socket
import sys
import urllib.request
from collections.abc import Sequence

from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import load_settings

#: Seconds Flower may take to answer.
TIMEOUT = 10.0


def main(arguments: Sequence[str]) -> int:
    """Ask once; returns the exit code."""
    try:
        trouble = find_trouble(arguments)
    except (LongshoreError, OSError) as error:
        trouble = str(error)
    sys.stdout.write(f"{trouble or 'at work'}\n")
    return 1 if trouble else 0


def find_trouble(arguments: Sequence[str]) -> str | None:
    """What keeps the service from its work, if anything does.

    :raises LongshoreError: Postgres cannot be asked.
    :raises OSError: Flower does not answer.
    """
    match list(arguments):
        case ["flower", port]:
            urllib.request.urlopen(f"http://127.0.0.1:{int(port)}/healthcheck", timeout=TIMEOUT).close()
            return None
        case ["relay"]:
            return find_relay_trouble()
        case ["worker"]:
            return find_worker_trouble()
    return "usage: health.py relay | worker | flower PORT"


def find_relay_trouble() -> str | None:
    """A relay is well as long as one of them leads: this one, or another one for which it stands by."""
    ledger = Ledger(load_settings().database_url, "longshore health")
    with ledger, ledger.database.own_connection() as link:
        # The lead goes back at once, with the connection; a relay that wants it just then waits one second more.
        return "no relay leads" if ledger.maintenance.try_lead(link) else None


def find_worker_trouble() -> str | None:
    """A worker is well when the ledger has heard of it lately."""
    with Ledger(load_settings().database_url, "longshore health") as ledger:
        workers = [worker for worker in ledger.workers.workers() if worker.host == socket.gethostname()]
    if any(worker.alive for worker in workers):
        return None
    return f"{len(workers)} workers are known on this host, and none has been heard of lately"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

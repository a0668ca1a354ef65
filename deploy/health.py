"""The health checks of compose.yaml, run inside the container that they check.

    python health.py relay | worker | flower PORT | gateway PORT

Exits with 0 if the service is healthy, else with 1 and a line with the reason.
"""

from __future__ import annotations

import socket
import sys
import urllib.request
from collections.abc import Sequence

from longshore.shared.errors import LongshoreError
from longshore.shared.ledger.ledger import Ledger
from longshore.shared.settings import load_settings

#: Seconds for Flower or the gateway to answer.
PAGE_TIMEOUT_S = 10.0
#: Seconds without a sign of life of the leading relay, which gives one every second or two.
MAX_RELAY_SILENCE_S = 15.0


def main(arguments: Sequence[str]) -> int:
    """Check once. Returns the exit code."""
    try:
        problem = find_problem(arguments)
    except (LongshoreError, OSError) as error:
        problem = str(error)
    sys.stdout.write(f"{problem or 'at work'}\n")
    return 1 if problem else 0


def find_problem(arguments: Sequence[str]) -> str | None:
    """Why the service is not healthy; ``None`` if it is.

    :raises LongshoreError: Postgres cannot be reached.
    :raises OSError: Flower or the gateway does not answer.
    """
    match list(arguments):
        case ["flower", port]:
            urllib.request.urlopen(f"http://127.0.0.1:{int(port)}/healthcheck", timeout=PAGE_TIMEOUT_S).close()
            return None
        case ["gateway", port]:
            urllib.request.urlopen(f"http://127.0.0.1:{int(port)}/readyz", timeout=PAGE_TIMEOUT_S).close()
            return None
        case ["relay"]:
            return find_relay_problem()
        case ["worker"]:
            return find_worker_problem()
    return "usage: health.py relay | worker | flower PORT | gateway PORT"


def find_relay_problem() -> str | None:
    """A relay is healthy if any relay leads: this one, or another that it stands by for."""
    with Ledger(load_settings().database_url, "longshore health") as ledger:
        silent_s = ledger.queries.relay_silence()
    if silent_s is None:
        return "no relay leads"
    if silent_s > MAX_RELAY_SILENCE_S:
        return f"the relay that leads has done nothing for {silent_s:.0f} s"
    return None


def find_worker_problem() -> str | None:
    """A worker is healthy if the ledger has a recent heartbeat from it."""
    with Ledger(load_settings().database_url, "longshore health") as ledger:
        workers = [worker for worker in ledger.workers.workers() if worker.host == socket.gethostname()]
    if any(worker.alive for worker in workers):
        return None
    return f"{len(workers)} workers are registered on this host, and none has a recent heartbeat"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

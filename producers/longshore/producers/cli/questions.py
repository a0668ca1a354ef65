"""What the command line itself asks Postgres, beside what the ledger answers."""

from __future__ import annotations

from typing import Final

from longshore.shared.ledger.database import Link
from longshore.shared.ledger.locks import RELAY_LOCK

_COUNT_JOBS: Final = "SELECT state, count(*) FROM jobs GROUP BY state"
_REVISION: Final = "SELECT version_num FROM alembic_version"
#: A lock on one 64-bit number is shown in two halves.
_RELAYS_LEADING: Final = """
    SELECT count(*) FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND classid = %(high)s::oid AND objid = %(low)s::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


def count_jobs(link: Link) -> dict[str, int]:
    """How many jobs there are in each state that has some."""
    return {str(row[0]): int(row[1]) for row in link.execute(_COUNT_JOBS)}


def server_version(link: Link) -> str:
    """Of Postgres, as it names itself: ``16.3``."""
    found = link.execute("SHOW server_version").fetchone()
    return "" if found is None else str(found[0]).split()[0]


def schema_revision(link: Link) -> str | None:
    """The newest migration that was run; ``None`` for none."""
    found = link.execute(_REVISION).fetchone()
    return None if found is None else str(found[0])


def relay_leads(link: Link) -> bool:
    """Whether some relay is at work."""
    halves = {"high": RELAY_LOCK >> 32, "low": RELAY_LOCK & 0xFFFF_FFFF}
    found = link.execute(_RELAYS_LEADING, halves).fetchone()
    return found is not None and bool(found[0])

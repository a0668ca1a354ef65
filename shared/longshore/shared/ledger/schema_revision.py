"""Whether the tables of a database are those of this release."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Database

_MIGRATIONS: Final = Path(__file__).parent / "migrations" / "versions"
#: Digits with which the name of each migration begins: its revision.
_DIGITS: Final = 4


@cache
def newest_revision() -> str:
    """The revision that this release needs, such as ``0020``."""
    return max(path.name[:_DIGITS] for path in _MIGRATIONS.rglob("[0-9]*.py"))


def find_missing_migrations(database: Database) -> str | None:
    """What is wrong with the tables of a database, and what to do; ``None`` if they have all that this release needs.
    Those of a newer release have.

    :raises ServiceUnavailable: it cannot be reached, or has no tables.
    """
    with database.connection() as conn:
        row = conn.execute(statements.installation.SCHEMA_REVISION).fetchone()
    revision = "none" if row is None else str(row[0])
    if row is not None and revision >= newest_revision():
        return None
    return f"the tables are at revision {revision}, and this release needs {newest_revision()}; run `longshore migrate`"


def check_revision(database: Database) -> None:
    """:raises ServiceUnavailable: the tables are older than this release, or cannot be reached."""
    missing = find_missing_migrations(database)
    if missing is not None:
        raise ServiceUnavailable(f"Postgres at {database.address}: {missing}")

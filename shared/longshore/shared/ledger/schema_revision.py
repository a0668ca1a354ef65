"""Whether the tables of a database are those of this release."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Final

_MIGRATIONS: Final = Path(__file__).parent / "migrations" / "versions"
#: Digits with which the name of each migration begins: its revision.
_DIGITS: Final = 4


@cache
def newest_revision() -> str:
    """The revision that this release needs, such as ``0020``."""
    return max(path.name[:_DIGITS] for path in _MIGRATIONS.rglob("[0-9]*.py"))


def find_missing_migrations(revision: str | None) -> str | None:
    """What is wrong with the tables of a database, and what to do; ``None`` if they have all that this release needs.
    Those of a newer release have.

    :param revision: of :meth:`~longshore.shared.ledger.queries.Queries.schema_revision`.
    """
    newest = newest_revision()
    if revision is not None and revision >= newest:
        return None
    return f"the tables are at revision {revision or 'none'}, and this release needs {newest}; run `longshore migrate`"

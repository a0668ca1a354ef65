"""Bring a database's tables to the version this Longshore needs.

Run by `longshore up` and `longshore migrate`. Safe to run by many at once: an advisory lock lets one at a time through.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine
from sqlalchemy.engine import make_url
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.locks import MIGRATION_LOCK


def migrate(database_url: str, revision: str = "head") -> str:
    """Apply what is missing and return the revision the database is at now.

    :param revision: where to stop; the newest by default.
    :raises ServiceUnavailable: the database cannot be reached.
    """
    return _run(database_url, lambda config: command.upgrade(config, revision))


def downgrade(database_url: str, revision: str) -> str:
    """Take migrations back, for an older Longshore, and return the revision the database is at now.

    :param revision: the newest migration that stays.
    :raises ServiceUnavailable: the database cannot be reached.
    """
    return _run(database_url, lambda config: command.downgrade(config, revision))


def pending_changes(database_url: str) -> list[object]:
    """How the tables of a database differ from :mod:`~longshore.shared.ledger.tables`; for tests and `doctor`."""
    from alembic.autogenerate import compare_metadata

    from longshore.shared.ledger.tables import metadata

    with _connect(database_url) as connection:
        options = {"compare_server_default": True, "include_name": leave_out_partitions(connection)}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))


def leave_out_partitions(connection: Connection) -> Callable[[str | None, str, object], bool]:
    """For Alembic's comparison: which names of a database it looks at. Partitions come and go with time."""
    found = connection.exec_driver_sql(statements.partitions.LIST_PARTITION_NAMES)
    partitions = frozenset(found.scalars())
    return lambda name, kind, _: kind != "table" or name not in partitions


def newest_revision() -> str:
    """The revision this Longshore needs."""
    return str(ScriptDirectory.from_config(_config(None)).get_current_head())


def _run(database_url: str, change: Callable[[Config], None]) -> str:
    with _connect(database_url) as connection:
        connection.exec_driver_sql(statements.sessions.LOCK, {"key": MIGRATION_LOCK})
        connection.commit()
        change(_config(connection))
        connection.commit()
        return str(MigrationContext.configure(connection).get_current_revision())


def _config(connection: Connection | None) -> Config:
    config = Config()
    config.set_main_option("script_location", "longshore.shared.ledger:migrations")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connect(database_url: str) -> Iterator[Connection]:
    url = make_url(database_url).set(drivername="postgresql+psycopg")
    engine = create_engine(url, poolclass=NullPool)
    try:
        connection = engine.connect()
    except OperationalError as error:
        raise ServiceUnavailable(f"Postgres: {str(error.orig).strip()}") from None
    with connection:
        yield connection

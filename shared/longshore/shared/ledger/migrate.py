"""Bring the tables of a database to the revision that this release needs.

`longshore up` and `longshore migrate` run it. Several can run at once: an advisory lock lets one through at a time.
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
from longshore.shared.ledger.roles.install import refresh_roles


def migrate(database_url: str, revision: str = "head") -> str:
    """Apply the missing migrations, and return the revision that the database is at now.

    If the database has :mod:`roles <longshore.shared.ledger.roles>`, what is created belongs to their owner, and they
    get their rights on it.

    :param revision: where to stop; the newest by default.
    :raises ServiceUnavailable: the database cannot be reached.
    """
    reached = _run(database_url, lambda config: command.upgrade(config, revision))
    if reached == newest_revision():
        refresh_roles(database_url)
    return reached


def downgrade(database_url: str, revision: str) -> str:
    """Undo migrations, for an older release, and return the revision that the database is at now.

    :param revision: the newest migration that stays.
    :raises ServiceUnavailable: the database cannot be reached.
    """
    return _run(database_url, lambda config: command.downgrade(config, revision))


def pending_changes(database_url: str) -> list[object]:
    """The differences between the tables of a database and :mod:`~longshore.shared.ledger.tables`, for tests."""
    from alembic.autogenerate import compare_metadata

    from longshore.shared.ledger.tables import metadata

    with _connect(database_url) as connection:
        options = {"compare_server_default": True, "include_name": leave_out_partitions(connection)}
        context = MigrationContext.configure(connection, opts=options)
        return list(compare_metadata(context, metadata))


def leave_out_partitions(connection: Connection) -> Callable[[str | None, str, object], bool]:
    """The filter of names for Alembic's comparison. It leaves out partitions, which come and go with time."""
    partitions = frozenset(connection.exec_driver_sql(statements.partitions.LIST_PARTITION_NAMES).scalars())
    return lambda name, kind, _: kind != "table" or name not in partitions


def newest_revision() -> str:
    """The revision that this release needs."""
    return str(ScriptDirectory.from_config(_config(None)).get_current_head())


def _run(database_url: str, change: Callable[[Config], None]) -> str:
    with _connect(database_url) as connection:
        connection.exec_driver_sql(statements.sessions.LOCK, {"key": MIGRATION_LOCK})
        connection.exec_driver_sql(statements.roles.ACT_AS_OWNER, {"table": "jobs", "local": False})
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

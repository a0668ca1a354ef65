"""Bring the tables of a database to the revision that this release needs.

`longshore up` and `longshore migrate` run it. Several can run at once: an advisory lock lets one through at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from psycopg.errors import InsufficientPrivilege, InvalidSchemaName
from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.locks import MIGRATION_LOCK
from longshore.shared.ledger.postgres.address import Address
from longshore.shared.ledger.postgres.connection import LONG_ANSWER_TIMEOUT_S, LedgerConnection, connect
from longshore.shared.ledger.postgres.errors import translate
from longshore.shared.ledger.roles.install import refresh_roles
from longshore.shared.ledger.schema_revision import newest_revision


def migrate(database_url: str, revision: str = "head") -> str:
    """Apply the missing migrations, and return the revision that the database is at now.

    If the database has :mod:`roles <longshore.shared.ledger.roles>`, what is created belongs to their owner, and they
    get their rights on it.

    :param revision: where to stop; the newest by default.
    :raises ServiceUnavailable: the database cannot be reached, or its user may not create tables.
    """
    reached = _run(database_url, lambda config: command.upgrade(config, revision))
    if reached == newest_revision():
        refresh_roles(database_url)
    return reached


def downgrade(database_url: str, revision: str) -> str:
    """Undo migrations, for an older release, and return the revision that the database is at now.

    :param revision: the newest migration that stays.
    :raises ServiceUnavailable: the database cannot be reached, or its user may not create tables.
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


def _run(database_url: str, change: Callable[[Config], None]) -> str:
    with _connect(database_url) as connection:
        connection.exec_driver_sql(statements.sessions.LOCK, {"key": MIGRATION_LOCK})
        connection.exec_driver_sql(statements.roles.ACT_AS_OWNER, {"table": "jobs", "local": False})
        connection.commit()
        change(_config(connection))
        connection.commit()
        return str(MigrationContext.configure(connection).get_current_revision())


def _config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", "longshore.shared.ledger:migrations")
    config.set_main_option("recursive_version_locations", "true")
    config.attributes["connection"] = connection
    return config


@contextmanager
def _connect(database_url: str) -> Iterator[Connection]:
    """A connection for SQLAlchemy, opened as all others are: so it takes the same addresses.

    :raises ServiceUnavailable: what is done with it fails for want of a service or a right.
    """
    address = Address(database_url, "longshore migrate")

    def open_connection() -> LedgerConnection:
        conn = connect(address.conninfo)
        conn.answer_timeout_s = LONG_ANSWER_TIMEOUT_S
        conn.autocommit = False
        return conn

    # "+psycopg" alone: the address is that of the connection.
    engine = create_engine("postgresql+psycopg://", creator=open_connection, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            yield connection
    except DBAPIError as error:
        if not isinstance(error.orig, psycopg.Error):
            raise
        raise _translated(error.orig, address.name) from None
    except psycopg.Error as error:
        raise _translated(error, address.name) from None


def _translated(error: psycopg.Error, address: str) -> Exception:
    what = f"Postgres at {address}: {error.diag.message_primary or error}"
    match error:
        case InsufficientPrivilege():
            remedy = (
                "run `longshore migrate` as the owner of the tables, or GRANT USAGE, CREATE ON SCHEMA ... to its user"
            )
            return ServiceUnavailable(f"{what}; {remedy}")
        case InvalidSchemaName():
            return ServiceUnavailable(f"{what}; create the schema that search_path names")
        case _:
            return translate(error, address)

"""Making the roles and logins in a database."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import LiteralString

import psycopg
from psycopg import sql
from psycopg.errors import DeadlockDetected, InsufficientPrivilege, LockNotAvailable

from longshore.shared.errors import ServiceUnavailable
from longshore.shared.ledger import statements
from longshore.shared.ledger.database import Connection, Database
from longshore.shared.ledger.locks import LOCK_ATTEMPTS, LOCK_TIMEOUT_S, MIGRATION_LOCK, RETRY_INTERVAL_S
from longshore.shared.ledger.postgres.connection import LedgerConnection
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.ledger.roles.script import (
    PREFIX,
    bypass_policies,
    check_name,
    grant_rights,
    make_roles,
    open_database,
    role_name,
)


@dataclass(frozen=True)
class Login:
    """A user of the database that a process logs in as.

    :param roles: what it may do.
    """

    name: str
    password: str = field(repr=False)
    roles: tuple[Role, ...]


@dataclass(frozen=True)
class Installed:
    """The roles that a database has."""

    prefix: str
    #: Whether the logins of producers see their own jobs only.
    row_security: bool


def install_roles(
    database_url: str,
    *,
    prefix: str = PREFIX,
    logins: Sequence[Login] = (),
    row_security: bool | None = None,
    revoke_public: bool = False,
) -> None:
    """Make or update the roles, the rights on the tables (if there are any), and logins, in one transaction.

    :param database_url: of a superuser, or of a user with CREATEROLE who owns the tables.
    :param logins: users to make; those that exist get the password and the roles, and lose nothing.
    :param row_security: whether the logins of producers see their own jobs only; ``None`` leaves it as it is, at first
        off. The gateway's login always sees those of the producer that calls it, only.
    :param revoke_public: take the rights on the database and the schema that every login has by default.
    :raises InvalidInput: a name cannot be used.
    :raises ServiceUnavailable: the database cannot be reached, or the user may not do this.
    """
    check_name("--role-prefix", prefix)
    for login in logins:
        check_name("--login", login.name)

    database = Database(database_url, "longshore roles")

    def change(conn: LedgerConnection) -> None:
        try:
            make(conn)
        except InsufficientPrivilege as error:
            raise ServiceUnavailable(
                f"Postgres at {database.address}: {str(error).splitlines()[0]}; run this as a superuser or as a user "
                "with CREATEROLE who owns the tables, or give an administrator the SQL of "
                "`longshore migrate --roles --print`"
            ) from None

    def make(conn: LedgerConnection) -> None:
        _execute(conn, *make_roles(prefix), *open_database(prefix, revoke_public=revoke_public))
        for login in logins:
            _make_login(conn, login, prefix)
        _execute(conn, bypass_policies(prefix, row_security=row_security))
        if conn.execute(statements.roles.READ_ROLES).fetchone() is not None:
            _execute(conn, *grant_rights(prefix, row_security=row_security))

    _change(database, change)


def refresh_roles(database_url: str) -> None:
    """Give the roles their rights on what a migration has added. Does nothing if the database has no roles."""

    def change(conn: LedgerConnection) -> None:
        installed = find_roles(conn)
        if installed is not None:
            _execute(conn, *grant_rights(installed.prefix))

    _change(Database(database_url, "longshore roles"), change)


def find_roles(conn: Connection) -> Installed | None:
    """The roles of a database; ``None`` if its tables do not belong to such a role."""
    row = conn.execute(statements.roles.READ_ROLES).fetchone()
    owner = "" if row is None else str(row[0])
    if row is None or not owner.endswith(f"_{Role.OWNER}"):
        return None
    prefix = owner.removesuffix(f"_{Role.OWNER}")
    producer = {"role": role_name(Role.PRODUCER, prefix)}
    if conn.execute(statements.roles.FIND_ROLE, producer).fetchone() is None:
        return None
    return Installed(prefix, bool(row[1]))


def _change(database: Database, change: Callable[[LedgerConnection], None]) -> None:
    """Change roles and tables in one transaction, and never keep others waiting for long: tables are locked for it.

    :raises ServiceUnavailable: the tables are in use all the time.
    """
    with database.own_connection() as conn:
        for _ in range(LOCK_ATTEMPTS):
            try:
                with conn.transaction():
                    conn.execute(statements.sessions.LOCK_TRANSACTION, {"key": MIGRATION_LOCK})
                    conn.execute(statements.sessions.LIMIT_WAITING, {"lock": f"{LOCK_TIMEOUT_S}s", "step": "0"})
                    change(conn)
                return
            except (LockNotAvailable, DeadlockDetected):
                time.sleep(RETRY_INTERVAL_S)
    raise ServiceUnavailable("Postgres: the tables are in use all the time; stop the workers, and run this again")


def _execute(conn: Connection, *steps: str) -> None:
    for step in steps:
        # The steps hold names that were checked, and no values.
        conn.execute(step)


def _make_login(conn: psycopg.Connection[tuple[object, ...]], login: Login, prefix: str) -> None:
    def run(statement: LiteralString, **names: sql.Composable) -> None:
        conn.execute(sql.SQL(statement).format(login=sql.Identifier(login.name), **names))

    if conn.execute(statements.roles.FIND_ROLE, {"role": login.name}).fetchone() is None:
        run(statements.roles.CREATE_LOGIN)
    # The server gets what it stores, so that no log of statements can hold the password.
    verifier = conn.pgconn.encrypt_password(login.password.encode(), login.name.encode(), b"scram-sha-256").decode()
    run(statements.roles.SET_PASSWORD, verifier=sql.Literal(verifier))
    for role in login.roles:
        run(statements.roles.GRANT_ROLE, role=sql.Identifier(role_name(role, prefix)))

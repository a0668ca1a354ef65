"""What the errors of Postgres mean, in Longshore's own errors."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg
from psycopg import errors

from longshore.shared.errors import (
    InvalidInput,
    LedgerBusy,
    LedgerRefused,
    QueueFull,
    ServiceUnavailable,
    UnknownModel,
    VersionInUse,
)
from longshore.shared.ledger.statements.limits import BEYOND_LIMIT
from longshore.shared.ledger.statements.models import VERSION_DELETED, VERSION_USED


class ConnectionLost(ServiceUnavailable):
    """A connection ended in the middle of a statement: whether it took effect is not known."""


class RolledBack(LedgerBusy):
    """Postgres has rolled a transaction back for a reason that may be gone: repeat it."""


class ReadOnlyServer(ServiceUnavailable):
    """Postgres takes no writes: a standby, or a primary that is being replaced."""


class CopyRefused(LedgerRefused):
    """The table has row-level security, with which Postgres takes INSERT only."""


#: Nothing of these transactions took effect, and the same transaction can succeed.
_ROLLED_BACK: Final = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.LockNotAvailable,
    errors.QueryCanceled,
)
#: What a server that refuses a connection says, and what to do. psycopg gives these errors no class of their own.
_REFUSALS: Final = (
    (
        r"too many clients|remaining connection slots|too many connections",
        "its connection limit is reached; raise max_connections (or the limit of the role or the database), put "
        "PgBouncer in session mode before it, or run fewer processes: each worker, relay and client has up to 6",
    ),
    (r"database .* does not exist", "create the database, or correct its name in LONGSHORE_DATABASE_URL"),
    (
        r"password authentication failed|no password supplied|role .* does not exist|pg_hba\.conf",
        "correct the user and the password in LONGSHORE_DATABASE_URL, or allow the login in pg_hba.conf",
    ),
    (
        r"certificate|root\.crt|SSL|TLS",
        "check sslmode, sslrootcert, sslcert and sslkey in LONGSHORE_DATABASE_URL",
    ),
    (
        r"hot standby|session is read-only|read-only mode",
        "it is a standby, which takes no writes; name the primary, or all hosts: postgresql://user@host1,host2/name",
    ),
    (
        r"unsupported startup parameter",
        "the pooler refuses options in the URL; set them on the role (ALTER ROLE ... SET search_path = ...)",
    ),
    (r"starting up|shutting down|recovery", "try again in a moment"),
    (r"could not translate host name|failed to resolve host", "correct the host in LONGSHORE_DATABASE_URL"),
    (r"No such file or directory", "is it running, with its socket in this folder?"),
)


@contextmanager
def translated(address: str, conn: psycopg.Connection[tuple[object, ...]] | None = None) -> Iterator[None]:
    """Translate the driver's errors into those of Longshore.

    :param address: of the server, without a password.
    :param conn: the connection that is used; ``None`` while it is opened.
    :raises ConnectionLost: ``conn`` ended.
    :raises RolledBack: the transaction was rolled back, and can be repeated.
    """
    try:
        yield
    except errors.UniqueViolation:
        raise  # those who insert know what it means
    except psycopg.Error as error:
        lost = conn is not None and conn.closed
        cause = error if isinstance(error, psycopg.OperationalError) else None
        raise translate(error, address, lost=lost) from cause


def translate(error: psycopg.Error, address: str, *, lost: bool = False) -> Exception:
    """The error of Longshore that an error of the driver means.

    :param lost: a connection that was in use has ended.
    """
    where, text = f"Postgres at {address}", _first_line(error)
    match error:
        case _ if error.sqlstate == BEYOND_LIMIT:
            return QueueFull(
                "producer",
                f"{text}, the limit that an operator has set; submit again when some have ended, cancel some, or raise "
                "the limit with `longshore producers limit`",
            )
        case _ if error.sqlstate == VERSION_DELETED:
            return UnknownModel("model", f"{text}; `longshore models list` shows what there is")
        case _ if error.sqlstate == VERSION_USED:
            return VersionInUse("model", f"{text}; wait for it, or cancel it")
        case errors.UndefinedTable() | errors.InvalidSchemaName():
            return ServiceUnavailable(f"{where} has no Longshore tables; run `longshore migrate`")
        case errors.UndefinedColumn() | errors.UndefinedFunction():
            return ServiceUnavailable(f"{where} has tables of another release: {text}; run `longshore migrate`")
        case errors.InsufficientPrivilege() if 'policy for table "jobs"' in text:
            return InvalidInput(
                "producer",
                "this login may submit and change only jobs of the producer with its own name; set LONGSHORE_PRODUCER "
                "(or producer= of Client) to the user in LONGSHORE_DATABASE_URL",
            )
        case errors.FeatureNotSupported() if "row-level security" in text:
            return CopyRefused(f"{where}: {text}; workers need the attribute BYPASSRLS: ALTER ROLE ... BYPASSRLS")
        case errors.InsufficientPrivilege():
            return ServiceUnavailable(f"{where}: {text}; grant it to the user of LONGSHORE_DATABASE_URL")
        case errors.ReadOnlySqlTransaction():
            return ReadOnlyServer(f"{where} takes no writes now: {text}")
        case _ if lost:
            return ConnectionLost(f"{where} cannot be reached: {text}")
        case _ if isinstance(error, _ROLLED_BACK):
            return RolledBack(f"{where} rolled the transaction back: {text}")
        case errors.ProgramLimitExceeded() | errors.StringDataRightTruncation():
            return InvalidInput("text", f"longer than Postgres can hold: {text}")
        case psycopg.DataError():
            # Of users' input, only a text with a NUL character gets here: Postgres cannot store it.
            return InvalidInput("text", f"Postgres cannot hold it: {text}")
        case errors.DiskFull() | errors.OutOfMemory():
            return ServiceUnavailable(f"{where} is out of resources: {text}")
        case psycopg.OperationalError():
            remedy = next((remedy for pattern, remedy in _REFUSALS if re.search(pattern, str(error))), None)
            return ServiceUnavailable(f"{where} cannot be reached: {text}{f'; {remedy}' if remedy else ''}")
        case _:
            return LedgerRefused(f"{where} refused a statement ({type(error).__name__}): {text}")


def _first_line(error: Exception) -> str:
    """The first line of an error: of several hosts, the error of the last."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__

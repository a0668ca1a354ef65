"""The process behind ``longshore migrate``: bring the database's tables and roles up to date."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from longshore.broker.logs import configure_logging
from longshore.shared.errors import InvalidInput, LongshoreError
from longshore.shared.ledger.migrate import migrate
from longshore.shared.ledger.roles.install import Login, install_roles
from longshore.shared.ledger.roles.rights import LOGIN_ROLES, Role
from longshore.shared.ledger.roles.script import PREFIX
from longshore.shared.passwords import read_password
from longshore.shared.settings import Process, load_settings

logger = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Migrate the database, log its revision, and make the roles if they are asked for.

    :returns: the exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m longshore.broker.migrate")
    parser.add_argument("--roles", action="store_true", help="make or update the roles, too")
    parser.add_argument("--role-prefix", default=PREFIX, help="default: %(default)s")
    parser.add_argument("--login", action="append", default=[], help="ROLE:NAME:PASSWORD_FILE; can be repeated")
    parser.add_argument("--row-security", action=argparse.BooleanOptionalAction, help="default: as it is")
    parser.add_argument("--revoke-public", action="store_true", help="for a database that only Longshore uses")
    options = parser.parse_args(arguments)
    configure_logging()
    try:
        logins = [parse_login(text) for text in options.login]
        database_url = load_settings(process=Process.OWNER).database_url
        revision = migrate(database_url)
        logger.info("the tables are at revision %s", revision)
        if options.roles:
            install_roles(
                database_url,
                prefix=options.role_prefix,
                logins=logins,
                row_security=options.row_security,
                revoke_public=options.revoke_public,
            )
            names = ", ".join(login.name for login in logins) or "none"
            logger.info("the roles %s_* have their rights; logins: %s", options.role_prefix, names)
    except LongshoreError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


def parse_login(text: str) -> Login:
    """A login from ``ROLE:NAME:PASSWORD_FILE``.

    :raises InvalidInput: it is written in another way, there is no such role, or the file cannot be read.
    """
    role, _, rest = text.partition(":")
    name, _, file = rest.partition(":")
    if role not in LOGIN_ROLES or not name or not file:
        raise InvalidInput(
            "--login", f"{text!r}: write ROLE:NAME:PASSWORD_FILE, where ROLE is one of {', '.join(LOGIN_ROLES)}"
        )
    return Login(name, read_password(str(Path(file)), "--login"), (Role(role),))


if __name__ == "__main__":
    sys.exit(main())

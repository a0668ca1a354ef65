"""The logins to the Postgres of a home: its superuser, for migrations alone, and one for each kind of process."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Final

from longshore.shared.ledger.roles.install import Login, install_roles
from longshore.shared.ledger.roles.rights import Role
from longshore.shared.settings import Process

#: The user that owns the database: a superuser.
SUPERUSER: Final = "longshore"
#: The login of each kind of process, and its roles. A home has one user, who may also prune and delete.
_ROLES: Final[Mapping[Process, tuple[Role, ...]]] = {
    Process.PRODUCER: (Role.PRODUCER, Role.OPERATOR),
    Process.GATEWAY: (Role.GATEWAY,),
    Process.SERVICES: (Role.WORKER, Role.RELAY),
    Process.MONITOR: (Role.MONITOR,),
}


class PostgresLogins:
    """The logins of one home.

    :param password: that of the superuser. The others follow from it, so that they outlive a restart without a file
        of their own; none of them tells the superuser's.
    """

    def __init__(self, password: str) -> None:
        self._password = password

    def credentials(self, process: Process) -> tuple[str, str]:
        """The name of a login, and its password."""
        if process is Process.OWNER:
            return SUPERUSER, self._password
        key = hmac.new(self._password.encode(), f"longshore login {process}".encode(), hashlib.sha256)
        return f"{SUPERUSER}_{process}_login", key.hexdigest()

    def install(self, superuser_url: str) -> None:
        """Make or update the logins, and give them their rights on the tables that exist.

        :raises ServiceUnavailable: Postgres cannot be reached.
        """
        logins = [Login(*self.credentials(process), roles) for process, roles in _ROLES.items()]
        install_roles(superuser_url, logins=logins, revoke_public=True)

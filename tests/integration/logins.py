"""Logins with the rights of one role each, as a deployment has them."""

from __future__ import annotations

from dataclasses import replace
from urllib.parse import urlsplit

from longshore.shared.ledger.roles.install import Login, install_roles
from longshore.shared.ledger.roles.rights import LOGIN_ROLES, Role
from longshore.shared.settings import Settings

#: Of every login.
PASSWORD = "of-a-test"


def login_name(role: Role) -> str:
    """The login of a role."""
    return f"test_{role}"


def login_url(database_url: str, login: str) -> str:
    """The address of a database for a login."""
    parts = urlsplit(database_url)
    return parts._replace(netloc=f"{login}:{PASSWORD}@{parts.hostname}:{parts.port}").geturl()


def as_role(settings: Settings, role: Role) -> Settings:
    """Settings with the login of a role. Its name is the producer's."""
    return replace(settings, database_url=login_url(settings.database_url, login_name(role)), producer=login_name(role))


def make_logins(database_url: str, *, row_security: bool | None = None) -> None:
    """Give a migrated database the roles, and a login for each. Other databases of the server share them."""
    logins = [Login(login_name(role), PASSWORD, (role,)) for role in LOGIN_ROLES]
    install_roles(database_url, logins=logins, row_security=row_security)

"""The addresses of the services of a home, for display. They contain no passwords."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from longshore.shared.settings import home_folder

if TYPE_CHECKING:
    from longshore.broker.embedded.report import Status

#: The file in the home that contains the passwords.
SECRETS_FILE = "secrets.json"
#: The user name for Flower.
FLOWER_USER = "longshore"


def address_fields(status: Status) -> dict[str, object]:
    """The addresses by name, without those that do not exist."""
    fields: dict[str, object] = {
        "home": status.home,
        "redis": status.redis,
        "postgres": status.postgres,
        "store": status.store,
        "gateway": status.gateway_url,
        "flower": status.flower_url,
    }
    if status.flower_url:
        fields |= {"flower_user": FLOWER_USER, "passwords_in": status.home / SECRETS_FILE}
    return {name: value for name, value in fields.items() if value is not None}


def in_home(home: Path | None, command: str) -> str:
    """A command line that uses the cluster in ``home``, for people to copy."""
    if home is None or home == home_folder():
        return command
    return f"{command} --home {quote(str(home))}"

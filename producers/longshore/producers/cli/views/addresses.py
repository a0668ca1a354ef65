"""Where the services of a home are, as they are shown: never with a password."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from longshore.shared.settings import home_folder

if TYPE_CHECKING:
    from longshore.broker.embedded.report import Status

#: Where the passwords of a home are.
SECRETS_FILE = "secrets.json"
#: Who signs in at Flower.
FLOWER_USER = "longshore"


def places(status: Status) -> dict[str, object]:
    """Addresses, by name; those that there are."""
    found: dict[str, object] = {
        "home": status.home,
        "redis": status.redis,
        "postgres": status.postgres,
        "store": status.store,
        "flower": status.flower_url,
    }
    if status.flower_url:
        found |= {"flower_user": FLOWER_USER, "passwords_in": status.home / SECRETS_FILE}
    return {name: value for name, value in found.items() if value is not None}


def in_home(home: Path | None, command: str) -> str:
    """A command line that means the cluster in ``home``, to be shown and copied."""
    if home is None or home == home_folder():
        return command
    return f"{command} --home {quote(str(home))}"

"""Where webhooks may lead, from the environment."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from longshore.shared.errors import InvalidInput
from longshore.shared.network_addresses import Address, Network, gives_credentials, is_public, unwrapped

NETWORKS_VARIABLE: Final = "LONGSHORE_WEBHOOK_ALLOWED_NETWORKS"
HTTP_VARIABLE: Final = "LONGSHORE_WEBHOOK_ALLOW_HTTP"


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """Where webhooks may lead.

    :param networks: networks that are not public and may be reached.
    :param http: whether URLs may begin with ``http://``.
    """

    networks: tuple[Network, ...] = ()
    http: bool = False

    def allows(self, address: Address) -> bool:
        """Whether a connection to this address may be made.

        An address at which a cloud gives out credentials must be named by itself: a network around it is not enough.
        """
        if is_public(address):
            return True
        target = unwrapped(address)
        networks = [each for each in self.networks if each.version == target.version and target in each]
        return any(each.num_addresses == 1 for each in networks) if gives_credentials(address) else bool(networks)


#: Only public addresses, and only ``https://``.
NO_WEBHOOK_SETTINGS: Final = WebhookSettings()


def load_webhook_settings(environ: Mapping[str, str] = os.environ) -> WebhookSettings:
    """Read the two variables.

    :raises InvalidInput: a variable has a wrong value.
    """
    try:
        entries = [entry.strip() for entry in environ.get(NETWORKS_VARIABLE, "").split(",") if entry.strip()]
        networks = tuple(ipaddress.ip_network(entry) for entry in entries)
    except ValueError as error:
        raise InvalidInput(
            NETWORKS_VARIABLE, f"{error}; write networks such as 10.0.0.0/8, with commas between"
        ) from None
    http = environ.get(HTTP_VARIABLE, "") or "0"
    if http not in ("0", "1"):
        raise InvalidInput(HTTP_VARIABLE, f"{http!r}: write 1 to allow URLs with http://, or 0")
    return WebhookSettings(networks=networks, http=http == "1")
